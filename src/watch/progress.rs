//! What a complete pass moves. Only the proof that both listings were complete gets in here.

use std::time::Duration;

use crate::model::source::SourceProgress;
use crate::model::time::Timestamp;
use crate::source::Exchange;
use crate::source::listing::Complete;

/// That a pass saw all it asked for: both listings to their ends, and every fetch answered.
#[derive(Debug)]
pub(super) struct Proof(());

impl Proof {
    /// Both listings must have been complete.
    pub(super) fn of(certificates: Option<Complete>, requests: Option<Complete>) -> Option<Self> {
        certificates.zip(requests).map(|_| Self(()))
    }
}

/// How far upstream's clock is behind ours, as an exchange shows it; zero if it is ahead or tells nothing. Its
/// `Date` counts whole seconds, so up to a second of this is rounding, on the safe side.
pub(super) fn behind(exchange: Exchange) -> Duration {
    exchange.upstream_at.map_or(Duration::ZERO, |upstream_at| exchange.answered_at.since(upstream_at))
}

/// The smaller of our clock and upstream's at an instant of ours: what changes from then on carries this instant or
/// a later one.
pub(super) fn watermark(at: Timestamp, behind: Duration) -> Timestamp {
    at.minus(behind)
}

/// After a complete `changes` pass that began at `started_at` and ended at `now`.
pub(super) fn after_changes(
    before: &SourceProgress,
    started_at: Timestamp,
    now: Timestamp,
    behind: Duration,
    _: &Proof,
) -> SourceProgress {
    SourceProgress {
        watermark: Some(watermark(started_at, behind)),
        changes_completed_at: Some(now),
        gap_since: None,
        ..before.clone()
    }
}

/// After a complete sweep that began at `started_at`.
pub(super) fn after_sweep(before: &SourceProgress, started_at: Timestamp, _: &Proof) -> SourceProgress {
    SourceProgress { swept_at: Some(started_at), ..before.clone() }
}

/// After the sweep that completed the baseline. The first `changes` pass begins where the baseline did, also where
/// a crash made it begin again: that is earlier than need be, and loses nothing.
pub(super) fn after_baseline(
    before: &SourceProgress,
    started_at: Timestamp,
    now: Timestamp,
    behind: Duration,
    proof: &Proof,
) -> SourceProgress {
    let begun = watermark(before.baseline_started_at, behind);
    SourceProgress {
        baseline_completed_at: Some(now),
        watermark: Some(begun),
        baseline_watermark: Some(begun),
        changes_completed_at: Some(now),
        ..after_sweep(before, started_at, proof)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_is_the_smaller_of_the_two_clocks() {
        let at = Timestamp::from_millis;
        let exchange = |upstream| Exchange { asked_at: at(9_000), answered_at: at(10_000), upstream_at: upstream };
        assert_eq!(watermark(at(8_000), behind(exchange(None))), at(8_000));
        assert_eq!(watermark(at(8_000), behind(exchange(Some(at(60_000))))), at(8_000), "upstream is ahead");
        assert_eq!(watermark(at(8_000), behind(exchange(Some(at(4_000))))), at(2_000), "upstream is 6 s behind");
    }
}
