//! Passes, and what must hold after each.

use std::collections::{BTreeMap, BTreeSet};

use certhook::clock::Clock;
use certhook::model::event::{Event, EventType};
use certhook::model::resource::{AbsenceState, Kind, ResourceId, Snapshot};
use certhook::model::source::{PassKind, PassReport, PassStatus, RemovalDecision, SourceProgress};
use certhook::model::time::Timestamp;
use serde_json::json;

use super::check::Look;
use super::rig::Rig;
use super::upstream::is_hidden;

/// How absent resources stood, by id.
type Absences = BTreeMap<String, AbsenceState>;

fn is_removal(event: &Event) -> bool {
    [EventType::CertificateRemoved, EventType::RequestRemoved].contains(&event.event_type)
}

/// Certificates and requests among ids.
fn by_kind<'a>(ids: impl Iterator<Item = &'a String>) -> [usize; 2] {
    let (requests, certificates): (Vec<_>, Vec<_>) = ids.partition(|id| id.starts_with("cert_req_"));
    [certificates.len(), requests.len()]
}

fn is_there(snapshots: &BTreeMap<String, Snapshot>, id: &str) -> bool {
    snapshots.get(id).is_some_and(|snapshot| snapshot.removed.is_none())
}

/// Whether upstream listed everything in a sweep, and only left open whether this one of those that no list shows is
/// gone. The others may go: each was confirmed by itself.
fn left_open(report: &PassReport) -> Option<&str> {
    let (asked, _) = report.error.as_deref()?.split_once(" is gone could not be confirmed: ")?;
    asked.strip_prefix("whether ")?.split(' ').next_back()
}

impl Rig {
    /// A `changes` pass; if nothing disturbs it, everything that moved `updated_at` is known then.
    pub(super) async fn changes(&mut self, disturbed: bool) {
        let (before, began) = (self.progress().await, self.clock.now());
        let report = self.watcher_pass(PassKind::Changes).await;
        self.assert_watermark(&report, &before, began).await;
        let removed = self.removed_since_the_last_look().await;
        assert!(removed.is_empty(), "{}: a pass over changes removed {removed:?}", self.label);
        self.deceived |= disturbed;
        if !disturbed {
            assert_eq!(report.status, PassStatus::Complete, "{}: {:?}", self.label, report.error);
            if !self.deceived {
                self.assert_in_step(Look::Changes, "after an undisturbed pass").await;
                self.assert_documents_of_moved_rows("after an undisturbed pass").await;
            }
        }
    }

    /// An `open` pass; if nothing disturbs it, what stands open is known, and what stood open.
    pub(super) async fn open(&mut self, disturbed: bool) {
        let before = self.progress().await;
        let report = self.watcher_pass(PassKind::Open).await;
        let after = self.progress().await;
        assert_eq!((after.watermark, after.swept_at), (before.watermark, before.swept_at), "{}", self.label);
        let removed = self.removed_since_the_last_look().await;
        assert!(removed.is_empty(), "{}: a pass over open lists removed {removed:?}", self.label);
        if !disturbed {
            assert_eq!(report.status, PassStatus::Complete, "{}: {:?}", self.label, report.error);
            self.assert_in_step(Look::Open, "after an undisturbed open pass").await;
        }
    }

    /// What is due; if nothing disturbs it, nothing is overdue then.
    pub(super) async fn deadline(&mut self, disturbed: bool) {
        let confirmed = self.absent_in(AbsenceState::Confirmed).await;
        let report = self.watcher_pass(PassKind::Deadline).await;
        let removed = self.removed_since_the_last_look().await;
        assert!(removed.is_subset(&confirmed), "{}: {removed:?} but {confirmed:?} may go", self.label);
        if disturbed {
            return;
        }
        assert_eq!(report.status, PassStatus::Complete, "{}: {:?}", self.label, report.error);
        let truth = self.upstream.truth();
        let is_gone = |id: &&String| is_hidden(&truth[*id].last().expect("a state").object);
        let expected: BTreeSet<String> = confirmed.iter().filter(is_gone).cloned().collect();
        assert_eq!(removed, expected, "{}: somebody decided on {confirmed:?}", self.label);
        assert!(self.absent_in(AbsenceState::Confirmed).await.is_empty(), "{}", self.label);
        self.assert_dates_that_are_over().await;
        self.assert_documents_of_a_day_ago().await;
        self.reminders.assert_told(&self.snapshots().await, self.clock.now(), &self.label);
    }

    /// A sweep; if nothing disturbs it, everything is known that rows show, and whatever they do not show is gone.
    pub(super) async fn sweep(&mut self, disturbed: bool) {
        let (progress, snapshots, absences) = (self.progress().await, self.snapshots().await, self.absences().await);
        let report = self.watcher_pass(PassKind::Sweep).await;
        let after = self.progress().await;
        assert_eq!(after.watermark, progress.watermark, "{}: a sweep moved the watermark", self.label);
        let begin = self.look_back().await;
        let removed = self.removed_since(begin);
        if report.status != PassStatus::Complete {
            assert_eq!(after.swept_at, progress.swept_at, "{}: {:?}", self.label, report.error);
            let may_go = removed.is_empty() || left_open(&report).is_some_and(|id| !removed.contains(id));
            assert!(may_go, "{}: {removed:?} went after {:?}", self.label, report.error);
        }
        self.deceived |= disturbed;
        self.unsure.extend(report.started_at.filter(|_| self.is_lied_to));
        if !disturbed {
            assert_eq!(report.status, PassStatus::Complete, "{}: {:?}", self.label, report.error);
            self.deceived = false;
            self.assert_removals(begin, &snapshots, &absences).await;
            self.assert_in_step(Look::Sweep, "after an undisturbed sweep").await;
            self.assert_documents_of_moved_rows("after an undisturbed sweep").await;
        }
    }

    /// All kinds side by side.
    pub(super) async fn together(&mut self) {
        let (before, began) = (self.progress().await, self.clock.now());
        let confirmed = self.absent_in(AbsenceState::Confirmed).await;
        let (sweep, report, ..) = tokio::join!(
            self.watcher_pass(PassKind::Sweep),
            self.watcher_pass(PassKind::Changes),
            self.watcher_pass(PassKind::Open),
            self.watcher_pass(PassKind::Deadline),
        );
        self.assert_watermark(&report, &before, began).await;
        let removed = self.removed_since_the_last_look().await;
        let is_listed = |open: &str| !removed.contains(open) || confirmed.contains(open);
        let may_go = sweep.status == PassStatus::Complete || left_open(&sweep).is_some_and(is_listed);
        let may_go = may_go || removed.is_subset(&confirmed);
        assert!(may_go, "{}: {removed:?} went after {:?}", self.label, sweep.error);
        self.deceived = true;
        self.unsure.extend(sweep.started_at.filter(|_| self.is_lied_to));
    }

    /// Somebody decides on some of what is withheld, if anything is.
    pub(super) async fn decide(&mut self) {
        let withheld: Vec<String> = self.absent_in(AbsenceState::Withheld).await.into_iter().collect();
        if withheld.is_empty() {
            return;
        }
        let decision = *self.dice.pick(&[RemovalDecision::Confirm, RemovalDecision::Confirm, RemovalDecision::Keep]);
        let state = match decision {
            RemovalDecision::Confirm => AbsenceState::Confirmed,
            RemovalDecision::Keep => AbsenceState::Kept,
        };
        let some = (self.dice.chance() < 0.5).then(|| self.dice.pick(&withheld).clone());
        let ids: Option<Vec<ResourceId>> = some.clone().map(|id| vec![id.parse().expect("an id")]);
        let count = self.watcher.decide(decision, ids.as_deref()).await.expect("the store");
        let expected: BTreeSet<String> = some.map_or_else(|| withheld.into_iter().collect(), |id| [id].into());
        assert_eq!(count, expected.len() as u64, "{}", self.label);
        assert!(expected.is_subset(&self.absent_in(state).await), "{}: {expected:?}", self.label);
    }

    /// After a complete sweep that nothing disturbed: exactly what lists hide is gone, or all of it is withheld.
    async fn assert_removals(&self, begin: usize, snapshots: &BTreeMap<String, Snapshot>, absences: &Absences) {
        let (truth, after) = (self.upstream.truth(), self.snapshots().await);
        let hidden = |id: &String| is_hidden(&truth[id].last().expect("a state").object);
        let is_decided = |id: &String| {
            [AbsenceState::Kept, AbsenceState::Confirmed].iter().any(|state| absences.get(id) == Some(state))
        };
        let absent: BTreeSet<String> =
            snapshots.keys().filter(|id| is_there(snapshots, id) && hidden(id) && !is_decided(id)).cloned().collect();
        let removed = self.removed_since(begin);
        let all = by_kind(after.keys().filter(|id| is_there(&after, id) || removed.contains(*id)));
        let (gone, entries) = (by_kind(absent.iter()), self.absences().await);
        let told: Vec<&Event> = self.log[begin..].iter().map(|event| &**event).collect();
        let withheld = told.iter().find(|event| event.event_type == EventType::GatewayRemovalsWithheld);
        let when = format!("{}: {gone:?} of {all:?}", self.label);
        if self.is_too_much(gone, all) {
            assert!(removed.is_empty(), "{when}: {removed:?}");
            let is_new = absent.iter().any(|id| !absences.contains_key(id));
            let counts = |counts: [usize; 2]| json!({"certificate": counts[0], "certificate_request": counts[1]});
            let details = withheld.map(|event| event.details.text().to_owned());
            let expected = is_new.then(|| json!({"absent": counts(gone), "total": counts(all)}).to_string());
            assert_eq!(details, expected, "{when}");
            assert!(absent.iter().all(|id| entries.get(id) == Some(&AbsenceState::Withheld)), "{when}: {entries:?}");
        } else {
            // What was withheld before waits for a decision, however little is absent now.
            let (waiting, decided): (BTreeSet<String>, BTreeSet<String>) =
                absent.iter().cloned().partition(|id| absences.contains_key(id));
            assert_eq!(removed, decided, "{when}");
            assert!(withheld.is_none(), "{when}");
            assert!(decided.iter().all(|id| !entries.contains_key(id)), "{when}: {entries:?}");
            assert!(waiting.iter().all(|id| entries.contains_key(id)), "{when}: {entries:?}");
        }
        for (id, state) in absences.iter().filter(|(id, _)| is_decided(id)) {
            let expected = Some(state).filter(|_| hidden(id));
            assert_eq!(entries.get(id), expected, "{when}: {id}");
        }
        assert!(entries.keys().all(hidden), "{when}: {entries:?} are listed");
    }

    /// Whether so many are not believed, of so many in all.
    fn is_too_much(&self, gone: [usize; 2], all: [usize; 2]) -> bool {
        let guard = self.choices.guard;
        let mut is_share = false;
        for (gone, all) in gone.into_iter().zip(all) {
            if gone == all && gone > 1 {
                return true;
            }
            is_share |= gone > 0 && gone as f64 >= guard.share * all as f64;
        }
        is_share && gone.iter().sum::<usize>() as u64 >= guard.count
    }

    async fn removed_since_the_last_look(&mut self) -> BTreeSet<String> {
        let begin = self.look_back().await;
        self.removed_since(begin)
    }

    fn removed_since(&self, begin: usize) -> BTreeSet<String> {
        let removals = self.log[begin..].iter().filter(|event| is_removal(event));
        removals.filter_map(|event| Some(event.sight.resource()?.id.as_str().to_owned())).collect()
    }

    /// How those stand that lists do not show and that were not removed.
    async fn absences(&self) -> Absences {
        let mut found = Absences::new();
        let mut after: Option<(Kind, ResourceId)> = None;
        loop {
            let beyond = after.as_ref().map(|(kind, id)| (*kind, id));
            let page = self.watcher.absences(beyond, 50).await.expect("the store");
            let Some(last) = page.last() else { return found };
            after = Some((last.key.kind, last.key.id.clone()));
            found.extend(page.into_iter().map(|absence| (absence.key.id.as_str().to_owned(), absence.state)));
        }
    }

    async fn absent_in(&self, state: AbsenceState) -> BTreeSet<String> {
        self.absences().await.into_iter().filter(|(_, known)| *known == state).map(|(id, _)| id).collect()
    }

    /// Only a complete pass moves the watermark: to where both clocks had got when it began.
    async fn assert_watermark(&self, report: &PassReport, before: &SourceProgress, began: Timestamp) {
        let after = self.progress().await.watermark;
        if report.status != PassStatus::Complete {
            assert_eq!(after, before.watermark, "{}: {:?} {:?}", self.label, report.status, report.error);
            return;
        }
        let ahead_ms = self.shift_ms + self.modes.clock_skew_seconds * 1_000;
        let exact_ms = began.as_millis() + ahead_ms.min(0);
        let watermark_ms = after.expect("a watermark").as_millis();
        // `Date` counts whole seconds, and time may pass while the first page is on its way, which counts as if
        // upstream were behind.
        assert!((exact_ms - 10_000..=exact_ms).contains(&watermark_ms), "{}: {}", self.label, watermark_ms - exact_ms);
    }
}
