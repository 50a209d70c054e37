//! What happens on a day, and when it is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use certhook::clock::Clock;
use certhook::model::resource::{Kind, ResourceId};
use certhook::model::time::Timestamp;
use certhook::sandbox::dice::Dice;

use super::account::{Account, Resource, id};

/// Why a change may be told earlier or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cause {
    /// It moves `updated_at`.
    Updated,
    /// Only the clock moved a status, and an open list shows that.
    Clock,
    /// A date has passed on what no open list shows, and the status follows three hours later.
    Date,
    /// It is gone.
    Removed,
}

impl Cause {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Updated, Self::Clock, Self::Date, Self::Removed];

    /// In words.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Updated => "a change that moves updated_at",
            Self::Clock => "a status that the clock moved, in an open list",
            Self::Date => "a date that passed, in no open list",
            Self::Removed => "a removal",
        }
    }
}

#[derive(Debug, Default)]
struct Ledger {
    /// What happened and was not told yet.
    open: HashMap<(Kind, ResourceId), (Cause, Timestamp)>,
    told: Vec<(Cause, Duration)>,
}

/// A day of the account.
pub(super) struct Day {
    account: Arc<Account>,
    clock: Arc<dyn Clock>,
    ledger: Mutex<Ledger>,
}

impl Day {
    /// A day on which nothing has happened yet. A thousandth of the certificates have a date that passes on it.
    pub(super) fn new(account: Arc<Account>, clock: Arc<dyn Clock>) -> Self {
        let day = Self { account, clock, ledger: Mutex::default() };
        for place in day.passing() {
            day.account.change(Kind::Certificate, place, |resource| resource.expiration_date = "2026-11-21");
        }
        day
    }

    /// Active certificates whose date passes within the day.
    fn passing(&self) -> impl Iterator<Item = usize> {
        let count = self.account.count(Kind::Certificate);
        (count / 2 + 1..count).step_by(10).take(60)
    }

    /// Lets the day pass.
    pub(super) async fn run(&self, length: Duration) {
        let mut dice = Dice::seeded(7);
        let share = self.account.count(Kind::Certificate) as f64 / 1e6;
        let of = |count: f64| (count * share).ceil() as usize;
        let mut happenings: Vec<(Duration, Cause)> = Vec::new();
        for (cause, count) in
            [(Cause::Updated, of(1_000.0)), (Cause::Clock, of(500.0)), (Cause::Removed, of(20.0).min(9))]
        {
            happenings.extend((0..count).map(|_| (length.mul_f64(dice.chance()), cause)));
        }
        // Midnight is in eleven hours or so; the vendor needs three hours more.
        let until_three = Duration::from_secs(15 * 3600).saturating_sub(Duration::from_millis(
            u64::try_from(self.clock.now().as_millis() % 43_200_000).unwrap_or_default(),
        ));
        happenings.extend(self.passing().map(|_| (until_three, Cause::Date)));
        happenings.sort_unstable_by_key(|(at, _)| *at);
        let begun = tokio::time::Instant::now();
        let mut passing = self.passing();
        for (at, cause) in happenings {
            tokio::time::sleep_until(begun + at).await;
            match cause {
                Cause::Updated => self.update(&mut dice),
                Cause::Clock => self.clock_moves(&mut dice),
                Cause::Date => {
                    let place = passing.next().expect("one for each");
                    self.happened(cause, Kind::Certificate, place, |resource| resource.status = "expired");
                }
                Cause::Removed => {
                    let place = self.any(&mut dice, Kind::Certificate, |resource| resource.status == "active");
                    self.happened(cause, Kind::Certificate, place, |resource| resource.is_listed = false);
                }
            }
        }
        tokio::time::sleep_until(begun + length).await;
    }

    /// A change that moves `updated_at`: a new certificate, a request that is canceled, another customer.
    fn update(&self, dice: &mut Dice) {
        let now = self.clock.now();
        match dice.below(4) {
            0 => {
                let (status, place) = ("active", self.account.count(Kind::Certificate));
                let resource = Resource {
                    status,
                    updated_at: now,
                    created_at: now,
                    expiration_date: "2028-06-30",
                    customer: 1,
                    is_listed: true,
                };
                self.account.put(Kind::Certificate, resource);
                self.note(Cause::Updated, Kind::Certificate, place);
            }
            1 => {
                let kind = Kind::CertificateRequest;
                let place = self.any(dice, kind, |resource| resource.status == "pending");
                self.happened(Cause::Updated, kind, place, |resource| {
                    (resource.status, resource.updated_at) = ("canceled", now);
                });
            }
            _ => {
                let place = self.any(dice, Kind::Certificate, |resource| resource.status == "active");
                self.happened(Cause::Updated, Kind::Certificate, place, |resource| {
                    resource.customer += 1_000_000;
                    resource.updated_at = now;
                });
            }
        }
    }

    /// A move of the clock's: something begins to expire, or has expired.
    fn clock_moves(&self, dice: &mut Dice) {
        let (from, to) = *dice.pick(&[("active", "expiring"), ("expiring", "expired")]);
        let place = self.any(dice, Kind::Certificate, |resource| resource.status == from);
        self.happened(Cause::Clock, Kind::Certificate, place, |resource| resource.status = to);
    }

    /// Something at random to which nothing has happened yet.
    fn any(&self, dice: &mut Dice, kind: Kind, fits: impl Fn(&Resource) -> bool) -> usize {
        let passing: Vec<usize> = self.passing().collect();
        let count = self.account.count(kind);
        // What expires stands in the first hundredth of the shelf.
        loop {
            let range = if dice.chance() < 0.5 { count } else { (count / 100).max(1) };
            let place = dice.below(range as u64) as usize;
            let resource = self.account.see(kind, place);
            let is_free = !self.ledger().open.contains_key(&(kind, id(kind, place))) && !passing.contains(&place);
            if is_free && resource.is_listed && fits(&resource) {
                return place;
            }
        }
    }

    fn happened(&self, cause: Cause, kind: Kind, place: usize, change: impl FnOnce(&mut Resource)) {
        self.account.change(kind, place, change);
        self.note(cause, kind, place);
    }

    fn note(&self, cause: Cause, kind: Kind, place: usize) {
        self.ledger().open.insert((kind, id(kind, place)), (cause, self.clock.now()));
    }

    /// That something was told of a resource.
    pub(super) fn told(&self, kind: Kind, id: &ResourceId) {
        let now = self.clock.now();
        let mut ledger = self.ledger();
        if let Some((cause, at)) = ledger.open.remove(&(kind, id.clone())) {
            ledger.told.push((cause, now.since(at)));
        }
    }

    /// How long what happened for a cause took to be told, and how much of it was not.
    pub(super) fn latencies(&self, cause: Cause) -> (Vec<Duration>, usize) {
        let ledger = self.ledger();
        let told = ledger.told.iter().filter(|(known, _)| *known == cause).map(|(_, took)| *took).collect();
        (told, ledger.open.values().filter(|(known, _)| *known == cause).count())
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
