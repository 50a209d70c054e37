//! `headers` of an endpoint: which names a subscriber may give, and which values.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::Value;

use crate::api::input::{Input, must_be};
use crate::model::endpoint::{MASK, OwnHeaders};
use crate::model::json::Fields;

/// More is no longer an envelope but a letter.
pub(in crate::api) const HEADERS_MAX: usize = 20;
/// No name that anybody registered is half as long.
const NAME_BYTES_MAX: usize = 128;
/// Enough for any token. Many servers take no more than 8 KiB of headers in all.
pub(in crate::api) const VALUE_BYTES_MAX: usize = 4096;

/// Names that belong to the connection, to proxies and browsers on the way, or to us; in lower case.
const RESERVED: [&str; 15] = [
    "host",
    "connection",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "keep-alive",
    "cookie",
    "forwarded",
    "via",
    "accept-encoding",
    "user-agent",
    "date",
    "age",
];

/// What such names begin with.
const RESERVED_BEGINNINGS: [&str; 7] = ["content-", "proxy-", "x-forwarded-", "sec-", "webhook-", "svix-", "certhook-"];

/// `headers`, none by default. A null leaves its name out.
pub(super) fn headers(input: &mut Input) -> OwnHeaders {
    let mut headers = BTreeMap::new();
    for (name, value) in input.fields("headers").unwrap_or_default() {
        if value.is_null() {
            continue;
        }
        match check(&name, &value) {
            Ok(value) => {
                if headers.insert(name.to_ascii_lowercase(), value).is_some() {
                    input.report(
                        format!("headers.{name}"),
                        "is given more than once; upper and lower case are the same",
                    );
                }
            }
            Err(why) => input.report(format!("headers.{name}"), why),
        }
    }
    if headers.len() > HEADERS_MAX {
        input.report("headers", format!("must have at most {HEADERS_MAX} entries, not {}", headers.len()));
    }
    OwnHeaders::new(headers)
}

/// What is wrong is told without the value.
fn check(name: &str, value: &Value) -> Result<SecretString, String> {
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(is_token) {
        return Err(format!("must have a name of 1 to {NAME_BYTES_MAX} letters, digits and !#$%&'*+-.^_`|~"));
    }
    let lower = name.to_ascii_lowercase();
    if RESERVED.contains(&&*lower) || RESERVED_BEGINNINGS.iter().any(|beginning| lower.starts_with(beginning)) {
        return Err("is reserved for the connection, for proxies or for certhook; choose another name".into());
    }
    let Value::String(value) = value else { return Err(must_be("a string", value)) };
    if value == MASK {
        return Err("is masked, as answers show it; give the whole value, or leave it out of a PATCH".into());
    }
    if !(1..=VALUE_BYTES_MAX).contains(&value.len()) {
        return Err(format!("must have 1 to {VALUE_BYTES_MAX} bytes, not {}", value.len()));
    }
    let is_text = value.bytes().all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t'));
    if !is_text || value.trim() != value {
        return Err("must be ASCII text without line ends, and without spaces around it".into());
    }
    Ok(value.as_str().into())
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Takes the names that a patch speaks of out of the present settings where they are written otherwise, so that a merge
/// meets each header under one name only.
pub(super) fn make_way(present: &mut Fields, patch: &Fields) {
    let (Some(Value::Object(present)), Some(Value::Object(patch))) = (present.get_mut("headers"), patch.get("headers"))
    else {
        return;
    };
    present.retain(|known, _| !patch.keys().any(|name| name.eq_ignore_ascii_case(known)));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reserved_names_are_refused_in_any_case() {
        let reserved = "host connection transfer-encoding te trailer upgrade expect keep-alive cookie forwarded via \
             accept-encoding user-agent date age content-type content-length content-encoding content-x proxy-authorization \
             proxy-connection x-forwarded-for x-forwarded-host sec-fetch-mode webhook-id webhook-signature webhook-x svix-id \
             certhook-attempt certhook-x";
        for name in reserved.split_whitespace() {
            let title: String = name.split_inclusive('-').map(|part| part[..1].to_uppercase() + &part[1..]).collect();
            for spelled in [name.to_owned(), name.to_uppercase(), title] {
                let refused = check(&spelled, &json!("x")).map(drop);
                assert!(refused.is_err_and(|why| why.starts_with("is reserved")), "{spelled}");
            }
        }
    }

    #[test]
    fn names_that_only_look_reserved_are_taken() {
        for name in [
            "authorization",
            "Authorization",
            "x-api-key",
            "X_Key",
            "hosts",
            "x-host",
            "content",
            "proxy",
            "webhook",
            "teapot",
            "x-webhook-id",
            "x-forwarded",
            "!#$%&'*+-.^_`|~9",
        ] {
            assert!(check(name, &json!("x")).is_ok(), "{name}");
        }
    }

    #[test]
    fn what_cannot_stand_in_a_header_is_refused() {
        for name in ["", "a b", "a:", "ü", "a\n", "(a)", "a/b", &"x".repeat(129)] {
            assert!(check(name, &json!("x")).is_err_and(|why| why.starts_with("must have a name")), "{name}");
        }
        let long = "x".repeat(4097);
        for value in [
            json!(""),
            json!("a\r\nb: c"),
            json!("ü"),
            json!(" a"),
            json!("a\t"),
            json!("\u{7f}"),
            json!(1),
            json!(long),
        ] {
            assert!(check("x-key", &value).is_err_and(|why| why.starts_with("must")), "{value}");
        }
        for value in ["a", "a b\tc", "~!\"", &"x".repeat(4096)] {
            assert!(check("x-key", &json!(value)).is_ok(), "{value}");
        }
    }
}
