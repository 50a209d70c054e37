//! Folders that an older version left: rows of its own form, and no lists by creation.

use std::path::Path;

use certhook::model::resource::{ResourceKey, Snapshot};
use certhook::store::SnapshotQuery;
use tempfile::TempDir;

use super::by_creation;
use super::formats::row_key;
use super::samples::*;
use super::sled::{close, open, reopen, rows};

/// Makes a folder into what an older version left, which kept no lists; or one that a stop left half done.
fn grow_old(folder: &Path, listed_up_to: Option<&[u8]>) {
    let tree = rows(folder);
    let all: Vec<_> = tree.scan_prefix(b"l").keys().map(|key| key.unwrap()).collect();
    assert!(!all.is_empty());
    let is_new = |key: &[u8]| listed_up_to.is_none_or(|last| key[key.len() - 10..] > last[last.len() - 10..]);
    all.iter().filter(|key| is_new(key)).for_each(|key| drop(tree.remove(key).unwrap()));
    match listed_up_to {
        // Its version, that it is not complete, and the key with its length.
        Some(last) => drop(tree.insert(b"mlists", [&[1, 0, last.len() as u8], last].concat()).unwrap()),
        None => drop(tree.remove(b"mlists").unwrap()),
    }
    tree.flush().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_older_version_wrote_is_put_into_lists_while_it_goes_on_changing() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    by_creation::fill(&store, 0..2_000).await;
    close(store).await;
    grow_old(folder.path(), None);
    let store = open(folder.path());
    let mut wanted: Vec<Snapshot> = (0..2_000).map(|number| by_creation::numbered(number, "active")).collect();
    // Some of them change before their turn has come, and some after it.
    for number in [0, 7, 999, 1_000, 1_998, 1_999] {
        let moved = by_creation::numbered(number, "expired");
        store.commit_sights(vec![silent(moved.clone())], None).await.unwrap();
        wanted[number as usize] = moved;
    }
    let gone = removed(by_creation::numbered(500, "active"));
    store.commit_sights(vec![silent(gone.clone())], None).await.unwrap();
    wanted.remove(500);
    by_creation::made(&store).await;
    let query = SnapshotQuery { limit: 5_000, ascending: true, ..by_creation::every() };
    assert_eq!(store.listed(query.clone()).await.unwrap().found, wanted);
    let gone_ones = SnapshotQuery { removed: true, ..query.clone() };
    assert_eq!(store.listed(gone_ones).await.unwrap().found, [gone]);
    let store = reopen(folder.path(), store);
    assert_eq!(store.listed(query).await.unwrap().found, wanted, "it is done once and for all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_that_a_stop_left_half_made_are_made_from_there() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let numbered = |number: u64| Snapshot {
        key: ResourceKey { id: format!("cert_{number:05}").parse().unwrap(), ..key(number) },
        ..by_creation::numbered(number, "active")
    };
    let wanted: Vec<Snapshot> = (0..400).map(numbered).collect();
    store.commit_sights(wanted.iter().cloned().map(silent).collect(), None).await.unwrap();
    close(store).await;
    grow_old(folder.path(), Some(&row_key("s", b"\x01cert_00150")));
    let store = open(folder.path());
    by_creation::made(&store).await;
    let query = SnapshotQuery { limit: 1_000, ascending: true, ..by_creation::every() };
    assert_eq!(store.listed(query).await.unwrap().found, wanted);
}
