//! What detection costs upstream, and how late it tells, over a simulated day: calls per hour by pass, and the time
//! from a change to its event by cause, beside the poller that lists everything anew to be as quick.
//!
//! ```text
//! cargo bench --bench upstream_cost                 # 1 000 000 certificates, 50 000 pending requests: minutes
//! cargo bench --bench upstream_cost -- --share 0.1  # a tenth of everything
//! ```
//!
//! The watcher, its schedules and the token bucket are the real ones; the time is simulated, and the account and the
//! store are in memory.

mod account;
mod day;
mod shelf;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use certhook::clock::Clock;
use certhook::detect::agenda::Policy;
use certhook::model::time::Timestamp;
use certhook::source::Urgency;
use certhook::watch::{Baseline, Description, RemovalGuard, Schedule, Settings, Watcher};
use clap::Parser;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::account::{Account, PAGE_SIZE};
use self::day::{Cause, Day};
use self::shelf::Shelf;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The default of the configuration.
const REQUESTS_PER_SECOND: f64 = 5.0;

#[derive(Parser)]
struct Arguments {
    /// How much of the account and of its day there is
    #[arg(long, default_value_t = 1.0)]
    share: f64,
    /// Handed over by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// The simulated time.
struct SimulatedClock {
    begun: Instant,
    origin: Timestamp,
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        self.origin.plus(self.begun.elapsed())
    }
}

fn main() -> anyhow::Result<()> {
    let Arguments { share, .. } = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(simulate(share))
}

async fn simulate(share: f64) -> anyhow::Result<()> {
    let clock = Arc::new(SimulatedClock { begun: Instant::now(), origin: "2026-11-21T12:00:00Z".parse()? });
    let account = Arc::new(Account::new(share, Arc::clone(&clock) as _, REQUESTS_PER_SECOND));
    let day = Arc::new(Day::new(Arc::clone(&account), Arc::clone(&clock) as _));
    let shelf = Arc::new(Shelf::new(Arc::clone(&day)));
    let description = Description { kind: "numeral".into(), base_url: "memory:".into(), livemode: false };
    let watcher = Watcher::open(Arc::clone(&account) as _, shelf, Arc::clone(&clock) as _, settings(), description);
    let watcher = watcher.await?;
    let stop = CancellationToken::new();
    let measured = async {
        while !watcher.status().baseline.complete {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        println!(
            "baseline complete after {:?} (simulated), {} calls",
            clock.begun.elapsed(),
            account.take_calls().values().sum::<u64>()
        );
        // The first passes after it find nothing; the day begins once they are through.
        tokio::time::sleep(Duration::from_secs(3600)).await;
        account.take_calls();
        day.run(DAY).await;
        let calls = account.take_calls();
        // What happened last may still be found.
        tokio::time::sleep(DAY).await;
        stop.cancel();
        calls
    };
    let (calls, ()) = tokio::join!(measured, Arc::clone(&watcher).run(stop.clone()));
    report(&account, &calls, &day);
    Ok(())
}

/// The defaults of the configuration, but without the reminders, which are worked out from what is stored and take no
/// calls: one would be taken for the news of a change that happened to the same resource.
fn settings() -> Settings {
    Settings {
        changes: Schedule::Every(Duration::from_secs(30)),
        overlap: Duration::from_secs(300),
        open: Schedule::Every(Duration::from_secs(300)),
        // At a quarter past three there would be no sweep by a clock that is simulated; once a day comes to the same.
        sweep: Schedule::Every(DAY),
        removal_guard: RemovalGuard { count: 10, share: 0.10 },
        dates: Policy::default(),
        baseline: Baseline::Silent,
        ignore_fields: Vec::new(),
    }
}

fn report(account: &Account, calls: &BTreeMap<Urgency, u64>, day: &Day) {
    println!("\ncalls per hour, by urgency");
    for (urgency, calls) in calls {
        println!("  {:<10} {:>10.1}", format!("{urgency:?}"), *calls as f64 / 24.0);
    }
    let ours = calls.values().sum::<u64>() as f64 / 24.0;
    println!("  {:<10} {ours:>10.1}", "all");
    println!("\nfrom a change to its event");
    let mut shown = serde_json::Map::new();
    let mut quick_worst = Duration::ZERO;
    for cause in Cause::ALL {
        let (mut told, missed) = day.latencies(cause);
        told.sort_unstable();
        let (Some(median), Some(worst)) = (told.get(told.len() / 2), told.last()) else { continue };
        println!(
            "  {:<52} {:>6} told, {missed} not; median {median:.1?}, worst {worst:.1?}",
            cause.as_str(),
            told.len()
        );
        shown.insert(cause.as_str().into(), json!({"told": told.len(), "not_told": missed, "median_s": median.as_secs_f64(), "worst_s": worst.as_secs_f64()}));
        if cause == Cause::Updated {
            quick_worst = *worst;
        }
    }
    let pages = (account.len() as f64 / PAGE_SIZE as f64).ceil();
    let naive = pages * 3600.0 / quick_worst.as_secs_f64();
    println!(
        "\nlisting everything every {quick_worst:.1?} would take {naive:.0} calls per hour: {:.0} times as many",
        naive / ours
    );
    let per_hour: BTreeMap<String, f64> =
        calls.iter().map(|(urgency, calls)| (format!("{urgency:?}").to_lowercase(), *calls as f64 / 24.0)).collect();
    let line = json!({
        "bench": "upstream_cost", "resources": account.len(), "calls_per_hour": per_hour, "calls_per_hour_all": ours,
        "latency": shown, "naive_calls_per_hour": naive, "ratio": naive / ours,
    });
    println!("{line}");
}
