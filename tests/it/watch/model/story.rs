//! What is to be told of a resource that was in one state and is in another: the contract's table of events, anew.

use serde_json::{Map, Value};

use super::meaning::{differences, jurisdiction};
use certhook::model::resource::Kind;

const REVIEW: [&str; 2] = ["processing", "needs_info"];
const REVIEWED: [&str; 4] = ["active", "expiring", "expired", "invalid"];

/// How a sight begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// The resource was known.
    None,
    /// It was never seen before.
    Created,
    /// It had been gone.
    Restored,
}

/// The events of a sight, in their order: the type, and the jurisdiction that it names.
pub(super) fn story(kind: Kind, opening: Opening, before: &Value, after: &Value, document_came: bool) -> Vec<String> {
    let start = Value::Object(Map::from_iter([("status".to_owned(), Value::from(first_status(kind)))]));
    let before = if opening == Opening::Created { &start } else { before };
    let mut told = match opening {
        Opening::None => Vec::new(),
        Opening::Created => vec!["created".to_owned()],
        Opening::Restored => vec!["restored".to_owned()],
    };
    let status = status(kind, before["status"].as_str(), after["status"].as_str());
    if kind == Kind::Certificate && REVIEW.contains(&word(before)) && REVIEWED.contains(&word(after)) {
        told.push("processing_completed".to_owned());
    }
    told.extend(status.clone());
    let mut rest: Vec<&str> = differences(before, after);
    if opening == Opening::Created {
        rest.clear();
    }
    rest.retain(|name| *name != "updated_at");
    if status.is_some() {
        rest.retain(|name| *name != "status");
    }
    if status.as_deref() == Some("fulfilled") {
        rest.retain(|name| *name != "certificate_id");
    }
    if kind == Kind::Certificate {
        let entries = entries(before, after, opening == Opening::Created);
        let is_renewed = is_later(before, after);
        if is_renewed {
            rest.retain(|name| *name != "expiration_date");
        }
        if entries.is_accounted_for {
            rest.retain(|name| *name != "jurisdictions");
        }
        told.extend((is_renewed || entries.is_renewed).then(|| "renewed".to_owned()));
        told.extend(entries.told);
    }
    told.extend(document_came.then(|| "document_available".to_owned()));
    told.extend((!rest.is_empty()).then(|| "updated".to_owned()));
    let prefix = kind.as_str();
    told.into_iter().map(|event| format!("{prefix}.{event}")).collect()
}

fn first_status(kind: Kind) -> &'static str {
    match kind {
        Kind::Certificate => "processing",
        Kind::CertificateRequest => "pending",
    }
}

fn word(state: &Value) -> &str {
    state["status"].as_str().unwrap_or_default()
}

/// The event of a new top-level status.
fn status(kind: Kind, before: Option<&str>, after: Option<&str>) -> Option<String> {
    let after = after.filter(|after| before != Some(*after))?;
    match (kind, after) {
        (Kind::Certificate, _) => is_known(after).then(|| after.to_owned()),
        (Kind::CertificateRequest, "fulfilled" | "canceled" | "invalid") => Some(after.to_owned()),
        (Kind::CertificateRequest, "pending") => {
            matches!(before, Some("fulfilled" | "canceled" | "invalid")).then(|| "reopened".to_owned())
        }
        (Kind::CertificateRequest, _) => None,
    }
}

/// Whether a certificate's, or an entry's, status is a word of the vendor's.
fn is_known(word: &str) -> bool {
    REVIEW.contains(&word) || REVIEWED.contains(&word)
}

/// Whether the expiration date moved later.
fn is_later(before: &Value, after: &Value) -> bool {
    let date = |state: &Value| state["expiration_date"].as_str().map(str::to_owned);
    date(before).zip(date(after)).is_some_and(|(before, after)| before < after)
}

/// What is told of a certificate's entries.
struct Entries {
    told: Vec<String>,
    is_renewed: bool,
    /// Whether nothing changed beside what `told` and a renewal tell.
    is_accounted_for: bool,
}

fn entries(before: &Value, after: &Value, is_first: bool) -> Entries {
    let list = |state: &Value| state["jurisdictions"].as_array().cloned().unwrap_or_default();
    let (old, new) = (list(before), list(after));
    let mut ids: Vec<&str> = old.iter().chain(&new).map(jurisdiction).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut found = Entries { told: Vec::new(), is_renewed: false, is_accounted_for: true };
    for id in ids {
        let of = |list: &[Value]| list.iter().find(|entry| jurisdiction(entry) == id).cloned();
        let (old, new) = (of(&old), of(&new));
        let became = |entry: &Value| Some(word(entry).to_owned()).filter(|word| is_known(word));
        let mut tell = |event: &str| found.told.push(format!("jurisdiction.{event} {id}"));
        match (old, new) {
            (None, Some(new)) => {
                if !is_first {
                    tell("added");
                }
                became(&new).iter().for_each(|word| tell(word));
            }
            (Some(_), None) => tell("removed"),
            (Some(old), Some(new)) => {
                let is_renewed = is_later(&old, &new);
                let word = became(&new).filter(|_| word(&old) != word(&new));
                word.iter().for_each(|word| tell(word));
                let mut rest = differences(&old, &new);
                rest.retain(|name| !(is_renewed && *name == "expiration_date"));
                found.is_renewed |= is_renewed;
                found.is_accounted_for &= word.is_some() || rest.is_empty();
            }
            (None, None) => {}
        }
    }
    // A list that became another without an entry of either: from null to empty, say.
    if old_and_new_differ_as_lists_alone(before, after) {
        found.is_accounted_for = false;
    }
    found
}

/// Whether the entries are the same, and yet `jurisdictions` is not: null, or an empty list.
fn old_and_new_differ_as_lists_alone(before: &Value, after: &Value) -> bool {
    let entries = |state: &Value| state["jurisdictions"].as_array().cloned().unwrap_or_default();
    before.get("jurisdictions") != after.get("jurisdictions") && entries(before) == entries(after)
}
