//! Another key for the secrets of a store that no gateway has open.

use std::path::PathBuf;

use anyhow::Context;

use crate::clock::SystemClock;
use crate::store;
use crate::store::sled::{Rekeyed, SledStore};

/// Seals all secrets of a store with another key, as [`SledStore::rekey`] does; says what was done and what is left to
/// do.
///
/// # Errors
/// If it was not done; the store opens as before.
pub async fn rekey(settings: store::Settings, new_key: Option<PathBuf>) -> anyhow::Result<String> {
    let is_configured = settings.encryption_key.is_some();
    let work = move || SledStore::rekey(&settings, new_key.as_deref(), &SystemClock::default());
    let rekeyed = tokio::task::spawn_blocking(work).await.context("the rekey panicked")?;
    Ok(report(&rekeyed.context("cannot rekey (no gateway may run on the store)")?, is_configured))
}

fn report(rekeyed: &Rekeyed, is_configured: bool) -> String {
    let key_file = rekeyed.key_file.display();
    let done = match rekeyed.endpoints {
        Some(1) => format!("The secrets of 1 endpoint are sealed with the new key in {key_file}."),
        Some(count) => format!("The secrets of {count} endpoints are sealed with the new key in {key_file}."),
        None => format!("A rekey that had been broken off is finished; the new key is in {key_file}."),
    };
    let former = match &rekeyed.former_key_file {
        Some(former) => former.display().to_string(),
        None => format!("{key_file}.old-…"),
    };
    let left = if is_configured {
        "Give that key to store.encryption_key before the next start. The former one opens the store no more, but is what \
         backups from before need: keep it with them."
            .to_owned()
    } else {
        format!(
            "Back it up, apart from the store. The former key is kept in {former}: backups from before need it. Delete it \
             with the last of them."
        )
    };
    format!("{done} {left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_told_what_is_left_to_do() {
        let former = || Some("data.key.old-2026-11-21-1f2e3d4c".into());
        let rekeyed = |former_key_file, endpoints| Rekeyed { key_file: "data.key".into(), former_key_file, endpoints };
        assert_eq!(
            report(&rekeyed(former(), Some(1)), false),
            "The secrets of 1 endpoint are sealed with the new key in data.key. Back it up, apart from the store. \
             The former key is kept in data.key.old-2026-11-21-1f2e3d4c: backups from before need it. Delete it with the \
             last of them."
        );
        assert!(report(&rekeyed(None, None), false).contains("is kept in data.key.old-…: backups"));
        assert_eq!(
            report(&rekeyed(None, None), true),
            "A rekey that had been broken off is finished; the new key is in data.key. Give that key to \
             store.encryption_key before the next start. The former one opens the store no more, but is what backups from \
             before need: keep it with them."
        );
    }
}
