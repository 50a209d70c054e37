//! Configuration: a file, variables of the environment and compiled-in defaults become each room's settings.
//!
//! Invariants: every problem is found in one run, and told with its place and its remedy; a key that nothing reads
//! is refused; no secret is shown, neither in a problem nor by `Debug`; nothing else in the program reads the
//! environment or this file.
//!
//! This room knows the rooms' settings and nothing of what they do with them.
//!
//! In reading order: `document` (as written), `layers` (one over the other), `reader` and `secret` (typed values),
//! `sections` (each room's settings), `error`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use url::Url;

use crate::{api, deliver, source, store, telemetry, watch};

mod document;
mod error;
mod layers;
mod reader;
mod secret;
mod sections;

pub use error::{Errors, Problem};

use document::{Document, Text, TextOrigin};
use error::{Origin, Problems};
use layers::Layers;
use reader::{Reader, Surroundings};

/// The file that is read from the working directory when none is given.
const FILE_NAME: &str = "config.toml";

/// A larger file is no configuration.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The key of our API in the sandbox, and of the simulated upstream: public, and good for nothing else.
pub const SANDBOX_KEY: &str = "sandbox-key-for-local-use-only";

/// Everything that was configured, valid.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our API.
    pub api: api::Settings,
    /// Where everything is kept.
    pub store: store::Settings,
    /// The upstream accounts in their order, at least one, with names of their own.
    pub sources: Vec<SourceSettings>,
    /// Deliveries.
    pub delivery: deliver::Settings,
    /// How long events and deliveries are kept.
    pub retention: deliver::retention::Settings,
    /// Logs.
    pub log: telemetry::Settings,
    /// Whether all of it is the sandbox: nothing that the sources hold is real, and each start begins anew.
    pub sandbox: bool,
    /// Whether nothing is polled or delivered. No file says that, only whoever starts the gateway.
    pub paused: bool,
}

/// One upstream account: how it is reached, and when it is looked at.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    /// How it is reached.
    pub source: source::Settings,
    /// When it is looked at, and for what.
    pub watch: watch::Settings,
}

impl Config {
    /// Reads the file at `path`, or else `config.toml` in the working directory if there is one, and lays the
    /// environment over it. Relative paths in it start at the file's folder, or else at the working directory.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(path: Option<&Path>, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, Errors> {
        let problems = Problems::default();
        let environment: BTreeMap<String, String> = environment.into_iter().collect();
        let Some((layers, folder)) = layers(path, &environment, &problems) else {
            return problems.or(None);
        };
        let config = sections::config(&layers, &Surroundings { folder, environment }, &problems);
        problems.or(config)
    }

    /// What the file and the environment say about the store and the logs, for commands that need nothing else: other
    /// sections may lack what `serve` must have.
    ///
    /// # Errors
    /// Everything that is wrong with these, and every unknown key.
    pub fn load_store(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(store::Settings, telemetry::Settings), Errors> {
        let problems = Problems::default();
        let environment: BTreeMap<String, String> = environment.into_iter().collect();
        let Some((layers, folder)) = layers(path, &environment, &problems) else {
            return problems.or(None);
        };
        let settings = sections::store_and_log(&layers, &Surroundings { folder, environment }, &problems);
        problems.or(settings)
    }

    /// The configuration of `serve --sandbox` over the simulated upstream at `upstream`: of the file and the
    /// environment only `server.listen` (which must be loopback) and the logs count. No configured source, key or
    /// store is touched.
    ///
    /// # Errors
    /// Everything that is wrong with these, and every unknown key.
    pub fn sandbox(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        upstream: &Url,
    ) -> Result<Self, Errors> {
        let problems = Problems::default();
        let environment = environment.into_iter().collect();
        let Some((configured, folder)) = layers(path, &environment, &problems) else {
            return problems.or(None);
        };
        let mut layers = Layers::defaults();
        layers.take_key("server", "listen", &configured);
        layers.take_key("log", "format", &configured);
        layers.take_key("log", "level", &configured);
        layers.add_sandbox(upstream);
        // An empty environment: no secret that somebody configured can be found from here.
        let surroundings = Surroundings { folder, environment: BTreeMap::new() };
        let config = sections::config(&layers, &surroundings, &problems);
        let config = config.map(|config| Self { sandbox: true, ..config });
        if let Some(config) = &config
            && !config.api.listen.ip().is_loopback()
        {
            let reader = Reader::new("server", layers.section("server"), &surroundings, &problems);
            let listen = config.api.listen;
            reader.refuse("listen", format!("must be a loopback address with --sandbox; it is \"{listen}\""));
        }
        problems.or(config)
    }
}

/// The environment of this process, for [`Config::load`]. Variables that are no Unicode are left out.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The defaults, the file and the environment, one over the other, and the folder where relative paths start.
fn layers(
    path: Option<&Path>,
    environment: &BTreeMap<String, String>,
    problems: &Problems,
) -> Option<(Layers, PathBuf)> {
    let mut layers = Layers::defaults();
    let found = Path::new(FILE_NAME);
    let path = path.or_else(|| found.exists().then_some(found));
    let mut readable = true;
    if let Some(path) = path {
        match read(path, problems) {
            Some(document) => layers.add(document, problems),
            None => readable = false,
        }
    }
    let folder = path.and_then(Path::parent).map(PathBuf::from).unwrap_or_default();
    layers.add_environment(environment, problems);
    readable.then_some((layers, folder))
}

/// Reads the operator's file.
fn read(path: &Path, problems: &Problems) -> Option<Document> {
    let file: Arc<str> = path.display().to_string().into();
    match read_text(path, FILE_BYTES_MAX) {
        Ok(toml) => Document::parse(&Text { toml: &toml, origin: TextOrigin::File(file) }, problems),
        Err(reason) => {
            problems.add(&Origin::File(file), format!("cannot be read: {reason}"));
            None
        }
    }
}

/// A file's text, if it is one and not too large. The error completes "cannot be read: …".
fn read_text(path: &Path, bytes_max: u64) -> Result<String, String> {
    use std::io::{ErrorKind, Read};
    let reason = |error: std::io::Error| match error {
        missing if missing.kind() == ErrorKind::NotFound => "there is no such file".to_owned(),
        binary if binary.kind() == ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        other => other.to_string(),
    };
    let mut text = String::new();
    std::fs::File::open(path).map_err(reason)?.take(bytes_max + 1).read_to_string(&mut text).map_err(reason)?;
    if text.len() as u64 > bytes_max { Err(format!("it is larger than {} KiB", bytes_max / 1024)) } else { Ok(text) }
}
