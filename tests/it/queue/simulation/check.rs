//! What must hold once all is well again.

use std::collections::BTreeMap;

use certhook::model::delivery::{DeliveryRecord, DeliveryStatus, Outcome};
use certhook::model::endpoint::EndpointStatus;
use certhook::model::event::Event;
use certhook::model::id::{DeliveryId, EndpointId, Position};
use certhook::model::replay::{Course, Replay, ReplayStatus, Select};
use certhook::store::DeliveryQuery;

use super::laws::Past;
use super::world::{Subscriber, World, resources};

/// The resource that an event is about, unless it is for nobody but who asked for it.
fn subject(event: &Event) -> Option<&str> {
    let resource = event.sight.resource().map(|key| key.id.as_str());
    resource.filter(|_| !event.event_type.is_only_for_who_asked())
}

impl World {
    /// Replays that have not ended, or whose counts do not add up.
    pub(super) async fn unfinished(&self) -> Vec<Replay> {
        let replays = self.bench.store.replays(None, true, usize::MAX).await.expect("a list");
        let is_open =
            |replay: &Replay| replay.progress.status == ReplayStatus::Running || replay.progress.outstanding() > 0;
        replays.into_iter().filter(is_open).collect()
    }

    async fn read_log(&mut self) {
        let last = Position(self.log.len() as u64);
        self.log.extend(self.bench.store.events_after(last, usize::MAX).await.expect("the log"));
    }

    pub(super) async fn records(&self) -> Vec<(String, DeliveryRecord)> {
        let host = |id| self.subscribers.iter().find(|one| one.id == id).expect("it was registered").host.clone();
        self.recorded(None).await.into_iter().map(|record| (host(record.endpoint_id), record)).collect()
    }

    pub(super) async fn records_of(&self, endpoint: EndpointId) -> Vec<DeliveryRecord> {
        self.recorded(Some(endpoint)).await
    }

    async fn recorded(&self, endpoint: Option<EndpointId>) -> Vec<DeliveryRecord> {
        let endpoint = endpoint.map(|id| id.number);
        let mut query = DeliveryQuery { endpoint, limit: usize::MAX, ascending: true, ..DeliveryQuery::default() };
        let mut records = Vec::new();
        loop {
            let page = self.bench.store.deliveries(query.clone()).await.expect("a list");
            records.extend(page.found);
            query.after = page.next;
            if page.next.is_none() {
                return records;
            }
        }
    }

    /// What should have ended and has not; makes sure that it can.
    pub(super) async fn missing(&mut self) -> Vec<String> {
        self.read_log().await;
        let records = self.recorded(None).await;
        let known: BTreeMap<_, _> =
            records.iter().map(|record| ((record.endpoint_id, record.id.position), record)).collect();
        let mut missing = Vec::new();
        for one in self.subscribers.iter().filter(|one| !one.deleted) {
            self.receivers.switch(&one.host, true);
            if self.bench.endpoint(one.id).await.status == EndpointStatus::Disabled {
                self.bench.switch(one.id, EndpointStatus::Enabled).await;
            }
            for event in &self.log {
                let position = event.position();
                let record = known.get(&(one.id, position));
                let must_come = position > one.start && subject(event).is_some_and(|resource| one.must_get(resource));
                let is_over = record.map_or(!must_come, |record| self.is_over(one, record, must_come));
                if !is_over {
                    missing.push(format!("{} {} {:?}", one.host, position.0, record.map(|record| record.status)));
                }
            }
        }
        missing
    }

    /// Whether a delivery has ended in a way that it may end in.
    fn is_over(&self, one: &Subscriber, record: &DeliveryRecord, must_come: bool) -> bool {
        match record.status {
            DeliveryStatus::Pending => false,
            DeliveryStatus::Delivered | DeliveryStatus::Failed => true,
            DeliveryStatus::Canceled => {
                let by_replay = record.replay.is_some_and(|replayed| replayed.ended == Some(DeliveryStatus::Canceled));
                !must_come || by_replay || one.deleted || self.canceled.contains(&record.id)
            }
        }
    }

    pub(super) async fn check(&mut self) {
        self.read_log().await;
        let past = self.memory.as_ref().map(|memory| Past::of(memory.versions()));
        let records = self.records().await;
        for (host, record) in &records {
            self.check_record(host, record, past.as_ref());
        }
        for event in self.receivers.events() {
            let known = &self.log[event.position.0 as usize - 1];
            assert_eq!(known.id, event, "it was sent before it was durable");
        }
        if let Some(past) = &past {
            past.check(&self.subscribers, self.bench.settings.circuit.probe);
            self.check_replays(past).await;
        }
    }

    fn check_record(&self, host: &str, record: &DeliveryRecord, past: Option<&Past>) {
        let name = format!("{host} {}", record.id.position.0);
        let one = self.subscribers.iter().find(|one| one.host == host).expect("it was registered");
        let event = &self.log[record.id.position.0 as usize - 1];
        let was_replayed = past.is_none_or(|past| past.was_replayed(record.id));
        let was_for_it = record.id.position > one.first && subject(event).is_some_and(|resource| one.may_get(resource));
        let by_hand = self.receivers.is_by_hand(host, record.event_id);
        assert!(was_for_it || was_replayed || by_hand, "{name} was not for it: {record:#?}");
        let numbers: Vec<u32> = record.attempts.iter().map(|attempt| attempt.number).collect();
        let count = record.attempt_count;
        let kept = (1..=count).filter(|number| *number <= 10 || *number > count.max(20) - 10);
        assert_eq!(numbers, kept.collect::<Vec<_>>(), "{name}");
        assert!(record.attempts.windows(2).all(|pair| pair[0].at <= pair[1].at), "{name}: {record:#?}");
        let last = record.attempts.last().map(|attempt| attempt.outcome);
        match record.status {
            DeliveryStatus::Delivered => {
                let was_delivered = record.replay.is_some_and(|one| one.former == Some(DeliveryStatus::Delivered));
                assert!(was_delivered || last == Some(Outcome::Delivered), "{name}: {record:#?}");
                assert!(self.receivers.has(host, record.event_id), "{name}: nobody has it");
            }
            DeliveryStatus::Failed => {
                let was_failed = record.replay.is_some_and(|one| one.former == Some(DeliveryStatus::Failed));
                let given_up = last == Some(Outcome::Aborted) || record.charged == 4;
                assert!(was_failed || given_up && last != Some(Outcome::Delivered), "{name}: {record:#?}");
            }
            DeliveryStatus::Canceled => {
                let must_come = record.id.position > one.start && was_for_it;
                assert!(self.is_over(one, record, must_come), "{name}: {record:#?}");
            }
            DeliveryStatus::Pending => panic!("{name} is pending: {record:#?}"),
        }
        assert_eq!(record.next_attempt_at, None, "{name}: {record:#?}");
    }

    /// Every replay has told each of what was asked for, and counted each once.
    async fn check_replays(&self, past: &Past) {
        for asked in &self.asked {
            let replay = self.bench.store.replay(asked.id).await.expect("a look").expect("it is kept");
            let one = self.subscribers.iter().find(|one| one.id == asked.endpoint).expect("it was registered");
            past.check_counts(&replay, one);
            if replay.progress.status == ReplayStatus::Completed {
                self.check_course(&replay, one, asked.after, past);
            }
        }
    }

    fn check_course(&self, replay: &Replay, one: &Subscriber, after: usize, past: &Past) {
        let delivery =
            |event: &Event| DeliveryId { position: event.position(), endpoint: one.id.number, epoch: event.id.epoch };
        match &replay.course {
            Course::Log(range) => {
                for event in self.log.iter().filter(|event| range.asks_for(event)) {
                    let is_meant = subject(event).is_some_and(|resource| one.must_get(resource));
                    if is_meant && range.select == Select::All {
                        let came = past.came_since(delivery(event), after);
                        assert!(came, "{} {} is not replayed: {replay:#?}", one.host, event.position().0);
                    }
                }
            }
            Course::Snapshots(_) => {
                let id = Some(replay.id.to_string());
                let told = self.log.iter().filter(|event| event.sight.detection.request_id == id);
                let mut named: Vec<_> =
                    told.filter_map(|event| event.sight.resource()).map(|key| key.id.as_str()).collect();
                named.sort_unstable();
                named.retain(|resource| one.must_get(resource));
                let wanted: Vec<String> = resources().filter(|name| one.must_get(name)).collect();
                assert_eq!(named, wanted, "{}: {replay:#?}", one.host);
            }
        }
    }
}
