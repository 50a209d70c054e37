//! What every resource is now, for an endpoint that asks.

use certhook::model::delivery::{DeliveryStatus, Outcome};
use certhook::model::event::{EventType, Mode};
use certhook::model::filter::Filter;
use certhook::model::json::Json;
use certhook::model::replay::{Replay, ReplayStatus};
use certhook::model::resource::{Agenda, Download, Kind, Removal, RemovalReason, ResourceKey, Snapshot};
use certhook::model::source::SourceProgress;
use certhook::model::time::Timestamp;
use certhook::store::SightCommit;
use serde_json::json;

use super::replay::{counts, ended};
use super::rig::{Bench, names};

pub(super) fn snapshot(kind: Kind, id: &str, state: &str) -> Snapshot {
    Snapshot {
        key: ResourceKey { source: "numeral".parse().expect("a name"), kind, id: id.parse().expect("an id") },
        object_version: 3,
        object: Json::of(&json!({"id": id, "livemode": false, "jurisdictions": [{"jurisdiction_id": state}]})),
        observed_at: Timestamp::from_millis(5),
        row_fingerprint: None,
        download: Download::Missing,
        removed: None,
        is_whole: true,
        open_list: None,
        agenda: Agenda::default(),
    }
}

pub(super) async fn keep(bench: &Bench, snapshots: impl IntoIterator<Item = Snapshot>) {
    let commits = snapshots.into_iter().map(|one| SightCommit { snapshot: Some(one), ..SightCommit::default() });
    bench.store.commit_sights(commits.collect(), Some(progress(true))).await.expect("they are kept");
}

/// How far the first listing of the source has come.
pub(super) fn progress(is_listed: bool) -> SourceProgress {
    let progress = SourceProgress::new("numeral".parse().expect("a name"), Timestamp::EPOCH);
    SourceProgress { baseline_completed_at: is_listed.then_some(Timestamp::EPOCH), ..progress }
}

async fn resynced(bench: &Bench, endpoint: &certhook::model::endpoint::Endpoint, filter: Filter) -> Replay {
    let replay = bench.deliverer().resync(endpoint, filter).await.expect("it runs").expect("it is enabled");
    let replay = ended(bench, &replay).await;
    assert_eq!(replay.progress.status, ReplayStatus::Completed);
    replay
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resync_waits_for_the_end_of_the_first_listing() {
    let mut bench = Bench::new(|_, _, _| Outcome::Delivered).await;
    bench.start();
    let crm = bench.register("crm", |_| {}).await;
    let replay = bench.deliverer().resync(&crm, Filter::default()).await.expect("it runs").expect("it is enabled");
    let found =
        |id: &str| SightCommit { snapshot: Some(snapshot(Kind::Certificate, id, "US-CA")), ..SightCommit::default() };
    for (number, id) in ["cert_m", "cert_a"].into_iter().enumerate() {
        bench.store.commit_sights(vec![found(id)], Some(progress(false))).await.expect("it is kept");
        // What is told meanwhile lets the resync look again, and goes its own way.
        bench.commit(names(number..number + 1)).await;
        bench.await_ended(DeliveryStatus::Delivered, number + 1).await;
    }
    let seen = bench.store.replay(replay.id).await.expect("a look").expect("it is kept");
    assert_eq!((counts(&seen), seen.progress.status), ([0, 0, 0, 0], ReplayStatus::Running));
    bench.store.commit_sights(vec![found("cert_z")], Some(progress(true))).await.expect("it is kept");
    bench.commit(names(2..3)).await;
    let replay = ended(&bench, &replay).await;
    assert_eq!(counts(&replay), [3, 3, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_current_resource_is_told_once_to_who_asked_and_to_nobody_else() {
    let mut bench = Bench::new(|_, _, _| Outcome::Delivered).await;
    bench.start();
    let present = (0..250).map(|number| snapshot(Kind::Certificate, &format!("cert_{number}"), "US-CA"));
    let requests = (0..30).map(|number| snapshot(Kind::CertificateRequest, &format!("req_{number}"), "US-TX"));
    let gone = Removal { reason: RemovalReason::NotFound, at: Timestamp::EPOCH };
    let gone = Snapshot { removed: Some(gone), ..snapshot(Kind::Certificate, "cert_gone", "US-CA") };
    keep(&bench, present.chain(requests).chain([gone])).await;
    let crm = bench.register("crm", |_| {}).await;
    let other = bench.register("other", |_| {}).await;
    let replay = resynced(&bench, &crm, Filter::default()).await;
    assert_eq!(counts(&replay), [280, 280, 0, 0]);
    let sent = bench.sent();
    assert!(sent.iter().all(|one| one.url == "http://crm.test/" && one.replay == Some(replay.id.to_string())));
    let mut told: Vec<&str> = sent.iter().map(|one| one.resource.as_str()).collect();
    told.sort_unstable();
    told.dedup();
    assert_eq!((sent.len(), told.len(), told.contains(&"cert_gone")), (280, 280, false));
    let event = bench.store.event(sent[0].id.parse::<certhook::model::id::EventId>().expect("an id").position).await;
    let event = event.expect("a look").expect("it is in the log");
    let detection = &event.sight.detection;
    assert!(!event.sight.livemode, "upstream says so");
    assert_eq!(event.event_type, EventType::CertificateSnapshot);
    assert_eq!((detection.mode, detection.object_version, detection.pass), (Mode::Resync, 3, None));
    // Whoever keeps up, and whoever comes later and begins at the beginning, hears nothing of it.
    bench.commit(names(0..1)).await;
    bench.await_ended(DeliveryStatus::Delivered, 282).await;
    bench.register("late", |endpoint| endpoint.start = certhook::model::id::Position::START).await;
    bench.await_ended(DeliveryStatus::Delivered, 283).await;
    assert_eq!(bench.sent().len(), 283, "{:?}", other.id);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resync_tells_what_its_filter_and_the_endpoint_let_through() {
    let mut bench = Bench::new(|_, _, _| Outcome::Delivered).await;
    bench.start();
    let states = ["US-CA", "US-TX", "US-CA", "US-NY"];
    let some = states.iter().enumerate().map(|(at, state)| snapshot(Kind::Certificate, &format!("c{at}"), state));
    keep(&bench, some.chain([snapshot(Kind::CertificateRequest, "r", "US-CA")])).await;
    let only = |states: &[&str]| Filter {
        jurisdictions: states.iter().map(|state| (*state).to_owned()).collect(),
        ..Filter::default()
    };
    let crm = bench
        .register("crm", |endpoint| {
            endpoint.types = vec!["certificate.expiring".parse().expect("a pattern")];
            endpoint.filter = only(&["US-CA", "US-TX"]);
        })
        .await;
    assert_eq!(counts(&resynced(&bench, &crm, Filter::default()).await), [3, 3, 0, 0]);
    assert_eq!(counts(&resynced(&bench, &crm, only(&["US-TX", "US-NY"])).await), [1, 1, 0, 0]);
    let mut told: Vec<String> = bench.sent().into_iter().map(|one| one.resource).collect();
    told.sort_unstable();
    assert_eq!(told, ["c0", "c1", "c1", "c2"]);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resync_goes_on_after_a_crash() {
    let mut bench = Bench::new(|_, _, _| Outcome::Delivered).await;
    keep(&bench, (0..900).map(|number| snapshot(Kind::Certificate, &format!("cert_{number}"), "US-CA"))).await;
    let crm = bench.register("crm", |_| {}).await;
    bench.start();
    let replay = bench.deliverer().resync(&crm, Filter::default()).await.expect("it runs").expect("it is enabled");
    for sent in [10, 300, 700] {
        crate::support::process::until("more", || async { (bench.sent().len() > sent).then_some(()) }).await;
        bench.crash().await;
        bench.start();
    }
    let replay = ended(&bench, &replay).await;
    assert_eq!((replay.progress.status, counts(&replay)), (ReplayStatus::Completed, [900, 900, 0, 0]));
    let mut told: Vec<String> = bench.sent().into_iter().map(|one| one.resource).collect();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), 900);
    bench.stop().await;
}
