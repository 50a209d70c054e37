//! The configuration of the sandbox, which touches nothing that was configured.

use std::path::PathBuf;
use std::time::Duration;

use certhook::config::{Config, Errors, SANDBOX_KEY};
use certhook::telemetry::Format;
use certhook::watch::Schedule;
use secrecy::ExposeSecret;

use super::problems;

/// The sandbox over a file of this content, with these variables and nothing else.
fn sandbox(toml: &str, variables: &[(&str, &str)]) -> (PathBuf, Result<Config, Errors>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("certhook.toml");
    std::fs::write(&path, toml).expect("a file");
    let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let upstream = "http://127.0.0.1:8091".parse().expect("a URL");
    (folder.path().into(), Config::sandbox(Some(&path), environment, &upstream))
}

#[test]
fn the_sandbox_needs_nothing_and_stays_at_home() {
    let (folder, config) = sandbox("", &[]);
    let config = config.unwrap();
    assert!(config.api.listen.ip().is_loopback());
    assert_eq!(config.api.api_key.expose_secret(), SANDBOX_KEY);
    assert_eq!(SANDBOX_KEY, "sandbox-key-for-local-use-only");
    assert_eq!(config.store.path, folder.join("sandbox-data"));
    assert!(config.store.encryption_key.is_none());
    let [source] = config.sources.as_slice() else { panic!("one source: {config:?}") };
    assert_eq!(source.source.name.as_str(), "numeral");
    assert_eq!(source.source.base_url.as_str(), "http://127.0.0.1:8091/");
    assert_eq!(source.source.api_key.expose_secret(), SANDBOX_KEY);
    assert_eq!(source.watch.changes, Schedule::Every(Duration::from_secs(1)));
    let networks: Vec<String> = config.delivery.allow_networks.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["127.0.0.0/8", "::1/128"]);
    assert!(!config.delivery.allow_http, "plain http to loopback only");
}

#[test]
fn the_sandbox_touches_no_configured_source_key_or_store() {
    let toml = "
[server]
listen = \"127.0.0.1:9999\"
api_key = { file = \"no/such/file\" }
[store]
url = \"sled:precious\"
encryption_key = { env = \"NO_SUCH_VARIABLE\" }
[network]
proxy = \"http://proxy.internal:3128\"
[[sources]]
name = \"live\"
api_key = \"sk_live_canary\"
base_url = \"https://api.numeralhq.com\"
[delivery]
allow_networks = [\"10.0.0.0/8\"]
allow_http = true
[log]
format = \"json\"
";
    let variables = [
        ("CERTHOOK_API_KEY", "canary-canary-canary-canary"),
        ("CERTHOOK_ENCRYPTION_KEY", "canary"),
        ("CERTHOOK_SOURCES__LIVE__API_KEY", "sk_live_canary"),
        ("CERTHOOK_STORE__URL", "sled:precious"),
        ("CERTHOOK_LOG__LEVEL", "warn"),
    ];
    let (folder, config) = sandbox(toml, &variables);
    let config = config.unwrap();
    let (_, plain) = sandbox("", &[]);
    let mut plain = plain.unwrap();
    assert_eq!(config.api.listen.to_string(), "127.0.0.1:9999");
    assert_eq!((config.log.format, config.log.level.clone()), (Format::Json, "warn".parse().unwrap()));
    assert_eq!(config.api.api_key.expose_secret(), SANDBOX_KEY);
    assert_eq!(config.sources[0].source.api_key.expose_secret(), SANDBOX_KEY);
    // Beyond what counts, and the folder of the test, it is as if nothing had been configured.
    plain.api.listen = config.api.listen;
    plain.log = config.log.clone();
    plain.store.path = folder.join("sandbox-data");
    assert_eq!(format!("{config:?}"), format!("{plain:?}"));
}

#[test]
fn the_sandbox_listens_on_loopback_alone() {
    let check = |toml, variables: &[_], expected: &str| {
        assert_eq!(problems(&sandbox(toml, variables).1.unwrap_err()), [expected]);
    };
    let what = "server.listen must be a loopback address with --sandbox; it is \"0.0.0.0:8080\"";
    check("[server]\nlisten = \"0.0.0.0:8080\"", &[], &format!("certhook.toml:2: {what}"));
    check("", &[("CERTHOOK_SERVER__LISTEN", "0.0.0.0:8080")], &format!("CERTHOOK_SERVER__LISTEN: {what}"));
    check("[log]\nlevl = \"info\"", &[], "certhook.toml:2: unknown key log.levl; did you mean log.level?");
}
