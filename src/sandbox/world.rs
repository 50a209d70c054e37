//! Everything that a sandbox holds, as one value behind one lock.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use secrecy::SecretString;
use serde::Serialize;

use super::book::Book;
use super::dice::Dice;
use super::faults::Faults;
use super::numeral::{Call, Route};
use super::options::{Modes, Options};
use super::seed::seeded;
use crate::model::time::Timestamp;

/// How many calls are remembered one by one; older ones are only counted.
const CALLS_KEPT: usize = 1_000;

/// What a sandbox holds.
#[derive(Debug)]
pub struct World {
    /// The simulated account.
    pub book: Book,
    /// Its number. The sandbox begins with that of its seed.
    pub account: u64,
    /// The books of the other accounts that were ever looked at.
    others: BTreeMap<u64, Book>,
    /// How many objects an account begins with.
    size: usize,
    /// What the vendor's pages leave open.
    pub modes: Modes,
    /// The only API key that is accepted, if there is one.
    pub api_key: Option<SecretString>,
    /// What is to go wrong.
    pub faults: Faults,
    /// What was asked.
    pub calls: Calls,
    /// Where chance comes from that is not the book's own.
    pub dice: Dice,
    /// What documents' URLs are signed with.
    pub secret: u64,
    /// How far the sandbox's clock was moved ahead.
    pub advanced: Duration,
}

impl World {
    /// A new one, as it would stand at `now`.
    pub fn new(options: Options, now: Timestamp) -> Self {
        let mut dice = Dice::seeded(options.seed ^ 0x005a_4ed8_0c5b_1e2d);
        let secret = dice.number();
        Self {
            book: seeded(options.seed, options.size, now),
            account: options.seed,
            others: BTreeMap::new(),
            size: options.size,
            modes: options.modes,
            api_key: options.api_key,
            faults: Faults::default(),
            calls: Calls::default(),
            dice,
            secret,
            advanced: Duration::ZERO,
        }
    }

    /// From now on the API shows the objects of another account, which has a book of its own and is made when it is
    /// first looked at. The one that was shown stays as it is.
    pub fn change_account(&mut self, number: u64, now: Timestamp) {
        let other = self.others.remove(&number);
        if number != self.account {
            let book = other.unwrap_or_else(|| seeded(number, self.size, now));
            let former = std::mem::replace(&mut self.account, number);
            self.others.insert(former, std::mem::replace(&mut self.book, book));
        }
        self.book.settle(now, self.modes.clock_moves_bump_updated_at);
    }

    /// What the sandbox's clock shows when the clock that it was given shows `clock`. Makes every move that is due.
    pub fn settle(&mut self, clock: Timestamp) -> Timestamp {
        let now = clock.plus(self.advanced);
        self.book.settle(now, self.modes.clock_moves_bump_updated_at);
        now
    }
}

/// What the vendor's API was asked, so that a test can see what its caller did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Calls {
    /// All of them.
    total: u64,
    /// Those without an `X-API-Version`, which the vendor requires.
    without_version: u64,
    /// How often each method and route.
    by_route: BTreeMap<String, u64>,
    /// The last ones, oldest first.
    recent: VecDeque<CallRecord>,
}

#[derive(Clone, Debug, Serialize)]
struct CallRecord {
    at: Timestamp,
    method: String,
    path: String,
    query: String,
    version: Option<String>,
    /// The status of the answer, whether or not it arrived.
    status: u16,
}

impl Calls {
    /// Counts a call and remembers it for a while.
    pub fn record(&mut self, call: &Call, status: u16, at: Timestamp) {
        self.total += 1;
        self.without_version += u64::from(call.version.is_none());
        let template = Route::of(&call.method, &call.path).map_or("(unknown)", |route| route.template());
        *self.by_route.entry(format!("{} {template}", call.method)).or_default() += 1;
        if self.recent.len() == CALLS_KEPT {
            self.recent.pop_front();
        }
        self.recent.push_back(CallRecord {
            at,
            method: call.method.to_string(),
            path: call.path.clone(),
            query: call.query.clone(),
            version: call.version.clone(),
            status,
        });
    }
}
