//! Secrets that were rotated away are forgotten when their overlap is over. They stop signing by themselves at that
//! instant; here they leave the store and the memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::model::endpoint::Endpoint;
use crate::model::id::EndpointNumber;
use crate::model::time::Timestamp;
use crate::store::{Store, StoreError};

/// Endpoints in one read.
const ENDPOINTS_PAGE: usize = 200;

/// How long it sleeps at most: the machine's clock may be set while it does.
const SLEEP_MAX: Duration = Duration::from_secs(60 * 60);

/// Forgets each former secret of each endpoint when it stops signing, until `stop`.
///
/// # Errors
/// If the store fails.
pub async fn forget_former_secrets(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<(), StoreError> {
    // Before the first look, so that no change falls between the two.
    let mut changes = store.changes();
    let mut ends = all_ends(&*store).await?;
    loop {
        let now = clock.now();
        for number in ended(&ends, now) {
            if let Some(endpoint) = store.by_number(number).await? {
                store.forget_secrets(endpoint.id, now).await?;
            }
            look(&*store, number, &mut ends).await?;
        }
        let wake = async {
            match ends.values().min() {
                Some(end) => sleep(end.since(now).min(SLEEP_MAX)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = wake => {}
            changed = changes.recv() => match changed {
                Ok(number) => look(&*store, number, &mut ends).await?,
                Err(RecvError::Lagged(_)) => ends = all_ends(&*store).await?,
                Err(RecvError::Closed) => return Err(StoreError::Closed),
            },
        }
    }
}

/// When the next secret of each endpoint that has a former one stops signing.
type Ends = BTreeMap<EndpointNumber, Timestamp>;

fn next_end(endpoint: &Endpoint) -> Option<Timestamp> {
    endpoint.secrets.iter().filter_map(|secret| secret.expires_at).min()
}

fn ended(ends: &Ends, now: Timestamp) -> Vec<EndpointNumber> {
    ends.iter().filter(|(_, end)| **end <= now).map(|(number, _)| *number).collect()
}

async fn look(store: &dyn Store, number: EndpointNumber, ends: &mut Ends) -> Result<(), StoreError> {
    match store.by_number(number).await?.as_ref().and_then(next_end) {
        Some(end) => ends.insert(number, end),
        None => ends.remove(&number),
    };
    Ok(())
}

async fn all_ends(store: &dyn Store) -> Result<Ends, StoreError> {
    let mut ends = Ends::new();
    let mut beyond = None;
    loop {
        let page = store.endpoints(beyond, true, ENDPOINTS_PAGE).await?;
        let Some(last) = page.last() else { return Ok(ends) };
        beyond = Some(last.id.number);
        ends.extend(page.iter().filter_map(|endpoint| Some((endpoint.id.number, next_end(endpoint)?))));
    }
}
