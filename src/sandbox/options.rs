//! What can be chosen about a sandbox, above all what the vendor's pages leave open.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a sandbox starts with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The same seed gives the same book (at the same time).
    pub seed: u64,
    /// How many certificates and requests the book begins with, all together.
    pub size: usize,
    /// The only API key that is accepted; `None`: any that is not `sk_test_…`.
    pub api_key: Option<SecretString>,
    /// What the vendor's pages leave open.
    pub modes: Modes,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 1, size: 350, api_key: None, modes: Modes::default() }
    }
}

/// The order of lists, by `created_at` and then id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    #[default]
    Descending,
}

/// Whether `created_after=T` and its like include T.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeBounds {
    /// They do.
    Inclusive,
    /// They do not.
    #[default]
    Exclusive,
}

/// How instants are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestampForm {
    /// `2026-06-10T18:24:09.123Z`.
    #[default]
    Milliseconds,
    /// `2026-06-10T18:24:09Z`.
    Seconds,
}

/// What becomes of a cursor whose object has left the lists since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostCursor {
    /// 400.
    #[default]
    Refused,
    /// An empty page that claims to be the last.
    EmptyPage,
    /// The list goes on where the object was.
    Continues,
}

/// What the vendor's pages leave open. Every combination is one that the real upstream may turn out to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Modes {
    /// The order of lists.
    pub order: Order,
    /// Whether time filters include their bound.
    pub time_bounds: TimeBounds,
    /// Whether list rows carry `status`, theirs and that of each jurisdiction.
    pub status_in_rows: bool,
    /// Whether a move that only the clock made shows in `updated_at`.
    pub clock_moves_bump_updated_at: bool,
    /// Whether archived and revision certificates can be read by id.
    pub archived_by_id: bool,
    /// How far the `Date` header is ahead of the sandbox's clock (negative: behind).
    pub clock_skew_seconds: i64,
    /// How instants are written.
    pub timestamps: TimestampForm,
    /// What becomes of a cursor whose object has left the lists since.
    pub lost_cursor: LostCursor,
    /// The `livemode` of every object.
    pub livemode: bool,
    /// Top-level fields that every object shows beyond those that the vendor documents.
    pub further_fields: Map<String, Value>,
}

impl Default for Modes {
    fn default() -> Self {
        Self {
            order: Order::default(),
            time_bounds: TimeBounds::default(),
            status_in_rows: true,
            clock_moves_bump_updated_at: true,
            archived_by_id: true,
            clock_skew_seconds: 0,
            timestamps: TimestampForm::default(),
            lost_cursor: LostCursor::default(),
            livemode: false,
            further_fields: Map::new(),
        }
    }
}

impl Modes {
    /// These modes with some of them set otherwise.
    ///
    /// # Errors
    /// What is wrong with the patch, in words; then nothing is set.
    pub fn patched(&self, patch: Map<String, Value>) -> Result<Self, String> {
        let mut all = serde_json::to_value(self).map_err(|error| error.to_string())?;
        if let Some(fields) = all.as_object_mut() {
            fields.extend(patch);
        }
        serde_json::from_value(all).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(patch: Value) -> Result<Modes, String> {
        Modes::default().patched(patch.as_object().expect("an object").clone())
    }

    #[test]
    fn a_patch_sets_what_it_names_and_nothing_else() {
        let modes = patched(json!({"order": "ascending", "clock_skew_seconds": -90})).expect("a good patch");
        assert_eq!(modes, Modes { order: Order::Ascending, clock_skew_seconds: -90, ..Modes::default() });
    }

    #[test]
    fn a_bad_patch_is_refused_with_its_reason() {
        assert!(patched(json!({"ordre": "ascending"})).expect_err("unknown").contains("ordre"));
        assert!(patched(json!({"order": "sideways"})).expect_err("no such order").contains("sideways"));
    }
}
