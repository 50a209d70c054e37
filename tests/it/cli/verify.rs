//! Captured webhooks, checked without a gateway.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certhook::app::webhook::signed;
use certhook::clock::{Clock, SystemClock};
use certhook::model::endpoint::SigningSecret;
use certhook::model::id::{EventId, Position};
use certhook::model::time::Timestamp;
use serde_json::{Value, json};

use super::shell::{Said, Shell};
use crate::support::receiver::SECRET;

const OTHER: &str = "whsec_b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXItMTI=";

struct Capture {
    folder: tempfile::TempDir,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Capture {
    fn at(signed_at: Timestamp) -> Self {
        let id = EventId { position: Position(7), epoch: 1_795_233_600, start: 5 };
        let body = format!(r#"{{"id":"{id}","type":"certificate.active","data":{{"n":1.10,"name":"Café"}}}}"#);
        let secret = SigningSecret::parse_text(SECRET).expect("a secret");
        let headers = signed(&secret, &id.to_string(), body.as_bytes(), signed_at).expect("headers");
        Self { folder: tempfile::tempdir().expect("a folder"), headers, body }
    }

    fn now() -> Self {
        Self::at(SystemClock::default().now())
    }

    async fn verified(&self, secret: &str, further: &[&str]) -> Said {
        let write = |name: &str, text: &str| std::fs::write(self.folder.path().join(name), text).expect("a file");
        let lines: Vec<_> = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        write("headers", &format!("POST /hook HTTP/1.1\r\nhost: a.example\r\n{}\r\n", lines.concat()));
        write("body", &self.body);
        let arguments = ["verify", "--secret", secret, "--headers", "headers", "--body", "body"];
        shell(self.folder.path()).run(&[&arguments[..], further].concat()).await
    }
}

fn shell(folder: &Path) -> Shell {
    Shell::new(folder, "http://127.0.0.1:1", None)
}

fn assert_distrusted(said: &Said, cause: &str) {
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    assert!(said.err.starts_with("certhook: it is not to be trusted: ") && said.err.contains(cause), "{said:?}");
    assert!(!said.err.contains("whsec_b3") && !said.err.contains(SECRET), "a secret is not shown: {said:?}");
}

#[tokio::test]
async fn a_capture_as_it_was_sent_is_good() {
    let said = Capture::now().verified(SECRET, &[]).await;
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    assert!(said.out.starts_with("It is what was sent: evt_"));
    let said = Capture::now().verified(SECRET, &["--json"]).await;
    let told: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((said.code, &told["verified"], &told["cause"]), (0, &json!(true), &json!(null)));
    let said = Capture::now().verified(OTHER, &["--json"]).await;
    let told: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((said.code, &told["verified"], &told["cause"]), (1, &json!(false), &json!("secret_or_body")));
}

#[tokio::test]
async fn any_of_several_secrets_may_have_signed() {
    for secrets in [[OTHER, SECRET], [SECRET, OTHER]] {
        let said = Capture::now().verified(secrets[0], &["--secret", secrets[1]]).await;
        let place = if secrets[0] == SECRET { 1 } else { 2 };
        assert!(said.code == 0 && said.out.ends_with(&format!(" (signed with secret {place})\n")), "{said:?}");
    }
    let said = Capture::now().verified(OTHER, &["--secret", "hush"]).await;
    assert_distrusted(&said, "the secret: the one in place 2 must be whsec_");
}

#[tokio::test]
async fn each_cause_is_told_by_its_name() {
    let capture = Capture::now();
    let either = "the secret or the body: either this secret is not the one that signed";
    assert_distrusted(&capture.verified(OTHER, &[]).await, either);
    assert_distrusted(&capture.verified("hush", &[]).await, "the secret: it must be whsec_");

    for (change, cause) in [
        (|body: &str| format!("{body}\n"), "the body: the end of a line was added"),
        (|body: &str| body.replace(':', ": "), "the body: it was read and written anew"),
        (|body: &str| body[..body.len() - 3].to_owned(), "the body: it is no JSON"),
        (|body: &str| body.replace("evt_", "evt_x"), "the body: it is that of"),
        (|body: &str| format!("\u{feff}{body}"), "the body: there is white space or a byte order mark around it"),
        (|body: &str| body.replace('é', "\\u00e9"), "the body: it was read and written anew"),
        (|body: &str| body.replace('é', "Ã©"), "the body: it was read as Latin-1"),
        (|body: &str| json!(body).to_string(), "the body: it is a JSON string that holds what was sent"),
        (|body: &str| STANDARD.encode(body), "the body: it is in base64"),
        // What cannot be undone, and yet was done.
        (|body: &str| body.replace("1.10", "1.1").replace(':', ": "), "the body: it is not as it was sent"),
        (
            |body: &str| body.replace(r#""id""#, r#""a":1,"id""#),
            r#"the body: its fields are in another order than was sent ("a" comes first)"#,
        ),
        (
            |body: &str| body.replace("1.10", "1.11"),
            "or a value in the body was changed. To tell which: another capture",
        ),
    ] as [(fn(&str) -> String, &str); 12]
    {
        let changed = Capture { body: change(&capture.body), ..Capture::now() };
        assert_distrusted(&changed.verified(SECRET, &[]).await, cause);
    }

    // With the length that was sent, a value that was changed is told, too.
    let mut shorter = Capture { body: capture.body.replace("1.10", "2.5"), ..Capture::now() };
    shorter.headers.push(("content-length", capture.body.len().to_string()));
    assert_distrusted(&shorter.verified(SECRET, &[]).await, "the body: the headers say that");

    let mut torn = Capture::now();
    torn.headers[1].1 = "soon".into();
    assert_distrusted(&torn.verified(SECRET, &[]).await, "a header: the header webhook-timestamp is malformed");
    torn.headers.remove(1);
    assert_distrusted(&torn.verified(SECRET, &[]).await, "a header: the header webhook-timestamp is missing");
}

#[tokio::test]
async fn an_old_capture_is_only_old_unless_something_worse_is_wrong_with_it() {
    let hour_ago = SystemClock::default().now().minus(std::time::Duration::from_secs(3_600));
    let capture = Capture::at(hour_ago);
    assert_distrusted(&capture.verified(SECRET, &[]).await, "its age: it was signed 36");
    assert_distrusted(&capture.verified(OTHER, &[]).await, "the secret or the body: ");
    assert_eq!(capture.verified(SECRET, &["--tolerance", "2h"]).await.code, 0);
    let ahead = Capture::at(SystemClock::default().now().plus(std::time::Duration::from_secs(3_600)));
    assert_distrusted(&ahead.verified(SECRET, &[]).await, "this clock is slow");
}
