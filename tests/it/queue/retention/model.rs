//! Whatever happens in whatever order: what is cut is pending for nobody who is behind by less than twice the age, what is
//! lost is told, and nothing is kept for no reason.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// What may happen between two looks.
#[derive(Clone, Debug)]
enum Step {
    Tell(u8),
    Pass(u8),
    /// An endpoint deals with so many more.
    Deal(usize, u8),
    /// So many events before the end of what an endpoint has dealt with, one waits.
    Wait(usize, u8),
    /// What has waited longest has ended.
    End(usize),
    /// Somebody wants the events again that lie so far before the mark, so many of them; one replay at a time.
    Replay(u8, u8),
    /// It comes so many events further.
    Advance(u8),
    /// The mark comes within so many events of the head.
    Mark(u8),
    Look,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let endpoint = || 0..2_usize;
    let step = prop_oneof![
        4 => (1..6_u8).prop_map(Step::Tell),
        4 => (1..20_u8).prop_map(Step::Pass),
        3 => (endpoint(), 0..20_u8).prop_map(|(endpoint, count)| Step::Deal(endpoint, count)),
        2 => (endpoint(), 0..20_u8).prop_map(|(endpoint, back)| Step::Wait(endpoint, back)),
        1 => endpoint().prop_map(Step::End),
        1 => (0..40_u8, 1..40_u8).prop_map(|(back, count)| Step::Replay(back, count)),
        1 => (1..10_u8).prop_map(Step::Advance),
        3 => (0..4_u8).prop_map(Step::Mark),
        4 => Just(Step::Look),
    ];
    prop::collection::vec(step, 1..80)
}

/// What was pending for an endpoint before a look.
struct Before {
    own: u64,
    waiting: BTreeSet<u64>,
}

impl Before {
    fn is_pending(&self, position: u64) -> bool {
        position > self.own || self.waiting.contains(&position)
    }
}

/// The events ever told, by position, and the endpoints.
struct Model {
    world: World,
    told: BTreeMap<u64, (Timestamp, bool)>,
    endpoints: Vec<Endpoint>,
    mark: u64,
    /// A replay that runs: what it has come to, and its end.
    replay: Option<(ReplayId, u64, u64)>,
}

impl Model {
    fn is_awaited_by_replay(&self, position: u64) -> bool {
        self.replay.is_some_and(|(_, at, until)| position > at && position <= until)
    }

    async fn own(&self, endpoint: &Endpoint) -> u64 {
        let own = self.world.store.positions().await.expect("positions").own;
        own.iter().find(|(number, _)| *number == endpoint.id.number).expect("it has one").1.0
    }

    async fn waiting(&self, endpoint: &Endpoint) -> BTreeSet<u64> {
        let waiting = self.world.store.waiting(endpoint.id.number, 10_000).await.expect("a list");
        waiting.iter().map(|one| one.id.position.0).collect()
    }

    async fn learn(&mut self) {
        for event in self.world.store.events_after(Position::START, 100_000).await.expect("a log") {
            let is_wanted = event.event_type.is_about_a_resource();
            self.told.insert(event.position().0, (event.timestamp(), is_wanted));
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Tell(count) => {
                for _ in 0..count {
                    self.world.tell("cert_1").await;
                }
                self.learn().await;
            }
            Step::Pass(hours) => self.world.clock.advance(HOUR * u32::from(hours)),
            Step::Deal(which, count) => {
                let endpoint = self.endpoints[which].clone();
                let head = self.world.store.head().borrow().0;
                let own = (self.own(&endpoint).await + u64::from(count)).min(head);
                self.world.stand(self.mark, &[(&endpoint, Some(own))]).await;
            }
            Step::Wait(which, back) => {
                let endpoint = self.endpoints[which].clone();
                let own = self.own(&endpoint).await;
                let position = own.min(self.mark).saturating_sub(back.into());
                if position >= self.world.store.first().0 && self.told.get(&position).is_some_and(|(_, wanted)| *wanted)
                {
                    self.world.record(&endpoint, position, DeliveryStatus::Pending).await;
                }
            }
            Step::End(which) => {
                let endpoint = self.endpoints[which].clone();
                if let Some(first) = self.waiting(&endpoint).await.first() {
                    self.world.record(&endpoint, *first, DeliveryStatus::Delivered).await;
                }
            }
            Step::Mark(back) => {
                let head = self.world.store.head().borrow().0;
                self.mark = self.mark.max(head.saturating_sub(back.into()));
                self.world.stand(self.mark, &[]).await;
            }
            Step::Replay(back, count) => {
                let after = self.mark.saturating_sub(back.into());
                let until = self.mark.min(after + u64::from(count));
                if self.replay.is_none() && after < until {
                    let id = self.world.replay(&self.endpoints[0], after, until).await;
                    self.replay = Some((id, after, until));
                }
            }
            Step::Advance(count) => {
                let Some((id, at, until)) = self.replay else { return };
                let at = at + u64::from(count);
                self.replay = Some((id, at, until)).filter(|_| at < until);
                let cursor = if at < until { Cursor::Log(Position(at)) } else { Cursor::End };
                self.world.advance(id, cursor).await;
            }
            Step::Look => self.look().await,
        }
    }

    async fn look(&mut self) {
        let now = self.world.clock.now();
        let mut before = Vec::new();
        for endpoint in &self.endpoints {
            let (own, waiting) = (self.own(endpoint).await, self.waiting(endpoint).await);
            before.push(Before { own, waiting });
        }
        let (from, head) = (self.world.store.first().0, self.world.store.head().borrow().0);
        let first = self.world.look().await;
        let is_old = |position: u64| self.told[&position].0 < now.minus(KEPT);
        let is_twice_as_old = |position: u64| self.told[&position].0 < now.minus(2 * KEPT);
        for position in from..first {
            assert!(is_old(position), "{position} is cut too early");
            assert!(position <= self.mark, "{position} is cut before the mark has passed it");
            let is_replayed = self.is_awaited_by_replay(position) && !is_twice_as_old(position);
            assert!(!is_replayed, "{position} is cut before a replay has come to it");
        }
        let gaps: Vec<Value> =
            self.world.gaps().await.iter().filter(|gap| gap.position().0 > head).map(|gap| data(gap)).collect();
        let mut told = 0;
        for (endpoint, before) in self.endpoints.iter().zip(&before) {
            let (own, waiting) = (self.own(endpoint).await, self.waiting(endpoint).await);
            let after = Before { own, waiting };
            let lost: Vec<u64> =
                (from..=head).filter(|position| before.is_pending(*position) && !after.is_pending(*position)).collect();
            for position in from..first {
                assert!(!after.is_pending(position), "{position} is cut and pending");
            }
            let wanted = lost.iter().filter(|position| self.told[position].1).count();
            assert!(lost.is_empty() || is_twice_as_old(lost[0]), "{lost:?} were lost to one who is not overdue");
            assert!(lost.iter().all(|position| is_old(*position)), "{lost:?} were lost too early");
            let own_gaps: Vec<&Value> = gaps.iter().filter(|gap| gap["object"]["id"] == json!(endpoint.id)).collect();
            let missed: u64 = own_gaps.iter().map(|gap| gap["missed"].as_u64().expect("a number")).sum();
            assert_eq!(missed, wanted as u64, "what is told of {lost:?}");
            told += own_gaps.len();
        }
        assert_eq!(told, gaps.len());
        self.nothing_is_kept_in_vain(first, head, now).await;
        self.learn().await;
    }

    /// Whatever is first is there for a reason.
    async fn nothing_is_kept_in_vain(&self, first: u64, head: u64, now: Timestamp) {
        let Some((at, _)) = self.told.get(&first).filter(|_| first <= head) else { return };
        let mut is_awaited = self.is_awaited_by_replay(first);
        for endpoint in &self.endpoints {
            let after = Before { own: self.own(endpoint).await, waiting: self.waiting(endpoint).await };
            is_awaited |= after.is_pending(first);
        }
        let is_young = *at >= now.minus(KEPT);
        let is_twice_as_old = *at < now.minus(2 * KEPT);
        assert!(is_young || first > self.mark || is_awaited && !is_twice_as_old, "{first} is kept for no reason");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_is_cut_is_pending_for_nobody_who_is_behind_by_less_than_twice_the_age(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let world = World::new().await;
            let mut endpoints = Vec::new();
            for name in ["crm", "erp"] {
                endpoints.push(world.register(name, |_| {}).await);
            }
            let mut model = Model { world, told: BTreeMap::new(), endpoints, mark: 0, replay: None };
            for step in steps {
                model.step(step).await;
            }
            model.look().await;
        });
    }
}
