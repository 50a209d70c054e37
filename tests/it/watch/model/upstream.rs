//! Upstream: what a change does to the book.

use certhook::model::resource::Kind;
use certhook::model::time::Timestamp;
use serde_json::{Value, json};

use super::steps::{Alteration, Change, MEMO, World};
use crate::support::scripted_source::book::Book;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// How many days ahead of its date a certificate is said to be expiring.
const EXPIRING_DAYS: i64 = 30;

/// The id of a resource.
pub(super) fn id(kind: Kind, number: u8) -> String {
    match kind {
        Kind::Certificate => format!("cert_{number}"),
        Kind::CertificateRequest => format!("req_{number}"),
    }
}

/// A date so many days after an instant, in UTC.
fn date(now: Timestamp, days: i32) -> String {
    let at = Timestamp::from_millis(now.as_millis() + i64::from(days) * DAY_MS);
    at.to_string()[..10].to_owned()
}

/// A resource as it comes to be.
fn created(kind: Kind, id: &str, now: Timestamp) -> Value {
    let instant = now.to_string();
    match kind {
        Kind::Certificate => json!({
            "id": id, "object": "tax.exemption_certificate", "status": "processing",
            "customer": {"id": "cust_0", "reference_customer_id": null}, "jurisdictions": [],
            "effective_date": "2026-01-01", "expiration_date": null, MEMO: null,
            "created_at": instant, "updated_at": instant, "livemode": true, "download_url": null,
        }),
        Kind::CertificateRequest => json!({
            "id": id, "object": "tax.certificate_request", "status": "pending",
            "customer": {"id": "cust_0", "reference_customer_id": null}, "certificate_id": null,
            "jurisdictions": ["US-CA"], MEMO: null, "created_at": instant, "updated_at": instant,
            "expires_at": null, "livemode": true,
        }),
    }
}

fn entry(id: &str, status: &str, date: String) -> Value {
    json!({"jurisdiction_id": id, "status": status, "expiration_date": date, MEMO: null})
}

/// The jurisdictions of a certificate (or of a request, which only names them) without one.
fn without(jurisdictions: &Value, id: &str) -> Vec<Value> {
    let entries = jurisdictions.as_array().expect("entries").iter();
    entries.filter(|entry| entry["jurisdiction_id"] != id && **entry != id).cloned().collect()
}

/// Lets something happen at an instant of upstream's clock.
pub(super) fn alter(book: &mut Book, change: &Change, world: &World, now: Timestamp) {
    let Change { kind, number, what } = change;
    let (kind, id) = (*kind, id(*kind, *number));
    if book.item(kind, &id).is_none() {
        book.put(kind, created(kind, &id, now));
    }
    match what {
        Alteration::Archive => book.show(kind, &id, false, world.archived_by_id),
        Alteration::Delete => book.show(kind, &id, false, false),
        Alteration::Reorder(place) => book.reorder(kind, &id, *place),
        Alteration::Restore(bumps) => {
            if *bumps {
                book.change(kind, &id, |object| bump(object, now));
            }
            book.show(kind, &id, true, true);
        }
        Alteration::Document(has, bumps) if kind == Kind::Certificate => book.change(kind, &id, |object| {
            object["download_url"] = if *has { json!("https://signed.example.com/canary") } else { Value::Null };
            if *bumps {
                bump(object, now);
            }
        }),
        Alteration::Status(_)
        | Alteration::Entry(..)
        | Alteration::DropEntry(_)
        | Alteration::Date(_)
        | Alteration::EntryDate(..)
        | Alteration::Customer(_)
        | Alteration::Memo(_)
        | Alteration::EntryMemo(..)
        | Alteration::Field(..)
        | Alteration::Fulfil(..)
        | Alteration::Document(..)
        | Alteration::Touch => book.change(kind, &id, |object| {
            rewrite(object, kind, what, now);
            bump(object, now);
        }),
    }
}

fn bump(object: &mut Value, now: Timestamp) {
    object["updated_at"] = json!(now.to_string());
}

/// Changes the fields of a resource.
fn rewrite(object: &mut Value, kind: Kind, what: &Alteration, now: Timestamp) {
    let found = |object: &Value, id: &str| {
        let entries = object["jurisdictions"].as_array().expect("entries");
        entries.iter().position(|entry| entry["jurisdiction_id"] == id)
    };
    match (what, kind) {
        (Alteration::Status(word), _) => object["status"] = json!(word),
        (Alteration::Entry(id, word, days), Kind::Certificate) => {
            let known = found(object, id).map(|place| object["jurisdictions"][place][MEMO].clone());
            let mut entries = without(&object["jurisdictions"], id);
            entries.push(entry(id, word, date(now, *days)));
            if let (Some(memo), Some(last)) = (known, entries.last_mut()) {
                last[MEMO] = memo;
            }
            object["jurisdictions"] = json!(entries);
        }
        (Alteration::Entry(id, ..), Kind::CertificateRequest) => {
            let mut named = without(&object["jurisdictions"], id);
            named.push(json!(id));
            object["jurisdictions"] = json!(named);
        }
        (Alteration::DropEntry(id), _) => object["jurisdictions"] = json!(without(&object["jurisdictions"], id)),
        (Alteration::Date(days), Kind::Certificate) => {
            object["expiration_date"] = days.map_or(Value::Null, |days| json!(date(now, days)));
        }
        (Alteration::Date(days), Kind::CertificateRequest) => {
            let at = |days: i32| Timestamp::from_millis(now.as_millis() + i64::from(days) * DAY_MS);
            object["expires_at"] = days.map_or(Value::Null, |days| json!(at(days).to_string()));
        }
        (Alteration::EntryDate(id, days), Kind::Certificate) => {
            if let Some(place) = found(object, id) {
                object["jurisdictions"][place]["expiration_date"] = json!(date(now, *days));
            }
        }
        (Alteration::Customer(number), _) => object["customer"]["id"] = json!(format!("cust_{number}")),
        (Alteration::Memo(memo), _) => object[MEMO] = json!(memo),
        (Alteration::EntryMemo(id, memo), Kind::Certificate) => {
            if let Some(place) = found(object, id) {
                object["jurisdictions"][place][MEMO] = json!(memo);
            }
        }
        // A field that upstream has come up with is there from then on.
        (Alteration::Field(name, None), _) if object.get(name).is_none() => {}
        (Alteration::Field(name, value), _) => object[*name] = json!(value),
        (Alteration::Fulfil(number, closes), Kind::CertificateRequest) => {
            object["certificate_id"] = json!(id(Kind::Certificate, *number));
            if *closes {
                object["status"] = json!("fulfilled");
            }
        }
        (
            Alteration::EntryDate(..)
            | Alteration::EntryMemo(..)
            | Alteration::Fulfil(..)
            | Alteration::Document(..)
            | Alteration::Touch
            | Alteration::Archive
            | Alteration::Delete
            | Alteration::Restore(_)
            | Alteration::Reorder(_),
            _,
        ) => {}
    }
}

/// The status that upstream's clock gives to something with a date, if it gives one.
fn moved_by_clock(status: &Value, date: &Value, now: Timestamp) -> Option<&'static str> {
    let end: Timestamp = format!("{}T00:00:00Z", date.as_str()?).parse().ok()?;
    let days_left = (end.as_millis() + DAY_MS - now.as_millis()).div_euclid(DAY_MS);
    match status.as_str()? {
        "active" | "expiring" if days_left < 0 => Some("expired"),
        "active" if days_left <= EXPIRING_DAYS => Some("expiring"),
        _ => None,
    }
}

/// Lets upstream's clock move every status whose date says so.
pub(super) fn nightly(book: &mut Book, world: &World, now: Timestamp) {
    for kind in Kind::ALL {
        let ids: Vec<String> =
            book.items(kind).iter().map(|item| item.object["id"].as_str().expect("text").to_owned()).collect();
        for id in ids {
            let mut object = book.item(kind, &id).expect("it is in the book").object.clone();
            if moves(&mut object, now) {
                if world.clock_moves_bump {
                    bump(&mut object, now);
                }
                book.put(kind, object);
            }
        }
    }
}

fn moves(object: &mut Value, now: Timestamp) -> bool {
    let mut has_moved = false;
    if let Some(status) = moved_by_clock(&object["status"], &object["expiration_date"], now) {
        object["status"] = json!(status);
        has_moved = true;
    }
    for entry in object["jurisdictions"].as_array_mut().expect("entries") {
        if let Some(status) = moved_by_clock(&entry["status"], &entry["expiration_date"], now) {
            entry["status"] = json!(status);
            has_moved = true;
        }
    }
    let expires_at = object["expires_at"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    if object["status"] == "pending" && expires_at.is_some_and(|at| at < now) {
        object["status"] = json!("invalid");
        has_moved = true;
    }
    has_moved
}
