//! Exemptions.

use std::time::Duration;

use certhook::model::resource::{Kind, Removal, RemovalReason, Snapshot};
use serde_json::{Value, json};

use super::door::{BEGIN, Door};
use super::resources::{put, snapshot};

fn certificate(id: &str, customer: &str, jurisdictions: &Value) -> Snapshot {
    let object = json!({
        "id": id, "status": "active", "customer": {"id": customer, "reference_customer_id": "20506"},
        "jurisdictions": jurisdictions, "created_at": "2026-01-01T00:00:00Z",
    });
    snapshot("numeral", Kind::Certificate, &object)
}

fn entry(jurisdiction: &str, status: &str, first: &str, last: &str) -> Value {
    json!({"jurisdiction_id": jurisdiction, "status": status, "effective_date": first, "expiration_date": last})
}

async fn exemption(door: &Door, query: &str) -> Value {
    door.json(&format!("GET /v1/exemptions?{query}"), "").await
}

const NOTHING: &str = r#"{"object":"exemption","exempt":false,"valid_from":null,"valid_until":null,
    "certificate_ids":[],"as_of":"2026-11-21T04:00:00.000Z"}"#;

#[tokio::test]
async fn a_customer_is_exempt_where_an_entry_is_valid_today() {
    let door = Door::open().await;
    let both = json!([
        entry("US-CA", "expiring", "2026-01-01", "2026-11-20"),
        entry("US-TX", "expired", "2026-01-01", "2027-01-01"),
    ]);
    put(&door, [certificate("cert_1", "cust_1", &both)]).await;
    let nothing: Value = serde_json::from_str(NOTHING).unwrap();
    let exempt = json!({
        "object": "exemption", "exempt": true, "valid_from": "2026-01-01", "valid_until": "2026-11-20",
        "certificate_ids": ["cert_1"], "as_of": "2026-11-21T04:00:00.000Z",
    });
    // It is the evening of the 20th in the configured zone, and the last day is valid.
    assert_eq!(exemption(&door, "customer_id=cust_1&jurisdiction=US-CA").await, exempt);
    assert_eq!(exemption(&door, "customer_id=20506&id_type=reference_customer_id&jurisdiction=US-CA").await, exempt);
    assert_eq!(exemption(&door, "customer_id=cust_1&jurisdiction=US-CA&source=numeral").await, exempt);
    for query in [
        "customer_id=cust_1&jurisdiction=US-TX",
        "customer_id=cust_1&jurisdiction=US-NV",
        "customer_id=cust_2&jurisdiction=US-CA",
        "customer_id=20506&jurisdiction=US-CA",
        "customer_id=cust_1&jurisdiction=US-CA&source=europe",
    ] {
        assert_eq!(exemption(&door, query).await, nothing, "{query}");
    }
    door.clock.advance(Duration::from_secs(3_600));
    assert_eq!(exemption(&door, "customer_id=cust_1&jurisdiction=US-CA").await, nothing, "a day later it is over");
}

#[tokio::test]
async fn all_certificates_of_a_customer_count_and_none_that_was_removed() {
    let door = Door::open().await;
    let valid = json!([entry("US-CA", "active", "2026-01-01", "2027-01-01")]);
    let many = (0..250).map(|number| certificate(&format!("cert_{number:03}"), "cust_1", &valid));
    put(&door, many).await;
    let found = exemption(&door, "customer_id=cust_1&jurisdiction=US-CA").await;
    assert_eq!(found["certificate_ids"].as_array().unwrap().len(), 250);
    let removed = Some(Removal { reason: RemovalReason::NotFound, at: BEGIN.parse().unwrap() });
    let gone =
        |number| Snapshot { removed: removed.clone(), ..certificate(&format!("cert_{number:03}"), "cust_1", &valid) };
    put(&door, (1..250).map(gone)).await;
    let found = exemption(&door, "customer_id=cust_1&jurisdiction=US-CA").await;
    assert_eq!(found["certificate_ids"], json!(["cert_000"]));
    put(&door, [gone(0)]).await;
    let nothing: Value = serde_json::from_str(NOTHING).unwrap();
    assert_eq!(exemption(&door, "customer_id=cust_1&jurisdiction=US-CA").await, nothing);
}
