//! The shapes of values that have a text form of their own, for those who describe what we answer.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::endpoint::RateLimit;
use super::event::EventType;
use super::id::{AuditId, DeliveryId, EndpointId, EventId, KeyId, ReplayId};
use super::json::Json;
use super::pattern::Pattern;
use super::resource::{ResourceId, SourceName};
use super::time::Timestamp;

/// 22 base62 digits; the first keeps what they say below 2^128.
macro_rules! id_of {
    ($prefix:literal) => {
        concat!("^", $prefix, "_[0-7][0-9A-Za-z]{21}$")
    };
}

macro_rules! text_shape {
    ($($type:ty, $name:literal, $description:literal, $pattern:expr, $example:literal;)+) => {
        $(
            impl JsonSchema for $type {
                fn schema_name() -> Cow<'static, str> {
                    $name.into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!({
                        "type": "string", "description": $description, "pattern": $pattern, "examples": [$example],
                    })
                }
            }
        )+
    };
}

text_shape! {
    EventId, "EventId", "The id of an event. Opaque; given once.", id_of!("evt"), "evt_0000000000E1hZXgQ8L7aB";
    EndpointId, "EndpointId", "The id of an endpoint. Opaque; given once.", id_of!("ep"), "ep_00004BeXn2Qd7LxK9mTzRw";
    ReplayId, "ReplayId", "The id of a replay. Opaque; given once.", id_of!("rp"), "rp_00004BeXn2Qd7LxK9mTzRw";
    DeliveryId, "DeliveryId", "The id of a delivery: one event for one endpoint. Opaque.", id_of!("dlv"),
        "dlv_0000000000E1hZXgQ8L7aB";
    KeyId, "KeyId", "The id of a key. Opaque; given once. It opens nothing.", id_of!("key"), "key_00004BeXn2Qd7LxK9mTzRw";
    AuditId, "AuditId", "The id of an entry in the audit log. Opaque; given once.", id_of!("aud"),
        "aud_0000000000E1hZXgQ8L7aB";
    SourceName, "SourceName", "The name of a source, as configured.", "^[a-z0-9_-]{1,32}$", "numeral";
    ResourceId, "ResourceId", "The vendor's id of a certificate or request. Opaque.", "^[A-Za-z0-9_-]{1,128}$",
        "cert_8f3K2";
    RateLimit, "RateLimit", "How many requests may start in a second, a minute or an hour: 1 to 1000.",
        "^([1-9][0-9]{0,2}|1000)/[smh]$", "5/s";
    Pattern, "EventTypePattern", "`*` (everything about certificates and requests), a prefix such as `certificate.*`, \
        or an event type.", r"^(\*|[a-z_]+(\.[a-z_]+)*(\.\*)?)$", "certificate.*";
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "format": "date-time", "examples": ["2026-11-21T04:31:20.017Z"],
            "description": "An RFC 3339 instant in UTC, with milliseconds.",
        })
    }
}

impl JsonSchema for EventType {
    fn schema_name() -> Cow<'static, str> {
        "EventType".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<_> = Self::ALL.iter().map(|known| known.as_str()).collect();
        json_schema!({
            "type": "string", "enum": names, "examples": ["certificate.expiring"],
            "description": "What happened. Types may be added at any time.",
        })
    }
}

impl JsonSchema for Json {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Json".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object"})
    }
}
