//! Settings that cannot be used are refused by name, before anything is sent.

use std::sync::Arc;

use certhook::clock::ManualClock;
use certhook::source::http::SetupError;
use certhook::source::numeral::Numeral;
use certhook::source::{Settings, Source};

use super::{API_KEY, settings};

fn refusal(change: impl FnOnce(&mut Settings)) -> SetupError {
    let mut settings = settings("https://api.numeralhq.com");
    change(&mut settings);
    let error = Numeral::new(settings, Arc::new(ManualClock::default())).expect_err("bad settings");
    assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
    error
}

fn base_url(text: &'static str) -> impl FnOnce(&mut Settings) {
    move |settings| settings.base_url = text.parse().expect("a URL")
}

#[test]
fn good_settings_give_a_source_that_tells_nothing_of_its_key() {
    let numeral = Numeral::new(settings("http://127.0.0.1:1"), Arc::new(ManualClock::default())).expect("a source");
    assert_eq!((numeral.name().as_str(), numeral.api_version()), ("numeral", "2026-03-01"));
    assert!(!format!("{numeral:?}").contains(API_KEY));
}

#[test]
fn every_bad_setting_is_named_with_what_would_be_right() {
    let bad_base = "base_url: must be http or https with a host, without user, password, query or fragment";
    let bad_rate = "requests_per_second: must be above 0, and at least one call an hour (0.0003)";
    let unprintable = "must be visible ASCII without line breaks";
    let rate = |rate: f64| refusal(|settings| settings.requests_per_second = rate).to_string();
    for (told, expected) in [
        (rate(0.0), bad_rate),
        (rate(-1.0), bad_rate),
        (rate(f64::NAN), bad_rate),
        (refusal(|settings| settings.page_size = 0).to_string(), "page_size: must be from 1 to 100"),
        (refusal(|settings| settings.page_size = 101).to_string(), "page_size: must be from 1 to 100"),
        (refusal(base_url("ftp://api.test")).to_string(), bad_base),
        (refusal(base_url("mailto:secret@api.test")).to_string(), bad_base),
        (refusal(base_url("https://user:secret@api.test")).to_string(), bad_base),
        (refusal(base_url("https://api.test/?key=secret")).to_string(), bad_base),
        (refusal(|settings| settings.api_key = "secret\n".into()).to_string(), &format!("api_key: {unprintable}")),
        (
            refusal(|settings| settings.api_version = "2026\r\nx: y".into()).to_string(),
            &format!("api_version: {unprintable}"),
        ),
    ] {
        assert_eq!(told, expected);
    }
}

#[test]
fn a_ca_file_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let garbage = folder.path().join("garbage.pem");
    std::fs::write(&garbage, "this is no PEM").expect("written");
    let broken = folder.path().join("broken.pem");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("written");
    for (path, reason) in [
        (folder.path().join("missing.pem"), "No such file"),
        (folder.path().into(), "directory"),
        (garbage, "holds no certificate"),
        (broken, "certificate"),
    ] {
        let error = refusal(|settings| settings.ca_file = Some(path.clone()));
        let told = error.to_string();
        assert!(matches!(error, SetupError::CaFile { .. }), "{told}");
        assert!(told.starts_with(&format!("ca_file {}: ", path.display())) && told.contains(reason), "{told}");
    }
}
