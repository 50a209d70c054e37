//! `certhook rekey`: another key for the secrets of a store.

use super::RekeyArguments;
use super::output::Output;
use crate::app;
use crate::config::{Config, process_environment};
use crate::telemetry;

/// Rekeys the configured store, and says what is left to do.
pub(super) async fn rekey(arguments: RekeyArguments) -> anyhow::Result<()> {
    let (store, log) = Config::load_store(arguments.config.as_deref(), process_environment())?;
    telemetry::install(&log)?;
    let said = app::rekey(store, arguments.new_key).await?;
    Ok(Output::new(false).line(&said)?)
}
