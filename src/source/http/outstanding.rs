//! The calls that are out, so that a silence can be seen before it is over.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// Calls that were sent and have not ended.
#[derive(Debug, Default)]
pub(super) struct Outstanding(Mutex<Calls>);

#[derive(Debug, Default)]
struct Calls {
    begun: u64,
    since: BTreeMap<u64, Instant>,
}

impl Outstanding {
    /// A call is sent; it has ended when what is given here is dropped.
    pub(super) fn begin(&self) -> Out<'_> {
        let mut calls = self.lock();
        calls.begun += 1;
        let number = calls.begun;
        calls.since.insert(number, Instant::now());
        Out { outstanding: self, number }
    }

    /// Since when the one that was sent first is out; `None`: none is.
    pub(super) fn since(&self) -> Option<Instant> {
        self.lock().since.first_key_value().map(|(_, since)| *since)
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that is out.
pub(super) struct Out<'a> {
    outstanding: &'a Outstanding,
    number: u64,
}

impl Drop for Out<'_> {
    fn drop(&mut self) {
        self.outstanding.lock().since.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_call_that_is_out_tells_how_long_nobody_has_answered() {
        let outstanding = Outstanding::default();
        assert_eq!(outstanding.since(), None);
        let begin = Instant::now();
        let first = outstanding.begin();
        tokio::time::advance(Duration::from_secs(3)).await;
        let second = outstanding.begin();
        assert_eq!(outstanding.since(), Some(begin));
        drop(first);
        assert_eq!(outstanding.since(), Some(begin + Duration::from_secs(3)));
        drop(second);
        assert_eq!(outstanding.since(), None);
    }
}
