//! The shipped `config.toml`: defaults and manual in one.

use std::path::Path;
use std::time::Duration;

use certhook::config::Config;
use certhook::telemetry;
use certhook::watch::{Baseline, RemovalGuard, Schedule};
use jiff::civil::Time;
use jiff::tz::TimeZone;
use secrecy::ExposeSecret;

use super::{environment, load, problems};

const SHIPPED: &str = include_str!("../../../config.toml");

#[test]
fn an_empty_file_gives_the_documented_defaults() {
    let config = load("", &[]).unwrap();
    assert_eq!(config.api.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.api.api_key.expose_secret(), "0123456789abcdef01234567");
    assert!(!config.api.metrics_public);
    assert!(config.api.trusted_proxies.is_empty());
    assert!(config.store.path.ends_with("data"));
    assert!(config.store.encryption_key.is_none(), "the store makes its own key");

    let [source] = config.sources.as_slice() else { panic!("one source: {config:?}") };
    assert_eq!(source.source.name.as_str(), "numeral");
    assert_eq!(source.source.base_url.as_str(), "https://api.numeralhq.com/");
    assert_eq!(source.source.api_key.expose_secret(), "sk_prod_of_nobody");
    assert_eq!(source.source.api_version, "2026-03-01");
    assert_eq!(source.source.requests_per_second, 5.0);
    assert_eq!(source.source.page_size, 100);
    assert_eq!((&source.source.ca_file, &source.source.proxy), (&None, &None));
    assert_eq!(source.watch.changes, Schedule::Every(Duration::from_secs(30)));
    assert_eq!(source.watch.overlap, Duration::from_secs(300));
    assert_eq!(source.watch.sweep, Schedule::Cron("0 15 3 * * *".into()));
    assert_eq!(source.watch.baseline, Baseline::Silent);
    assert_eq!(source.watch.open, Schedule::Every(Duration::from_secs(300)));
    assert_eq!(source.watch.removal_guard, RemovalGuard { count: 10, share: 0.10 });
    assert_eq!(source.watch.ignore_fields, Vec::<String>::new());
    assert_eq!(source.watch.dates.will_expire, [60, 30, 14, 7, 1]);
    assert_eq!(source.watch.dates.remind_at, Time::constant(9, 0, 0, 0));
    assert_eq!(source.watch.dates.timezone, TimeZone::UTC);

    let delivery = &config.delivery;
    assert_eq!(delivery.timeout, Duration::from_secs(15));
    let hours = |count: u64| count * 3600;
    let waits = [5, 300, 1800, hours(2), hours(5), hours(10), hours(14), hours(20), hours(24)];
    assert_eq!(delivery.retry, waits.map(Duration::from_secs));
    assert_eq!((delivery.max_in_flight, delivery.per_endpoint_in_flight), (512, 16));
    assert_eq!(delivery.order_wait, Duration::from_secs(3600));
    assert_eq!(delivery.circuit.probe, Duration::from_secs(300));
    assert_eq!(delivery.disable_after, Duration::from_secs(hours(120)));
    assert_eq!((delivery.allow_networks.len(), delivery.allow_http), (0, false));
    assert_eq!((&delivery.ca_file, &delivery.proxy), (&None, &None));
    assert_eq!(config.store.min_free, 1 << 30);
    let days = |count: u64| Duration::from_secs(hours(24) * count);
    assert_eq!((config.retention.events, config.retention.attempts), (days(30), days(30)));
    assert_eq!(config.log.format, telemetry::Format::Text);
    assert_eq!(config.log.level, "info".parse().unwrap());
}

#[test]
fn the_shipped_file_changes_nothing() {
    let shown = |toml| {
        let mut config = load(toml, &[]).unwrap();
        config.store.path = "data".into();
        format!("{config:?}")
    };
    assert_eq!(shown(SHIPPED), shown(""));
}

#[test]
fn without_a_path_the_file_of_the_working_directory_counts() {
    // Tests run in the folder that holds the shipped file.
    let found = Config::load(None, environment(&[])).unwrap();
    let given = Config::load(Some(Path::new("config.toml")), environment(&[])).unwrap();
    assert_eq!(format!("{found:?}"), format!("{given:?}"));
    assert_eq!(found.store.path, Path::new("data"), "relative to the file's folder");
}

/// The lines of the shipped file that set a key: line number, section, key, comment.
fn keys() -> Vec<(usize, String, String, &'static str)> {
    let mut section = String::new();
    let mut keys = Vec::new();
    for (index, line) in SHIPPED.lines().enumerate() {
        let (code, comment) = line.split_once('#').unwrap_or((line, ""));
        if let Some(name) = code.trim().strip_prefix('[') {
            section = name.trim_matches(['[', ']', ' ']).into();
        } else if let Some((key, _)) = code.split_once('=') {
            keys.push((index + 1, section.clone(), key.trim().into(), comment.trim()));
        }
    }
    keys
}

#[test]
fn every_key_has_a_line_of_why() {
    assert_eq!(keys().len(), 39, "a new key comes with its line of why, and with a test of its bounds");
    for (line, section, key, comment) in keys() {
        assert!(comment.len() > 10, "line {line}: {section}.{key} says nothing of itself");
    }
}

#[test]
fn every_key_is_read_and_can_be_overridden() {
    for (_, section, key, _) in keys() {
        // No key takes a bare date.
        let header = match section.as_str() {
            "sources" => "[[sources]]".into(),
            "sources.poll" => "[[sources]]\n[sources.poll]".into(),
            other => format!("[{other}]"),
        };
        let lines = header.lines().count() + 1;
        let errors = load(&format!("{header}\n{key} = 1979-05-27"), &[]).unwrap_err();
        let start = format!("certhook.toml:{lines}: {section}.{key} must be ");
        let found = problems(&errors);
        assert!(found.iter().all(|problem| problem.starts_with(&start)) && found.len() == 1, "{start}: {found:?}");

        let section = section.replace("sources", "sources.numeral").replace('.', "__");
        let variable = format!("CERTHOOK_{section}__{key}").to_uppercase();
        // Nor does any take this, except secrets, which are checked elsewhere.
        let Err(errors) = load("", &[(&variable, "\u{7f} [")]) else { panic!("{variable} is not read") };
        let found = problems(&errors);
        assert!(found.iter().all(|problem| problem.starts_with(&format!("{variable}: "))), "{variable}: {found:?}");
    }
}
