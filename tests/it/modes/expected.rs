//! The events of a step from one state to the next, worked out anew from what the types say.

use std::collections::{BTreeMap, BTreeSet};

use certhook::model::json::Fields;
use serde_json::Value;

use super::check::{shown, unlike};

/// The events of a step, worked out anew: the document apart.
pub(super) fn expected(id: &str, is_new: bool, former: &Fields, object: &Fields) -> BTreeSet<(String, Option<String>)> {
    let kind = if id.starts_with("cert_req_") { "certificate_request" } else { "certificate" };
    let mut told = BTreeSet::new();
    let mut tell = |word: &str, entry: Option<&str>| told.insert((format!("{kind}.{word}"), entry.map(Into::into)));
    if is_new {
        tell("created", None);
    }
    let (old, new) = (&former["status"], &object["status"]);
    let word = new.as_str().expect("a status");
    let mut changed = unlike(former, object);
    if changed.remove("status") {
        tell(if word == "pending" { "reopened" } else { word }, None);
        if ["processing", "needs_info"].iter().any(|word| old == word)
            && ["active", "expiring", "expired", "invalid"].contains(&word)
        {
            tell("processing_completed", None);
        }
        if word == "fulfilled" {
            changed.remove("certificate_id");
        }
    }
    if kind == "certificate" {
        told.extend(expected_of_dates_and_entries(is_new, former, object, &mut changed));
    }
    if !changed.is_empty() && !is_new {
        told.insert((format!("{kind}.updated"), None));
    }
    told
}

/// What a certificate's dates and jurisdictions tell. Leaves in `changed` what that does not account for.
fn expected_of_dates_and_entries(
    is_new: bool,
    former: &Fields,
    object: &Fields,
    changed: &mut BTreeSet<String>,
) -> BTreeSet<(String, Option<String>)> {
    let mut told = BTreeSet::new();
    let mut tell = |word: &str, id: &str| told.insert((format!("certificate.jurisdiction.{word}"), Some(id.into())));
    let mut renewed = later(former, object);
    if renewed {
        changed.remove("expiration_date");
    }
    if changed.remove("jurisdictions") {
        let (before, after) = (entries(former), entries(object));
        let mut rest = false;
        for (id, entry) in &after {
            let status = entry["status"].as_str().expect("a status");
            match before.get(id) {
                Some(known) => {
                    renewed |= later(known, entry);
                    let mut parts = unlike(known, entry);
                    if parts.contains("status") {
                        tell(status, id);
                        continue;
                    }
                    if later(known, entry) {
                        parts.remove("expiration_date");
                    }
                    rest |= !parts.is_empty();
                }
                None => {
                    tell(status, id);
                    if !is_new {
                        tell("added", id);
                    }
                }
            }
        }
        for id in before.keys().filter(|id| !after.contains_key(*id)) {
            tell("removed", id);
        }
        if rest {
            changed.insert("jurisdictions".into());
        }
    }
    if renewed {
        told.insert(("certificate.renewed".into(), None));
    }
    told
}

/// ISO dates sort as texts.
fn later(before: &Fields, after: &Fields) -> bool {
    let date = |fields: &Fields| fields.get("expiration_date").and_then(Value::as_str).map(ToOwned::to_owned);
    date(before).zip(date(after)).is_some_and(|(before, after)| before < after)
}

fn entries(object: &Fields) -> BTreeMap<String, Fields> {
    let list = object["jurisdictions"].as_array().expect("a list");
    let entry = |entry: &Value| (entry["jurisdiction_id"].as_str().expect("an id").to_owned(), shown(entry));
    list.iter().map(entry).collect()
}
