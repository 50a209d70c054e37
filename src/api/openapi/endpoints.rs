//! Endpoints.

use serde_json::{Value, json};

use super::events::{event_id, patterns};
use super::operation::Operation;
use super::sources::source_name;
use super::words::{by_default, choice, flag, form, instant, list as listed, map, object, or_null, whole};
use crate::api::endpoints::fields::{
    DAYS_MAX, DESCRIPTION_CHARS_MAX, FILTER_ENTRIES_MAX, FILTER_ENTRY_BYTES_MAX, IN_FLIGHT_MAX, METADATA_ENTRIES_MAX,
    METADATA_NAME_CHARS_MAX, METADATA_VALUE_CHARS_MAX, TYPES_MAX, URL_BYTES_MAX, WAITS_MAX,
};
use crate::api::endpoints::headers::{HEADERS_MAX, VALUE_BYTES_MAX};
use crate::api::endpoints::settings::{FORMATS, ORDERINGS, PAYLOADS, STATUSES};
use crate::api::endpoints::view::{DeletedView, EndpointView, RotatedView, SecretView};
use crate::api::error::ErrorKind;
use crate::api::page::Page;
use crate::model::delivery::Attempt;
use crate::model::event::EventType;

const GROUP: &str = "Endpoints";

/// A duration in whole seconds, as people write them, of a week at most.
const DURATION: &str = "^[1-9][0-9]{0,2}[sm]$|^([1-9][0-9]?|1[0-5][0-9]|16[0-8])h$|^[1-7]d$";

const NO_STORE: (&str, &str) = ("Cache-Control", "Always `no-store`.");

/// An id or a uid.
pub(super) const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$";

/// The path of a call about one endpoint.
pub(super) fn named(operation: Operation) -> Operation {
    let name = form("The endpoint's id, or your `uid` for it.", NAME, "crm");
    operation.path("name", name).fails(&[ErrorKind::EndpointNotFound])
}

fn about(id: &'static str, summary: &'static str, description: &str) -> Operation {
    named(Operation::new(GROUP, id, summary, description))
}

/// A list of patterns.
pub(super) fn types(description: &str) -> Value {
    let one = patterns();
    let known: Vec<&str> = one.split('|').collect();
    let pattern = json!({"type": "string", "enum": known});
    listed(description, &pattern, 1..=TYPES_MAX)
}

/// What an event must meet beside its type.
pub(super) fn filter() -> Value {
    let entry = json!({"type": "string", "minLength": 1, "maxLength": FILTER_ENTRY_BYTES_MAX});
    let entries = |description: &str| or_null(listed(description, &entry, 0..=FILTER_ENTRIES_MAX));
    let sources = listed("Names of sources.", &source_name("A source."), 0..=FILTER_ENTRIES_MAX);
    let days = listed(
        "Thresholds of `will_expire`; other events are not concerned.",
        &whole("Days.", 0..=DAYS_MAX),
        0..=FILTER_ENTRIES_MAX,
    );
    let description = "Keys are ANDed, the values of one key ORed, an empty key matches everything. The two customer \
        lists are one condition. Of a filter only `sources` applies to what the gateway says about itself.";
    object(
        description,
        &[],
        json!({
            "sources": or_null(sources),
            "customer_ids": entries("The vendor's customer ids."),
            "reference_customer_ids": entries("Your own customer ids."),
            "jurisdictions": entries("Jurisdiction ids such as `US-CA`."),
            "certificate_type_ids": entries("Certificate types."),
            "will_expire_days": or_null(days),
        }),
    )
}

fn secret_field() -> Value {
    let description = "Your own secret: `whsec_` and the base64 of 24 to 64 bytes. By default one is drawn.";
    form(description, "^whsec_([A-Za-z0-9+/]{4}){8,21}$", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjU")
}

fn start() -> Value {
    json!({
        "description": "Where in the log it begins: `now`, `earliest`, with an event, or at an instant. Only looked at \
            when it is registered.",
        "default": "now",
        "oneOf": [
            {"type": "string", "enum": ["now", "earliest"]},
            object("With this event.", &["event"], json!({"event": event_id("An event that is kept.")})),
            object("With the first event from then on.", &["at"], json!({"at": instant("When.")})),
            {"type": "null"},
        ],
    })
}

/// What a caller may set.
fn settings(url_is_required: bool) -> Value {
    let metadata = json!({"type": ["string", "null"], "maxLength": METADATA_VALUE_CHARS_MAX});
    let header = json!({
        "type": ["string", "null"], "minLength": 1, "maxLength": VALUE_BYTES_MAX,
        "pattern": "^[!-)+-~]([ -~]*[!-~])?$",
    });
    let url = json!({
        "type": "string", "maxLength": URL_BYTES_MAX, "pattern": "^https?://",
        "description": "Where events go, an absolute URL: `https`, unless the configuration allows more. Its query is never shown again.",
        "examples": ["https://crm.example.com/webhooks?token=s3cr3t"],
    });
    let waits = form("A wait, from 1s to 7d.", DURATION, "5m");
    let rate = form(
        "How many requests may start in a time, such as `5/s`, `100/m` or `1000/h`.",
        "^[1-9][0-9]{0,2}/[smh]$",
        "5/s",
    );
    let described = or_null(json!({
        "type": "string", "maxLength": DESCRIPTION_CHARS_MAX, "default": "", "description": "Free text for people.",
    }));
    let properties = json!({
        "url": url,
        "uid": or_null(form("Your own name for it, unique.", UID, "crm")),
        "types": or_null(by_default(types("Which event types it gets."), json!(["*"]))),
        "description": described,
        "filter": or_null(filter()),
        "payload": or_null(by_default(choice("All of an event, or only what names its resource.", &PAYLOADS), "full")),
        "format": or_null(by_default(choice("Our own envelope, or CloudEvents 1.0.", &FORMATS), "standard")),
        "ordering": or_null(by_default(choice("Whether events of one resource wait for each other.", &ORDERINGS), "per_resource")),
        "headers": or_null(map(
            "What goes along with every delivery. The values are never shown again. Names that belong to the connection, \
             to proxies or to certhook are refused.", HEADER_NAMES, &header, HEADERS_MAX,
        )),
        "retry": or_null(listed("Its own waits between attempts.", &waits, 1..=WAITS_MAX)),
        "max_in_flight": or_null(whole("How many requests may be under way to it at a time.", 1..=IN_FLIGHT_MAX)),
        "rate_limit": or_null(rate),
        "metadata": or_null(map("What you keep with it.", &names(), &metadata, METADATA_ENTRIES_MAX)),
        "secret": or_null(secret_field()),
        "start": start(),
        "status": or_null(by_default(choice("Whether it gets anything.", &STATUSES), "enabled")),
    });
    object("", if url_is_required { &["url"] } else { &[] }, properties)
}

const UID: &str = "^(?!ep_)[A-Za-z0-9][A-Za-z0-9._-]{0,127}$";

/// Of names that nobody else has a claim to, those that are sure not to collide.
const HEADER_NAMES: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$";

fn names() -> String {
    format!("^[\\s\\S]{{1,{METADATA_NAME_CHARS_MAX}}}$")
}

fn registration_example() -> Value {
    json!({
        "url": "https://crm.example.com/webhooks?token=s3cr3t", "uid": "crm", "types": ["certificate.*"],
        "filter": {"jurisdictions": ["US-CA"]}, "metadata": {"team": "tax"},
    })
}

/// `GET /v1/endpoints`.
pub(in crate::api) fn list() -> Operation {
    let description = "Newest first unless `order=asc`. The queries of URLs and the values of headers are masked.";
    Operation::new(GROUP, "listEndpoints", "List endpoints", description)
        .ordered_page()
        .answers::<Page<EndpointView>>(200, "A page of endpoints.")
}

/// `POST /v1/endpoints`.
pub(in crate::api) fn create() -> Operation {
    let description = "Names that resolve to addresses which are not public are refused, unless the configuration \
        allows them. The answer has the secret.";
    Operation::new(GROUP, "createEndpoint", "Register an endpoint", description)
        .body(settings(true), registration_example())
        .answers::<EndpointView>(201, "The endpoint, with its secret.")
        .with_headers(&[("Location", "Where it is shown."), NO_STORE])
        .fails(&[ErrorKind::UidTaken, ErrorKind::InsufficientStorage])
}

/// `PUT /v1/endpoints/{name}`.
pub(in crate::api) fn upsert() -> Operation {
    let description = "Registers the endpoint of that uid, or replaces the settings of the one that is there. A status \
        or secret that is not given stays as it is, so that the same call twice does nothing the second time.";
    Operation::new(GROUP, "putEndpoint", "Register or replace an endpoint", description)
        .path("name", form("Your `uid` for it.", UID, "crm"))
        .body(settings(true), json!({"url": "https://crm.example.com/webhooks", "types": ["certificate.*"]}))
        .answers::<EndpointView>(200, "The endpoint, which was there.")
        .answers::<EndpointView>(201, "The endpoint, which was registered, with its secret.")
        .with_headers(&[("Location", "Where it is shown."), NO_STORE])
        .fails(&[ErrorKind::EndpointNotFound, ErrorKind::UidTaken, ErrorKind::InsufficientStorage])
}

/// `GET /v1/endpoints/{name}`.
pub(in crate::api) fn show() -> Operation {
    let description = "With how much it has not got yet, counted over at most 10 000 events.";
    about("getEndpoint", "Show an endpoint", description).answers::<EndpointView>(200, "The endpoint.")
}

/// `PATCH /v1/endpoints/{name}`.
pub(in crate::api) fn change() -> Operation {
    let description = "A merge patch (RFC 7396): what is left out stays, and null resets a field to its default, a \
        secret to a new one. `start` cannot be changed.";
    let mut schema = settings(false);
    if let Some(fields) = schema["properties"].as_object_mut() {
        fields.shift_remove("start");
    }
    about("changeEndpoint", "Change an endpoint", description)
        .body(schema, json!({"description": "The CRM in Europe", "filter": {"jurisdictions": null}}))
        .answers::<EndpointView>(200, "The endpoint as it is now.")
        .fails(&[ErrorKind::UidTaken, ErrorKind::InsufficientStorage])
}

/// `DELETE /v1/endpoints/{name}`.
pub(in crate::api) fn delete() -> Operation {
    about("deleteEndpoint", "Delete an endpoint", "What is pending is canceled; the history is kept for a while.")
        .answers::<DeletedView>(200, "What was deleted.")
        .fails(&[ErrorKind::InsufficientStorage])
}

/// `GET /v1/endpoints/{name}/secret`.
pub(in crate::api) fn secret() -> Operation {
    let description = "The one that signs, and those before it that still do, each with its end.";
    about("getEndpointSecret", "Show an endpoint's secrets", description)
        .answers::<SecretView>(200, "The secrets.")
        .with_headers(&[NO_STORE])
}

/// `POST /v1/endpoints/{name}/secret/rotate`.
pub(in crate::api) fn rotate() -> Operation {
    let overlap = form(
        "How long the former secret signs too, from 0s to 7d. With `0s` no older one signs any more, whatever an earlier \
         rotation has promised it.",
        "^(0s|[1-9][0-9]{0,1}[smh]|[1-7]d)$",
        "24h",
    );
    let body =
        object("", &[], json!({"overlap": or_null(by_default(overlap, "24h")), "secret": or_null(secret_field())}));
    let description = "Another secret takes over. The former one signs too for a while, so that receivers can follow. \
        The one that signs already, with an `overlap` of `0s`, stays and ends the older ones.";
    about("rotateEndpointSecret", "Rotate an endpoint's secret", description)
        .body(body, json!({"overlap": "48h"}))
        .answers::<RotatedView>(200, "The secret that signs from now on.")
        .with_headers(&[NO_STORE])
        .fails(&[ErrorKind::TooManySecrets, ErrorKind::InsufficientStorage])
}

/// `POST /v1/endpoints/{name}/enable`.
pub(in crate::api) fn enable() -> Operation {
    let catch_up = flag(
        "Whether it goes on where it stopped, and with what failed since its last success; otherwise \
        with what comes from now on.",
    );
    let body = object("", &[], json!({"catch_up": or_null(by_default(catch_up, true))}));
    about("enableEndpoint", "Enable an endpoint", "It gets events again.")
        .body(body, json!({"catch_up": true}))
        .answers::<EndpointView>(200, "The endpoint, with what it goes on with.")
        .fails(&[ErrorKind::InsufficientStorage])
}

/// `POST /v1/endpoints/{name}/disable`.
pub(in crate::api) fn disable() -> Operation {
    about("disableEndpoint", "Disable an endpoint", "It gets nothing; its place in the log is kept.")
        .empty_body()
        .answers::<EndpointView>(200, "The endpoint as it is now.")
        .fails(&[ErrorKind::InsufficientStorage])
}

/// `POST /v1/endpoints/{name}/recover`.
pub(in crate::api) fn recover() -> Operation {
    about(
        "recoverEndpoint",
        "Try everything that waits",
        "Whatever its schedules say, everything that waits is due now.",
    )
    .empty_body()
    .answers::<EndpointView>(200, "The endpoint.")
    .fails(&[ErrorKind::EndpointDisabled, ErrorKind::InsufficientStorage])
}

/// `POST /v1/endpoints/{name}/test`.
pub(in crate::api) fn test() -> Operation {
    let known: Vec<&str> = EventType::ALL.iter().map(|known| known.as_str()).collect();
    let event_type = json!({
        "type": "string", "enum": known, "default": "webhook.test", "description": "Whose example is sent.",
    });
    let body = object("", &[], json!({"type": or_null(event_type)}));
    let description =
        "Sends that type's example now and once, marked `mode: \"test\"`, and waits for what becomes of it.";
    about("testEndpoint", "Send an example", description)
        .body(body, json!({"type": "certificate.expiring"}))
        .answers::<Attempt>(200, "The attempt, whatever it meant.")
        .fails(&[ErrorKind::GatewayPaused])
}
