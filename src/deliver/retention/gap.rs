//! What an endpoint does not get any more: how much that is.

use crate::deliver::feed::is_for;
use crate::model::endpoint::Endpoint;
use crate::model::id::{DeliveryId, Position};
use crate::store::retention::Missed;
use crate::store::{Store, StoreError};

/// Events that are looked at for one count; it is enough to know that there are more.
const COUNTED_MAX: usize = 10_000;

/// Events in one read of the log.
const PAGE: usize = 256;

/// How many events after one place and up to another an endpoint was to get, and has never been sent.
pub(super) async fn untried(
    store: &dyn Store,
    endpoint: &Endpoint,
    mut after: Position,
    until: Position,
) -> Result<Missed, StoreError> {
    let mut missed = Missed::default();
    let mut looked_at = 0;
    while after < until {
        if looked_at >= COUNTED_MAX {
            missed.more = true;
            break;
        }
        let events = store.events_after(after, PAGE).await?;
        let Some(last) = events.last() else { break };
        (after, looked_at) = (last.position(), looked_at + events.len());
        let meant = events.iter().filter(|event| event.position() <= until && is_for(endpoint, event));
        let ids = meant.map(|event| DeliveryId {
            position: event.position(),
            endpoint: endpoint.id.number,
            epoch: event.id.epoch,
        });
        let ids: Vec<DeliveryId> = ids.collect();
        let meant = ids.len();
        missed.count += (meant - store.recorded_of(ids).await?.len()) as u64;
    }
    Ok(missed)
}
