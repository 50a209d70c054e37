//! Those who follow the log: streams, and long polls while they wait.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::error::{ApiError, ErrorKind};

/// Streams and long polls at a time: a quarter of the connections that the server takes, so that those who only wait
/// never keep the others out.
pub(super) const FOLLOWERS_MAX: usize = 256;

/// The places for them.
pub(super) struct Followers {
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Followers {
    /// All places free, until `stop`.
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self { places: Arc::new(Semaphore::new(FOLLOWERS_MAX)), stop }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// If none is free.
    pub(super) fn enter(&self) -> Result<Follower, ApiError> {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => Ok(Follower { _place: place, stop: self.stop.clone() }),
            Err(_) => {
                let message = format!("{FOLLOWERS_MAX} streams and long polls are open already; try again later");
                Err(ApiError::new(ErrorKind::TooManyFollowers, message))
            }
        }
    }
}

/// One place, for as long as it is held.
pub(super) struct Follower {
    _place: OwnedSemaphorePermit,
    stop: CancellationToken,
}

impl Follower {
    /// Waits until the gateway stops, when everybody has to leave.
    pub(super) async fn stopped(&self) {
        self.stop.cancelled().await;
    }
}
