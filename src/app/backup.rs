//! Backups as files: whether one is whole, and a store out of it.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::clock::SystemClock;
use crate::store;
use crate::store::backup::{Summary, examine};
use crate::store::sled::{Restored, SledStore};

/// Reads a backup to its end; what it is, in a sentence.
///
/// # Errors
/// If it is not whole.
pub async fn examine_backup(file: &Path) -> anyhow::Result<String> {
    let file = file.to_owned();
    let examined = tokio::task::spawn_blocking(move || examine(&file)).await.context("reading the backup panicked")?;
    Ok(describe(&examined?))
}

/// Makes the store of a backup where no gateway runs, as [`SledStore::restore`] does; says what was done and what is left
/// to do.
///
/// # Errors
/// If it was not done.
pub async fn restore(settings: store::Settings, file: PathBuf, force: bool) -> anyhow::Result<String> {
    let work = move || {
        let restored = SledStore::restore(&settings, &file, force, &SystemClock::default());
        restored.map(|restored| report(&restored, &settings.path))
    };
    Ok(tokio::task::spawn_blocking(work).await.context("the restore panicked")??)
}

fn describe(backup: &Summary) -> String {
    let Summary { taken_at, epoch, rows, bytes } = backup;
    format!("{rows} rows, {bytes} bytes, begun at {taken_at}, of epoch {epoch}")
}

fn report(restored: &Restored, folder: &Path) -> String {
    let Restored { backup, epoch, head, set_aside } = restored;
    let aside = set_aside
        .as_ref()
        .map_or_else(String::new, |aside| format!("\nThe store that was there is in {} now.", aside.display()));
    format!(
        "Restored {} from {}; its log ends at position {}, and its epoch is {epoch} from now on.{aside}\n\
         What was delivered since the backup is delivered again. To look before anything is polled or sent: \
         certhook serve --paused",
        folder.display(),
        describe(backup),
        head.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::Position;
    use crate::model::time::Timestamp;

    #[test]
    fn an_operator_is_told_what_was_done_and_what_follows() {
        let backup = Summary { taken_at: Timestamp::from_millis(0), epoch: 7, rows: 12, bytes: 345 };
        let restored = Restored { backup, epoch: 9, head: Position(3), set_aside: Some("data.old".into()) };
        assert_eq!(
            report(&restored, Path::new("data")),
            "Restored data from 12 rows, 345 bytes, begun at 1970-01-01T00:00:00.000Z, of epoch 7; its log ends at \
             position 3, and its epoch is 9 from now on.\nThe store that was there is in data.old now.\nWhat was \
             delivered since the backup is delivered again. To look before anything is polled or sent: certhook serve \
             --paused"
        );
    }
}
