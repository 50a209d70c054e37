//! Events: one observed transition each, immutable, with a body that is the same every time it is assembled.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::id::{DeliveryId, EndpointId, EndpointNumber, EventId, Position};
use super::json::{Fields, Json};
use super::nearest::nearest;
use super::resource::{Kind, ResourceKey, SourceName};
use super::time::Timestamp;

macro_rules! event_types {
    ($($variant:ident = $name:literal,)+) => {
        /// Every event type there is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "the names are the contract's; the catalogue describes each")]
        pub enum EventType { $($variant,)+ }

        impl EventType {
            /// All types, in the order of the catalogue.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name that subscribers see.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }

        impl FromStr for EventType {
            type Err = UnknownEventType;

            fn from_str(text: &str) -> Result<Self, UnknownEventType> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(UnknownEventType(text.into())),
                }
            }
        }
    };
}

event_types! {
    CertificateCreated = "certificate.created",
    CertificateProcessing = "certificate.processing",
    CertificateNeedsInfo = "certificate.needs_info",
    CertificateActive = "certificate.active",
    CertificateExpiring = "certificate.expiring",
    CertificateExpired = "certificate.expired",
    CertificateInvalid = "certificate.invalid",
    CertificateProcessingCompleted = "certificate.processing_completed",
    JurisdictionProcessing = "certificate.jurisdiction.processing",
    JurisdictionNeedsInfo = "certificate.jurisdiction.needs_info",
    JurisdictionActive = "certificate.jurisdiction.active",
    JurisdictionExpiring = "certificate.jurisdiction.expiring",
    JurisdictionExpired = "certificate.jurisdiction.expired",
    JurisdictionInvalid = "certificate.jurisdiction.invalid",
    JurisdictionAdded = "certificate.jurisdiction.added",
    JurisdictionRemoved = "certificate.jurisdiction.removed",
    CertificateRenewed = "certificate.renewed",
    CertificateDocumentAvailable = "certificate.document_available",
    CertificateWillExpire = "certificate.will_expire",
    CertificateUpdated = "certificate.updated",
    CertificateRemoved = "certificate.removed",
    CertificateRestored = "certificate.restored",
    CertificateSnapshot = "certificate.snapshot",
    RequestCreated = "certificate_request.created",
    RequestFulfilled = "certificate_request.fulfilled",
    RequestCanceled = "certificate_request.canceled",
    RequestInvalid = "certificate_request.invalid",
    RequestReopened = "certificate_request.reopened",
    RequestWillExpire = "certificate_request.will_expire",
    RequestUpdated = "certificate_request.updated",
    RequestRemoved = "certificate_request.removed",
    RequestRestored = "certificate_request.restored",
    RequestSnapshot = "certificate_request.snapshot",
    GatewayBaselineCompleted = "gateway.baseline_completed",
    GatewaySourceFailing = "gateway.source_failing",
    GatewaySourceRecovered = "gateway.source_recovered",
    GatewayGap = "gateway.gap",
    GatewayRemovalsWithheld = "gateway.removals_withheld",
    GatewaySchemaChanged = "gateway.schema_changed",
    GatewayStorageLow = "gateway.storage_low",
    EndpointFailing = "endpoint.failing",
    EndpointRecovered = "endpoint.recovered",
    EndpointDisabled = "endpoint.disabled",
    EndpointGap = "endpoint.gap",
    DeliveryExhausted = "delivery.exhausted",
    WebhookTest = "webhook.test",
}

impl EventType {
    /// Whether the event tells of an endpoint or a delivery. Of what becomes of its own deliveries nothing is told, or
    /// two endpoints that fail would tell each other for ever.
    pub fn is_about_delivering(self) -> bool {
        let name = self.as_str();
        name.starts_with("endpoint.") || name.starts_with("delivery.")
    }

    /// Whether it tells an endpoint that asked for that what a resource is now. Nobody else gets it.
    pub fn is_only_for_who_asked(self) -> bool {
        matches!(self, Self::CertificateSnapshot | Self::RequestSnapshot)
    }

    /// The kind of resource that the event speaks of, if of any.
    pub fn kind(self) -> Option<Kind> {
        let name = self.as_str();
        if name.starts_with("certificate.") {
            Some(Kind::Certificate)
        } else {
            name.starts_with("certificate_request.").then_some(Kind::CertificateRequest)
        }
    }

    /// Whether the event speaks of a certificate or a certificate request (and not of the gateway itself).
    pub fn is_about_a_resource(self) -> bool {
        self.as_str().starts_with("certificate")
    }
}

/// There is no event type of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown event type {0:?}{help}", help = help(.0))]
pub struct UnknownEventType(pub String);

fn help(unknown: &str) -> String {
    let meant = nearest(unknown, EventType::ALL.iter().map(|known| known.as_str()));
    meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default()
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for EventType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EventType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// How an event came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Observed upstream.
    Live,
    /// Part of a baseline that was told to be emitted.
    Baseline,
    /// Made by our clock.
    Derived,
    /// A current state that an operator asked for.
    Resync,
    /// An example that an operator asked for.
    Test,
}

/// What made us look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The pass over what was updated lately.
    Changes,
    /// The pass over what is pending upstream.
    Open,
    /// The pass over everything.
    Sweep,
    /// A date that has passed.
    Deadline,
    /// The answer to a write that was made through us.
    Write,
    /// Our own clock.
    Clock,
}

/// When and how a transition was observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detection {
    /// How the event came to be.
    pub mode: Mode,
    /// What made us look; `None` for what the gateway says about itself, and where only a question put through our API
    /// did, which `request_id` then names.
    pub pass: Option<Cause>,
    /// The API call whose answer showed it.
    pub request_id: Option<String>,
    /// The resource's version after this sight.
    pub object_version: u64,
    /// The last sight of the former state; `None` on a first sight.
    pub observed_after: Option<Timestamp>,
    /// When this sight arrived; also the event's `timestamp`.
    pub observed_before: Timestamp,
}

/// What a sight is about. Events of one subject are delivered in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// A certificate or a certificate request.
    Resource(ResourceKey),
    /// A source as a whole.
    Source(SourceName),
    /// Something of the gateway's own, by its id.
    Own(String),
}

/// One sight that gave events: stored once, however many events it gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// What was seen.
    pub subject: Subject,
    /// The upstream's API version in force; empty for what is not about a source.
    pub api_version: String,
    /// Whether the resource is a live one.
    pub livemode: bool,
    /// `data.object`.
    pub object: Json,
    /// `data.previous_attributes`: an object; empty on a first sight.
    pub previous_attributes: Json,
    /// When and how.
    pub detection: Detection,
}

impl Sight {
    /// The source that the sight belongs to, if any.
    pub fn source(&self) -> Option<&SourceName> {
        match &self.subject {
            Subject::Resource(key) => Some(&key.source),
            Subject::Source(name) => Some(name),
            Subject::Own(_) => None,
        }
    }

    /// The resource that it is about, if any.
    pub fn resource(&self) -> Option<&ResourceKey> {
        match &self.subject {
            Subject::Resource(key) => Some(key),
            Subject::Source(_) | Subject::Own(_) => None,
        }
    }

    /// The kind of resource that it is about, if any.
    pub fn kind(&self) -> Option<Kind> {
        self.resource().map(|key| key.kind)
    }
}

/// An event before it has a place in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventDraft {
    /// What happened.
    pub event_type: EventType,
    /// What `data` carries beside the object and its previous attributes (`jurisdiction_id`, `reason`, …): an object.
    pub details: Json,
}

impl EventDraft {
    /// An event whose data is only the sight's.
    pub fn plain(event_type: EventType) -> Self {
        Self { event_type, details: Json::of(&Fields::new()) }
    }
}

/// An event as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Given at commit, the same on every attempt and replay.
    pub id: EventId,
    /// What happened.
    pub event_type: EventType,
    /// What `data` carries beside the sight's part.
    pub details: Json,
    /// The sight that showed it, shared by all its events.
    pub sight: Arc<Sight>,
}

/// What a body has beside what an event carries, amply.
const ENVELOPE_BYTES: usize = 768;

#[derive(Serialize)]
struct Body<'a> {
    id: EventId,
    object: &'static str,
    schema: &'static str,
    r#type: EventType,
    timestamp: Timestamp,
    source: Option<&'a SourceName>,
    api_version: &'a str,
    livemode: bool,
    data: Data<'a>,
    detection: BodyDetection<'a>,
}

struct Data<'a> {
    sight: &'a Sight,
    details: Fields,
}

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("object", &self.sight.object)?;
        map.serialize_entry("previous_attributes", &self.sight.previous_attributes)?;
        for (name, value) in &self.details {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct BodyDetection<'a> {
    mode: Mode,
    pass: Option<Cause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    epoch: u32,
    object_version: u64,
    observed_after: Option<Timestamp>,
    observed_before: Timestamp,
}

impl Event {
    /// Where the event stands in the log.
    pub fn position(&self) -> Position {
        self.id.position
    }

    /// The endpoint that the event speaks of, itself or one of its deliveries: it is not told.
    pub fn speaks_of(&self) -> Option<EndpointNumber> {
        let Subject::Own(id) = &self.sight.subject else { return None };
        let endpoint = id.parse::<EndpointId>().map(|id| id.number);
        endpoint.or_else(|_| id.parse::<DeliveryId>().map(|id| id.endpoint)).ok()
    }

    /// When the transition was observed.
    pub fn timestamp(&self) -> Timestamp {
        self.sight.detection.observed_before
    }

    /// The event as subscribers get it, byte for byte the same every time.
    pub fn body(&self) -> Json {
        Json::of(&self.shape())
    }

    /// The bytes of that, in one piece of memory that is large enough from the beginning.
    pub fn body_bytes(&self) -> Vec<u8> {
        let Sight { object, previous_attributes, .. } = &*self.sight;
        let carried = [object, previous_attributes, &self.details].map(|json| json.text().len());
        let mut bytes = Vec::with_capacity(ENVELOPE_BYTES + carried.iter().sum::<usize>());
        serde_json::to_writer(&mut bytes, &self.shape()).expect("plain data is JSON");
        bytes
    }

    fn shape(&self) -> Body<'_> {
        let detection = &self.sight.detection;
        Body {
            id: self.id,
            object: "event",
            schema: "1",
            r#type: self.event_type,
            timestamp: self.timestamp(),
            source: self.sight.source(),
            api_version: &self.sight.api_version,
            livemode: self.sight.livemode,
            data: Data { sight: &self.sight, details: self.details.fields() },
            detection: BodyDetection {
                mode: detection.mode,
                pass: detection.pass,
                request_id: detection.request_id.as_deref(),
                epoch: self.id.epoch,
                object_version: detection.object_version,
                observed_after: detection.observed_after,
                observed_before: detection.observed_before,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> Event {
        Event {
            id: EventId { position: Position(7), epoch: 1_795_233_600, start: 5 },
            event_type: EventType::RequestFulfilled,
            details: Json::of(&Fields::new()),
            sight: Arc::new(Sight {
                subject: Subject::Resource(ResourceKey {
                    source: "numeral".parse().expect("a name"),
                    kind: Kind::CertificateRequest,
                    id: "cert_req_1".parse().expect("an id"),
                }),
                api_version: "2026-03-01".into(),
                livemode: true,
                object: Json::from_text(r#"{"z":1.50,"id":"cert_req_1"}"#.into()).expect("JSON"),
                previous_attributes: Json::of(&json!({"status": "pending"})),
                detection: Detection {
                    mode: Mode::Live,
                    pass: Some(Cause::Changes),
                    request_id: None,
                    object_version: 3,
                    observed_after: Some(Timestamp::from_millis(1)),
                    observed_before: Timestamp::from_millis(2),
                },
            }),
        }
    }

    #[test]
    fn the_body_has_the_shape_that_the_contract_gives() {
        let body = event().body();
        assert!(body.text().contains(r#""object":{"z":1.50,"id":"cert_req_1"}"#), "upstream's text is kept: {body:?}");
        let value: serde_json::Value = body.parse().expect("JSON");
        assert_eq!(value["type"], "certificate_request.fulfilled");
        assert_eq!(value["timestamp"], "1970-01-01T00:00:00.002Z");
        assert_eq!(value["detection"]["epoch"].to_string(), "1795233600");
        assert_eq!(value["detection"]["pass"], "changes");
        assert!(value["detection"].get("request_id").is_none());
        assert_eq!(value["data"]["previous_attributes"], json!({"status": "pending"}));
    }

    #[test]
    fn every_type_reads_back_from_its_name() {
        for event_type in EventType::ALL {
            assert_eq!(event_type.as_str().parse(), Ok(*event_type));
        }
    }
}
