//! Replays and resyncs.

use serde_json::json;

use super::endpoints::{filter, named, types};
use super::events::event_id;
use super::operation::Operation;
use super::resources::resource_id;
use super::words::{by_default, choice, flag, id, instant, list as listed, object, or_null};
use crate::api::error::ErrorKind;
use crate::api::page::Page;
use crate::api::replays::{EVENT_IDS_MAX, PreviewView, ReplayView, SELECTS};

const GROUP: &str = "Replays";

const LOCATION: &[(&str, &str)] = &[("Location", "Where the replay is shown.")];

/// `POST /v1/endpoints/{name}/replay`.
pub(in crate::api) fn begin() -> Operation {
    let select = "`missed`: those that match the endpoint's types and filter and were never delivered to it. \
        `failed`: those whose delivery has failed. `all`: those that match, and those that were sent to it before.";
    let body = object(
        "Which events; all conditions together.",
        &[],
        json!({
            "since": or_null(instant("Observed from then on; by default from the earliest that is kept.")),
            "until": or_null(instant("Observed before then; by default up to now. Not before `since`.")),
            "types": or_null(types("Only these types; all by default.")),
            "filter": or_null(filter()),
            "resource_id": or_null(resource_id("Only about this resource.")),
            "event_ids": or_null(listed("Only these events.", &event_id("An event's id."), 1..=EVENT_IDS_MAX)),
            "select": or_null(by_default(choice(select, &SELECTS), SELECTS[0].0)),
            "dry_run": or_null(by_default(flag("Only tells what would be sent."), false)),
        }),
    );
    let description = "Sends events of the log to an endpoint again, or for the first time, in order and beside what \
        is live. With `dry_run`, only tells which ones. Retention waits for it as for an endpoint that is behind; what it \
        removes all the same before the replay comes to it is counted as `cut`.";
    named(Operation::new(GROUP, "replayEvents", "Replay events", description))
        .body(body, json!({"since": "2026-11-20T18:00:00Z", "types": ["certificate.*"], "select": "failed"}))
        .answers::<PreviewView>(200, "What would be sent, with `dry_run`.")
        .answers::<ReplayView>(202, "The replay, which runs from now on.")
        .with_headers(LOCATION)
        .fails(&[ErrorKind::RangeExpired, ErrorKind::EndpointDisabled, ErrorKind::InsufficientStorage])
}

/// `POST /v1/endpoints/{name}/resync`.
pub(in crate::api) fn resync() -> Operation {
    let body = object("", &[], json!({"filter": or_null(filter())}));
    let description = "Sends the current state of every resource as a `certificate.snapshot` or \
        `certificate_request.snapshot`: the initial load of a system that has just been registered.";
    named(Operation::new(GROUP, "resyncEndpoint", "Resync an endpoint", description))
        .body(body, json!({"filter": {"jurisdictions": ["US-CA"]}}))
        .answers::<ReplayView>(202, "The resync, which runs from now on.")
        .with_headers(LOCATION)
        .fails(&[ErrorKind::EndpointDisabled, ErrorKind::InsufficientStorage])
}

/// `GET /v1/replays`.
pub(in crate::api) fn list() -> Operation {
    Operation::new(GROUP, "listReplays", "List replays", "Replays and resyncs, newest first unless `order=asc`.")
        .ordered_page()
        .answers::<Page<ReplayView>>(200, "A page of replays.")
}

fn about(id_: &'static str, summary: &'static str, description: &str) -> Operation {
    Operation::new(GROUP, id_, summary, description)
        .path("id", id("The replay's id.", "rp", "rp_00004BeXn2Qd7LxK9mTzRw"))
        .fails(&[ErrorKind::ReplayNotFound])
}

/// `GET /v1/replays/{id}`.
pub(in crate::api) fn show() -> Operation {
    about("getReplay", "Show a replay", "How far it has come, and what became of its deliveries.")
        .answers::<ReplayView>(200, "The replay.")
}

/// `DELETE /v1/replays/{id}`.
pub(in crate::api) fn cancel() -> Operation {
    about("cancelReplay", "Stop a replay", "What is pending for it is canceled. One that has ended stays as it is.")
        .answers::<ReplayView>(200, "The replay as it stands now.")
        .fails(&[ErrorKind::InsufficientStorage])
}
