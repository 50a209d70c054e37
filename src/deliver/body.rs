//! What a delivery carries: the stored event, in the form that its endpoint asked for.
//!
//! A form is a function of the stored event alone, so it is byte for byte the same on every attempt. What upstream wrote
//! keeps all digits of its numbers and the order of its fields in every form.
//!
//! CloudEvents: structured JSON mode of
//! [version 1.0](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md). `data` is what
//! it is in our own format; what stands beside `data` there is an attribute here, under its name without underscores.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::endpoint::{Format, Payload};
use crate::model::event::{Cause, Event, EventType, Mode, Subject};
use crate::model::id::EventId;
use crate::model::json::Json;
use crate::model::time::Timestamp;

/// What a thin payload keeps of `data.object`: what it is, how it stands, and whom to ask about.
const THIN_FIELDS: [&str; 4] = ["id", "object", "status", "customer"];

/// A body and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// For the header `content-type`.
    pub content_type: &'static str,
    /// The bytes that are signed and sent.
    pub bytes: Bytes,
}

/// The body of a delivery of that event.
pub fn body(event: &Event, payload: Payload, format: Format) -> Body {
    let carried = || match payload {
        Payload::Full => event.body(),
        Payload::Thin => thin(&event.body()),
    };
    let (content_type, bytes) = match (format, payload) {
        (Format::Standard, Payload::Full) => ("application/json", event.body_bytes()),
        (Format::Standard, Payload::Thin) => ("application/json", carried().text().into()),
        (Format::CloudEvents, _) => ("application/cloudevents+json", cloud_event(event, &carried()).text().into()),
    };
    Body { content_type, bytes: Bytes::from(bytes) }
}

fn thin(stored: &Json) -> Json {
    let mut fields = stored.fields();
    if let Some(Value::Object(data)) = fields.get_mut("data") {
        data.shift_remove("previous_attributes");
        if let Some(Value::Object(object)) = data.get_mut("object") {
            object.retain(|name, _| THIN_FIELDS.contains(&name.as_str()));
        }
    }
    Json::of(&fields)
}

/// What is taken over from our own format as it stands.
#[derive(Deserialize)]
struct Carried {
    schema: String,
    data: Json,
}

/// The attributes of a CloudEvent: those of the specification, then our extensions, then the data. An attribute without
/// a value is left out.
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: EventId,
    source: String,
    r#type: EventType,
    time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    datacontenttype: &'static str,
    schema: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    apiversion: &'a str,
    livemode: bool,
    mode: Mode,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<Cause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requestid: Option<&'a str>,
    epoch: String,
    objectversion: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    observedafter: Option<Timestamp>,
    data: &'a Json,
}

fn cloud_event(event: &Event, carried: &Json) -> Json {
    let Carried { schema, data } = carried.parse().expect("a body of ours has both");
    let detection = &event.sight.detection;
    Json::of(&CloudEvent {
        specversion: "1.0",
        id: event.id,
        source: match event.sight.source() {
            Some(name) => format!("/certhook/sources/{name}"),
            None => "/certhook".into(),
        },
        r#type: event.event_type,
        time: event.timestamp(),
        subject: Some(subject(&event.sight.subject)).filter(|subject| !subject.is_empty()),
        datacontenttype: "application/json",
        schema: &schema,
        apiversion: &event.sight.api_version,
        livemode: event.sight.livemode,
        mode: detection.mode,
        pass: detection.pass,
        requestid: detection.request_id.as_deref(),
        // Integers of CloudEvents have 32 bits, which a version may exceed, and an epoch will in 2038. As texts of one
        // length they compare like the numbers that they are.
        epoch: format!("{:010}", event.id.epoch),
        objectversion: format!("{:020}", detection.object_version),
        observedafter: detection.observed_after,
        data: &data,
    })
}

fn subject(subject: &Subject) -> &str {
    match subject {
        Subject::Resource(key) => key.id.as_str(),
        Subject::Source(name) => name.as_str(),
        Subject::Own(id) => id,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::deliver::testing::event;

    fn text(event: &Event, payload: Payload, format: Format) -> String {
        String::from_utf8(body(event, payload, format).bytes.into()).expect("JSON is UTF-8")
    }

    /// An event whose object has an order and numbers of its own.
    fn told() -> Event {
        let mut event = Arc::unwrap_or_clone(event(7, "cert_1"));
        let object = r#"{"z":1.50,"status":"active","id":"cert_1","customer":{"b":0.10,"a":"ü"},"object":"o","y":[]}"#;
        let sight = Arc::make_mut(&mut event.sight);
        sight.object = Json::from_text(object.into()).expect("JSON");
        sight.previous_attributes = Json::of(&json!({"status": "processing"}));
        event.details = Json::of(&json!({"jurisdiction_id": "US-CA", "jurisdiction": {"status": "active"}}));
        event
    }

    #[test]
    fn the_standard_form_is_the_stored_text() {
        let event = told();
        assert_eq!(text(&event, Payload::Full, Format::Standard), event.body().text());
        assert_eq!(body(&event, Payload::Full, Format::Standard).content_type, "application/json");
    }

    #[test]
    fn a_thin_payload_keeps_four_fields_of_the_object_and_all_around_it() {
        let event = told();
        let thin = text(&event, Payload::Thin, Format::Standard);
        let object = r#"{"status":"active","id":"cert_1","customer":{"b":0.10,"a":"ü"},"object":"o"}"#;
        let data = format!(
            r#""data":{{"object":{object},"jurisdiction_id":"US-CA","jurisdiction":{{"status":"active"}}}},"detection":"#
        );
        assert!(thin.contains(&data), "{thin}");
        let (mut full, mut thin) = (event.body().fields(), serde_json::from_str::<Value>(&thin).expect("JSON"));
        full.remove("data");
        thin.as_object_mut().expect("an object").remove("data");
        assert_eq!(Value::Object(full), thin, "what is beside data stays");
    }

    #[test]
    fn a_cloud_event_has_these_attributes() {
        let mut event = told();
        let expected = |event: &Event| {
            format!(
                concat!(
                    r#"{{"specversion":"1.0","id":"{}","source":"/certhook/sources/numeral","type":"certificate.updated","#,
                    r#""time":"1970-01-01T00:00:00.000Z","subject":"cert_1","datacontenttype":"application/json","#,
                    r#""schema":"1","apiversion":"2026-03-01","livemode":true,"mode":"live","pass":"changes","#,
                    r#""requestid":"req_1","epoch":"0000000001","objectversion":"00000000000000000007","#,
                    r#""observedafter":"1970-01-01T00:00:00.001Z","data":{{"object":{},"#,
                    r#""previous_attributes":{{"status":"processing"}},"#,
                    r#""jurisdiction_id":"US-CA","jurisdiction":{{"status":"active"}}}}}}"#,
                ),
                event.id,
                event.sight.object.text()
            )
        };
        let detection = &mut Arc::make_mut(&mut event.sight).detection;
        detection.request_id = Some("req_1".into());
        detection.observed_after = Some(Timestamp::from_millis(1));
        assert_eq!(text(&event, Payload::Full, Format::CloudEvents), expected(&event));
        let sent = body(&event, Payload::Full, Format::CloudEvents);
        assert_eq!(sent.content_type, "application/cloudevents+json");
    }

    #[test]
    fn an_attribute_without_a_value_is_left_out() {
        let mut event = told();
        let sight = Arc::make_mut(&mut event.sight);
        sight.subject = Subject::Own(String::new());
        sight.api_version = String::new();
        sight.detection.pass = None;
        let form: Value = serde_json::from_str(&text(&event, Payload::Full, Format::CloudEvents)).expect("JSON");
        let names: Vec<_> = form.as_object().expect("an object").keys().map(String::as_str).collect();
        let expected = "specversion id source type time datacontenttype schema livemode mode epoch objectversion data";
        assert_eq!(names.join(" "), expected);
        assert_eq!(form["source"], "/certhook");
    }

    #[test]
    fn the_data_of_a_cloud_event_is_that_of_our_own_format() {
        for payload in [Payload::Full, Payload::Thin] {
            let standard: Carried = serde_json::from_str(&text(&told(), payload, Format::Standard)).expect("our form");
            let cloud: Carried = serde_json::from_str(&text(&told(), payload, Format::CloudEvents)).expect("our form");
            assert_eq!(standard.data, cloud.data);
        }
    }
}
