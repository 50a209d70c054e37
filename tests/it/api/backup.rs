//! A backup as a download.

use std::sync::Arc;

use certhook::clock::ManualClock;
use certhook::store::backup::examine;
use certhook::store::sled::SledStore;
use certhook::store::{Settings, Store};
use http_body_util::BodyExt;
use serde_json::json;

use super::door::{BEGIN, Door, KEY};

/// The API over a folder.
async fn over_a_folder(folder: &std::path::Path) -> Door {
    let settings = Settings { path: folder.join("data"), encryption_key: None, min_free: 0 };
    let store: Arc<dyn Store> = SledStore::open(&settings, &ManualClock::at(BEGIN.parse().unwrap())).unwrap();
    Door::over(store)
}

fn download() -> axum::http::Request<axum::body::Body> {
    let request = axum::http::Request::get("/v1/backup").header("authorization", format!("Bearer {KEY}"));
    request.body(axum::body::Body::empty()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_a_file_that_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let door = over_a_folder(folder.path()).await;
    door.json("PUT /v1/endpoints/crm", r#"{"url":"https://example.com/"}"#).await;
    let (head, body) = door.begin(download()).await.into_parts();
    assert_eq!(head.status.as_u16(), 200);
    let header = |name: &str| head.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/octet-stream");
    assert_eq!(header("content-disposition"), "attachment; filename=\"certhook-1795233600.backup\"");
    assert_eq!(header("cache-control"), "no-store");
    let file = folder.path().join("file");
    std::fs::write(&file, body.collect().await.unwrap().to_bytes()).unwrap();
    let summary = examine(&file).unwrap();
    assert_eq!((summary.taken_at.to_string().as_str(), summary.epoch), (BEGIN, 1_795_233_600));
    assert!(summary.rows > 3, "{summary:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_backup_at_a_time_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let door = over_a_folder(folder.path()).await;
    let first = door.begin(download()).await;
    let second = door.call("GET /v1/backup", "").await;
    assert_eq!((second.status.as_u16(), &second.json()["type"]), (409, &json!("BACKUP_UNDER_WAY")));
    drop(first);
    assert_eq!(door.begin(download()).await.status().as_u16(), 200);
    let strange = door.call("GET /v1/backup?since=yesterday", "").await;
    assert_eq!(strange.json()["type"], "UNRECOGNIZED_FIELD");
}
