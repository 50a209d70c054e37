//! Logs: how they are written, and the names of the fields that many lines share.
//!
//! One line for one thing that happened, what it was as the message, what it was about as fields. Bodies and secrets
//! are never fields. The same thing has the same name on every line:
//!
//! | field | what |
//! |---|---|
//! | `source` | the name of a source |
//! | `pass`, `pass_id` | the kind of a pass, its id |
//! | `kind`, `resource_id` | which resource |
//! | `event_id`, `event_type` | which event |
//! | `endpoint_id`, `delivery_id` | for whom |
//! | `attempt`, `outcome`, `status_code`, `address` | a try of a delivery, and what became of it |
//! | `pages`, `seen`, `changed` | counts of a pass |
//! | `duration_ms` | how long it took |
//! | `error` | what went wrong, in words |

use std::io::IsTerminal;
use std::str::FromStr;

use tracing::Dispatch;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

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

/// What is worth a line: levels and `module=level`, separated by commas.
///
/// A bare level is about certhook. The crates below speak from `warn` on, because their finer lines tell of bytes and
/// headers that are nobody's business; one that is wanted is named, such as `info,hyper=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level(String);

/// The text names no level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not off, error, warn, info, debug or trace, nor a list such as \"info,certhook::deliver=debug\"")]
pub struct NoLevel;

/// The words for levels; the crates below are heard up to the third.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
const QUIET: &str = LEVELS[2];

impl FromStr for Level {
    type Err = NoLevel;

    /// Stricter than [`EnvFilter`], which takes a misspelt level for the name of a module.
    fn from_str(text: &str) -> Result<Self, NoLevel> {
        let directives = text.split(',').map(|directive| directive_of(directive.trim()));
        let level = Self(directives.collect::<Option<Vec<_>>>().ok_or(NoLevel)?.join(","));
        level.filter().map(|_| level).ok_or(NoLevel)
    }
}

impl Level {
    fn filter(&self) -> Option<EnvFilter> {
        EnvFilter::builder().parse(&self.0).ok()
    }
}

/// What [`EnvFilter`] is to be told for one part of the list; `None` if it names no level.
fn directive_of(part: &str) -> Option<String> {
    match part.rsplit_once('=') {
        Some((module, level)) => (!module.is_empty() && LEVELS.contains(&level)).then(|| part.into()),
        None if LEVELS[..2].contains(&part) => Some(part.into()),
        None => LEVELS.contains(&part).then(|| format!("{QUIET},certhook={part}")),
    }
}

/// Logs were set up before.
#[derive(Debug, thiserror::Error)]
#[error("logs are already set up in this process")]
pub struct AlreadyInstalled;

/// Sends this process's logs to standard error. What is written for programs stays on standard output.
///
/// # Errors
/// If the process has done so before.
pub fn install(settings: &Settings) -> Result<(), AlreadyInstalled> {
    dispatch(settings, std::io::stderr, std::io::stderr().is_terminal()).try_init().map_err(|_| AlreadyInstalled)
}

fn dispatch<W>(settings: &Settings, writer: W, terminal: bool) -> Dispatch
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let filter = settings.level.filter().expect("a level is made only of what parses");
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match settings.format {
        Format::Json => lines.json().flatten_event(true).with_span_list(false).into(),
        // Colours are left to the formatter, which heeds NO_COLOR; only a terminal gets any.
        Format::Text if terminal => lines.into(),
        Format::Text => lines.with_ansi(false).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is written of some lines at these settings.
    fn written(format: Format, level: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let settings = Settings { format, level: level.parse().unwrap() };
        tracing::dispatcher::with_default(&dispatch(&settings, move || writer.clone(), false), || {
            tracing::debug!(target: "certhook::deliver", endpoint_id = "ep_1", "delivery.attempted");
            tracing::info!(target: "certhook::watch", source = "numeral", seen = 3, "source.polled");
            tracing::info!(target: "hyper::client", "bytes");
            tracing::warn!(target: "sled::pagecache", "trouble");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_bare_level_is_about_certhook_and_other_crates_speak_from_warn_on() {
        for (level, expected) in [
            ("off", [false, false, false, false]),
            ("error", [false, false, false, false]),
            ("warn", [false, false, false, true]),
            ("info", [false, true, false, true]),
            ("trace", [true, true, false, true]),
            ("info,hyper=info", [false, true, true, true]),
            ("warn, certhook::deliver=debug", [true, false, false, true]),
            ("certhook::deliver=debug", [true, false, false, false]),
        ] {
            let written = written(Format::Text, level);
            let found = ["delivery.attempted", "source.polled", "bytes", "trouble"].map(|word| written.contains(word));
            assert_eq!(found, expected, "at {level}: {written}");
        }
    }

    #[test]
    fn json_is_one_flat_object_a_line() {
        let written = written(Format::Json, "info,sled=off");
        let line: serde_json::Value = serde_json::from_str(&written).expect("one line of JSON");
        assert_eq!(line["message"], "source.polled");
        assert_eq!((&line["source"], &line["seen"]), (&"numeral".into(), &3.into()));
        assert_eq!((&line["level"], &line["target"]), (&"INFO".into(), &"certhook::watch".into()));
    }

    #[test]
    fn a_misspelt_level_is_no_module() {
        for text in ["", "verbose", "info,", "=info", "certhook=loud", "certhook::deliver", "a=b=info", "INFO!"] {
            assert_eq!(text.parse::<Level>(), Err(NoLevel), "{text:?}");
        }
    }
}
