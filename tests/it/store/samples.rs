//! Plain values to be stored.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use certhook::model::delivery::{Attempt, DeliveryRecord, DeliveryStatus, Outcome, Trigger};
use certhook::model::endpoint::{
    Endpoint, EndpointStatus, EndpointUrl, Format, Ordering, OwnHeaders, Payload, SigningSecret,
};
use certhook::model::event::{Cause, Detection, Event, EventDraft, EventType, Mode, Sight, Subject};
use certhook::model::filter::Filter;
use certhook::model::id::{DeliveryId, EndpointId, EndpointNumber, EventId, Position};
use certhook::model::json::Json;
use certhook::model::pattern::Pattern;
use certhook::model::resource::{
    Agenda, Download, Kind, Removal, RemovalReason, ResourceId, ResourceKey, Snapshot, SourceName,
};
use certhook::model::time::Timestamp;
use certhook::store::{DeliveryCommit, SightCommit, Store};
use serde_json::json;

use super::kill_child::Chance;

/// The epoch of sample stores.
pub(super) const EPOCH: u32 = 1_795_233_600;

pub(super) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(i64::from(EPOCH) * 1000 + millis)
}

pub(super) fn source() -> SourceName {
    "numeral".parse().unwrap()
}

pub(super) fn resource_id(number: u64) -> ResourceId {
    format!("cert_{number}").parse().unwrap()
}

pub(super) fn key(number: u64) -> ResourceKey {
    ResourceKey { source: source(), kind: Kind::Certificate, id: resource_id(number) }
}

pub(super) fn snapshot(number: u64, object_version: u64) -> Snapshot {
    with_note(number, object_version, "n".repeat(10))
}

/// A snapshot whose object has about that size. It is about half as long when it is packed.
pub(super) fn sized_snapshot(number: u64, object_version: u64, bytes: usize) -> Snapshot {
    let note = noise(number << 32 | object_version, bytes / 2) + &"n".repeat(bytes - bytes / 2);
    with_note(number, object_version, note)
}

/// So many letters that no packing makes shorter; the same ones for the same seed.
pub(super) fn noise(seed: u64, letters: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut chance = Chance(seed);
    (0..letters).map(|_| char::from(LETTERS[chance.below(64) as usize])).collect()
}

fn with_note(number: u64, object_version: u64, note: String) -> Snapshot {
    Snapshot {
        key: key(number),
        object_version,
        object: Json::of(&json!({"id": number, "version": object_version, "note": note})),
        observed_at: at(object_version as i64),
        row_fingerprint: object_version.is_multiple_of(2).then_some(u128::MAX - u128::from(number)),
        download: Download::Missing,
        removed: None,
        is_whole: false,
        open_list: None,
        agenda: Agenda::default(),
    }
}

pub(super) fn removed(snapshot: Snapshot) -> Snapshot {
    Snapshot { removed: Some(Removal { reason: RemovalReason::NotFound, at: at(99) }), ..snapshot }
}

pub(super) fn silent(snapshot: Snapshot) -> SightCommit {
    SightCommit { snapshot: Some(snapshot), ..SightCommit::default() }
}

pub(super) fn sight_of(snapshot: &Snapshot, observed_before: Timestamp) -> Sight {
    Sight {
        subject: Subject::Resource(snapshot.key.clone()),
        api_version: "2026-03-01".into(),
        livemode: true,
        object: snapshot.object.clone(),
        previous_attributes: Json::of(&json!({"status": "pending"})),
        detection: Detection {
            mode: Mode::Live,
            pass: Some(Cause::Changes),
            request_id: None,
            object_version: snapshot.object_version,
            observed_after: Some(at(0)),
            observed_before,
        },
    }
}

/// A sight that gives `count` events.
pub(super) fn told(snapshot: Snapshot, observed_before: Timestamp, count: usize) -> SightCommit {
    let events = (0..count).map(|nth| EventDraft {
        event_type: EventType::ALL[nth % EventType::ALL.len()],
        details: Json::of(&json!({"jurisdiction_id": format!("US-{nth}")})),
    });
    let told = (sight_of(&snapshot, observed_before), events.collect());
    SightCommit { snapshot: Some(snapshot), told: vec![told], ..SightCommit::default() }
}

/// Commits `count` events, a millisecond apart, the first one at position 1.
pub(super) async fn fill_log(store: &Arc<dyn Store>, count: u64) {
    let sights = (1..=count).map(|number| told(snapshot(number, 1), at(number as i64), 1)).collect();
    store.commit_sights(sights, None).await.unwrap();
}

pub(super) fn bodies(events: &[Arc<Event>]) -> Vec<String> {
    events.iter().map(|event| event.body().text().into()).collect()
}

pub(super) fn positions(events: &[Arc<Event>]) -> Vec<u64> {
    events.iter().map(|event| event.position().0).collect()
}

/// An endpoint that was not registered yet.
pub(super) fn endpoint(uid: Option<&str>) -> Endpoint {
    Endpoint {
        id: EndpointId { number: EndpointNumber(0), random: 0x1234_5678_9abc },
        uid: uid.map(Into::into),
        url: EndpointUrl::new(&"https://example.com/hook?token=canary-query".parse().unwrap()),
        description: "the CRM".into(),
        types: vec![Pattern::Everything, Pattern::One(EventType::EndpointGap)],
        filter: Filter { jurisdictions: vec!["US-CA".into()], ..Filter::default() },
        payload: Payload::Thin,
        format: Format::CloudEvents,
        headers: OwnHeaders::new([("x-key".into(), "canary-header-value".into())].into()),
        ordering: Ordering::None,
        retry: Some(vec![Duration::from_millis(1_500), Duration::from_secs(60)]),
        max_in_flight: Some(3),
        rate_limit: Some("5/s".parse().unwrap()),
        metadata: BTreeMap::from([("team".into(), "tax".into())]),
        secrets: vec![
            SigningSecret { key: b"canary-current-signing-key".to_vec().into(), expires_at: None },
            SigningSecret { key: b"canary-former-signing-key".to_vec().into(), expires_at: Some(at(5)) },
        ],
        status: EndpointStatus::Enabled,
        disabled_reason: None,
        start: Position(4),
        created_at: at(1),
        updated_at: at(2),
        enabled_at: at(1),
    }
}

pub(super) fn delivery_id(position: u64, endpoint: &Endpoint) -> DeliveryId {
    DeliveryId { position: Position(position), endpoint: endpoint.id.number, epoch: EPOCH }
}

pub(super) fn attempt(number: u32) -> Attempt {
    Attempt {
        number,
        at: at(number.into()),
        duration_ms: 12,
        outcome: Outcome::ServerError,
        status_code: Some(500),
        error: None,
        response_body: Some("oh no".into()),
        address: Some("192.0.2.1:443".into()),
        signed_at: at(number.into()),
        trigger: Trigger::Scheduled,
    }
}

pub(super) fn record(
    position: u64,
    endpoint: &Endpoint,
    status: DeliveryStatus,
    next_attempt_at: Option<Timestamp>,
) -> DeliveryRecord {
    DeliveryRecord {
        id: delivery_id(position, endpoint),
        event_id: EventId { position: Position(position), epoch: EPOCH, start: 7 },
        event_type: EventType::CertificateActive,
        endpoint_id: endpoint.id,
        resource: Some(key(position)),
        status,
        next_attempt_at,
        attempt_count: 1,
        charged: 1,
        replay: None,
        attempts: vec![attempt(1)],
    }
}

pub(super) async fn commit_records(store: &Arc<dyn Store>, records: Vec<DeliveryRecord>) {
    store.commit_deliveries(DeliveryCommit { records, ..DeliveryCommit::default() }).await.unwrap();
}
