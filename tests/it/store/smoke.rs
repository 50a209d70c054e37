//! The shortest way through the store and back.
use certhook::clock::ManualClock;
use certhook::model::event::*;
use certhook::model::id::Position;
use certhook::model::json::Json;
use certhook::model::resource::*;
use certhook::model::time::Timestamp;
use certhook::store::sled::SledStore;
use certhook::store::*;
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn smoke() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { path: folder.path().join("data"), encryption_key: None };
    let clock = ManualClock::at(Timestamp::from_millis(1_795_000_000_000));
    let key = ResourceKey { source: "eu".parse().unwrap(), kind: Kind::Certificate, id: "c1".parse().unwrap() };
    let snapshot = Snapshot {
        key: key.clone(),
        object_version: 1,
        object: Json::of(&json!({"a":1})),
        observed_at: Timestamp::from_millis(5),
        row_fingerprint: Some(7),
        download: Download::Missing,
        removed: None,
    };
    let sight = Sight {
        subject: Subject::Resource(key.clone()),
        api_version: "x".into(),
        livemode: true,
        object: snapshot.object.clone(),
        previous_attributes: Json::of(&json!({"b": "x".repeat(20000)})),
        detection: Detection {
            mode: Mode::Live,
            pass: Some(Cause::Changes),
            request_id: None,
            object_version: 1,
            observed_after: None,
            observed_before: Timestamp::from_millis(9),
        },
    };
    let drafts =
        vec![EventDraft::plain(EventType::CertificateActive), EventDraft::plain(EventType::CertificateExpired)];
    {
        let store: Arc<dyn Store> = SledStore::open(&settings, &clock).unwrap();
        for _ in 0..10 {
            store
                .commit_sights(
                    vec![SightCommit { snapshot: Some(snapshot.clone()), told: Some((sight.clone(), drafts.clone())) }],
                    None,
                )
                .await
                .unwrap();
        }
        assert_eq!(*store.head().borrow(), Position(20));
        store.check().await.unwrap();
    }
    let store: Arc<dyn Store> = SledStore::open(&settings, &clock).unwrap();
    let events = store.events_after(Position(0), 100).await.unwrap();
    assert_eq!(events.len(), 20);
    assert_eq!(store.snapshots(&key.source, key.kind, &[key.id.clone()]).await.unwrap(), vec![Some(snapshot)]);
    assert_eq!(store.snapshot_count(&key.source, key.kind).await.unwrap(), 1);
    let before = store.events_before(Position(21), 3).await.unwrap();
    assert_eq!(before.iter().map(|e| e.position().0).collect::<Vec<_>>(), vec![20, 19, 18]);
    assert!(Arc::ptr_eq(&before[0].sight, &before[1].sight));
    assert_eq!(store.position_at(Timestamp::from_millis(9)).await.unwrap(), Position(1));
    store.close().await;
    assert!(matches!(store.check().await, Err(StoreError::Closed)));
}
