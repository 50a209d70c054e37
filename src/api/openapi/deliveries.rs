//! Deliveries.

use serde_json::{Value, json};

use super::endpoints::NAME;
use super::events::event_id;
use super::operation::Operation;
use super::resources::resource_id;
use super::words::{choice, form, id, instant, object};
use crate::api::deliveries::{DeliveryView, STATUSES};
use crate::api::error::ErrorKind;
use crate::api::page::Page;

const GROUP: &str = "Deliveries";

/// An endpoint, by its id or by its subscriber's name for it.
fn endpoint(description: &str) -> Value {
    form(description, NAME, "ep_00004BeXn2Qd7LxK9mTzRw")
}

fn about(id_: &'static str, summary: &'static str, description: &str) -> Operation {
    let path = id("The delivery's id.", "dlv", "dlv_0000000000E1hZXgQ8L7aB");
    Operation::new(GROUP, id_, summary, description).path("id", path).fails(&[ErrorKind::DeliveryNotFound])
}

/// `GET /v1/deliveries`.
pub(in crate::api) fn list() -> Operation {
    let description = "Those that were tried at least once. Without their attempts; a single one is shown with them.";
    Operation::new(GROUP, "listDeliveries", "List deliveries", description)
        .ordered_page()
        .query(
            "endpoint_id",
            endpoint("Only for this endpoint: its id, also after it was deleted, or your `uid` for it."),
        )
        .query("event_id", event_id("Only of this event."))
        .query("resource_id", resource_id("Only of events about this resource."))
        .query("status", choice("Only those that stand so.", &STATUSES))
        .query("since", instant("Only of events that were observed from then on."))
        .query("until", instant("Only of events that were observed before."))
        .answers::<Page<DeliveryView>>(200, "A page of deliveries.")
        .fails(&[ErrorKind::EndpointNotFound])
}

/// `GET /v1/deliveries/{id}`.
pub(in crate::api) fn show() -> Operation {
    about("getDelivery", "Show a delivery", "With its attempts: the first and the last ten.")
        .answers::<DeliveryView>(200, "The delivery.")
}

/// `POST /v1/deliveries/{id}/retry`.
pub(in crate::api) fn retry() -> Operation {
    by_hand(about(
        "retryDelivery",
        "Try a delivery now",
        "Whatever its schedule says. One that has failed or was canceled is pending again; one that was delivered has \
         ended.",
    ))
}

/// `POST /v1/deliveries/{id}/cancel`.
pub(in crate::api) fn cancel() -> Operation {
    let description = "It is not tried again, unless somebody retries it. One that has ended stays as it is.";
    by_hand(about("cancelDelivery", "Cancel a delivery", description))
}

fn by_hand(operation: Operation) -> Operation {
    operation
        .empty_body()
        .answers::<DeliveryView>(200, "The delivery as it stands now.")
        .fails(&[ErrorKind::DeliveryUnderWay, ErrorKind::DeliveryEnded, ErrorKind::EndpointDisabled])
        .fails(&[ErrorKind::InsufficientStorage])
}

/// `POST /v1/events/{id}/redeliver`.
pub(in crate::api) fn redeliver() -> Operation {
    let body = object(
        "",
        &["endpoint_id"],
        json!({"endpoint_id": endpoint("The endpoint that gets the event: its id, or your `uid` for it.")}),
    );
    let description = "Sends an event to an endpoint once more, or for the first time, whatever its types and filter \
        say.";
    Operation::new(GROUP, "redeliverEvent", "Send an event again", description)
        .path("id", event_id("The event's id."))
        .body(body, json!({"endpoint_id": "ep_00004BeXn2Qd7LxK9mTzRw"}))
        .answers::<DeliveryView>(200, "The delivery as it stands now.")
        .fails(&[ErrorKind::EventNotFound, ErrorKind::EndpointNotFound])
        .fails(&[ErrorKind::DeliveryUnderWay, ErrorKind::EndpointDisabled, ErrorKind::InsufficientStorage])
}
