//! What must hold of every record at every time: the store in memory keeps all that a record ever was.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use certhook::model::delivery::{Attempt, DeliveryRecord, DeliveryStatus, Outcome, Trigger};
use certhook::model::id::{DeliveryId, EndpointId};
use certhook::model::replay::{Replay, ReplayStatus};

use super::world::{RETRY, Subscriber};

/// The largest part of a wait that chance takes away.
const WAIT_MIN: Duration = RETRY.checked_mul(8).expect("it is short").checked_div(10).expect("ten is not zero");

/// All records as they ever were.
pub(super) struct Past {
    versions: Vec<DeliveryRecord>,
    /// The places of those of one delivery.
    of: BTreeMap<DeliveryId, Vec<usize>>,
}

impl Past {
    pub(super) fn of(versions: Vec<DeliveryRecord>) -> Self {
        let mut of: BTreeMap<DeliveryId, Vec<usize>> = BTreeMap::new();
        for (place, version) in versions.iter().enumerate() {
            of.entry(version.id).or_default().push(place);
        }
        Self { versions, of }
    }

    fn history(&self, id: DeliveryId) -> impl DoubleEndedIterator<Item = (usize, &DeliveryRecord)> {
        self.of.get(&id).into_iter().flatten().map(|place| (*place, &self.versions[*place]))
    }

    pub(super) fn was_replayed(&self, id: DeliveryId) -> bool {
        self.history(id).any(|(_, version)| version.replay.is_some())
    }

    /// Whether a delivery was under way at some time since there were so many versions.
    pub(super) fn came_since(&self, id: DeliveryId, after: usize) -> bool {
        let last = self.history(id).rfind(|(place, _)| *place < after);
        last.is_some_and(|(_, version)| version.status == DeliveryStatus::Pending)
            || self.history(id).any(|(place, _)| place >= after)
    }

    /// A replay counts each of its deliveries once, by what became of it.
    /// What was under way when its endpoint was deleted may say itself how it has ended, after it was canceled.
    pub(super) fn check_counts(&self, replay: &Replay, one: &Subscriber) {
        let marks = self.versions.iter().filter_map(|version| Some((version.id, version.replay?)));
        let (mut matched, mut ended) = (BTreeSet::new(), BTreeMap::new());
        for (id, mark) in marks.filter(|(_, mark)| mark.id == replay.id) {
            matched.insert(id);
            if let Some(status) = mark.ended {
                let before = *ended.entry(id).or_insert(status);
                let is_last_word = one.deleted && before == DeliveryStatus::Canceled;
                assert!(before == status || is_last_word, "{id} has ended {before:?} and {status:?} in {replay:#?}");
            }
        }
        let count = |wanted: DeliveryStatus| ended.values().filter(|status| **status == wanted).count() as u64;
        let progress = &replay.progress;
        assert_eq!(
            (progress.matched, progress.delivered, progress.failed, progress.canceled),
            (
                matched.len() as u64,
                count(DeliveryStatus::Delivered),
                count(DeliveryStatus::Failed),
                count(DeliveryStatus::Canceled)
            ),
            "{replay:#?}"
        );
        assert_ne!(progress.status, ReplayStatus::Running);
    }

    /// Every attempt follows from what the record was before, and none comes before its time.
    pub(super) fn check(&self, subscribers: &[Subscriber], probe: Duration) {
        let occasions = Occasions::of(&self.versions);
        for places in self.of.values() {
            let mut before: Option<(usize, &DeliveryRecord)> = None;
            for place in places {
                let version = &self.versions[*place];
                let one = subscribers.iter().find(|one| one.id == version.endpoint_id).expect("it was registered");
                let count = before.map_or(0, |(_, before)| before.attempt_count);
                if version.attempt_count != count {
                    let attempt = version.attempts.last().expect("an attempt");
                    assert_eq!((version.attempt_count, attempt.number), (count + 1, count + 1), "{version:#?}");
                    let early = before.is_some_and(|(_, before)| before.next_attempt_at > Some(attempt.at));
                    let step = Step { one, before, place: *place, version, attempt, early };
                    if one.deleted && before.is_some_and(|(_, before)| before.status != DeliveryStatus::Pending) {
                        step.check_last_words();
                    } else {
                        step.check_account();
                        step.check_time(&occasions, probe);
                    }
                }
                before = Some((*place, version));
            }
        }
    }
}

/// Attempts that change what is due: by endpoint, each with the place of its record.
struct Occasions<'a> {
    successes: Attempts<'a>,
    failures: Attempts<'a>,
}

type Attempts<'a> = BTreeMap<EndpointId, Vec<(usize, &'a Attempt)>>;

impl<'a> Occasions<'a> {
    fn of(versions: &'a [DeliveryRecord]) -> Self {
        let mut occasions = Self { successes: BTreeMap::new(), failures: BTreeMap::new() };
        let mut counts: BTreeMap<DeliveryId, u32> = BTreeMap::new();
        for (place, version) in versions.iter().enumerate() {
            let Some(last) = version.attempts.last() else { continue };
            if counts.insert(version.id, version.attempt_count) == Some(version.attempt_count) {
                continue;
            }
            match last.outcome {
                Outcome::Delivered => occasions.successes.entry(version.endpoint_id).or_default().push((place, last)),
                Outcome::Aborted => {}
                Outcome::Redirected
                | Outcome::Gone
                | Outcome::Throttled
                | Outcome::Rejected
                | Outcome::ServerError
                | Outcome::DnsFailed
                | Outcome::AddressRefused
                | Outcome::ConnectFailed
                | Outcome::TlsFailed
                | Outcome::TimedOut
                | Outcome::Broken => {
                    occasions.failures.entry(version.endpoint_id).or_default().push((place, last));
                }
            }
        }
        occasions
    }

    fn at<'b>(attempts: &'b Attempts<'a>, one: &Subscriber) -> &'b [(usize, &'a Attempt)] {
        attempts.get(&one.id).map_or(&[], Vec::as_slice)
    }
}

/// One attempt, between what its record was before and after it.
struct Step<'a> {
    one: &'a Subscriber,
    before: Option<(usize, &'a DeliveryRecord)>,
    place: usize,
    version: &'a DeliveryRecord,
    attempt: &'a Attempt,
    /// Whether it came before its record was due.
    early: bool,
}

impl Step<'_> {
    /// It was under way when its endpoint was deleted; the store does not say when it had been due.
    fn check_last_words(&self) {
        let Self { before, version, .. } = self;
        let charged = before.map_or(0, |(_, before)| before.charged);
        let is_over = version.status != DeliveryStatus::Pending;
        assert!(is_over && version.charged - charged <= 1, "{before:#?} then {version:#?}");
    }

    /// Whose account it is on, and when the next one is due.
    fn check_account(&self) {
        let Self { one, before, version, attempt, .. } = self;
        let what = || format!("{}: {before:#?} then {version:#?}", one.host);
        let was_pending = before.is_none_or(|(_, before)| before.status == DeliveryStatus::Pending);
        assert!(was_pending, "it had ended: {}", what());
        let charged = before.map_or(0, |(_, before)| before.charged);
        let is_free = attempt.trigger == Trigger::Probe || self.early || attempt.outcome == Outcome::Gone;
        assert_eq!(version.charged, charged + u32::from(!is_free), "{}", what());
        let Some(next) = version.next_attempt_at else { return };
        let ended = attempt.at.plus(Duration::from_millis(attempt.duration_ms));
        let due = before.and_then(|(_, before)| before.next_attempt_at);
        let earliest = match due {
            _ if attempt.outcome == Outcome::Gone => ended,
            Some(due) if is_free => due.max(ended),
            None if is_free => ended,
            Some(_) | None => ended.plus(WAIT_MIN),
        };
        assert!(next >= earliest, "due too early: {}", what());
    }

    /// It came when it was due, or something made it due, or it was a look whether the endpoint is back.
    fn check_time(&self, occasions: &Occasions<'_>, probe: Duration) {
        let Self { one, before, place, version, attempt, early } = self;
        if attempt.trigger == Trigger::Probe {
            let failed = Occasions::at(&occasions.failures, one);
            let mut failed = failed.iter().filter(|(other, failed)| other < place && failed.at < attempt.at);
            let in_time = failed.all(|(_, failed)| failed.at.plus(probe) <= attempt.at);
            assert!(in_time, "{}: a probe before its time: {version:#?}", one.host);
        }
        if !early || matches!(attempt.trigger, Trigger::Probe | Trigger::Manual) {
            return;
        }
        let (since, before) = before.expect("it is early");
        let tried_at = before.attempts.last().map(|last| last.at);
        let by_success = Occasions::at(&occasions.successes, one).iter().any(|(other, success)| {
            // The loop saw it fail first and then the success; or both at its next start.
            other < place && (*other > since || Some(success.at) > tried_at)
        });
        let by_hand = one.recovered.iter().any(|(from, until)| tried_at <= Some(*until) && *from <= attempt.at);
        assert!(by_success || by_hand, "{}: before its time: {before:#?} then {version:#?}", one.host);
    }
}
