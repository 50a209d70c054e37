//! Rows as they were written once, one per line in hexadecimal, in the files beside this one.
//!
//! Each test reads today's values out of them and writes the same bytes again. If one fails, somebody's store can no
//! longer be read: put the change behind a new version instead of writing the file anew. Where there is a file with a
//! number in its name, the one without it holds rows that a former program wrote.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::model::delivery::{Outcome, Trigger};
use crate::model::endpoint::{
    DisabledReason, Endpoint, EndpointStatus, EndpointUrl, Format, Ordering, OwnHeaders, Payload, SigningSecret,
};
use crate::model::event::{Cause, Detection, Mode, Subject};
use crate::model::filter::Filter;
use crate::model::id::{EndpointNumber, ReplayId, ReplayNumber};
use crate::model::pattern::Pattern;
use crate::model::replay::Replayed;
use crate::model::resource::Kind;
use crate::model::source::SourceProgress;
use crate::store::Settings;
use crate::store::vault::Vault;

mod access;
mod health;
mod replays;
mod retention;
mod snapshots;

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// From the lines of a file to values.
fn check_read<T: PartialEq + Debug>(file: &str, values: &[T], read: impl Fn(&T, &[u8]) -> Result<T, StoreError>) {
    assert_eq!(file.lines().count(), values.len());
    for (value, line) in values.iter().zip(file.lines()) {
        let bytes = bytes_of(line);
        assert_eq!(&read(value, &bytes).expect("a row that was written once"), value);
        assert!(read(value, &[]).is_err());
        for length in 1..bytes.len() {
            // Whatever a cut row gives, it is no panic.
            let _cut = read(value, &bytes[..length]);
        }
    }
}

/// Both ways between values and the lines of a file.
fn check<T: PartialEq + Debug>(
    file: &str,
    values: &[T],
    write: impl Fn(&T) -> Vec<u8>,
    read: impl Fn(&T, &[u8]) -> Result<T, StoreError>,
) {
    let newest = file.lines().next().map_or(0, |line| bytes_of(line)[0]);
    check_plain(newest, file, values, write, read);
}

/// Both ways between values and the lines of a file in which nothing is packed.
fn check_plain<T: PartialEq + Debug>(
    newest: u8,
    file: &str,
    values: &[T],
    write: impl Fn(&T) -> Vec<u8>,
    read: impl Fn(&T, &[u8]) -> Result<T, StoreError>,
) {
    let written: Vec<String> = values.iter().map(|value| hex_of(&write(value))).collect();
    assert_eq!(written, file.lines().collect::<Vec<_>>(), "what is written today:\n{}\n", written.join("\n"));
    check_read(file, values, &read);
    check_newer(newest, file, values, read);
}

/// A version above the newest one is refused in every line of a file.
fn check_newer<T: Debug>(newest: u8, file: &str, values: &[T], read: impl Fn(&T, &[u8]) -> Result<T, StoreError>) {
    for (value, line) in values.iter().zip(file.lines()) {
        let newer = newest + 1;
        let refused = read(value, &[&[newer], &bytes_of(line)[1..]].concat()).expect_err("a newer version");
        let message = format!("it has version {newer}, this program knows up to {newest}; run the newer program");
        assert!(refused.to_string().ends_with(&message), "{refused}");
    }
}

/// From the lines of a file to values; back to bytes that may differ, since whoever packs may become better at it.
fn check_packed<T: PartialEq + Debug>(
    newest: u8,
    file: &str,
    values: &[T],
    write: impl Fn(&T) -> Vec<u8>,
    read: impl Fn(&T, &[u8]) -> Result<T, StoreError>,
) {
    let written: Vec<Vec<u8>> = values.iter().map(&write).collect();
    let lines: Vec<String> = written.iter().map(|row| hex_of(row)).collect();
    assert_eq!(file.lines().count(), values.len(), "what is written today:\n{}\n", lines.join("\n"));
    check_read(file, values, &read);
    check_newer(newest, file, values, &read);
    for (value, row) in values.iter().zip(&written) {
        assert_eq!(row[0], newest, "it is packed");
        assert_eq!(&read(value, row).expect("a row of today"), value);
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

/// As large as the vendor's are, each a little different, and with a number that must stay as it is.
fn certificate(number: u32) -> Json {
    let text = format!(
        r#"{{"id":"cert_1","object":"tax.exemption_certificate","status":"expiring","certificate_type":{{"id":"31","name":"New York Resale Certificate (ST-120)","certificate_identifier":"US-NY-ST-120"}},"customer":{{"id":"cust_0b5e-{number}","reference_customer_id":null}},"jurisdictions":[{{"jurisdiction_id":"US-NY","status":"expiring","effective_date":"2026-02-0{number}","expiration_date":"9999-12-31"}}],"memo":"caf\u00e9 📜","amount":1.50E+{number},"livemode":true}}"#
    );
    Json::from_text(text).unwrap()
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
    let read = |_: &LogRow, bytes: &[u8]| read_log_row(bytes);
    check_plain(2, include_str!("event.hex"), &values, log_row, read);

    // The same with so much in them that they are packed.
    for (value, number) in values.iter_mut().zip(0..) {
        match &mut value.sight {
            Some(stored) => Arc::make_mut(&mut stored.sight).object = certificate(number),
            None => value.details = certificate(number),
        }
    }
    let packed = include_str!("event_2.hex");
    check_packed(2, packed, &values, log_row, read);
    for file in [include_str!("event.hex"), packed] {
        for (LogRow { back, event_type, sight, .. }, line) in values.iter().zip(file.lines()) {
            let (row, origin) = (bytes_of(line), sight.as_ref().map(|stored| (stored.epoch, stored.start)));
            assert_eq!(begins_sight(&row).unwrap(), *back == 0);
            assert_eq!(read_log_name(&row).unwrap(), LogName { back: *back, event_type: *event_type, origin });
        }
    }
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
        charged: 9,
        attempts: (1..).zip(outcomes.iter().zip(triggers.iter().cycle())).map(attempt).collect(),
        replay: None,
    };
    let bare = |status| DeliveryRecord { resource: None, attempts: Vec::new(), ..record(status, None) };
    let id = ReplayId { number: ReplayNumber(3), random: 77 };
    let replayed = Replayed { id, former: Some(DeliveryStatus::Failed), ended: Some(DeliveryStatus::Delivered) };
    let values = [
        record(DeliveryStatus::Pending, Some(at(5))),
        DeliveryRecord { replay: Some(replayed), ..bare(DeliveryStatus::Delivered) },
        bare(DeliveryStatus::Failed),
        bare(DeliveryStatus::Canceled),
    ];
    check(include_str!("delivery_2.hex"), &values, delivery, |value, bytes| read_delivery(value.id, bytes));
    for (value, line) in values.iter().zip(include_str!("delivery.hex").lines()) {
        let first = DeliveryRecord { charged: value.attempt_count, replay: None, ..value.clone() };
        assert_eq!(read_delivery(value.id, &bytes_of(line)).expect("a row of the first version"), first);
        let standing = Standing { status: value.status, next_attempt_at: value.next_attempt_at };
        assert_eq!(delivery_standing(&bytes_of(line)).unwrap(), standing);
    }
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
    let complete = SourceProgress {
        baseline_completed_at: Some(at(2)),
        watermark: Some(at(3)),
        swept_at: Some(at(4)),
        ..begun.clone()
    };
    let former = [begun.clone(), complete.clone()];
    check_read(include_str!("progress.hex"), &former, |_, bytes| rare::read_progress(bytes));
    let telling = SourceProgress {
        baseline_watermark: Some(at(5)),
        changes_completed_at: Some(at(6)),
        fields_since: [[("id".into(), at(1)), ("memo".into(), at(7))].into(), [("id".into(), at(1))].into()],
        agenda_for: Some("will_expire=[30]".into()),
        failing_since: Some(at(8)),
        gap_since: Some(at(9)),
        ..complete.clone()
    };
    let values = [begun, complete, telling];
    check(include_str!("progress_2.hex"), &values, rare::progress, |_, bytes| rare::read_progress(bytes));
}

/// As the second version can say it.
fn sample_endpoint() -> Endpoint {
    let headers = [("authorization", "Bearer secret"), ("x-team", "tax")];
    Endpoint {
        payload: Payload::Thin,
        format: Format::CloudEvents,
        headers: OwnHeaders::new(headers.map(|(name, value)| (name.to_owned(), value.into())).into()),
        ..sample_endpoint_of_version_1()
    }
}

fn sample_endpoint_of_version_1() -> Endpoint {
    Endpoint {
        id: EndpointId { number: EndpointNumber(5), random: 12345 },
        uid: Some("crm".into()),
        url: EndpointUrl::new(&"https://example.com/hook?token=secret".parse().unwrap()),
        description: "the CRM".into(),
        types: vec![Pattern::Everything, Pattern::Below("gateway.".into()), Pattern::One(EventType::EndpointGap)],
        filter: Filter { jurisdictions: vec!["US-CA".into()], will_expire_days: vec![30], ..Filter::default() },
        payload: Payload::Full,
        format: Format::Standard,
        headers: OwnHeaders::default(),
        ordering: Ordering::None,
        retry: Some(vec![Duration::from_secs(5)]),
        max_in_flight: Some(3),
        rate_limit: None,
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
        enabled_at: at(1),
    }
}

fn vault() -> Vault {
    let settings = Settings { path: "unused".into(), encryption_key: Some(vec![7; 32].into()), min_free: 0 };
    Vault::of(&settings, false).expect("a configured key")
}

/// Sealing draws a nonce, so the bytes differ each time; what is read once and written again is the same.
#[test]
fn endpoints() {
    let line = include_str!("endpoint_2.hex").trim_end();
    let bytes = bytes_of(line);
    let today = hex_of(&endpoint::endpoint(&sample_endpoint(), &vault()));
    let read = endpoint::read_endpoint(&bytes, &vault());
    assert_eq!(read.unwrap_or_else(|error| panic!("{error}; written today:\n{today}\n")), sample_endpoint());
    let row: endpoint::EndpointRow = from_plain(2, "an endpoint", &bytes).unwrap();
    assert_eq!(hex_of(&plain(2, &row)), line);
    let identity = endpoint::read_identity(&bytes).unwrap();
    assert_eq!((identity.id, identity.uid.as_deref()), (sample_endpoint().id, Some("crm")));
    let newer = [[3].as_slice(), &bytes[1..]].concat();
    assert!(endpoint::read_endpoint(&newer, &vault()).is_err());
}

#[test]
fn endpoints_that_were_written_in_the_first_version() {
    let bytes = bytes_of(include_str!("endpoint.hex").trim_end());
    assert_eq!(bytes[0], 1);
    assert_eq!(endpoint::read_endpoint(&bytes, &vault()).unwrap(), sample_endpoint_of_version_1());
    assert_eq!(endpoint::read_identity(&bytes).unwrap().id, sample_endpoint().id);
}

#[test]
fn an_endpoint_keeps_what_was_added_since() {
    let endpoint = Endpoint { rate_limit: Some("5/s".parse().unwrap()), ..sample_endpoint() };
    assert_eq!(endpoint::read_endpoint(&endpoint::endpoint(&endpoint, &vault()), &vault()).unwrap(), endpoint);
}

#[test]
fn rows_in_json_may_lack_what_was_added_later_and_hold_what_was_taken_away() {
    let text = r#"{"name":"numeral","baseline_started_at":"2026-11-21T00:00:00.000Z","former":[1]}"#;
    let progress = rare::read_progress(&[[VERSION].as_slice(), text.as_bytes()].concat()).unwrap();
    assert_eq!(progress.watermark, None);
    let format = |text: &str| rare::read_meta(&[[VERSION].as_slice(), text.as_bytes()].concat()).unwrap();
    assert_eq!(format(r#"{"format":9,"everything":"else may differ"}"#), Err(9));
}
