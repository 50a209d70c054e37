//! The second stage: each room's settings, section by section, from values that keep to their bounds.
//!
//! Every getter of a section runs before the first `?`, so that all problems of the section are found.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use tokio_cron_scheduler::Job;
use url::Url;

use super::error::Problems;
use super::layers::Layers;
use super::reader::{Reader, Surroundings, duration, expected_duration, text};
use super::secret::Secret;
use super::{Config, SourceSettings};
use crate::watch::{Baseline, Schedule};
use crate::{api, deliver, source, store, telemetry, watch};

/// Shorter root keys could be guessed.
const ROOT_KEY_CHARS_MIN: usize = 24;

/// What XChaCha20-Poly1305 takes.
const ENCRYPTION_KEY_BYTES: usize = 32;

/// The variable whose absence means that the store makes a key of its own. Any other that is named must be set:
/// whoever names one of his own means it.
const ENCRYPTION_KEY_VARIABLE: &str = "CERTHOOK_ENCRYPTION_KEY";

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Shorter deadlines fail healthy receivers; longer ones let slow receivers hold slots for minutes.
const TIMEOUT: RangeInclusive<Duration> = SECOND..=Duration::from_secs(120);

/// A wait between two attempts: shorter is no pause, and after a longer one nobody expects a delivery any more.
const RETRY_WAIT: RangeInclusive<Duration> = SECOND..=Duration::from_secs(7 * 24 * 60 * 60);

/// As many attempts as make sense to list for a delivery.
const RETRY_WAITS: RangeInclusive<usize> = 1..=50;

/// Beyond it, sockets and memory are the limit, and not this number.
const IN_FLIGHT_MAX: i64 = 10_000;

/// Beyond it, nobody waits for the order of events any more.
const ORDER_WAIT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(7 * 24 * 60 * 60);

/// More often is no polling but an attack; less often, a sweep finds the same.
const CHANGES: RangeInclusive<Duration> = SECOND..=DAY;

/// No upstream that works shows a change a day late.
const OVERLAP: RangeInclusive<Duration> = Duration::ZERO..=DAY;

/// A month between two sweeps is as long as a removal may go unnoticed.
const SWEEP: RangeInclusive<Duration> = SECOND..=Duration::from_secs(30 * 24 * 60 * 60);

/// Second, minute, hour, day of the month, month, day of the week. The scheduler would take a year too, and words such
/// as `@daily`; one form is enough.
const CRON_FIELDS: usize = 6;

/// One call in 100 seconds is as good as none, and no vendor allows more than a thousand a second, as far as any says.
const REQUESTS_PER_SECOND: RangeInclusive<f64> = 0.01..=1000.0;

/// Judges everything. `None` if anything was wrong, and then `problems` says what.
pub(super) fn config(layers: &Layers, surroundings: &Surroundings, problems: &Problems) -> Option<Config> {
    let of = |name: &'static str| Reader::new(name, layers.section(name), surroundings, problems);
    let api = api(of("server"));
    let store = store(of("store"));
    let network = network(of("network"));
    let ignore_fields = ignore_fields(of("events"));
    let delivery = delivery(of("delivery"));
    let log = log(of("log"));
    let mut sources = Vec::new();
    for section in layers.sources() {
        sources.push(source(Reader::new("sources", section, surroundings, problems)));
    }
    names_are_unique(layers, problems);
    let (network, ignore_fields) = (network?, ignore_fields?);
    let sources =
        sources.into_iter().map(|source| Some(source?.with(&network, &ignore_fields))).collect::<Option<_>>()?;
    let delivery = deliver::Settings { ca_file: network.ca_file, proxy: network.proxy, ..delivery? };
    Some(Config { api: api?, store: store?, sources, delivery, log: log?, sandbox: false })
}

fn api(reader: Reader<'_>) -> Option<api::Settings> {
    let expected = "an IP address and a port, such as \"127.0.0.1:8080\"";
    let listen = reader.parsed("listen", expected, |text| text.parse::<SocketAddr>().ok());
    let api_key = reader.secret("api_key", "give it at least 24 characters, such as `openssl rand -hex 32` prints");
    let api_key = api_key.filter(|key| {
        let key = key.expose_secret();
        if !is_bearer(key) {
            reader.refuse("api_key", NO_BEARER);
        } else if key.len() < ROOT_KEY_CHARS_MIN {
            let length = key.len();
            reader.refuse("api_key", format!("must have at least {ROOT_KEY_CHARS_MIN} characters; it has {length}"));
        } else {
            return true;
        }
        false
    });
    Some(api::Settings { listen: listen?, api_key: api_key? })
}

/// Why a text cannot stand behind `Authorization: Bearer`.
const NO_BEARER: &str = "must be ASCII letters, digits and signs without spaces, at least one: it travels in a header";

/// Whether a text can stand behind `Authorization: Bearer`.
fn is_bearer(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn store(reader: Reader<'_>) -> Option<store::Settings> {
    let folder = reader.surroundings.folder.clone();
    let is_postgres = text(reader.entry("url")).is_some_and(|url| url.starts_with("postgres"));
    let path = if is_postgres {
        reader.refuse("url", "names PostgreSQL, which this version does not support; use \"sled:FOLDER\"");
        None
    } else {
        let path =
            |text: &str| text.strip_prefix("sled:").filter(|path| !path.is_empty()).map(|path| folder.join(path));
        reader.parsed("url", "\"sled:FOLDER\", such as \"sled:data\"", path)
    };
    let encryption_key = encryption_key(&reader);
    Some(store::Settings { path: path?, encryption_key: encryption_key? })
}

/// `Some(None)`: the store makes a key of its own.
fn encryption_key(reader: &Reader<'_>) -> Option<Option<SecretSlice<u8>>> {
    const KEY: &str = "encryption_key";
    let expected = "32 bytes in base64, such as `openssl rand -base64 32` prints";
    let text = match reader.find_secret(KEY)? {
        Secret::Here(text) => text,
        Secret::Unset(variable) if variable == ENCRYPTION_KEY_VARIABLE => return Some(None),
        Secret::Unset(variable) => {
            reader.refuse(KEY, format!("needs the variable {variable}, which is not set; give it {expected}"));
            return None;
        }
    };
    match STANDARD.decode(text.expose_secret()) {
        Ok(bytes) if bytes.len() == ENCRYPTION_KEY_BYTES => Some(Some(SecretSlice::from(bytes))),
        Ok(bytes) => {
            reader.refuse(KEY, format!("must be {expected}; it has {} bytes", bytes.len()));
            None
        }
        Err(_) => {
            reader.refuse(KEY, format!("must be {expected}; it is no base64"));
            None
        }
    }
}

/// What every room that calls out needs to know.
struct Network {
    ca_file: Option<PathBuf>,
    proxy: Option<Url>,
}

fn network(reader: Reader<'_>) -> Option<Network> {
    let folder = reader.surroundings.folder.clone();
    let ca_file = |text: &str| match text {
        "" => Some(None),
        path => {
            let path = folder.join(path);
            let metadata = std::fs::File::open(&path).and_then(|file| file.metadata());
            metadata.is_ok_and(|metadata| metadata.is_file()).then_some(Some(path))
        }
    };
    let ca_file = reader.parsed("ca_file", "\"\" or a PEM file that can be read", ca_file);
    let proxy = |text: &str| match text {
        "" => Some(None),
        url => origin(url).map(Some),
    };
    let expected = "\"\" or a URL such as \"http://proxy.internal:3128\", without a user, a password or a path";
    let proxy = reader.parsed("proxy", expected, proxy);
    Some(Network { ca_file: ca_file?, proxy: proxy? })
}

/// A URL that is nothing but scheme, host and port.
fn origin(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let anonymous = url.username().is_empty() && url.password().is_none();
    (matches!(url.scheme(), "http" | "https") && url.has_host() && bare && anonymous).then_some(url)
}

fn ignore_fields(reader: Reader<'_>) -> Option<Vec<String>> {
    let is_field =
        |name: &&str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let parse = |text: &str| Some(text).filter(is_field).map(str::to_owned);
    reader.list("ignore_fields", "the name of a top-level field, such as \"notes\"", parse)
}

fn delivery(reader: Reader<'_>) -> Option<deliver::Settings> {
    let timeout = reader.duration("timeout", TIMEOUT);
    let retry = reader.list("retry", &expected_duration(&RETRY_WAIT), |text| duration(text, &RETRY_WAIT));
    let retry = retry.filter(|waits| {
        let fits = RETRY_WAITS.contains(&waits.len());
        if !fits {
            reader.refuse("retry", format!("must have 1 to 50 waits; it has {}", waits.len()));
        }
        fits
    });
    let max_in_flight = reader.integer("max_in_flight", 1..=IN_FLIGHT_MAX);
    let per_endpoint_max = max_in_flight.unwrap_or(IN_FLIGHT_MAX);
    let per_endpoint_in_flight = reader.integer("per_endpoint_in_flight", 1..=per_endpoint_max);
    let order_wait = reader.duration("order_wait", ORDER_WAIT);
    let expected = "a network such as \"10.1.0.0/16\" or \"fd00::/8\", with no bits set behind the prefix";
    let is_exact = |network: &IpNet| network.addr() == network.network();
    let allow_networks = reader.list("allow_networks", expected, |text| text.parse().ok().filter(is_exact));
    let allow_http = reader.flag("allow_http");
    Some(deliver::Settings {
        timeout: timeout?,
        retry: retry?,
        max_in_flight: usize::try_from(max_in_flight?).ok()?,
        per_endpoint_in_flight: usize::try_from(per_endpoint_in_flight?).ok()?,
        order_wait: order_wait?,
        allow_networks: allow_networks?,
        allow_http: allow_http?,
        ca_file: None,
        proxy: None,
    })
}

/// How logs are written.
pub(super) fn log(reader: Reader<'_>) -> Option<telemetry::Settings> {
    let format = reader.word("format", &[("text", telemetry::Format::Text), ("json", telemetry::Format::Json)]);
    let expected = "off, error, warn, info, debug, trace, or a list such as \"info,certhook::deliver=debug\"";
    let level = reader.parsed("level", expected, |text| text.parse().ok());
    Some(telemetry::Settings { format: format?, level: level? })
}

impl SourceSettings {
    /// Adds what all sources have in common.
    fn with(mut self, network: &Network, ignore_fields: &[String]) -> Self {
        self.source.ca_file = network.ca_file.clone();
        self.source.proxy = network.proxy.clone();
        self.watch.ignore_fields = ignore_fields.to_vec();
        self
    }
}

fn source(reader: Reader<'_>) -> Option<SourceSettings> {
    let name = reader.parsed("name", "[a-z0-9_-]{1,32}", |text| text.parse().ok());
    let kind = reader.word("kind", &[("numeral", ())]);
    let expected = "a URL such as \"https://api.numeralhq.com\", without a user, a path or a query";
    let base_url = reader.parsed("base_url", expected, origin);
    let api_key = reader.secret("api_key", "give it the vendor's live key").filter(|key| numeral_key(key, &reader));
    let is_date = |text: &str| text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok();
    let api_version = |text: &str| is_date(text).then(|| text.to_owned());
    let api_version = reader.parsed("api_version", "a date such as \"2026-03-01\"", api_version);
    let requests_per_second = reader.number("requests_per_second", REQUESTS_PER_SECOND);
    let page_size = reader.integer("poll.page_size", 1..=100);
    let changes = schedule(&reader, "poll.changes", &CHANGES);
    let overlap = reader.duration("poll.overlap", OVERLAP);
    let sweep = schedule(&reader, "poll.sweep", &SWEEP);
    let baseline = reader.word("poll.baseline", &[("silent", Baseline::Silent), ("emit", Baseline::Emit)]);
    kind?;
    let source = source::Settings {
        name: name?,
        base_url: base_url?,
        api_key: api_key?,
        api_version: api_version?,
        requests_per_second: requests_per_second?,
        page_size: u8::try_from(page_size?).ok()?,
        ca_file: None,
        proxy: None,
    };
    let watch = watch::Settings {
        changes: changes?,
        overlap: overlap?,
        sweep: sweep?,
        baseline: baseline?,
        ignore_fields: Vec::new(),
    };
    Some(SourceSettings { source, watch })
}

/// Names must differ, even where variables of the environment spell them.
fn names_are_unique(layers: &Layers, problems: &Problems) {
    let mut taken = BTreeSet::new();
    for section in layers.sources() {
        let Some(entry) = section.table.get("name") else { continue };
        let Some(name) = text(entry) else { continue };
        if !taken.insert(name.replace('-', "_")) {
            let what = "must be unique, with - and _ taken for the same, since variables spell both as _";
            problems.add(&entry.origin, format!("sources.name {what}; {name:?} is taken"));
        }
    }
}

/// Whether a key can be one that the vendor takes.
fn numeral_key(key: &SecretString, reader: &Reader<'_>) -> bool {
    let key = key.expose_secret();
    if key.starts_with("sk_test_") {
        let why = "is a test key (sk_test_…), which the vendor answers with TESTMODE_NOT_SUPPORTED: certificates and \
                   certificate requests are live-only; use a live key, or try `certhook serve --sandbox`";
        reader.refuse("api_key", why);
        return false;
    }
    if !is_bearer(key) {
        reader.refuse("api_key", NO_BEARER);
    }
    is_bearer(key)
}

/// A duration within bounds, or a cron expression that comes due at all.
fn schedule(reader: &Reader<'_>, key: &str, bounds: &RangeInclusive<Duration>) -> Option<Schedule> {
    let parse = |text: &str| match text.split_whitespace().count() {
        CRON_FIELDS => cron(text),
        _ => duration(text, bounds).map(Schedule::Every),
    };
    let expected =
        format!("{}, or a cron expression of six fields, such as \"0 15 3 * * *\"", expected_duration(bounds));
    reader.parsed(key, &expected, parse)
}

/// Asks the scheduler that will run it: it must parse there, and have a next time.
fn cron(text: &str) -> Option<Schedule> {
    let mut job = Job::new(text, |_, _| {}).ok()?;
    let comes_due = job.job_data().ok()?.next_tick > 0;
    comes_due.then(|| Schedule::Cron(text.into()))
}
