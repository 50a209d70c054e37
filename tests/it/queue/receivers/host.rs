//! One receiver: what it has got, and what must not come to it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use certhook::model::delivery::{DeliveryRecord, DeliveryStatus, Outcome};
use certhook::model::endpoint::SigningSecret;
use certhook::model::id::{EventId, Position};
use certhook::model::time::Timestamp;

use super::call::{Call, Strand};

/// What cannot be told to the moment.
#[derive(Clone, Copy)]
pub(super) struct Slack {
    /// For so long a change of an endpoint may go unnoticed: a process that begins may have read it before.
    pub(super) unnoticed_max: Duration,
    /// So much time may pass between a signature and its arrival.
    pub(super) on_its_way_max: Duration,
}

#[derive(Default)]
pub(super) struct Host {
    pub(super) limit: usize,
    /// What signs, newest last, each with when it was replaced.
    pub(super) secrets: Vec<(Vec<SigningSecret>, Option<Timestamp>)>,
    /// Since when nothing is to be sent to it.
    pub(super) off_since: Option<Timestamp>,
    /// Behind which place in the log events of one resource come in order; `None` if they need not.
    pub(super) ordered_after: Option<Position>,
    /// Resources that filters kept out at times.
    pub(super) passed_by: BTreeSet<String>,
    /// What somebody wanted to be tried at a moment of his own, and so out of order.
    pub(super) by_hand: BTreeSet<EventId>,
    pub(super) delivered: BTreeSet<EventId>,
    bodies: HashMap<EventId, Bytes>,
    running: BTreeMap<EventId, Strand>,
    /// Attempts of each event so far, as this process knows it.
    attempts: HashMap<EventId, u32>,
    /// What this process knows to have ended, by itself or in a replay.
    ended: HashSet<(EventId, Option<String>)>,
    /// What somebody is just asking to be sent anew, and the attempt that came although it had ended.
    asking: Option<(EventId, Option<u32>)>,
    /// The last event of a strand that this process delivered,
    last: HashMap<Strand, Position>,
    /// and that was ever delivered for the first time.
    first: HashMap<Strand, Position>,
    arrived: HashSet<(EventId, Option<String>)>,
}

impl Host {
    pub(super) fn begin(&mut self) {
        self.running.clear();
        self.attempts.clear();
        self.ended.clear();
        self.asking = None;
        self.last.clear();
    }

    /// A record as a process finds it when it begins.
    pub(super) fn remember(&mut self, record: &DeliveryRecord) {
        self.attempts.insert(record.event_id, record.attempt_count);
        // What is pending for a replay is no business of its own turn any more, and the other way round.
        let pending_for = record.pending_for();
        if record.status != DeliveryStatus::Pending || pending_for.is_some() {
            self.ended.insert((record.event_id, None));
        }
        if let Some(replayed) = record.replay.filter(|replayed| Some(replayed.id) != pending_for) {
            self.ended.insert((record.event_id, Some(replayed.id.to_string())));
        }
    }

    pub(super) fn revive(&mut self, event: EventId) {
        self.ended.remove(&(event, None));
    }

    /// Somebody is about to ask for it to be sent, at a moment of his own. Until he has an answer it is open whether it
    /// ends before, and so whether it may come anew.
    pub(super) fn ask(&mut self, event: EventId) {
        self.by_hand.insert(event);
        self.asking = Some((event, None));
    }

    /// He has his answer: after so many attempts it is pending by itself, or `None`. Whether what came was in keeping
    /// with that.
    pub(super) fn asked(&mut self, pending_after: Option<u32>) -> bool {
        let Some((event, sent)) = self.asking.take() else { return true };
        if sent.is_none() && pending_after == Some(self.attempts.get(&event).copied().unwrap_or(0)) {
            self.revive(event);
        }
        sent.is_none() || sent == pending_after.map(|count| count + 1)
    }

    fn has_ended(&mut self, call: &Call) -> bool {
        let key = (call.event, call.strand.1.clone());
        match &mut self.asking {
            Some((event, sent @ None)) if *event == call.event && key.1.is_none() && self.ended.remove(&key) => {
                *sent = Some(call.attempt);
                false
            }
            _ => self.ended.contains(&key),
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.running.len()
    }

    pub(super) fn events(&self) -> impl Iterator<Item = EventId> + use<'_> {
        self.bodies.keys().copied()
    }

    /// A request arrives; gives what is wrong about it.
    pub(super) fn arrive(&mut self, call: &Call, slack: Slack) -> Vec<String> {
        let is_in_order = self.is_in_order(call);
        let others = self.running.iter().filter(|(event, _)| !self.by_hand.contains(event));
        let together = is_in_order && others.clone().any(|(_, strand)| *strand == call.strand);
        let twice = self.running.insert(call.event, call.strand.clone()).is_some();
        let here = self.running.len();
        let before = self.attempts.insert(call.event, call.attempt).unwrap_or(0);
        let has_ended = self.has_ended(call);
        let is_same = *self.bodies.entry(call.event).or_insert_with(|| call.body.clone()) == call.body;
        let noticed = |at: Timestamp| at.plus(slack.unnoticed_max) < call.at;
        let mut signing = self.secrets.iter().filter(|(_, until)| !until.is_some_and(noticed));
        let wrongs = [
            (twice, "sent twice at a time".to_owned()),
            (together, "two of a resource at a time".to_owned()),
            (here > self.limit, format!("{here} at a time, of {}", self.limit)),
            (has_ended, "sent again after it had ended".to_owned()),
            (call.attempt != before + 1, format!("the attempt before was {before}")),
            (!is_same, "other bytes than before".to_owned()),
            (
                !signing.any(|(secrets, _)| call.is_signed_by(secrets, slack.on_its_way_max)),
                "not signed as it should be".to_owned(),
            ),
            (self.off_since.is_some_and(noticed), "sent although nothing should be".to_owned()),
        ];
        wrongs.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, what)| what).collect()
    }

    fn is_in_order(&self, call: &Call) -> bool {
        self.ordered_after.is_some_and(|after| call.event.position > after)
            && !self.by_hand.contains(&call.event)
            && !self.passed_by.contains(&call.strand.0)
    }

    /// A request is answered; gives what is wrong about that.
    pub(super) fn answer(&mut self, call: &Call, outcome: Outcome) -> Vec<String> {
        let (position, strand) = (call.event.position, &call.strand);
        if matches!(outcome, Outcome::Delivered | Outcome::Aborted) {
            self.ended.insert((call.event, strand.1.clone()));
        }
        if outcome != Outcome::Delivered {
            return Vec::new();
        }
        self.delivered.insert(call.event);
        if !self.is_in_order(call) {
            return Vec::new();
        }
        let is_late = |last: Option<Position>| last.is_some_and(|last| last > position);
        let mut late = is_late(self.last.insert(strand.clone(), position));
        if self.arrived.insert((call.event, strand.1.clone())) {
            late |= is_late(self.first.insert(strand.clone(), position));
        }
        if late { vec!["arrived after a later one of its resource".to_owned()] } else { Vec::new() }
    }

    pub(super) fn leave(&mut self, event: EventId) {
        self.running.remove(&event);
    }
}
