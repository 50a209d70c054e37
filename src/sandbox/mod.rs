//! The simulated upstream: the vendor's API page for page, with a clock that can be moved, a book of customers that
//! lives a slow life of its own, and controls that make anything happen or go wrong.
//!
//! The vendor has no test mode for certificates; this is where the gateway is tried, by its tests and by people who
//! want to see it work. It knows nothing of the gateway and shares no wire type with it, so that it can catch its
//! mistakes. What the vendor's pages leave open is a mode that can be set either way.
//!
//! Invariants: the book changes only by commands and by time; every answer is computed under one lock, so that a
//! page shows one instant; the same seed, clock and calls give the same answers; no lock is held across an await.
//!
//! In reading order: [`options`]; the book as a value ([`book`], [`catalogue`], [`day`], [`dice`], [`seed`]); what may
//! happen to it ([`happening`], [`live`]); the vendor's API as a function ([`wire`], [`numeral`]); what may go wrong
//! ([`faults`]); all of it as one value ([`world`]); HTTP around it ([`serve`], [`control`] with `show`).

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use tokio_util::sync::CancellationToken;

use self::options::Options;
use self::world::World;
use crate::clock::Clock;
use crate::model::time::Timestamp;

pub mod book;
pub mod catalogue;
pub mod control;
pub mod day;
pub mod dice;
pub mod faults;
pub mod happening;
pub mod live;
pub mod numeral;
pub mod options;
pub mod seed;
pub mod serve;
mod show;
pub mod wire;
pub mod world;

/// A simulated upstream. Clones are handles to the same one.
#[derive(Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    world: Mutex<World>,
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("nobody panics while holding the lock")
    }
}

impl Sandbox {
    /// A new one, with a book as it would stand now. Its clock follows the given one, and can be moved ahead of it.
    pub fn new(options: Options, clock: Arc<dyn Clock>) -> Self {
        let world = Mutex::new(World::new(options, clock.now()));
        Self { shared: Arc::new(Shared { clock, world }) }
    }

    /// The vendor's API and the controls. Serving it on a socket is the caller's part.
    pub fn router(&self) -> Router {
        control::routes().fallback(serve::vendor).with_state(self.clone())
    }

    /// What the sandbox's clock shows.
    pub fn now(&self) -> Timestamp {
        self.with_world(|_, now| now)
    }

    /// Moves the clock on, and with it whatever becomes due. Gives what it shows then, and how many objects moved.
    pub fn advance(&self, by: Duration) -> (Timestamp, usize) {
        self.with_world(|world, now| {
            world.advanced = world.advanced.saturating_add(by);
            let now = now.plus(by);
            (now, world.book.settle(now, world.modes.clock_moves_bump_updated_at))
        })
    }

    /// A life of its own: something believable happens every few seconds, until `stop` fires.
    pub fn live(&self, stop: CancellationToken) -> impl Future<Output = ()> + Send + 'static {
        let sandbox = self.clone();
        async move {
            for taken in 0.. {
                let wait = sandbox.with_world(|world, _| live::wait(taken, world.dice.chance()));
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(wait) => {}
                }
                sandbox.with_world(|world, now| {
                    let World { book, dice, .. } = world;
                    if let Some((happening, subject)) = live::step(book, taken, dice, now) {
                        tracing::debug!(happening = happening.as_str(), ?subject, "sandbox.happened");
                    }
                });
            }
        }
    }

    /// Does something with everything that the sandbox holds, settled, and the time.
    fn with_world<T>(&self, act: impl FnOnce(&mut World, Timestamp) -> T) -> T {
        let mut world = self.shared.world();
        let now = world.settle(self.shared.clock.now());
        act(&mut world, now)
    }
}
