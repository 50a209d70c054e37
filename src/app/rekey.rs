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
    let left = if is_configured {
        "Give that key to store.encryption_key before the next start: the former one opens nothing any more."
    } else {
        "Back it up, apart from the store."
    };
    format!("{done} {left} A backup of the store from before needs the key of its time.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_told_what_is_left_to_do() {
        let rekeyed = |endpoints| Rekeyed { key_file: "data.key".into(), endpoints };
        assert_eq!(
            report(&rekeyed(Some(1)), false),
            "The secrets of 1 endpoint are sealed with the new key in data.key. Back it up, apart from the store. \
             A backup of the store from before needs the key of its time."
        );
        assert_eq!(
            report(&rekeyed(None), true),
            "A rekey that had been broken off is finished; the new key is in data.key. Give that key to \
             store.encryption_key before the next start: the former one opens nothing any more. \
             A backup of the store from before needs the key of its time."
        );
    }
}
