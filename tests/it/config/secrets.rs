//! Secrets: where they may be, and that nothing shows them.

use certhook::config::Config;
use secrecy::ExposeSecret;

use super::{load, load_from, problems};

/// 32 bytes in base64.
const ENCRYPTION_KEY: &str = "Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2E=";

#[test]
fn a_secret_is_a_text_a_variable_or_a_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("root.key"), "root-key-of-32-characters-canary\r\n").unwrap();
    let path = folder.path().join("certhook.toml");
    let toml = "[server]\napi_key = { file = \"root.key\" }\n[[sources]]\napi_key = { env = \"SOURCE_KEY\" }\n\
                [store]\nencryption_key = \"Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2E=\"";
    std::fs::write(&path, toml).unwrap();
    let config = load_from(&path, &[("SOURCE_KEY", "sk_live_canary")]).unwrap();
    assert_eq!(config.api.api_key.expose_secret(), "root-key-of-32-characters-canary");
    assert_eq!(config.sources[0].source.api_key.expose_secret(), "sk_live_canary");
    let encryption_key = config.store.encryption_key.as_ref().expect("a key");
    assert_eq!(encryption_key.expose_secret(), b"canarycanarycanarycanarycanaryca");
    assert_nothing_shown(&config);
}

fn assert_nothing_shown(config: &Config) {
    for shown in [format!("{config:?}"), format!("{config:#?}")] {
        assert!(!shown.contains("canary") && !shown.contains("Y2Fu"), "{shown}");
        assert!(!shown.contains("99, 97, 110, 97, 114, 121"), "{shown}");
    }
}

#[test]
fn a_variable_may_hold_a_secret_or_say_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("source.key");
    std::fs::write(&file, "sk_live_canary\n").unwrap();
    let elsewhere = format!("{{ file = {:?} }}", file.to_str().unwrap());
    let config = load("", &[("CERTHOOK_SOURCES__NUMERAL__API_KEY", &elsewhere)]).unwrap();
    assert_eq!(config.sources[0].source.api_key.expose_secret(), "sk_live_canary");
    let braces = "{braces-are-no-table-by-themselves-canary";
    let config = load("", &[("CERTHOOK_SERVER__API_KEY", braces)]).unwrap();
    assert_eq!(config.api.api_key.expose_secret(), braces);
    assert_nothing_shown(&config);
}

#[test]
fn a_live_key_of_the_vendor_may_have_any_prefix() {
    for key in ["sk_prod_1", "sk_live_1", "sk_1", "another"] {
        let config = load("", &[("CERTHOOK_SOURCES__NUMERAL__API_KEY", key)]).unwrap();
        assert_eq!(config.sources[0].source.api_key.expose_secret(), key);
    }
    let errors = load("", &[("CERTHOOK_SOURCES__NUMERAL__API_KEY", "sk_test_1")]).unwrap_err();
    assert!(problems(&errors)[0].contains("is a test key (sk_test_…)"), "{errors}");
}

#[test]
fn only_the_line_end_of_a_file_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("certhook.toml");
    std::fs::write(&path, "[[sources]]\napi_key = { file = \"key\" }").unwrap();
    let check = |content: &str, expected: &[&str]| {
        std::fs::write(folder.path().join("key"), content).unwrap();
        let found = load_from(&path, &[]).map(|_| Vec::new()).unwrap_or_else(|errors| problems(&errors));
        assert_eq!(found, expected, "{content:?}");
    };
    let no_bearer = "certhook.toml:2: sources.api_key must be ASCII letters, digits and signs without spaces, at least \
                     one: it travels in a header";
    check("sk_live_1\n", &[]);
    check("sk_live_1", &[]);
    check("sk_live_1\n\n", &[no_bearer]);
    check(" sk_live_1\n", &[no_bearer]);
    check("\n", &["certhook.toml:2: sources.api_key needs the file key, which cannot be read: it is empty"]);
    let large = "x".repeat(64 * 1024 + 1);
    check(
        &large,
        &["certhook.toml:2: sources.api_key needs the file key, which cannot be read: it is larger than 64 KiB"],
    );
}

#[test]
fn the_encryption_key_may_be_absent_only_by_its_own_variable() {
    let key = |toml, variables: &[_]| load(toml, variables).map(|config| config.store.encryption_key.is_some());
    assert!(!key("", &[]).unwrap());
    assert!(key("", &[("CERTHOOK_ENCRYPTION_KEY", ENCRYPTION_KEY)]).unwrap());
    let errors = key("", &[("CERTHOOK_ENCRYPTION_KEY", "")]).unwrap_err();
    let empty = "needs the variable CERTHOOK_ENCRYPTION_KEY, which is empty; set it or unset it";
    assert_eq!(problems(&errors), [format!("default: store.encryption_key {empty}")]);
    let errors = key("[store]\nencryption_key = { env = \"KEY\" }", &[]).unwrap_err();
    assert!(problems(&errors)[0].starts_with("certhook.toml:2: store.encryption_key needs the variable KEY"));
}

#[test]
fn missing_keys_are_told_together_with_the_variables_that_lack_them() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let errors = Config::load(Some(empty.path()), []).unwrap_err();
    assert_eq!(
        problems(&errors),
        [
            "default: server.api_key needs the variable CERTHOOK_API_KEY, which is not set; give it at least 24 \
             characters, such as `openssl rand -hex 32` prints",
            "default: sources.api_key needs the variable NUMERAL_API_KEY, which is not set; give it the \
             vendor's live key",
        ]
    );
}

#[test]
fn what_the_store_needs_is_read_without_the_keys_of_anything_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("certhook.toml");
    let load = |toml: &str, variables: &[(&str, &str)]| {
        std::fs::write(&path, toml).unwrap();
        Config::load_store(Some(&path), variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    };
    let toml = "[server]\napi_key = \"short\"\n[store]\nurl = \"sled:elsewhere\"\n";
    let (store, _) = load(toml, &[("CERTHOOK_ENCRYPTION_KEY", ENCRYPTION_KEY)]).unwrap();
    assert_eq!(store.path, folder.path().join("elsewhere"));
    let key = store.encryption_key.expect("a key");
    assert_eq!(key.expose_secret(), b"canarycanarycanarycanarycanaryca");
    let (store, _) = load("", &[]).unwrap();
    assert!(store.encryption_key.is_none());
    let errors = load("[store]\nurl = \"postgres://x\"\n[serve]\n[log]\nlevel = \"loud\"\n", &[]).unwrap_err();
    let found = problems(&errors);
    let beginnings =
        ["certhook.toml:2: store.url", "certhook.toml:3: unknown section serve", "certhook.toml:5: log.level"];
    assert_eq!(found.len(), beginnings.len(), "{found:#?}");
    assert!(found.iter().zip(beginnings).all(|(found, beginning)| found.starts_with(beginning)), "{found:#?}");
}
