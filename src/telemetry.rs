//! Logs: how they are written, and the names of the fields that many lines share.

use std::str::FromStr;

/// What configuration says about logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// For whom they are written.
    pub format: Format,
    /// What is worth a line.
    pub level: Level,
}

/// For whom logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// What is worth a line: a level, or a comma-separated list of levels and `module=level`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level(String);

/// The text names no level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be off, error, warn, info, debug or trace, or a list such as \"info,certhook::deliver=debug\"")]
pub struct NoLevel;

/// The words for levels.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl FromStr for Level {
    type Err = NoLevel;

    /// Stricter than [`tracing_subscriber::EnvFilter`], which takes a misspelt level for the name of a module.
    fn from_str(text: &str) -> Result<Self, NoLevel> {
        let well_formed = |directive: &str| match directive.rsplit_once('=') {
            Some((module, level)) => !module.trim().is_empty() && LEVELS.contains(&level.trim()),
            None => LEVELS.contains(&directive.trim()),
        };
        let parses = || tracing_subscriber::EnvFilter::builder().parse(text).is_ok();
        if text.split(',').all(well_formed) && parses() { Ok(Self(text.into())) } else { Err(NoLevel) }
    }
}
