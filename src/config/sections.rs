//! The second stage: each room's settings, section by section, from values that keep to their bounds.
//!
//! Every getter of a section runs before the first `?`, so that all problems of the section are found.
//!
//! Here are all sections but those about what is watched, which `source` has.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use jiff::tz::TimeZone;
use secrecy::{ExposeSecret, SecretSlice};
use url::Url;

use self::source::{events, source};

use super::Config;
use super::error::Problems;
use super::layers::Layers;
use super::reader::{Reader, Surroundings, duration, expected_duration, text};
use super::secret::Secret;
use crate::deliver::health::Circuit;
use crate::{api, deliver, store, telemetry};

mod source;

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

/// Sooner, a receiver's bad hour would disable it; later, nobody has cared for a quarter of a year.
const DISABLE_AFTER: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(90 * 24 * 60 * 60);

/// More often is no look but a knock without end; less often, the schedule looks as often by itself.
const PROBE: RangeInclusive<Duration> = SECOND..=DAY;

/// For less than an hour nobody needs a log; for longer than ten years nobody keeps one.
const RETENTION: RangeInclusive<Duration> = Duration::from_secs(60 * 60)..=Duration::from_secs(3650 * 24 * 60 * 60);

/// With less, there is no reserve worth the name; more than any one file system of today needs to keep free.
const MIN_FREE: RangeInclusive<u64> = 64 << 20..=16 << 40;

/// Judges everything. `None` if anything was wrong, and then `problems` says what.
pub(super) fn config(layers: &Layers, surroundings: &Surroundings, problems: &Problems) -> Option<Config> {
    let of = |name: &'static str| Reader::new(name, layers.section(name), surroundings, problems);
    let api = api(of("server"));
    let store = store(of("store"));
    let network = network(of("network"));
    let events = events(of("events"));
    let delivery = delivery(of("delivery"));
    let retention = retention(&of("events"), &of("delivery"));
    let log = log(of("log"));
    let mut sources = Vec::new();
    for section in layers.sources() {
        sources.push(source(Reader::new("sources", section, surroundings, problems)));
    }
    names_are_unique(layers, problems);
    let (network, events) = (network?, events?);
    let sources = sources.into_iter().map(|source| Some(source?.with(&network, &events))).collect::<Option<_>>()?;
    let api = api::Settings { timezone: events.timezone(), ..api? };
    let delivery = deliver::Settings { ca_file: network.ca_file, proxy: network.proxy, ..delivery? };
    Some(Config {
        api,
        store: store?,
        sources,
        delivery,
        retention: retention?,
        log: log?,
        sandbox: false,
        paused: false,
    })
}

/// Judges two sections, and none of the others.
pub(super) fn store_and_log(
    layers: &Layers,
    surroundings: &Surroundings,
    problems: &Problems,
) -> Option<(store::Settings, telemetry::Settings)> {
    let of = |name: &'static str| Reader::new(name, layers.section(name), surroundings, problems);
    let (store, log) = (store(of("store")), log(of("log")));
    Some((store?, log?))
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
    let metrics_public = reader.flag("metrics_public");
    let trusted_proxies = reader.list("trusted_proxies", NETWORK, network_of);
    // The section of events says where.
    let (trusted_proxies, timezone) = (trusted_proxies?, TimeZone::UTC);
    let metrics_public = metrics_public?;
    Some(api::Settings { listen: listen?, metrics_public, api_key: api_key?, trusted_proxies, timezone })
}

/// What a network must be.
const NETWORK: &str = "a network such as \"10.1.0.0/16\" or \"fd00::/8\", with no bits set behind the prefix";

/// Reads one.
fn network_of(text: &str) -> Option<IpNet> {
    text.parse().ok().filter(|network: &IpNet| network.addr() == network.network())
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
    let expected = "a number of bytes from 64MiB to 16TiB, such as \"1GiB\"";
    let min_free = reader.parsed("min_free", expected, |text| bytes(text).filter(|bytes| MIN_FREE.contains(bytes)));
    Some(store::Settings { path: path?, encryption_key: encryption_key?, min_free: min_free? })
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
    let probe = reader.duration("probe", PROBE);
    let disable_after = reader.duration("disable_after", DISABLE_AFTER);
    let allow_networks = reader.list("allow_networks", NETWORK, network_of);
    let allow_http = reader.flag("allow_http");
    Some(deliver::Settings {
        timeout: timeout?,
        retry: retry?,
        max_in_flight: usize::try_from(max_in_flight?).ok()?,
        per_endpoint_in_flight: usize::try_from(per_endpoint_in_flight?).ok()?,
        order_wait: order_wait?,
        disable_after: disable_after?,
        sources: Vec::new(),
        livemode: true,
        circuit: Circuit::probing_every(probe?),
        allow_networks: allow_networks?,
        allow_http: allow_http?,
        ca_file: None,
        proxy: None,
    })
}

/// How long what is kept is kept.
fn retention(events: &Reader<'_>, delivery: &Reader<'_>) -> Option<deliver::retention::Settings> {
    let events = events.duration("retention", RETENTION);
    let attempts = delivery.duration("attempt_retention", RETENTION);
    Some(deliver::retention::Settings { events: events?, attempts: attempts? })
}

/// A whole number of bytes with its unit.
fn bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u32); 4] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let (number, shift) = UNITS.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)))?;
    let is_plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse::<u64>().ok().filter(|_| is_plain)?.checked_mul(1 << shift)
}

/// How logs are written.
pub(super) fn log(reader: Reader<'_>) -> Option<telemetry::Settings> {
    let format = reader.word("format", &[("text", telemetry::Format::Text), ("json", telemetry::Format::Json)]);
    let expected = "off, error, warn, info, debug, trace, or a list such as \"info,certhook::deliver=debug\"";
    let level = reader.parsed("level", expected, |text| text.parse().ok());
    Some(telemetry::Settings { format: format?, level: level? })
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
