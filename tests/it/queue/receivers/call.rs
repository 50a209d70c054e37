//! What a receiver sees of one request.

use std::fmt;
use std::time::Duration;

use certhook::deliver::sign;
use certhook::deliver::transport::Request;
use certhook::model::endpoint::SigningSecret;
use certhook::model::id::EventId;
use certhook::model::time::Timestamp;

/// What events are in order within: a resource, in one replay or outside of all.
pub(super) type Strand = (String, Option<String>);

pub(in crate::queue) struct Call {
    pub(in crate::queue) host: String,
    pub(in crate::queue) event: EventId,
    pub(super) strand: Strand,
    pub(in crate::queue) attempt: u32,
    pub(super) at: Timestamp,
    pub(super) body: bytes::Bytes,
    timestamp: String,
    signatures: Vec<String>,
}

impl Call {
    pub(super) fn of(request: &Request, at: Timestamp) -> Self {
        let header = |name: &str| request.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
        let must = |name: &str| header(name).expect("the header is there").clone();
        let body: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
        let url: url::Url = request.url.expose().parse().expect("a URL");
        let resource = body["data"]["object"]["id"].as_str().expect("an id").to_owned();
        Self {
            host: url.host_str().expect("a host").to_owned(),
            event: must(sign::ID_HEADER).parse().expect("an event id"),
            strand: (resource, header(sign::REPLAY_HEADER).cloned()),
            attempt: must(sign::ATTEMPT_HEADER).parse().expect("a number"),
            at,
            body: request.body.clone(),
            timestamp: must(sign::TIMESTAMP_HEADER),
            signatures: must(sign::SIGNATURE_HEADER).split(' ').map(str::to_owned).collect(),
        }
    }

    /// Whether those of these secrets signed it that were live at its timestamp, and no others. It may have been signed
    /// so long before it arrived.
    pub(super) fn is_signed_by(&self, secrets: &[SigningSecret], on_its_way_max: Duration) -> bool {
        let Ok(signed_at) = self.timestamp.parse::<i64>() else { return false };
        let earliest = self.at.minus(on_its_way_max);
        if !(earliest.as_seconds()..=self.at.as_seconds()).contains(&signed_at) {
            return false;
        }
        // Which secrets are live changes only when one of them ends.
        let ends = secrets.iter().filter_map(|secret| secret.expires_at);
        let before_an_end =
            ends.map(|end| end.minus(Duration::from_millis(1))).filter(|at| (earliest..=self.at).contains(at));
        before_an_end.chain([self.at]).any(|at| {
            let live = secrets.iter().filter(|secret| secret.is_live(at));
            let wanted =
                live.map(|secret| sign::signature(&secret.key, &self.event.to_string(), signed_at, &self.body));
            wanted.eq(self.signatures.iter().cloned())
        })
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, event, strand: (resource, replay), attempt, .. } = self;
        write!(f, "attempt {attempt} of {host} {} of {resource} for {replay:?}", event.position.0)
    }
}
