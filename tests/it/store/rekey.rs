//! Another key for a store's secrets, also when the process that brings it is killed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certhook::clock::ManualClock;
use certhook::model::endpoint::Endpoint;
use certhook::model::id::Position;
use certhook::store::sled::{RekeyError, Rekeyed, SledStore};
use certhook::store::{DeliveryCommit, Settings, StoreError};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::Instant;

use super::answers::{answer, name};
use super::samples::*;
use super::sled::{close, copy, rows, settings, try_open};

fn rekey(settings: &Settings, new_key: Option<&Path>) -> Result<Rekeyed, RekeyError> {
    SledStore::rekey(settings, new_key, &ManualClock::at(at(0)))
}

/// The same store with a key that is configured.
fn configured(folder: &Path, key: &[u8]) -> Settings {
    Settings { encryption_key: Some(key.to_vec().into()), ..settings(folder) }
}

/// The key in a file; `None` if there is no such file.
fn key_in(path: &Path) -> Option<Vec<u8>> {
    let text = fs::read_to_string(path).ok()?;
    Some(STANDARD.decode(text.trim()).expect("a key"))
}

/// Registers endpoints, each with so long a description.
async fn fill(settings: &Settings, count: usize, bytes: usize) -> Vec<Endpoint> {
    let store = try_open(settings).unwrap();
    let mut created = Vec::new();
    for _ in 0..count {
        created.push(store.create(Endpoint { description: "d".repeat(bytes), ..endpoint(None) }).await.unwrap());
    }
    close(store).await;
    created
}

/// All endpoints of a store, if it opens.
async fn endpoints(settings: &Settings) -> Result<Vec<Endpoint>, StoreError> {
    let store = try_open(settings)?;
    let endpoints = store.endpoints(None, true, usize::MAX).await?;
    close(store).await;
    Ok(endpoints)
}

/// Which keys have sealed something that is in the store, by how what they sealed begins, and how often.
fn sealing_keys(folder: &Path) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for row in rows(folder).iter() {
        let (_, row) = row.unwrap();
        let text = String::from_utf8_lossy(&row).into_owned();
        for name in ["key_check", "sealed_url", "sealed_key", "sealed_headers", "sealed_answer"] {
            for (at, start) in text.match_indices(&format!("\"{name}\":\"")) {
                // A version and a key's id are nine bytes.
                let beginning = &text[at + start.len()..][..12];
                *found.entry(beginning.to_owned()).or_default() += 1;
            }
        }
    }
    found
}

#[tokio::test]
async fn a_new_key_takes_the_place_of_the_key_file_and_seals_everything() {
    let folder = TempDir::new().unwrap();
    let settings = settings(folder.path());
    let created = fill(&settings, 3, 10).await;
    let store = try_open(&settings).unwrap();
    fill_log(&store, 3).await;
    let mark = DeliveryCommit { live_mark: Some(Position(3)), ..DeliveryCommit::default() };
    store.commit_deliveries(mark).await.unwrap();
    assert_eq!(store.cut_events(Position(2)).await.unwrap(), Position(3));
    close(store).await;
    let former = key_in(&folder.path().join("data.key")).unwrap();
    let before = sealing_keys(folder.path());
    assert_eq!(
        before.values().collect::<Vec<_>>(),
        [&(1 + 3 * 4)],
        "the check, and of each a URL, headers, two secrets"
    );

    let path = folder.path().join("data.key");
    let done = rekey(&settings, None).unwrap();
    assert_eq!((&done.key_file, done.endpoints), (&path, Some(3)));
    let present = key_in(&path).unwrap();
    assert_ne!(present, former);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    let kept = done.former_key_file.expect("the former key is kept");
    let name = kept.file_name().unwrap();
    assert!(name.to_str().unwrap().starts_with("data.key.old-2"), "{}", kept.display());
    assert_eq!(files, ["data".as_ref(), "data.key".as_ref(), name], "nothing else is left over");
    assert_eq!(key_in(&kept), Some(former.clone()), "backups from before need it");
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    let after = sealing_keys(folder.path());
    assert_eq!(after.values().collect::<Vec<_>>(), [&(1 + 3 * 4)]);
    assert_ne!(after.keys().next(), before.keys().next());
    let store = try_open(&settings).unwrap();
    assert_eq!((store.first(), store.last_cut()), (Position(3), Some(at(2))), "where the log begins is as it was");
    close(store).await;
    assert_eq!(endpoints(&settings).await.unwrap(), created);
    let refused = endpoints(&configured(folder.path(), &former)).await.unwrap_err();
    assert!(refused.to_string().contains("the encryption key is not the store's"), "{refused}");
}

#[tokio::test]
async fn answers_that_are_kept_go_over_to_the_new_key() {
    let folder = TempDir::new().unwrap();
    let settings = settings(folder.path());
    fill(&settings, 1, 10).await;
    let kept = answer(&"whsec_hidden ".repeat(1_000), 5);
    let store = try_open(&settings).unwrap();
    store.keep_answer(name(1), kept.clone()).await.unwrap();
    close(store).await;
    let seals = |folder: &Path| sealing_keys(folder).into_iter().collect::<Vec<_>>();
    let [(former, 6)] = &seals(folder.path())[..] else { panic!("{:?}", seals(folder.path())) };
    let former = former.clone();
    assert_eq!(rekey(&settings, None).unwrap().endpoints, Some(1));
    let after = seals(folder.path());
    assert!(matches!(&after[..], [(present, 6)] if *present != former), "{after:?}");
    for row in rows(folder.path()).iter() {
        let (_, row) = row.unwrap();
        assert!(!String::from_utf8_lossy(&row).contains("whsec_hidden"), "it is sealed");
    }
    let store = try_open(&settings).unwrap();
    assert_eq!(store.kept_answer(name(1)).await.unwrap(), Some(kept));
}

#[tokio::test]
async fn a_configured_key_is_followed_by_the_one_in_a_file() {
    let folder = TempDir::new().unwrap();
    let (former, next) = (configured(folder.path(), &[7; 32]), folder.path().join("next"));
    let created = fill(&former, 2, 10).await;
    assert!(matches!(rekey(&former, None), Err(RekeyError::NoNewKey)));
    assert_eq!(endpoints(&former).await.unwrap(), created, "what is refused changes nothing");

    assert_eq!(
        rekey(&former, Some(&next)).unwrap(),
        Rekeyed { key_file: next.clone(), former_key_file: None, endpoints: Some(2) }
    );
    assert_eq!(fs::metadata(&next).unwrap().permissions().mode() & 0o777, 0o600);
    let drawn = configured(folder.path(), &key_in(&next).unwrap());
    assert_eq!(endpoints(&drawn).await.unwrap(), created);
    let refused = endpoints(&former).await.unwrap_err();
    assert!(refused.to_string().contains("the encryption key is not the store's"), "{refused}");
    assert!(matches!(rekey(&drawn, Some(&next)), Err(RekeyError::SameKey(path)) if path == next));

    let chosen = folder.path().join("chosen");
    fs::write(&chosen, STANDARD.encode([9; 32])).unwrap();
    rekey(&drawn, Some(&chosen)).unwrap();
    assert_eq!(endpoints(&configured(folder.path(), &[9; 32])).await.unwrap(), created);
    // Whoever asks again, with the key that is still configured, is told that it was done.
    assert_eq!(
        rekey(&drawn, Some(&chosen)).unwrap(),
        Rekeyed { key_file: chosen, former_key_file: None, endpoints: None }
    );
    assert!(!folder.path().join("data.key").exists() && !folder.path().join("data.key.new").exists());
}

#[tokio::test]
async fn a_rekey_that_cannot_be_is_refused_before_anything_changes() {
    let folder = TempDir::new().unwrap();
    let settings = settings(folder.path());
    assert!(matches!(rekey(&settings, None), Err(RekeyError::NoStore(_))));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "no store was made, and no key");
    let created = fill(&settings, 1, 10).await;
    let other = folder.path().join("other");
    assert!(matches!(rekey(&settings, Some(&other)), Err(RekeyError::OwnKeyFile(_))));
    let bad = folder.path().join("bad");
    fs::write(&bad, "no key").unwrap();
    let key = key_in(&folder.path().join("data.key")).unwrap();
    let refused = rekey(&configured(folder.path(), &key), Some(&bad)).unwrap_err();
    assert!(refused.to_string().ends_with("is no key: it must hold 32 bytes in base64"), "{refused}");
    assert_eq!(endpoints(&settings).await.unwrap(), created);
    assert!(!other.exists());
}

/// Where a rekey was when it was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// Before there was a new key.
    Early,
    /// While the former key counted.
    Before,
    /// While the new key counted, and not all was where it belongs.
    Between,
    /// While nothing but the key file was left to do, or nothing at all.
    Late,
}

struct Victim {
    folder: TempDir,
    created: Vec<Endpoint>,
}

impl Victim {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let created = fill(&settings(folder.path()), 60, 12_000).await;
        fs::write(folder.path().join("rekey.toml"), "[store]\nurl = \"sled:data\"\n").unwrap();
        Self { folder, created }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a rekey, and kills it after so long unless it has ended by then.
    async fn rekey(&self, lifetime: Duration) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_certhook"))
            .args(["rekey", "--config", "rekey.toml"])
            .env_clear()
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        match tokio::time::timeout(lifetime, child.wait()).await {
            Ok(ended) => assert!(ended.unwrap().success(), "the rekey fails"),
            Err(_) => child.kill().await.unwrap(),
        }
    }

    /// Whether a copy of the folder opens with that key alone; then everything is there.
    async fn opens_with(&self, key: &[u8]) -> bool {
        let twin = TempDir::new().unwrap();
        copy(&self.path("data"), &twin.path().join("data"));
        match endpoints(&configured(twin.path(), key)).await {
            Ok(found) => {
                assert!(found == self.created, "something is lost");
                true
            }
            Err(error) => {
                assert!(error.to_string().contains("the encryption key is not the store's"), "{error}");
                false
            }
        }
    }

    /// The keys that are kept beside the one that counts.
    fn kept_keys(&self) -> Vec<Vec<u8>> {
        let files = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let is_kept = |path: &PathBuf| {
            path.to_string_lossy().contains("data.key.old-") && path.extension().is_none_or(|end| end != "unfinished")
        };
        files.filter(is_kept).filter_map(|path| key_in(&path)).collect()
    }

    /// Where the rekey was; the store opens with exactly one of the keys, and by itself.
    async fn examine(&self, former: &[u8]) -> Moment {
        let present = key_in(&self.path("data.key")).expect("a key file is always there");
        let next = key_in(&self.path("data.key.new"));
        let new = if present == former { next.clone() } else { Some(present.clone()) };
        let with_former = self.opens_with(former).await;
        let with_new = match &new {
            Some(new) => self.opens_with(new).await,
            None => false,
        };
        assert!(with_former != with_new, "it opens with one of the two keys: {with_former} {with_new}");
        assert!(present == former || with_new, "the former key file stays until the new key counts");
        let meta = rows(self.folder.path()).get(b"mstore").unwrap().unwrap();
        let is_moving = String::from_utf8_lossy(&meta).contains(r#""format":8"#);
        assert!(!is_moving || present == former, "the former key file stays until all is done");
        let found = endpoints(&settings(self.folder.path())).await.expect("it opens with the key files as they are");
        assert!(found == self.created, "something is lost");
        assert!(!self.path("data.key.new").exists(), "what was begun is finished or cleared away");
        assert_eq!(key_in(&self.path("data.key")).unwrap() == former, with_former);
        assert!(
            with_former || self.kept_keys().contains(&former.to_vec()),
            "the former key is kept wherever it was killed"
        );
        assert_eq!(sealing_keys(self.folder.path()).len(), 1, "one key seals everything");
        match (with_former, is_moving) {
            (true, _) if next.is_none() => Moment::Early,
            (true, _) => Moment::Before,
            (false, true) => Moment::Between,
            (false, false) => Moment::Late,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rekey_that_is_killed_leaves_a_store_that_opens_with_one_of_the_keys() {
    let victim = Victim::new().await;
    let began = Instant::now();
    victim.rekey(Duration::MAX).await;
    let mut middle = began.elapsed();
    let seed = u64::from_le_bytes(certhook::clock::random_bytes());
    println!("seed {seed}, a whole rekey takes {middle:?}");
    let mut chance = super::kill_child::Chance(seed);
    let mut moments: BTreeMap<Moment, usize> = BTreeMap::new();
    let mut rounds = 0;
    while rounds < 10 || ![Moment::Before, Moment::Between].iter().all(|moment| moments.contains_key(moment)) {
        rounds += 1;
        assert!(rounds <= 200, "the moments that matter are never met: {moments:?}");
        let former = key_in(&victim.path("data.key")).unwrap();
        victim.rekey(middle.mul_f64(0.7 + chance.below(600) as f64 / 1_000.0)).await;
        let moment = victim.examine(&former).await;
        *moments.entry(moment).or_default() += 1;
        // Towards the act by which the new key takes over, wherever that is on this machine.
        middle = match moment {
            Moment::Early | Moment::Before => middle.mul_f64(1.1),
            Moment::Between | Moment::Late => middle.mul_f64(0.9),
        };
    }
    println!("{moments:?}");
}
