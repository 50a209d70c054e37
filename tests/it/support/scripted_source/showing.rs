//! How a scripted upstream shows what it holds: everything that the vendor's pages leave open.

use certhook::model::time::Timestamp;
use certhook::source::Selection;
use serde_json::Value;

use super::book::Item;

/// What becomes of a cursor whose resource has left the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LostCursor {
    /// It is refused.
    Refused,
    /// An empty page says that there is no more.
    EndsTheList,
}

/// The choices that upstream has made.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// So many rows make a page.
    pub(crate) page_size: usize,
    /// The last comes first.
    pub(crate) is_descending: bool,
    /// `…_after` and `…_before` leave out the instant itself.
    pub(crate) bounds_are_exclusive: bool,
    /// What becomes of a cursor whose resource has left the list.
    pub(crate) lost_cursor: LostCursor,
    /// Rows show no status, neither their own nor that of a jurisdiction.
    pub(crate) rows_lack_status: bool,
    /// Rows do not show this field.
    pub(crate) rows_lack: Option<&'static str>,
    /// The entries of a row's jurisdictions do not show this field.
    pub(crate) entries_lack: Option<&'static str>,
    /// Rows show instants in whole seconds.
    pub(crate) rows_in_whole_seconds: bool,
    /// Answers by id leave out what is null.
    pub(crate) answers_omit_nulls: bool,
    /// Answers have a `Date`.
    pub(crate) tells_time: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            page_size: 10,
            is_descending: false,
            bounds_are_exclusive: false,
            lost_cursor: LostCursor::Refused,
            rows_lack_status: false,
            rows_lack: None,
            entries_lack: None,
            rows_in_whole_seconds: false,
            answers_omit_nulls: false,
            tells_time: true,
        }
    }
}

impl Rules {
    /// A resource as a row shows it.
    pub(crate) fn row(&self, object: &Value) -> Value {
        let mut row = object.clone();
        let fields = row.as_object_mut().expect("an object");
        fields.shift_remove("download_url");
        self.rows_lack.and_then(|name| fields.shift_remove(name));
        if self.rows_lack_status {
            fields.shift_remove("status");
        }
        for entry in fields.get_mut("jurisdictions").and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(entry) = entry.as_object_mut() else { continue };
            self.entries_lack.and_then(|name| entry.shift_remove(name));
            if self.rows_lack_status {
                entry.shift_remove("status");
            }
        }
        if self.rows_in_whole_seconds {
            for name in ["created_at", "updated_at", "expires_at"] {
                if let Some(Value::String(instant)) = fields.get_mut(name) {
                    *instant = in_whole_seconds(instant);
                }
            }
        }
        row
    }

    /// A resource as an answer by id shows it.
    pub(crate) fn whole(&self, object: &Value) -> Value {
        let mut whole = object.clone();
        if self.answers_omit_nulls {
            whole.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        }
        whole
    }

    /// Whether a list shows a resource.
    pub(crate) fn selects(&self, selection: &Selection, item: &Item) -> bool {
        let instant = |name: &str| item.object[name].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        let is_after = |at: Timestamp, bound: Timestamp| at > bound || at == bound && !self.bounds_are_exclusive;
        item.is_listed
            && match selection {
                Selection::Everything => true,
                Selection::UpdatedAfter(after) => instant("updated_at").is_some_and(|at| is_after(at, *after)),
                Selection::Status(status) => item.object["status"] == *status,
                Selection::CreatedBetween(after, before) => {
                    instant("created_at").is_some_and(|at| is_after(at, *after) && is_after(*before, at))
                }
            }
    }
}

/// An instant as one of the vendor's pages spells it, where another has milliseconds.
fn in_whole_seconds(instant: &str) -> String {
    instant.split_once('.').map_or_else(|| instant.to_owned(), |(seconds, _)| format!("{seconds}Z"))
}
