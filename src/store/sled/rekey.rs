//! Another key for a store's secrets.
//!
//! Nothing is changed in place. The row of each endpoint, and of each answer that is kept for whoever asks again, is written a second time, sealed with the new key, beside the one
//! that counts. Then one act says that those count from now on, and with which key. Then they are moved to where they
//! belong. So a kill leaves a store that opens with the former key until that act, and with the new one from then on;
//! whoever opens it next clears away what is beside, or goes on moving.

use std::fs::File;
use std::path::{Path, PathBuf};

use sled::{IVec, Tree};

use super::keys::{self, Key, KeyRange};
use super::open::{self, KEY_CHECK, Opened};
use super::stage::{Batch, LogIdentity, Stage};
use super::view::broken;
use crate::clock::Clock;
use crate::model::id::EndpointNumber;
use crate::store::codec::answers::resealed_answer;
use crate::store::codec::endpoint::resealed;
use crate::store::codec::rare::{self, FORMAT, FORMAT_REKEYED, Meta};
use crate::store::vault::{self, Purpose, Vault};
use crate::store::{Settings, StoreError};

/// What a rekey did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rekeyed {
    /// The file with the key that seals all secrets now.
    pub key_file: PathBuf,
    /// The file that keeps the former key, which backups from before need; `None` if that key was configured, and so is
    /// the operator's to keep, or was kept when the rekey was broken off.
    pub former_key_file: Option<PathBuf>,
    /// For how many endpoints; `None` if it finished a rekey that had been broken off.
    pub endpoints: Option<usize>,
}

/// Why there is no other key. The store opens as before.
#[derive(Debug, thiserror::Error)]
pub enum RekeyError {
    /// There is nothing to rekey.
    #[error("there is no store at {0}")]
    NoStore(PathBuf),
    /// Only the operator can put another key into the configuration.
    #[error("store.encryption_key is configured: name the file of the key that is to take its place (--new-key FILE)")]
    NoNewKey,
    /// The key file is replaced, so no other file is needed.
    #[error(
        "store.encryption_key is not configured, so the new key takes the place of the one in {0}; leave --new-key out"
    )]
    OwnKeyFile(PathBuf),
    /// The new key is the present one.
    #[error(
        "the key in {0} is the one that seals the store already; name a file with another key, or one that is not there"
    )]
    SameKey(PathBuf),
    /// The file of the new key cannot be read or made.
    #[error("{0}")]
    NewKey(String),
    /// The store cannot be opened, read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// See [`super::SledStore::rekey`].
pub(super) fn rekey(settings: &Settings, new_key: Option<&Path>, clock: &dyn Clock) -> Result<Rekeyed, RekeyError> {
    let own_file = vault::key_file(&settings.path);
    let (next_file, key_file) = match (&settings.encryption_key, new_key) {
        (Some(_), Some(new_key)) => (new_key.into(), new_key.into()),
        (Some(_), None) => return Err(RekeyError::NoNewKey),
        (None, Some(_)) => return Err(RekeyError::OwnKeyFile(own_file)),
        (None, None) => (vault::next_key_file(&settings.path), own_file),
    };
    if !settings.path.join("db").exists() {
        return Err(RekeyError::NoStore(settings.path.clone()));
    }
    let in_file = || Vault::in_file(&next_file).map_err(|error| RekeyError::NewKey(error.to_string()));
    let opened = open::open(settings, in_file()?, clock)?;
    if opened.has_taken_over {
        return Ok(Rekeyed { key_file, former_key_file: None, endpoints: None });
    }
    // Of a key file's own successor, opening has cleared away what an earlier rekey left.
    let next = match in_file()? {
        Some(next) => next,
        None => Vault::drawn_into(&next_file).map_err(|error| RekeyError::NewKey(error.to_string()))?,
    };
    if next.has_key_of(&opened.vault) {
        return Err(RekeyError::SameKey(next_file));
    }
    let endpoints = write_beside(&opened, &next)?;
    let meta = hand_over(&opened, &next)?;
    settle(&opened.db, &opened.file, &next, meta)?;
    let former_key_file = match settings.encryption_key {
        Some(_) => None,
        None => Some(
            vault::take_next_key(&settings.path, clock.now())
                .map_err(|error| RekeyError::NewKey(format!("cannot replace {}: {error}", key_file.display())))?,
        ),
    };
    Ok(Rekeyed { key_file, former_key_file, endpoints: Some(endpoints) })
}

/// Writes every endpoint and answer a second time, beside the row that counts; how many endpoints there are.
fn write_beside(opened: &Opened, next: &Vault) -> Result<usize, StoreError> {
    let endpoints = all(&opened.db, keys::endpoints(EndpointNumber(0), EndpointNumber(u32::MAX)))?;
    let answers = all(&opened.db, keys::answers::all())?;
    let mut acts = Acts::new(&opened.db, &opened.file, next);
    for key in endpoints.iter().chain(&answers) {
        acts.act(|stage| {
            let Some(row) = stage.get(key)? else { return Ok(()) };
            let resealed = match keys::answers::name(key) {
                Some(name) => resealed_answer(name, &row, &opened.vault, next)?,
                None => resealed(&row, &opened.vault, next)?,
            };
            stage.put(&keys::resealed(key), resealed)
        })?;
    }
    acts.commit()?;
    Ok(endpoints.len())
}

/// The one act after which the former key opens nothing any more.
fn hand_over(opened: &Opened, next: &Vault) -> Result<Meta, StoreError> {
    let key_check = next.seal(Purpose::KeyCheck, KEY_CHECK);
    let meta = Meta { format: FORMAT_REKEYED, key_check, ..opened.meta.clone() };
    write_meta(&opened.db, &opened.file, next, &meta)?;
    Ok(meta)
}

fn write_meta(tree: &Tree, file: &File, vault: &Vault, meta: &Meta) -> Result<(), StoreError> {
    let mut acts = Acts::new(tree, file, vault);
    acts.act(|stage| stage.put(keys::META, rare::meta(meta)))?;
    acts.commit()
}

/// Moves what was written beside to where it belongs if the new key has taken over, and removes it if not; what the
/// store is then.
pub(super) fn settle(tree: &Tree, file: &File, vault: &Vault, meta: Meta) -> Result<Meta, StoreError> {
    let has_taken_over = rare::is_rekeyed(meta.format);
    let beside = all(tree, keys::all_resealed())?;
    let mut acts = Acts::new(tree, file, vault);
    for key in &beside {
        acts.act(|stage| {
            if has_taken_over && let Some(row) = stage.get(key)? {
                stage.put(keys::resealed_endpoint(key), row.to_vec())?;
            }
            stage.remove(key)
        })?;
    }
    acts.commit()?;
    if !has_taken_over {
        return Ok(meta);
    }
    let meta = Meta { format: FORMAT, ..meta };
    write_meta(tree, file, vault, &meta)?;
    tracing::info!(endpoints = beside.len(), "the store's secrets are sealed with the new key");
    Ok(meta)
}

fn all(tree: &Tree, range: KeyRange) -> Result<Vec<Key>, StoreError> {
    tree.range(range).keys().map(|key: sled::Result<IVec>| Ok(key.map_err(broken)?.to_vec())).collect()
}

/// Atomic acts of somebody who has the store to himself, one batch after the other.
struct Acts<'a> {
    tree: &'a Tree,
    file: &'a File,
    vault: &'a Vault,
    batch: Batch,
}

impl<'a> Acts<'a> {
    fn new(tree: &'a Tree, file: &'a File, vault: &'a Vault) -> Self {
        Self { tree, file, vault, batch: Batch::default() }
    }

    fn act(&mut self, work: impl FnOnce(&mut Stage<'_>) -> Result<(), StoreError>) -> Result<(), StoreError> {
        // No act here makes an event.
        let identity = LogIdentity { epoch: 0, start: 0 };
        let mut stage = Stage::new(self.tree, &self.batch, self.vault, identity);
        work(&mut stage)?;
        let changes = stage.finish()?;
        if !self.batch.has_room_for(&changes) {
            self.commit()?;
        }
        self.batch.add(changes);
        Ok(())
    }

    /// Makes durable what was not yet. After an error nothing more may be written: a sync that failed once and is tried
    /// again says that all is well when it is not.
    fn commit(&mut self) -> Result<(), StoreError> {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() { Ok(()) } else { batch.write(self.tree, self.file).map(drop).map_err(broken) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::clock::ManualClock;
    use crate::model::endpoint::Endpoint;
    use crate::store::codec::endpoint::{endpoint, read_endpoint};

    fn open_folder(settings: &Settings) -> Opened {
        open::open(settings, None, &ManualClock::default()).expect("it opens")
    }

    /// Some endpoints, one of them so long that its row is cut into parts.
    fn samples() -> Vec<Endpoint> {
        let hex = include_str!("../codec/golden/endpoint_2.hex").trim_end().as_bytes();
        let digits = hex.chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
        let row: Vec<u8> = digits.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect();
        let golden = Settings { path: "unused".into(), encryption_key: Some(vec![7; 32].into()), min_free: 0 };
        let vault = Vault::of(&golden, true).expect("a configured key");
        let sample = read_endpoint(&row, &vault).expect("a golden row");
        let numbered = |number| {
            let mut endpoint = sample.clone();
            endpoint.id.number = EndpointNumber(number);
            endpoint.description = "d".repeat(number as usize * 9_000);
            endpoint
        };
        (0..4).map(numbered).collect()
    }

    fn fill(settings: &Settings) {
        let opened = open_folder(settings);
        let mut acts = Acts::new(&opened.db, &opened.file, &opened.vault);
        for one in samples() {
            let row = endpoint(&one, &opened.vault);
            acts.act(|stage| stage.put(&keys::endpoint(one.id.number), row)).expect("it fits");
        }
        acts.commit().expect("it is written");
    }

    fn read(opened: &Opened) -> Vec<Endpoint> {
        let acts = Acts::new(&opened.db, &opened.file, &opened.vault);
        let stage = Stage::new(acts.tree, &acts.batch, acts.vault, LogIdentity { epoch: 0, start: 0 });
        let row = |number| stage.get(&keys::endpoint(EndpointNumber(number))).expect("a tree").expect("a row");
        (0..4).map(|number| read_endpoint(&row(number), &opened.vault).expect("an endpoint")).collect()
    }

    /// The first so many of what is beside, moved to where it belongs.
    fn move_some(opened: &Opened, next: &Vault, count: usize) {
        let mut acts = Acts::new(&opened.db, &opened.file, next);
        for key in all(&opened.db, keys::all_resealed()).expect("a tree").iter().take(count) {
            let moved = acts.act(|stage| {
                let row = stage.get(key)?.expect("a row");
                stage.put(keys::resealed_endpoint(key), row.to_vec())?;
                stage.remove(key)
            });
            moved.expect("it fits");
        }
        acts.commit().expect("it is written");
    }

    /// How far a rekey came before the process was no more.
    const STOPS: [&str; 8] =
        ["begun", "drawn", "beside in part", "beside", "handed over", "moved in part", "moved", "settled"];

    fn rekey_until(settings: &Settings, stop: &str) {
        let opened = open_folder(settings);
        let reached =
            |step: &str| STOPS.iter().position(|one| *one == stop) >= STOPS.iter().position(|one| *one == step);
        if !reached("drawn") {
            return;
        }
        let next = Vault::drawn_into(&vault::next_key_file(&settings.path)).expect("a key");
        if reached("beside in part") {
            assert_eq!(write_beside(&opened, &next).expect("it fits"), 4);
        }
        if stop == "beside in part" {
            let beside = all(&opened.db, keys::all_resealed()).expect("a tree");
            let mut acts = Acts::new(&opened.db, &opened.file, &next);
            acts.act(|stage| stage.remove(&beside[3])).expect("it fits");
            acts.commit().expect("it is written");
        }
        if !reached("handed over") {
            return;
        }
        let meta = hand_over(&opened, &next).expect("it is written");
        if reached("moved in part") {
            move_some(&opened, &next, if stop == "moved in part" { 2 } else { 4 });
        }
        if reached("settled") {
            settle(&opened.db, &opened.file, &next, meta).expect("it is written");
        }
    }

    #[test]
    fn wherever_a_rekey_ends_early_the_next_opening_makes_it_good() {
        for stop in STOPS {
            let folder = TempDir::new().expect("a folder");
            let settings = Settings { path: folder.path().join("data"), encryption_key: None, min_free: 0 };
            fill(&settings);
            let key = || fs::read_to_string(folder.path().join("data.key")).expect("a key file");
            let former = key();
            rekey_until(&settings, stop);
            assert_eq!(key(), former, "the former key file stays until all is done ({stop})");
            let opened = open_folder(&settings);
            assert_eq!(read(&opened), samples(), "{stop}");
            let has_taken_over = ["handed over", "moved in part", "moved", "settled"].contains(&stop);
            assert_eq!(opened.has_taken_over, has_taken_over, "{stop}");
            assert_eq!(key() != former, has_taken_over, "{stop}");
            assert_eq!(opened.meta.format, FORMAT, "{stop}");
            assert!(!vault::next_key_file(&settings.path).exists(), "{stop}");
            let beside = opened.db.iter().keys().filter(|key| {
                let key = key.as_ref().expect("a key");
                key.starts_with(b"k") || key.starts_with(b"+k")
            });
            assert_eq!(beside.count(), 0, "nothing is left beside ({stop})");
        }
    }

    #[test]
    fn what_an_earlier_rekey_left_beside_never_counts_later() {
        let folder = TempDir::new().expect("a folder");
        let settings = Settings { path: folder.path().join("data"), encryption_key: None, min_free: 0 };
        fill(&settings);
        rekey_until(&settings, "beside");
        let opened = open_folder(&settings);
        let changed = Endpoint { description: "changed since".into(), ..samples().swap_remove(1) };
        let mut acts = Acts::new(&opened.db, &opened.file, &opened.vault);
        let row = endpoint(&changed, &opened.vault);
        acts.act(|stage| stage.put(&keys::endpoint(EndpointNumber(1)), row)).expect("it fits");
        acts.act(|stage| stage.remove(&keys::endpoint(EndpointNumber(3)))).expect("it fits");
        acts.commit().expect("it is written");
        drop(acts);
        drop(opened);
        let done = rekey(&settings, None, &ManualClock::default()).expect("another key");
        assert_eq!(done.endpoints, Some(3));
        let opened = open_folder(&settings);
        let row = opened.db.get(keys::endpoint(EndpointNumber(1))).expect("a tree").expect("a row");
        assert_eq!(read_endpoint(&row, &opened.vault).expect("an endpoint"), changed);
        assert_eq!(opened.db.get(keys::endpoint(EndpointNumber(3))).expect("a tree"), None, "it stays deleted");
    }
}
