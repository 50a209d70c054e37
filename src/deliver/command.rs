//! What operators ask of the deliveries that run.

use tokio::sync::oneshot;

use super::dispatch::Dispatcher;
use crate::model::id::EndpointNumber;
use crate::model::time::Timestamp;

/// How many requests may wait for the loop.
pub(super) const QUEUE_LENGTH: usize = 64;

/// Something that an operator asks for, and where the answer goes.
pub(super) enum Command {
    /// Everything that waits for an endpoint becomes due; `false` if it is disabled.
    Recover { endpoint: EndpointNumber, done: oneshot::Sender<bool> },
}

impl Dispatcher {
    /// Does what was asked for. Whoever asked may have given up; it is done all the same.
    pub(super) fn obey(&mut self, command: Command, now: Timestamp) {
        match command {
            Command::Recover { endpoint, done } => {
                let _gone = done.send(self.recover(endpoint, now));
            }
        }
    }
}
