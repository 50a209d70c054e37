//! Why no signature matches a captured delivery. The code alone does not tell a wrong secret from a changed body. But what
//! usually happens to bodies can be undone, and if a secret signs what comes out, that is proof; and some things no body
//! of ours is like, whoever signed it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{Captured, Distrust};

/// Says how long the body was that was sent, where it was captured, too.
const LENGTH_HEADER: &str = "content-length";

/// How our bodies begin, in both formats.
const FIRST_FIELDS: [&str; 2] = ["id", "specversion"];

/// Something that happens to bodies on their way into a program.
struct Change {
    /// What the body is then.
    undo: fn(&[u8]) -> Option<Vec<u8>>,
    /// What happened, and what to do.
    told: &'static str,
}

const CHANGES: [Change; 6] = [
    Change {
        undo: |body| Some(body.strip_suffix(b"\n").map(|rest| rest.strip_suffix(b"\r").unwrap_or(rest))?.to_vec()),
        told: "the end of a line was added to it; keep it byte for byte",
    },
    Change {
        undo: |body| Some(body.trim_ascii().strip_prefix("\u{feff}".as_bytes()).unwrap_or(body.trim_ascii()).to_vec()),
        told: "there is white space or a byte order mark around it that was not sent; keep it byte for byte",
    },
    Change {
        undo: |body| Some(serde_json::from_slice::<Value>(body).ok()?.to_string().into_bytes()),
        told: "it was read and written anew (white space, escapes), as by a framework that parses JSON; verify the bytes \
               that came",
    },
    Change {
        undo: |body| serde_json::from_slice::<String>(body).ok().map(String::into_bytes),
        told: "it is a JSON string that holds what was sent; read it as JSON once, and verify the text in it",
    },
    Change {
        undo: |body| STANDARD.decode(body.trim_ascii()).ok(),
        told: "it is in base64, as AWS API Gateway hands it on (isBase64Encoded); decode it first",
    },
    Change {
        undo: |body| {
            let letters = std::str::from_utf8(body).ok()?.chars();
            letters.map(|letter| u8::try_from(u32::from(letter)).ok()).collect()
        },
        told: "it was read as Latin-1 and written as UTF-8; take the bytes as they came",
    },
];

/// Why no signature matches, where `signs` tells whether a secret signs another body under the same headers.
pub(super) fn unlike(captured: &Captured, signs: impl Fn(&[u8]) -> bool) -> Distrust {
    let body = captured.body.as_slice();
    let undone = |change: &&Change| (change.undo)(body).is_some_and(|before| before != body && signs(&before));
    if let Some(change) = CHANGES.iter().find(undone) {
        return Distrust::Body(change.told.into());
    }
    if let Some(proof) = surely_changed(captured) {
        return Distrust::Body(proof);
    }
    Distrust::SecretOrBody(
        "either this secret is not the one that signed (another endpoint's, or rotated away since), or a value in the body \
         was changed. To tell which: another capture of the same endpoint with the same secret, if that is good it was \
         this body; or the present secret, `certhook endpoints show ENDPOINT --secret`"
            .into(),
    )
}

/// What no body of ours is like, in words.
fn surely_changed(captured: &Captured) -> Option<String> {
    let body = captured.body.as_slice();
    let sent = captured.header(LENGTH_HEADER).and_then(|length| length.trim().parse::<usize>().ok());
    if let Some(sent) = sent.filter(|sent| *sent != body.len()) {
        return Some(format!("the headers say that {sent} bytes were sent, and these are {}", body.len()));
    }
    let Ok(read) = serde_json::from_slice::<Map<String, Value>>(body) else {
        return Some(format!("it is no JSON object; are these {} bytes all that came?", body.len()));
    };
    let id = read.get("id").and_then(Value::as_str).unwrap_or_default();
    if let Some(named) = captured.id().filter(|named| *named != id) {
        return Some(format!("it is that of {id:?}, and the headers are of {named}"));
    }
    let first = read.keys().next()?;
    if !FIRST_FIELDS.contains(&first.as_str()) {
        return Some(format!(
            "its fields are in another order than was sent ({first:?} comes first): it was read and written anew"
        ));
    }
    // Ours has no white space outside of its texts, so that writing it anew changes nothing.
    if serde_json::to_vec(&read).is_ok_and(|written| written != body) {
        return Some("it is not as it was sent: it was read and written anew, with white space or escapes".into());
    }
    None
}
