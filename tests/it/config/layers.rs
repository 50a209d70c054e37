//! The file over the defaults, the environment over the file.

use std::time::Duration;

use certhook::telemetry::Format;
use certhook::watch::{Baseline, RemovalGuard, Schedule};
use jiff::civil::Time;
use secrecy::ExposeSecret;

use super::{load, problems};

#[test]
fn a_file_replaces_the_defaults_key_by_key() {
    let config = load("[delivery]\ntimeout = \"5s\"\n[log]\nformat = \"json\"", &[]).unwrap();
    assert_eq!(config.delivery.timeout, Duration::from_secs(5));
    assert_eq!(config.delivery.retry.len(), 9);
    assert_eq!(config.log.format, Format::Json);
    assert_eq!(config.log.level, "info".parse().unwrap());
}

#[test]
fn sources_replace_the_default_one_as_a_whole_and_take_its_values_for_what_they_leave_out() {
    let toml = "
[[sources]]
name = \"eu\"
api_key = \"sk_live_eu\"
[sources.poll]
changes = \"10s\"
sweep = \"12h\"

[[sources]]
name = \"us-1\"
base_url = \"http://127.0.0.1:9000\"
requests_per_second = 0.5
poll = { baseline = \"emit\", page_size = 10, open = \"0 */10 * * * *\", removal_guard = { share = 1, count = 3 } }

[events]
ignore_fields = [\"notes\"]
will_expire = [7, 90, 0, 3650]
remind_at = \"23:59\"
timezone = \"America/New_York\"

[network]
proxy = \"http://proxy.internal:3128\"
";
    let config = load(toml, &[("CERTHOOK_SOURCES__US_1__POLL__OVERLAP", "1m")]).unwrap();
    let [eu, us] = config.sources.as_slice() else { panic!("two sources: {config:?}") };
    assert_eq!((eu.source.name.as_str(), us.source.name.as_str()), ("eu", "us-1"));
    assert_eq!(eu.source.api_key.expose_secret(), "sk_live_eu");
    assert_eq!(us.source.api_key.expose_secret(), "sk_prod_of_nobody");
    assert_eq!(eu.source.base_url.as_str(), "https://api.numeralhq.com/");
    assert_eq!(us.source.base_url.as_str(), "http://127.0.0.1:9000/");
    assert_eq!((eu.source.requests_per_second, us.source.requests_per_second), (5.0, 0.5));
    assert_eq!((eu.source.page_size, us.source.page_size), (100, 10));
    assert_eq!(eu.watch.changes, Schedule::Every(Duration::from_secs(10)));
    assert_eq!(eu.watch.sweep, Schedule::Every(Duration::from_secs(12 * 3600)));
    assert_eq!(us.watch.changes, Schedule::Every(Duration::from_secs(30)));
    assert_eq!((eu.watch.overlap, us.watch.overlap), (Duration::from_secs(300), Duration::from_secs(60)));
    assert_eq!((eu.watch.baseline, us.watch.baseline), (Baseline::Silent, Baseline::Emit));
    assert_eq!(eu.watch.open, Schedule::Every(Duration::from_secs(300)));
    assert_eq!(us.watch.open, Schedule::Cron("0 */10 * * * *".into()));
    assert_eq!(eu.watch.removal_guard, RemovalGuard { count: 10, share: 0.10 });
    assert_eq!(us.watch.removal_guard, RemovalGuard { count: 3, share: 1.0 });
    for source in &config.sources {
        assert_eq!(source.watch.dates.will_expire, [3650, 90, 7, 0], "the farthest first");
        assert_eq!(source.watch.dates.remind_at, Time::constant(23, 59, 0, 0));
        assert_eq!(source.watch.dates.timezone.iana_name(), Some("America/New_York"));
        assert_eq!(source.watch.ignore_fields, ["notes"]);
        assert_eq!(source.source.proxy, config.delivery.proxy);
        assert!(source.source.proxy.is_some());
    }
}

#[test]
fn variables_replace_the_file_key_by_key() {
    let toml = "[server]\nlisten = \"127.0.0.1:1\"\n[delivery]\nallow_http = false\nmax_in_flight = 100";
    let config = load(
        toml,
        &[
            ("CERTHOOK_SERVER__LISTEN", "[::1]:2"),
            ("CERTHOOK_SERVER__API_KEY", "a-root-key-with-40-characters-or-even-more"),
            ("CERTHOOK_STORE__URL", "sled:/var/lib/certhook"),
            ("CERTHOOK_SOURCES__NUMERAL__API_KEY", "sk_live_override"),
            ("CERTHOOK_SOURCES__NUMERAL__REQUESTS_PER_SECOND", "2.5"),
            ("CERTHOOK_SOURCES__NUMERAL__POLL__CHANGES", "0 */2 * * * *"),
            ("CERTHOOK_SOURCES__NUMERAL__POLL__OPEN", "90s"),
            ("CERTHOOK_SOURCES__NUMERAL__POLL__REMOVAL_GUARD", "{ count = 50, share = 0.25 }"),
            ("CERTHOOK_EVENTS__IGNORE_FIELDS", "notes,tags"),
            ("CERTHOOK_EVENTS__WILL_EXPIRE", "7, 30"),
            ("CERTHOOK_EVENTS__REMIND_AT", "18:30"),
            ("CERTHOOK_EVENTS__TIMEZONE", "Europe/Berlin"),
            ("CERTHOOK_DELIVERY__RETRY", "[\"1s\", \"2m 30s\"]"),
            ("CERTHOOK_DELIVERY__ALLOW_NETWORKS", "10.0.0.0/8, fd00::/8"),
            ("CERTHOOK_DELIVERY__ALLOW_HTTP", "true"),
            ("CERTHOOK_DELIVERY__PER_ENDPOINT_IN_FLIGHT", "50"),
            ("CERTHOOK_LOG__LEVEL", "warn,certhook::deliver=debug"),
        ],
    )
    .unwrap();
    assert_eq!(config.api.listen.to_string(), "[::1]:2");
    assert_eq!(config.api.api_key.expose_secret(), "a-root-key-with-40-characters-or-even-more");
    assert_eq!(config.store.path.to_str(), Some("/var/lib/certhook"));
    assert_eq!(config.sources[0].source.api_key.expose_secret(), "sk_live_override");
    assert_eq!(config.sources[0].source.requests_per_second, 2.5);
    assert_eq!(config.sources[0].watch.changes, Schedule::Cron("0 */2 * * * *".into()));
    assert_eq!(config.sources[0].watch.open, Schedule::Every(Duration::from_secs(90)));
    assert_eq!(config.sources[0].watch.removal_guard, RemovalGuard { count: 50, share: 0.25 });
    assert_eq!(config.sources[0].watch.ignore_fields, ["notes", "tags"]);
    let dates = &config.sources[0].watch.dates;
    assert_eq!((&dates.will_expire[..], dates.remind_at), (&[30, 7][..], Time::constant(18, 30, 0, 0)));
    assert_eq!(dates.timezone.iana_name(), Some("Europe/Berlin"));
    for (list, expected) in [("", &[][..]), ("[]", &[]), ("[1, 2]", &[2, 1]), ("5", &[5])] {
        let config = load("", &[("CERTHOOK_EVENTS__WILL_EXPIRE", list)]).unwrap();
        assert_eq!(config.sources[0].watch.dates.will_expire, expected, "{list:?}");
    }
    assert_eq!(config.delivery.retry, [Duration::from_secs(1), Duration::from_secs(150)]);
    let networks: Vec<String> = config.delivery.allow_networks.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.0.0.0/8", "fd00::/8"]);
    assert!(config.delivery.allow_http);
    assert_eq!((config.delivery.max_in_flight, config.delivery.per_endpoint_in_flight), (100, 50));
    assert_eq!(config.log.level, "warn,certhook::deliver=debug".parse().unwrap());
}

#[test]
fn problems_with_variables_name_them() {
    let variables = [
        ("CERTHOOK_SERVER__LISTEN", "8080"),
        ("CERTHOOK_SERVER__LISTN", "127.0.0.1:1"),
        ("CERTHOOK_DELIVERY__RETRY", "5s,soon"),
        ("CERTHOOK_EVENTS__WILL_EXPIRE", "60,soon"),
        ("CERTHOOK_SOURCES__NUMERAL__POLL__PAGE_SIZE", "many"),
        ("CERTHOOK_SOURCES__NUMERAL__POLL__REMOVAL_GUARD", "{ count = 10, share = 2 }"),
        ("CERTHOOK_SOURCES__OTHER__API_KEY", "sk_live_x"),
        ("CERTHOOK_STORE__ENCRYPTION_KEY", "canary"),
        ("CERTHOOK_API", "http://127.0.0.1:8080"),
        ("CERTHOOK_ANYTHING", "not an override: it has no __"),
    ];
    let wait = "must be a duration from 1s to 7d, such as \"30s\"; it is \"soon\"";
    assert_eq!(
        problems(&load("", &variables).unwrap_err()),
        [
            format!("CERTHOOK_DELIVERY__RETRY: item 2 of delivery.retry {wait}").as_str(),
            "CERTHOOK_EVENTS__WILL_EXPIRE: item 2 of events.will_expire must be a whole number from 0 to 3650; it is \
             \"soon\"",
            "CERTHOOK_SERVER__LISTEN: server.listen must be an IP address and a port, such as \"127.0.0.1:8080\"; \
             it is \"8080\"",
            "CERTHOOK_SERVER__LISTN: overrides no key; did you mean CERTHOOK_SERVER__LISTEN?",
            "CERTHOOK_SOURCES__NUMERAL__POLL__PAGE_SIZE: sources.poll.page_size must be a whole number from 1 to 100; \
             it is \"many\"",
            "CERTHOOK_SOURCES__NUMERAL__POLL__REMOVAL_GUARD: sources.poll.removal_guard.share must be a number from 0 \
             to 1; it is 2",
            "CERTHOOK_SOURCES__OTHER__API_KEY: overrides no key",
            "CERTHOOK_STORE__ENCRYPTION_KEY: store.encryption_key must be 32 bytes in base64, such as \
             `openssl rand -base64 32` prints; it is no base64",
        ]
    );
}

#[test]
fn variables_are_judged_even_where_the_file_is_no_toml() {
    let errors = load("[log", &[("CERTHOOK_LOG__LEVL", "info")]).unwrap_err();
    assert_eq!(
        problems(&errors),
        [
            "certhook.toml:1: not TOML: unclosed table, expected `]`",
            "CERTHOOK_LOG__LEVL: overrides no key; did you mean CERTHOOK_LOG__LEVEL?",
        ]
    );
}

#[test]
fn relative_paths_start_at_the_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("roots.pem"), "").unwrap();
    let path = folder.path().join("certhook.toml");
    std::fs::write(&path, "[store]\nurl = \"sled:kept/here\"\n[network]\nca_file = \"roots.pem\"").unwrap();
    let config = super::load_from(&path, &[]).unwrap();
    assert_eq!(config.store.path, folder.path().join("kept/here"));
    assert_eq!(config.delivery.ca_file, Some(folder.path().join("roots.pem")));
    assert_eq!(config.sources[0].source.ca_file, config.delivery.ca_file);
}
