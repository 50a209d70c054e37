//! What goes out to an endpoint: the form of the body that it asked for, and the headers of its own.

use std::sync::Arc;

use certhook::clock::SystemClock;
use certhook::deliver::Deliverer;
use certhook::deliver::body::body;
use certhook::detect::catalogue;
use certhook::model::delivery::Outcome;
use certhook::model::endpoint::{Endpoint, Format, OwnHeaders, Payload};
use certhook::model::event::{Event, EventType};
use certhook::model::id::{EventId, Position};
use certhook::model::time::Timestamp;
use cloudevents::AttributesReader;
use cloudevents::event::{Data, ExtensionValue};
use serde_json::Value;

use super::fixture::{PATIENT, Receiver, answer, endpoint, secret, settings, transport};
use crate::support::memory::Memory;

/// One event of each type there is.
fn examples() -> impl Iterator<Item = Event> {
    EventType::ALL.iter().map(|&event_type| {
        let (sight, draft) = catalogue::example(event_type, Timestamp::from_millis(1_795_235_480_017));
        let id = EventId { position: Position(7), epoch: 1_795_233_600, start: 5 };
        Event { id, event_type, details: draft.details, sight: Arc::new(sight) }
    })
}

/// Sends an event to a receiver, and gives the headers, in lower case, and the body that came there.
async fn sent(event: &Event, change: impl FnOnce(&mut Endpoint)) -> (String, String) {
    let receiver = Receiver::start(vec![answer(204, "", "")]).await;
    let transport = Arc::new(transport(&settings(PATIENT)));
    let clock = Arc::new(SystemClock::default());
    let deliverer = Deliverer::new(Arc::new(Memory::new()), transport, clock, settings(PATIENT));
    let mut endpoint = endpoint(&receiver.url("/hook"));
    change(&mut endpoint);
    assert_eq!(deliverer.send_once(&endpoint, event).await.expect("it is not held").outcome, Outcome::Delivered);
    let request = receiver.requests()[0].clone();
    let (head, body) = request.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_lowercase(), body.to_owned())
}

#[test]
fn the_official_parser_reads_every_event_as_a_cloud_event() {
    for event in examples() {
        for payload in [Payload::Full, Payload::Thin] {
            let bytes = body(&event, payload, Format::CloudEvents).bytes;
            let read: cloudevents::Event = serde_json::from_slice(&bytes).expect("a CloudEvent");
            let own: Value = serde_json::from_slice(&body(&event, payload, Format::Standard).bytes).expect("JSON");
            assert_eq!(own["id"], read.id());
            assert_eq!(own["type"], read.ty());
            let source = own["source"].as_str().map_or("/certhook".into(), |name| format!("/certhook/sources/{name}"));
            assert_eq!(**read.source(), source);
            let time = Timestamp::from_millis(read.time().expect("a time").timestamp_millis());
            assert_eq!(own["timestamp"], time.to_string());
            assert!(read.subject().is_some_and(|subject| !subject.is_empty()), "{}", event.event_type);
            assert_eq!(read.datacontenttype(), Some("application/json"));
            assert_eq!(read.data(), Some(&Data::Json(own["data"].clone())));
            let text = |name: &str| read.extension(name).map_or(Value::Null, |value| value.to_string().into());
            let detection = &own["detection"];
            for (attribute, expected) in [
                ("schema", &own["schema"]),
                ("mode", &detection["mode"]),
                ("pass", &detection["pass"]),
                ("observedafter", &detection["observed_after"]),
            ] {
                assert_eq!(text(attribute), *expected, "{attribute} of {}", event.event_type);
            }
            assert_eq!(read.extension("livemode"), Some(&ExtensionValue::Boolean(false)));
            for (attribute, expected) in [("epoch", "epoch"), ("objectversion", "object_version")] {
                let number = text(attribute).as_str().and_then(|text| text.parse::<u64>().ok());
                assert_eq!(number.map(Value::from), detection[expected].as_u64().map(Value::from), "{attribute}");
            }
        }
    }
}

#[test]
fn every_attribute_has_a_name_that_the_specification_allows() {
    // CloudEvents 1.0: lower-case ASCII letters and digits; extensions at most 20 of them.
    let allowed = |name: &str| name.len() <= 20 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    for event in examples() {
        let form: Value =
            serde_json::from_slice(&body(&event, Payload::Full, Format::CloudEvents).bytes).expect("JSON");
        let names = form.as_object().expect("an object").keys();
        assert_eq!(names.filter(|name| !allowed(name)).collect::<Vec<_>>(), [""; 0]);
        // Of the types of attributes, only texts and booleans have no bounds that ours could exceed.
        let attributes = form.as_object().expect("an object").iter().filter(|(name, _)| *name != "data");
        assert!(attributes.clone().all(|(_, value)| value.is_string() || value.is_boolean()), "{form}");
    }
}

#[test]
fn a_thin_payload_has_nothing_of_the_object_but_four_fields() {
    for event in examples() {
        let read = |payload| -> Value {
            serde_json::from_slice(&body(&event, payload, Format::Standard).bytes).expect("JSON")
        };
        let mut expected = read(Payload::Full);
        let data = expected["data"].as_object_mut().expect("an object");
        data.shift_remove("previous_attributes");
        let kept = |name: &str| matches!(name, "id" | "object" | "status" | "customer");
        data["object"].as_object_mut().expect("an object").retain(|name, _| kept(name));
        // The same fields in the same order.
        assert_eq!(read(Payload::Thin).to_string(), expected.to_string());
    }
}

#[test]
fn a_form_is_the_same_every_time() {
    for (one, other) in examples().zip(examples()) {
        for payload in [Payload::Full, Payload::Thin] {
            for format in [Format::Standard, Format::CloudEvents] {
                assert_eq!(body(&one, payload, format), body(&other, payload, format));
            }
        }
    }
}

#[tokio::test]
async fn an_endpoint_gets_the_form_that_it_asked_for_signed_as_it_is_sent() {
    let event = examples().find(|event| event.event_type == EventType::CertificateExpiring).expect("there is one");
    for payload in [Payload::Full, Payload::Thin] {
        for (format, content_type) in
            [(Format::Standard, "application/json"), (Format::CloudEvents, "application/cloudevents+json")]
        {
            let (head, received) =
                sent(&event, |endpoint| (endpoint.payload, endpoint.format) = (payload, format)).await;
            assert!(head.contains(&format!("\r\ncontent-type: {content_type}\r\n")), "{head}");
            assert_eq!(received.as_bytes(), body(&event, payload, format).bytes);
            let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).expect(name);
            let signed_at = value("webhook-timestamp").parse().expect("seconds");
            let key = secret();
            // The head was put into lower case, and so must be what it is compared with.
            let id = event.id.to_string();
            let expected = certhook::deliver::sign::signature(&key.key, &id, signed_at, received.as_bytes());
            assert_eq!(value("webhook-signature"), expected.to_lowercase());
        }
    }
}

#[tokio::test]
async fn an_endpoint_gets_its_own_headers_beside_ours() {
    let event = examples().next().expect("there is one");
    let own = [("authorization", "Bearer canary"), ("x-team", "tax"), ("accept", "application/json")];
    let own = OwnHeaders::new(own.map(|(name, value)| (name.to_owned(), value.into())).into());
    let (head, _) = sent(&event, |endpoint| endpoint.headers = own).await;
    let names: Vec<&str> = head.lines().skip(1).filter_map(|line| line.split(':').next()).collect();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature", "certhook-attempt", "user-agent", "host"] {
        assert_eq!(names.iter().filter(|known| **known == name).count(), 1, "{name} in {head}");
    }
    for line in ["authorization: bearer canary", "x-team: tax", "accept: application/json"] {
        assert!(head.lines().any(|known| known == line), "{line} in {head}");
    }
    assert!(!head.contains("*/*"), "{head}");
}

#[tokio::test]
async fn no_header_of_its_own_takes_the_place_of_ours() {
    let event = examples().next().expect("there is one");
    // The API refuses such names; should one ever be in a store, it does no harm.
    let own = [("webhook-id", "evil"), ("content-type", "text/evil"), ("webhook-signature", "v1,evil")];
    let own = OwnHeaders::new(own.map(|(name, value)| (name.to_owned(), value.into())).into());
    let (head, _) = sent(&event, |endpoint| endpoint.headers = own).await;
    assert!(!head.contains("evil"), "{head}");
    assert!(head.contains("\r\ncontent-type: application/json\r\n"), "{head}");
}

#[tokio::test]
async fn a_failure_that_echoes_a_header_or_the_query_is_kept_without_them() {
    let event = examples().next().expect("there is one");
    let page = "you sent Bearer canary-in-a-header to /hook?token=canary-in-the-query";
    let receiver = Receiver::start(vec![answer(500, "", page)]).await;
    let mut endpoint = endpoint(&receiver.url("/hook?token=canary-in-the-query"));
    endpoint.headers = OwnHeaders::new([("authorization".into(), "Bearer canary-in-a-header".into())].into());
    let transport = Arc::new(transport(&settings(PATIENT)));
    let clock = Arc::new(SystemClock::default());
    let deliverer = Deliverer::new(Arc::new(Memory::new()), transport, clock, settings(PATIENT));
    let attempt = deliverer.send_once(&endpoint, &event).await.expect("it is not held");
    assert_eq!(attempt.response_body.as_deref(), Some("you sent Bearer *** to /hook?token=***"));
    assert!(!format!("{attempt:?} {endpoint:?}").contains("canary"));
}
