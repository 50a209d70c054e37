//! Rows as they were written once, one per line in hexadecimal, in the files beside this one.
//!
//! Each test reads today's values out of them and writes the same bytes again. If one fails, somebody's store can no
//! longer be read: put the change behind a new version instead of writing the file anew.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::model::delivery::{Outcome, Trigger};
use crate::model::endpoint::{DisabledReason, Endpoint, EndpointStatus, EndpointUrl, Ordering, SigningSecret};
use crate::model::event::{Cause, Detection, Mode, Subject};
use crate::model::filter::Filter;
use crate::model::id::EndpointNumber;
use crate::model::pattern::Pattern;
use crate::model::resource::Kind;
use crate::model::source::SourceProgress;
use crate::store::Settings;
use crate::store::vault::Vault;

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Both ways between values and the lines of a file.
fn check<T: PartialEq + Debug>(
    file: &str,
    values: &[T],
    write: impl Fn(&T) -> Vec<u8>,
    read: impl Fn(&T, &[u8]) -> Result<T, StoreError>,
) {
    let written: Vec<String> = values.iter().map(|value| hex_of(&write(value))).collect();
    let lines: Vec<&str> = file.lines().collect();
    assert_eq!(written, lines, "what is written today:\n{}\n", written.join("\n"));
    for (value, line) in values.iter().zip(lines) {
        let bytes = bytes_of(line);
        assert_eq!(&read(value, &bytes).expect("a row that was written once"), value);
        let newer = [[VERSION + 1].as_slice(), &bytes[1..]].concat();
        let refused = read(value, &newer).expect_err("a newer version");
        assert!(refused.to_string().ends_with("it has version 2, this program knows up to 1; run the newer program"));
        assert!(read(value, &[]).is_err());
        for length in 1..bytes.len() {
            // Whatever a cut row gives, it is no panic.
            let _cut = read(value, &bytes[..length]);
        }
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_795_233_600_000 + millis)
}

fn key(kind: Kind) -> ResourceKey {
    ResourceKey { source: "numeral".parse().unwrap(), kind, id: "cert_1".parse().unwrap() }
}

fn object() -> Json {
    Json::from_text(r#"{"z":1.50,"id":"cert_1"}"#.into()).unwrap()
}

#[test]
fn snapshots() {
    let plain = Snapshot {
        key: key(Kind::Certificate),
        object_version: 300,
        object: object(),
        observed_at: at(17),
        row_fingerprint: None,
        download: Download::Unknown,
        removed: None,
    };
    let removed = Some(Removal { reason: "unlisted".into(), at: at(18) });
    let fingerprint = Some(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    let values = [
        Snapshot { download: Download::Missing, row_fingerprint: fingerprint, ..plain.clone() },
        Snapshot { download: Download::Available, removed, ..plain.clone() },
        plain,
    ];
    check(include_str!("snapshot.hex"), &values, snapshot, |value, bytes| read_snapshot(value.key.clone(), bytes));
    for value in values {
        assert_eq!(snapshot_is_removed(&snapshot(&value)).unwrap(), value.removed.is_some());
    }
}

#[test]
fn events() {
    let sight = |subject, mode, pass| Sight {
        subject,
        api_version: "2026-03-01".into(),
        livemode: mode == Mode::Live,
        object: object(),
        previous_attributes: Json::of(&json!({"status": "pending"})),
        detection: Detection {
            mode,
            pass,
            request_id: pass.map(|_| "req_1".into()),
            object_version: 3,
            observed_after: pass.map(|_| at(1)),
            observed_before: at(2),
        },
    };
    let resource = |kind| Subject::Resource(key(kind));
    let sights = [
        sight(resource(Kind::Certificate), Mode::Live, Some(Cause::Changes)),
        sight(resource(Kind::CertificateRequest), Mode::Baseline, Some(Cause::Open)),
        sight(Subject::Source("numeral".parse().unwrap()), Mode::Live, Some(Cause::Sweep)),
        sight(resource(Kind::Certificate), Mode::Derived, Some(Cause::Clock)),
        sight(resource(Kind::Certificate), Mode::Resync, Some(Cause::Deadline)),
        sight(resource(Kind::Certificate), Mode::Live, Some(Cause::Write)),
        sight(Subject::Own("ep_1".into()), Mode::Test, None),
    ];
    let details = Json::of(&json!({"jurisdiction_id": "US-CA"}));
    let first = |sight: Sight| LogRow {
        back: 0,
        event_type: EventType::CertificateActive,
        details: details.clone(),
        sight: Some(StoredSight { epoch: 1_795_233_600, start: 7, sight: Arc::new(sight) }),
    };
    let mut values: Vec<LogRow> = sights.into_iter().map(first).collect();
    values.push(LogRow { back: 49, event_type: EventType::JurisdictionAdded, details, sight: None });
    check(include_str!("event.hex"), &values, compact, |_, bytes| read_log_row(bytes));
}

#[test]
fn delivery_records() {
    let outcomes = [
        Outcome::Delivered,
        Outcome::Redirected,
        Outcome::Gone,
        Outcome::Throttled,
        Outcome::Rejected,
        Outcome::ServerError,
        Outcome::DnsFailed,
        Outcome::AddressRefused,
        Outcome::ConnectFailed,
        Outcome::TlsFailed,
        Outcome::TimedOut,
        Outcome::Broken,
    ];
    let triggers = [Trigger::Scheduled, Trigger::Manual, Trigger::Replay, Trigger::Probe];
    let attempt = |(number, (outcome, trigger)): (u32, (&Outcome, &Trigger))| Attempt {
        number,
        at: at(number.into()),
        duration_ms: 1200,
        outcome: *outcome,
        status_code: (number > 1).then_some(503),
        error: Some("no answer".into()).filter(|_| number > 2),
        response_body: Some("oh no".into()).filter(|_| number > 3),
        address: Some("192.0.2.1:443".into()).filter(|_| number > 4),
        signed_at: at(number.into()),
        trigger: *trigger,
    };
    let record = |status, next_attempt_at| DeliveryRecord {
        id: DeliveryId { position: Position(9), endpoint: EndpointNumber(5), epoch: 1_795_233_600 },
        event_id: EventId { position: Position(9), epoch: 1_795_233_600, start: 7 },
        event_type: EventType::RequestFulfilled,
        endpoint_id: EndpointId { number: EndpointNumber(5), random: 12345 },
        resource: Some(key(Kind::CertificateRequest)),
        status,
        next_attempt_at,
        attempt_count: 12,
        attempts: (1..).zip(outcomes.iter().zip(triggers.iter().cycle())).map(attempt).collect(),
    };
    let bare = |status| DeliveryRecord { resource: None, attempts: Vec::new(), ..record(status, None) };
    let values = [
        record(DeliveryStatus::Pending, Some(at(5))),
        bare(DeliveryStatus::Delivered),
        bare(DeliveryStatus::Failed),
        bare(DeliveryStatus::Canceled),
    ];
    check(include_str!("delivery.hex"), &values, delivery, |value, bytes| read_delivery(value.id, bytes));
    for value in values {
        let standing = Standing { status: value.status, next_attempt_at: value.next_attempt_at };
        assert_eq!(delivery_standing(&delivery(&value)).unwrap(), standing);
    }
}

#[test]
fn the_end_of_the_log_and_numbers() {
    let heads = [Head::default(), Head { position: Position(1 << 40), timestamp: at(3) }];
    check(include_str!("head.hex"), &heads, head, |_, bytes| read_head(bytes));
    let numbers = [0, 300, u64::MAX];
    check(include_str!("number.hex"), &numbers, |value| number(*value), |_, bytes| read_number(bytes));
}

#[test]
fn what_a_store_is_and_how_far_sources_were_read() {
    let meta = rare::Meta { format: 1, epoch: 1_795_233_600, created_at: at(0), key_check: "c2VhbGVk".into() };
    check(include_str!("meta.hex"), &[meta], rare::meta, |_, bytes| {
        rare::read_meta(bytes).map(|meta| meta.expect("our format"))
    });
    let begun = SourceProgress::new("numeral".parse().unwrap(), at(1));
    let known_fields = [vec!["id".into(), "status".into()], vec!["memo".into()]];
    let complete = SourceProgress {
        baseline_completed_at: Some(at(2)),
        watermark: Some(at(3)),
        swept_at: Some(at(4)),
        known_fields,
        ..begun.clone()
    };
    check(include_str!("progress.hex"), &[begun, complete], rare::progress, |_, bytes| rare::read_progress(bytes));
}

fn sample_endpoint() -> Endpoint {
    Endpoint {
        id: EndpointId { number: EndpointNumber(5), random: 12345 },
        uid: Some("crm".into()),
        url: EndpointUrl::new(&"https://example.com/hook?token=secret".parse().unwrap()),
        description: "the CRM".into(),
        types: vec![Pattern::Everything, Pattern::Below("gateway.".into()), Pattern::One(EventType::EndpointGap)],
        filter: Filter { jurisdictions: vec!["US-CA".into()], will_expire_days: vec![30], ..Filter::default() },
        ordering: Ordering::None,
        retry: Some(vec![Duration::from_secs(5)]),
        max_in_flight: Some(3),
        metadata: [("team".to_owned(), "tax".to_owned())].into(),
        secrets: vec![
            SigningSecret { key: vec![1; 24].into(), expires_at: None },
            SigningSecret { key: vec![2; 32].into(), expires_at: Some(at(9)) },
        ],
        status: EndpointStatus::Disabled,
        disabled_reason: Some(DisabledReason::Failing),
        start: Position(4),
        created_at: at(1),
        updated_at: at(2),
    }
}

fn vault() -> Vault {
    let settings = Settings { path: "unused".into(), encryption_key: Some(vec![7; 32].into()) };
    Vault::of(&settings, false).expect("a configured key")
}

/// Sealing draws a nonce, so the bytes differ each time; what is read once and written again is the same.
#[test]
fn endpoints() {
    let line = include_str!("endpoint.hex").trim_end();
    let bytes = bytes_of(line);
    let today = hex_of(&endpoint::endpoint(&sample_endpoint(), &vault()));
    let read = endpoint::read_endpoint(&bytes, &vault());
    assert_eq!(read.unwrap_or_else(|error| panic!("{error}; written today:\n{today}\n")), sample_endpoint());
    let row: endpoint::EndpointRow = from_plain("an endpoint", &bytes).unwrap();
    assert_eq!(hex_of(&plain(&row)), line);
    let identity = endpoint::read_identity(&bytes).unwrap();
    assert_eq!((identity.id, identity.uid.as_deref()), (sample_endpoint().id, Some("crm")));
    let newer = [[VERSION + 1].as_slice(), &bytes[1..]].concat();
    assert!(endpoint::read_endpoint(&newer, &vault()).is_err());
}

#[test]
fn rows_in_json_may_lack_what_was_added_later_and_hold_what_was_taken_away() {
    let text = r#"{"name":"numeral","baseline_started_at":"2026-11-21T00:00:00.000Z","former":[1]}"#;
    let progress = rare::read_progress(&[[VERSION].as_slice(), text.as_bytes()].concat()).unwrap();
    assert_eq!(progress.watermark, None);
    let format = |text: &str| rare::read_meta(&[[VERSION].as_slice(), text.as_bytes()].concat()).unwrap();
    assert_eq!(format(r#"{"format":9,"everything":"else may differ"}"#), Err(9));
}
