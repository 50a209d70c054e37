//! What endpoints that hang do to the others: 10 000 endpoints, each with a filter of its own and on a host of its own,
//! of which none, a tenth and a half keep every request until the deadline; how long events take to the healthy ones.
//!
//! ```text
//! cargo bench --bench isolation                                               # minutes
//! cargo bench --bench isolation -- --endpoints 1000 --seconds 10 --timeout 2  # a quick look
//! ```
//!
//! Every event is for one endpoint, and all endpoints take turns, so that a share of the events is for those that hang.
//! Two stretches are measured: the *onset*, when nobody knows yet who hangs, and, once every endpoint has had several
//! events, the *steady* state. The onset begins once the gateway has taken up all endpoints and keeps up with its log:
//! its start is not part of it. Times are those from when the event was durable, as its caller learned it, and so a
//! little too short (see `latency`); how much later than its time an event was told is shown, and is not part of them.

#[expect(dead_code, reason = "each bench uses a part of what they share")]
mod support;

use std::ops::Range;
use std::time::Duration;

use certhook::model::filter::Filter;
use clap::Parser;
use serde_json::json;

use support::Common;
use support::figures::{Waits, rounded};
use support::gateway::{self, Gateway};
use support::receiver::Receiver;
use support::sample::{customer, endpoint};
use support::telling::{Delays, Told};

#[derive(Parser)]
struct Arguments {
    /// How many endpoints there are
    #[arg(long, default_value_t = 10_000)]
    endpoints: usize,
    /// Events a second, over all endpoints
    #[arg(long, default_value_t = 500)]
    rate: usize,
    /// For how long each of the two stretches is measured
    #[arg(long, default_value_t = 40)]
    seconds: usize,
    /// Seconds between the two stretches
    #[arg(long, default_value_t = 60)]
    between: usize,
    /// The deadline of an attempt, in seconds
    #[arg(long, default_value_t = 15)]
    timeout: u64,
    #[command(flatten)]
    common: Common,
}

/// How many of a hundred endpoints hang.
const SHARES: [usize; 3] = [0, 10, 50];

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    support::start(&arguments.common, bench(&arguments))
}

async fn bench(arguments: &Arguments) -> anyhow::Result<()> {
    let receiver = support::receivers(0).await?;
    let mut parts = Vec::new();
    let mut steady = Vec::new();
    for share in SHARES {
        let seen = part(arguments, &receiver, share).await?;
        println!("{share:>3} % hang, onset:   {}", seen.onset.durable);
        println!("{share:>3} % hang, steady:  {}", seen.steady.durable);
        let of = |waits| Waits::json(std::iter::once(waits));
        parts.push(json!({
            "hanging_percent": share,
            "onset": of(&seen.onset.durable), "onset_begun_late": of(&seen.onset.late),
            "steady": of(&seen.steady.durable), "steady_begun_late": of(&seen.steady.late),
        }));
        steady.push(seen.steady.durable.ms(0.99));
    }
    let ratio = rounded(steady[SHARES.len() - 1] / steady[0]);
    let Arguments { endpoints, rate, seconds, .. } = arguments;
    println!(
        "{}",
        json!({
            "bench": "isolation", "endpoints": endpoints, "rate": rate, "seconds": seconds, "parts": parts,
            "p99_half_to_none": ratio,
        })
    );
    Ok(())
}

/// How long events took to the healthy endpoints.
struct Seen {
    onset: Delays,
    steady: Delays,
}

async fn part(arguments: &Arguments, receiver: &Receiver, share: usize) -> anyhow::Result<Seen> {
    let folder = tempfile::tempdir()?;
    let gateway = Gateway::open(folder.path()).await?;
    let &Arguments { endpoints: count, rate, seconds, between, timeout, .. } = arguments;
    let endpoints = (0..count).map(|number| {
        let manner = if number % 100 < share { "hangs" } else { "notes" };
        let filter = Filter { customer_ids: vec![customer(number)], ..Filter::default() };
        certhook::model::endpoint::Endpoint { filter, ..endpoint(&receiver.url(manner, number), gateway.head()) }
    });
    gateway.register(endpoints.collect()).await?;
    let settings = certhook::deliver::Settings { timeout: Duration::from_secs(timeout), ..gateway::settings() };
    let seen = gateway.while_delivering(settings, async |deliverer| {
        gateway.caught_up(deliverer).await?;
        let onset = told(arguments, receiver, &gateway, share, 0..rate * seconds).await?;
        let until = rate * (seconds + between);
        told(arguments, receiver, &gateway, share, rate * seconds..until).await?;
        let steady = told(arguments, receiver, &gateway, share, until..until + rate * seconds).await?;
        Ok(Seen { onset, steady })
    });
    let seen = seen.await?;
    gateway.store.close().await;
    Ok(seen)
}

/// Tells these events, and waits until they have come to all healthy endpoints that they are for.
async fn told(
    arguments: &Arguments,
    receiver: &Receiver,
    gateway: &Gateway,
    share: usize,
    numbers: Range<usize>,
) -> anyhow::Result<Delays> {
    let expected = numbers.clone().filter(|number| number % arguments.endpoints % 100 >= share).count();
    let told = Told::at_rate(gateway, arguments.rate as f64, numbers, arguments.endpoints).await?;
    let arrivals = receiver.collect(expected).await?;
    told.delays(gateway, &arrivals).await
}
