//! What the gateway says about its sources: the sight of a source, and the events that go with it. The catalogue's
//! examples are made here too, so that none can have a shape that the real event has not.

use serde::Serialize;
use serde_json::{Value, json};

use crate::model::event::{Detection, EventDraft, EventType, Mode, Sight, Subject};
use crate::model::json::{Fields, Json};
use crate::model::resource::{Kind, SourceName};
use crate::model::source::{BaselineStatus, SourceState};
use crate::model::time::Timestamp;

/// A number of resources of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// How many certificates.
    pub certificate: u64,
    /// How many certificate requests.
    pub certificate_request: u64,
}

/// A source as its events show it.
#[derive(Clone, Debug)]
pub struct ShownSource<'a> {
    /// Its identity.
    pub name: &'a SourceName,
    /// The dialect that it speaks.
    pub kind: &'a str,
    /// Where it is.
    pub base_url: &'a str,
    /// The upstream's API version in force.
    pub api_version: &'a str,
    /// Whether what it holds is real.
    pub livemode: bool,
    /// Whether it can be read.
    pub status: SourceState,
    /// How far the first full listing has come.
    pub baseline: BaselineStatus,
    /// What the baseline found, where that is what is told.
    pub counts: Option<Counts>,
}

impl ShownSource<'_> {
    /// The sight of it at `now`.
    pub fn sight(&self, now: Timestamp) -> Sight {
        let mut object = json!({
            "object": "source", "name": self.name, "kind": self.kind, "base_url": self.base_url,
            "status": self.status, "baseline": self.baseline,
        });
        if let Some(counts) = self.counts {
            object["counts"] = json!(counts);
        }
        Sight {
            subject: Subject::Source(self.name.clone()),
            api_version: self.api_version.into(),
            livemode: self.livemode,
            object: Json::of(&object),
            previous_attributes: Json::of(&Fields::new()),
            detection: Detection {
                mode: Mode::Live,
                pass: None,
                request_id: None,
                object_version: 0,
                observed_after: None,
                observed_before: now,
            },
        }
    }
}

/// The baseline is complete. The sight shows what it found.
pub fn baseline_completed() -> EventDraft {
    EventDraft::plain(EventType::GatewayBaselineCompleted)
}

/// So many passes in a row have failed or were incomplete, or the key is refused; `error` says why the last one did.
pub fn source_failing(error: &str, failed_passes: u64) -> EventDraft {
    draft(EventType::GatewaySourceFailing, &json!({ "error": error, "failed_passes": failed_passes }))
}

/// The source can be read again, which was told to be failing at `failing_since`.
pub fn source_recovered(failing_since: Timestamp) -> EventDraft {
    draft(EventType::GatewaySourceRecovered, &json!({ "failing_since": failing_since }))
}

/// No `changes` pass has been complete since the one that ended at `since`; `until` is when the next one ended, `None`
/// while there is none.
pub fn gap(since: Timestamp, until: Option<Timestamp>) -> EventDraft {
    draft(EventType::GatewayGap, &json!({ "since": since, "until": until }))
}

/// A complete sweep did not show `absent` of the resources that are known, `total` in all, and nothing is removed.
pub fn removals_withheld(absent: Counts, total: Counts) -> EventDraft {
    draft(EventType::GatewayRemovalsWithheld, &json!({ "absent": absent, "total": total }))
}

/// A top-level field was seen on a kind of resource for the first time.
pub fn schema_changed(resource: Kind, field: &str) -> EventDraft {
    draft(EventType::GatewaySchemaChanged, &json!({ "resource": resource, "field": field }))
}

/// So many bytes are free where the store is, fewer than should be, and the source is not looked at.
pub fn storage_low(free_bytes: u64, min_free_bytes: u64) -> EventDraft {
    draft(EventType::GatewayStorageLow, &json!({ "free_bytes": free_bytes, "min_free_bytes": min_free_bytes }))
}

fn draft(event_type: EventType, details: &Value) -> EventDraft {
    EventDraft { event_type, details: Json::of(details) }
}
