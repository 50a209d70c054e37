//! Sights that the store on disk refuses for their size, among others of the same page.

use certhook::store::sled::SledStore;
use certhook::store::{EventLog, SightStore, Store};

use super::*;

/// As many jurisdictions as a certificate of 24 KiB can list; none of one certificate is in another with other letters.
fn covering(id: &str, letters: &str) -> Value {
    let entries = (0..480).map(|number| json!({"jurisdiction_id": format!("{letters}{number}"), "status": "active"}));
    let mut object = certificate(id, "active");
    object["jurisdictions"] = entries.collect();
    assert!(object.to_string().len() <= 24 * 1024, "no source would let it pass");
    object
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_page_shows_beside_a_sight_that_is_too_large_is_told_once() {
    let world = World::new();
    let folder = tempfile::tempdir().expect("a folder");
    let settings = certhook::store::Settings { path: folder.path().join("data"), encryption_key: None, min_free: 0 };
    let store = SledStore::open(&settings, &*world.clock).expect("a new store");
    let watcher = world.watcher_over(Arc::clone(&store)).await;
    for id in ["cert_1", "cert_3", "cert_5"] {
        world.put(CERTIFICATE, certificate(id, "active"));
    }
    for id in ["cert_2", "cert_4"] {
        world.put(CERTIFICATE, covering(id, "A-"));
    }
    world.source.edit(|book| (1..=5).for_each(|place| book.reorder(CERTIFICATE, &format!("cert_{place}"), place - 1)));
    assert_eq!(run(&watcher, PassKind::Sweep).await.status, PassStatus::Complete);
    let baseline = *store.head().borrow();
    world.tick(60);
    for id in ["cert_1", "cert_3", "cert_5"] {
        world.set_status(CERTIFICATE, id, "invalid");
    }
    for id in ["cert_2", "cert_4"] {
        world.put(CERTIFICATE, covering(id, "B-"));
    }
    let report = run(&watcher, PassKind::Sweep).await;
    assert_eq!((report.status, report.changed), (PassStatus::Complete, 3));
    let events = store.events_after(baseline, 100).await.expect("the log");
    let told = events.iter().map(|event| {
        let resource = event.sight.resource().expect("of a certificate");
        (resource.id.as_str().to_owned(), event.event_type.as_str(), event.sight.detection.object_version)
    });
    let invalid = |id: &str| (id.to_owned(), "certificate.invalid", 1);
    assert_eq!(told.collect::<Vec<_>>(), ["cert_1", "cert_3", "cert_5"].map(invalid));
    let ids = ["cert_1", "cert_2"].map(|id| id.parse().expect("an id"));
    let source = "numeral".parse().expect("a name");
    let kept = store.snapshots(&source, CERTIFICATE, &ids).await.expect("the store");
    let versions = kept.into_iter().map(|known| known.expect("it is known").object_version);
    assert_eq!(versions.collect::<Vec<_>>(), [1, 0], "and the one that is too large is as it was");
    drop(watcher);
    store.close().await;
}
