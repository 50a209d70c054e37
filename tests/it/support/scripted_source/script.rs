//! What a scripted upstream is to answer, call by call.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use certhook::model::resource::{Kind, ResourceId};
use certhook::source::{Cursor, Exchange, Malformed, Page, Row, Selection, SourceError, Urgency};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::book::{Book, Item, trap};
use super::calls::{Answer, Call, Fault, Hook, Incident, Malformation, Shown};
use super::showing::{LostCursor, Rules};

/// An answer that is made when it is asked for and comes when the test lets it.
#[derive(Debug, Default)]
pub(crate) struct Late {
    /// The answer was rendered.
    pub(crate) rendered: Notify,
    /// The test lets it come.
    pub(crate) released: Notify,
}

/// Where in a listing: the kind, and the page counted from 1.
pub(crate) type Place = (Kind, u64);

#[derive(Default)]
pub(super) struct Script {
    pub(super) book: Book,
    pub(super) rules: Rules,
    /// How far upstream's clock is ahead of ours, in milliseconds.
    pub(super) ahead_ms: i64,
    pub(super) page_faults: HashMap<Place, VecDeque<Fault>>,
    pub(super) creation_faults: VecDeque<Fault>,
    pub(super) get_faults: HashMap<String, VecDeque<SourceError>>,
    pub(super) always: Option<SourceError>,
    /// How long every call is out before it goes wrong, if it does.
    pub(super) time_out: Option<Duration>,
    /// Since when those are out that are.
    pub(super) unanswered: Vec<Instant>,
    pub(super) late_pages: HashMap<Place, Arc<Late>>,
    pub(super) late_gets: HashMap<String, Arc<Late>>,
    pub(super) after_page: HashMap<Place, Hook>,
    pub(super) incidents: HashMap<u64, Vec<Incident>>,
    /// Calls since incidents were last forgotten.
    pub(super) calls_begun: u64,
    pub(super) pages_asked: HashMap<Kind, u64>,
    pub(super) selections: Vec<Selection>,
    pub(super) gets: Vec<String>,
    pub(super) urgencies: Vec<Urgency>,
    pub(super) calls: Vec<Call>,
}

/// What befalls a call.
#[derive(Default)]
pub(super) struct Fate {
    pub(super) fault: Option<Fault>,
    pub(super) turns: u32,
    pub(super) late: Option<Arc<Late>>,
    pub(super) hooks: Vec<Hook>,
}

impl Script {
    /// What befalls the call that begins now.
    fn fate(&mut self) -> Fate {
        self.calls_begun += 1;
        let mut fate = Fate::default();
        for incident in self.incidents.remove(&self.calls_begun).unwrap_or_default() {
            match incident {
                Incident::Fault(fault) => fate.fault = Some(fault),
                Incident::Late(turns) => fate.turns += turns,
                Incident::Then(hook) => fate.hooks.push(hook),
            }
        }
        fate
    }

    /// What befalls the page that is now asked for.
    pub(super) fn fate_of_page(&mut self, kind: Kind, selection: &Selection, is_first: bool) -> Fate {
        let mut fate = self.fate();
        if is_first {
            self.pages_asked.insert(kind, 0);
            self.selections.push(selection.clone());
        }
        let asked = self.pages_asked.entry(kind).or_default();
        *asked += 1;
        let place = (kind, *asked);
        let creation_fault = match selection {
            Selection::CreatedBetween(..) => self.creation_faults.pop_front(),
            Selection::Everything | Selection::UpdatedAfter(_) | Selection::Status(_) => None,
        };
        let page_fault = || self.page_faults.get_mut(&place).and_then(VecDeque::pop_front);
        let fault = creation_fault.or_else(page_fault);
        if matches!(fault, Some(Fault::Error(_))) {
            // The same page will be asked for again.
            *self.pages_asked.entry(kind).or_default() -= 1;
        } else {
            fate.hooks.extend(self.after_page.remove(&place));
            fate.late = self.late_pages.remove(&place);
        }
        fate.fault = self.always.clone().map(Fault::Error).or(fault).or(fate.fault);
        fate
    }

    /// What befalls the answer by id that is now asked for.
    pub(super) fn fate_of_get(&mut self, id: &str) -> Fate {
        let mut fate = self.fate();
        self.gets.push(id.into());
        let fault = self.get_faults.get_mut(id).and_then(VecDeque::pop_front);
        fate.fault = self.always.clone().or(fault).map(Fault::Error).or(fate.fault);
        if !matches!(fate.fault, Some(Fault::Error(_))) {
            fate.late = self.late_gets.remove(id);
        }
        fate
    }

    /// The page at a cursor, which is the last id of the page before, and whether what it says is not true.
    pub(super) fn page(
        &self,
        kind: Kind,
        selection: &Selection,
        cursor: Option<&Cursor>,
        fault: Option<&Fault>,
        exchange: Exchange,
    ) -> Result<(Page, bool), SourceError> {
        let mut list: Vec<&Item> = self.book.items(kind).iter().collect();
        if self.rules.is_descending {
            list.reverse();
        }
        list.retain(|item| self.rules.selects(selection, item));
        let found = cursor.map(|Cursor(last)| list.iter().position(|item| item.object["id"] == **last));
        let (start, is_lost) = match found {
            None => (0, false),
            Some(Some(place)) => (place + 1, false),
            Some(None) if self.rules.lost_cursor == LostCursor::Refused => return Err(refused()),
            Some(None) => (list.len(), true),
        };
        let shown = &list[start..list.len().min(start + self.rules.page_size)];
        let has_more = start + shown.len() < list.len();
        let last = shown.last().map(|item| Cursor(item.object["id"].as_str().expect("text").into()));
        let (unusable, usable): (Vec<&Value>, Vec<&Value>) = shown
            .iter()
            .map(|item| &item.object)
            .partition(|object| matches!(trap(object), Some("unreadable" | "anonymous")));
        let rows = usable.into_iter().map(|object| row(&self.rules.row(object))).collect();
        let malformed = unusable.into_iter().map(malformed).collect();
        let next_cursor = last.clone().filter(|_| has_more);
        let mut page = Page { rows, malformed, has_more, next_cursor, exchange };
        let is_a_lie = match fault {
            None => false,
            Some(fault) => spoil(&mut page, last, cursor, fault)?,
        };
        Ok((page, is_a_lie || is_lost))
    }

    pub(super) fn get(&self, kind: Kind, id: &ResourceId, fault: Option<Fault>) -> (Answer, bool) {
        let item = self.book.item(kind, id.as_str()).filter(|item| item.is_readable);
        match (fault, item) {
            (Some(Fault::NotFound), item) => (Answer::NotFound, item.is_some()),
            (Some(Fault::Malformed(..)), Some(_)) => (Answer::Malformed, false),
            (Some(Fault::Error(error)), _) => (Answer::Error(error), false),
            (Some(_), _) => (Answer::Error(unavailable()), false),
            (None, Some(item)) if trap(&item.object) == Some("malformed") => (Answer::Malformed, false),
            (None, Some(item)) => (Answer::Found(self.rules.whole(&item.object)), false),
            (None, None) => (Answer::NotFound, false),
        }
    }

    /// Notes a call, and lets happen what happens after it.
    pub(super) fn note(&mut self, call: Call, hooks: Vec<Hook>) -> usize {
        self.calls.push(call);
        hooks.into_iter().for_each(|hook| hook(&mut self.book));
        self.calls.len() - 1
    }
}

fn refused() -> SourceError {
    SourceError::Refused { status: 400, kind: "INVALID_CURSOR".into(), message: "no such id".into() }
}

fn unavailable() -> SourceError {
    SourceError::Unavailable("500".into())
}

fn row(shown: &Value) -> Row {
    let id = shown["id"].as_str().expect("text").parse().expect("an id");
    Row { id, raw: RawValue::from_string(shown.to_string()).expect("JSON") }
}

/// A resource of which a page shows no more than an id, or not even that.
fn malformed(object: &Value) -> Malformed {
    let id = object["id"].as_str().filter(|_| trap(object) != Some("anonymous"));
    Malformed { id: id.map(|id| id.parse().expect("an id")), reason: "a trap".into() }
}

/// Lets a page go wrong. Tells whether what it says is not true, and cannot be noticed.
fn spoil(page: &mut Page, last: Option<Cursor>, cursor: Option<&Cursor>, fault: &Fault) -> Result<bool, SourceError> {
    match fault {
        Fault::Error(error) => return Err(error.clone()),
        Fault::NoCursor => (page.has_more, page.next_cursor) = (true, None),
        Fault::StrayCursor => (page.has_more, page.next_cursor) = (false, Some(last.unwrap_or(Cursor("c".into())))),
        Fault::RepeatedCursor => (page.has_more, page.next_cursor) = (true, cursor.cloned()),
        Fault::EmptyPage => {
            page.rows.clear();
            (page.has_more, page.next_cursor) = (true, Some(last.unwrap_or(Cursor("c".into()))));
        }
        Fault::Truncated => {
            let is_a_lie = page.has_more;
            (page.has_more, page.next_cursor) = (false, None);
            return Ok(is_a_lie);
        }
        Fault::CutShort(rows) => {
            let is_a_lie = page.has_more || page.rows.len() > *rows;
            page.rows.truncate(*rows);
            (page.has_more, page.next_cursor) = (false, None);
            return Ok(is_a_lie);
        }
        Fault::Malformed(nth, how) if !page.rows.is_empty() => malform(page, nth % page.rows.len(), *how),
        Fault::Malformed(..) | Fault::NotFound => return Err(unavailable()),
    }
    Ok(false)
}

fn malform(page: &mut Page, nth: usize, how: Malformation) {
    let reason = "a trap".to_owned();
    match how {
        Malformation::Content => {
            let row = &mut page.rows[nth];
            row.raw = RawValue::from_string(format!(r#"{{"id":"{}","trap":"malformed"}}"#, row.id)).expect("JSON");
        }
        Malformation::Size => {
            let id = Some(page.rows.remove(nth).id);
            page.malformed.push(Malformed { id, reason });
        }
        Malformation::Nameless => {
            page.rows.remove(nth);
            page.malformed.push(Malformed { id: None, reason });
        }
    }
}

/// What a page shows.
pub(super) fn shown(page: &Page) -> Vec<Shown> {
    let rows = page.rows.iter().map(|row| {
        let value: Value = serde_json::from_str(row.raw.get()).expect("JSON");
        Shown { id: Some(row.id.as_str().into()), row: Some(value).filter(|value| value.get("trap").is_none()) }
    });
    let malformed =
        page.malformed.iter().map(|item| Shown { id: item.id.as_ref().map(|id| id.as_str().into()), row: None });
    rows.chain(malformed).collect()
}
