//! The source's one token bucket: the waiting itself. Who is next is decided in [`super::turns`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::Urgency;
use super::turns::{Place, Turn, Turns};

/// Hands out tokens at the source's rate. There is no task behind it: whoever is next watches the time for himself,
/// and wakes his successor when he leaves, with a token or without, or finds that somebody else has become the next.
///
/// It waits by tokio's clock, so that a simulation that pauses that clock can wait here too.
#[derive(Debug)]
pub struct Bucket {
    begun: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    turns: Turns,
    sleepers: BTreeMap<Place, Arc<Notify>>,
}

impl Bucket {
    /// A full bucket.
    pub fn new(turns: Turns) -> Self {
        Self { begun: Instant::now(), state: Mutex::new(State { turns, sleepers: BTreeMap::new() }) }
    }

    /// Waits for a token, however long that takes. Dropping the future gives the place up, and takes no token.
    ///
    /// # Errors
    /// How long the pause still lasts, at once, if there is one.
    pub async fn token(&self, urgency: Urgency) -> Result<(), Duration> {
        let seat = Seat::take(self, urgency);
        loop {
            // The answer is taken out of the lock first: nothing is held while waiting.
            let turn = self.lock().ask(seat.place, self.begun.elapsed());
            match turn {
                Turn::Go => return Ok(()),
                Turn::Wait(wait) => tokio::time::sleep(wait).await,
                Turn::Behind => seat.wake.notified().await,
                Turn::Paused(left) => return Err(left),
            }
        }
    }

    /// How many tokens could be had at once.
    pub(super) fn left(&self) -> f64 {
        self.lock().turns.left(self.begun.elapsed())
    }

    /// Sends everybody away for `wait`.
    pub(super) fn pause(&self, wait: Duration) {
        let now = self.begun.elapsed();
        self.lock().turns.pause(now, wait);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn ask(&mut self, place: Place, now: Duration) -> Turn {
        let turn = self.turns.ask(place, now);
        if turn == Turn::Behind {
            // By time alone: an open call that stood aside has its share again, and nobody has left since.
            self.wake_next(now);
        }
        turn
    }

    fn wake_next(&self, now: Duration) {
        if let Some(next) = self.turns.next(now).and_then(|next| self.sleepers.get(&next)) {
            next.notify_one();
        }
    }
}

/// A place in the queue for as long as somebody waits on it.
struct Seat<'a> {
    bucket: &'a Bucket,
    place: Place,
    wake: Arc<Notify>,
}

impl<'a> Seat<'a> {
    fn take(bucket: &'a Bucket, urgency: Urgency) -> Self {
        let wake = Arc::new(Notify::new());
        let mut state = bucket.lock();
        let place = state.turns.enter(urgency);
        state.sleepers.insert(place, Arc::clone(&wake));
        drop(state);
        Self { bucket, place, wake }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut state = self.bucket.lock();
        state.turns.leave(self.place);
        state.sleepers.remove(&self.place);
        state.wake_next(self.bucket.begun.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    fn bucket(per_second: f64) -> Bucket {
        Bucket::new(Turns::new(per_second).expect("a rate"))
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_come_at_the_rate_after_one_burst() {
        let bucket = bucket(5.0);
        let begun = Instant::now();
        for _ in 0..15 {
            bucket.token(Urgency::Sweep).await.expect("no pause");
        }
        let took = begun.elapsed();
        assert!((Duration::from_millis(2000)..Duration::from_millis(2100)).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_most_urgent_of_those_who_wait_goes_first() {
        let bucket = bucket(1.0);
        bucket.token(Urgency::Api).await.expect("the only token");
        let order = Mutex::new(Vec::new());
        let waiting = [
            (Urgency::Sweep, "sweep"),
            (Urgency::Changes, "first changes"),
            (Urgency::Changes, "second changes"),
            (Urgency::Deadline, "deadline"),
            (Urgency::Open, "open"),
            (Urgency::Api, "api"),
        ];
        let all = join_all(waiting.map(|(urgency, name)| {
            let (bucket, order) = (&bucket, &order);
            async move {
                bucket.token(urgency).await.expect("no pause");
                order.lock().expect("no panic").push(name);
            }
        }));
        tokio::time::timeout(Duration::from_secs(60), all).await.expect("nobody is left waiting");
        let order = order.into_inner().expect("no panic");
        assert_eq!(order, ["api", "deadline", "first changes", "second changes", "open", "sweep"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_call_whose_share_is_used_up_lets_a_sweep_go_on() {
        let bucket = bucket(2.0);
        let begun = Instant::now();
        let take = async |urgency: Urgency, calls: u32| {
            for _ in 0..calls {
                bucket.token(urgency).await.expect("no pause");
            }
            begun.elapsed().as_millis()
        };
        let (open, sweep) = tokio::join!(take(Urgency::Open, 11), take(Urgency::Sweep, 12));
        // Each has one of the two that are there at first, and every second one of those that come twice a second.
        assert_eq!((open, sweep), (10_000, 10_500));
        assert_eq!(take(Urgency::Open, 10).await, 20_000, "one a second although nobody else asks");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_wakes_late_and_finds_somebody_else_next_wakes_him() {
        let bucket = bucket(4.0);
        let ms = Duration::from_millis;
        for _ in 0..4 {
            bucket.token(Urgency::Sweep).await.expect("no pause");
        }
        tokio::time::advance(ms(300)).await;
        for _ in 0..2 {
            bucket.token(Urgency::Open).await.expect("no pause");
        }
        // Now, at 500 ms, the next token comes at 750 ms and the next one of the share at 800 ms.
        let order = Mutex::new(Vec::new());
        let called = async |urgency| {
            bucket.token(urgency).await.expect("no pause");
            order.lock().expect("no panic").push(urgency);
        };
        let overslept = async {
            tokio::task::yield_now().await;
            tokio::time::advance(ms(400)).await;
        };
        let all = async { tokio::join!(called(Urgency::Sweep), called(Urgency::Open), overslept) };
        tokio::time::timeout(Duration::from_secs(60), all).await.expect("nobody is left waiting");
        assert_eq!(order.into_inner().expect("no panic"), [Urgency::Open, Urgency::Sweep]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_delays_nobody_and_takes_no_token() {
        let bucket = bucket(1.0);
        bucket.token(Urgency::Api).await.expect("the only token");
        let begun = Instant::now();
        let impatient = tokio::time::timeout(Duration::from_millis(500), bucket.token(Urgency::Api));
        let patient = tokio::time::timeout(Duration::from_secs(60), bucket.token(Urgency::Sweep));
        let (gave_up, waited) = tokio::join!(impatient, patient);
        assert!(gave_up.is_err(), "no token came within half a second");
        waited.expect("it is not left waiting").expect("no pause");
        assert!(begun.elapsed() < Duration::from_millis(1100), "{:?}", begun.elapsed());
        assert!(bucket.lock().sleepers.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_reaches_those_who_wait_already() {
        let bucket = bucket(1.0);
        bucket.token(Urgency::Api).await.expect("the only token");
        let pause = async { bucket.pause(Duration::from_secs(60)) };
        let (first, second, ()) = tokio::join!(bucket.token(Urgency::Changes), bucket.token(Urgency::Sweep), pause);
        for left in [first.expect_err("a pause"), second.expect_err("a pause")] {
            assert!(left > Duration::from_secs(58), "{left:?}");
        }
    }
}
