//! How long an event takes from the call that commits it to its arrival, at rates that do not wait for anything, beside
//! a bare loop of reqwest that signs and posts the same bodies at the same rate.
//!
//! ```text
//! cargo bench --bench latency                                      # 100 and 1 000 events a second, 7 minutes
//! cargo bench --bench latency -- --seconds 3 --runs 1              # a quick look
//! ```
//!
//! An event is committed by a task of its own, at its time, so that none waits for one that is late. Times are taken
//! on the clock that all processes of the machine share: when the call was made, when it returned, and when the receiver
//! had read the head of the request. How much later than its time a call was made is shown for both sides, and is in
//! none of the other figures.
//!
//! *Call to arrival* has all of it, the sync to the disk included, which the bare loop does not have: what it is above the
//! bare round trip is that much at most. *Durable to arrival* is what is left after the sync, but a lower bound: the caller
//! and the loop that delivers are woken at the same time, and where the caller gets a processor later, its clock starts
//! later. How many events had arrived by then is counted.
//!
//! Figures are medians of the runs; p99.9 is that of all runs together, and missing where they have fewer than 10 000
//! events.

#[expect(dead_code, reason = "each bench uses a part of what they share")]
mod support;

use std::ops::Range;

use clap::Parser;
use serde_json::{Value, json};

use support::Common;
use support::figures::{Waits, median, rounded};
use support::gateway::{self, Gateway};
use support::limit::Limit;
use support::receiver::Receiver;
use support::sample::endpoint;
use support::telling::{Delays, Posted, Told};

#[derive(Parser)]
struct Arguments {
    /// For how long each rate is kept up
    #[arg(long, default_value_t = 20)]
    seconds: usize,
    /// How often each rate is measured
    #[arg(long, default_value_t = 5)]
    runs: usize,
    #[command(flatten)]
    common: Common,
}

/// Events a second.
const RATES: [usize; 2] = [100, 1_000];

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    support::start(&arguments.common, bench(arguments.seconds, arguments.runs))
}

async fn bench(seconds: usize, runs: usize) -> anyhow::Result<()> {
    let receiver = support::receivers(0).await?;
    let folder = tempfile::tempdir()?;
    let gateway = Gateway::open(folder.path()).await?;
    gateway.fill(0..100, 100).await?;
    let limit = Limit::new(&gateway.examples().await?, usize::MAX)?;
    let urls = [receiver.url("notes", 0)];
    gateway.register(vec![endpoint(&urls[0], gateway.head())]).await?;
    let parts = gateway
        .while_delivering(gateway::settings(), async |deliverer| {
            gateway.caught_up(deliverer).await?;
            let mut numbers = 100;
            let mut parts = Vec::new();
            for rate in RATES {
                let mut sightings = Vec::new();
                // The first one is to warm up.
                for run in 0..=runs {
                    let seconds = if run == 0 { 1 } else { seconds };
                    let range = numbers..numbers + rate * seconds;
                    numbers = range.end;
                    let seen = Seen {
                        bare: Posted::at_rate(&receiver, &limit, &urls, rate as f64, range.clone()).await?,
                        ours: ours(&receiver, &gateway, rate, range).await?,
                    };
                    if run > 0 {
                        seen.print(rate);
                        sightings.push(seen);
                    }
                }
                parts.push(summary(rate, &sightings));
            }
            Ok(parts)
        })
        .await?;
    println!("{}", json!({ "bench": "latency", "seconds": seconds, "runs": runs, "parts": parts }));
    gateway.store.close().await;
    Ok(())
}

/// One run of both.
struct Seen {
    bare: Posted,
    ours: Delays,
}

impl Seen {
    fn print(&self, rate: usize) {
        let Self { bare, ours } = self;
        println!("{rate:>5} a second, bare loop, call to arrival:          {}", bare.arrived);
        println!("{rate:>5} a second, gateway, call to arrival:            {}", ours.called);
        println!("{rate:>5} a second, gateway, durable to arrival, least:  {}", ours.durable);
        println!("{rate:>5} a second, begun late, bare loop:               {}", bare.late);
        println!("{rate:>5} a second, begun late, gateway:                 {}", ours.late);
    }
}

async fn ours(receiver: &Receiver, gateway: &Gateway, rate: usize, numbers: Range<usize>) -> anyhow::Result<Delays> {
    let count = numbers.len();
    let told = Told::at_rate(gateway, rate as f64, numbers, 1).await?;
    told.delays(gateway, &receiver.collect(count).await?).await
}

fn summary(rate: usize, sightings: &[Seen]) -> Value {
    let of = |which: fn(&Seen) -> &Waits| Waits::json(sightings.iter().map(which));
    let above = |share: f64| {
        let above = sightings.iter().map(|seen| seen.ours.called.ms(share) - seen.bare.done.ms(share));
        rounded(median(above))
    };
    let ratio = |share: f64| {
        let ratio = sightings.iter().map(|seen| seen.ours.durable.ms(share) / seen.bare.arrived.ms(share));
        rounded(median(ratio))
    };
    json!({
        "rate": rate,
        "call_to_arrival": of(|seen| &seen.ours.called),
        "above_round_trip_at_most": { "p50_ms": above(0.5), "p99_ms": above(0.99) },
        "commit": of(|seen| &seen.ours.committed),
        "durable_to_arrival_at_least": of(|seen| &seen.ours.durable),
        "arrived_before_the_caller_woke": sightings.iter().map(|seen| seen.ours.overtaken).sum::<usize>(),
        "ratio_at_least": { "p50": ratio(0.5), "p99": ratio(0.99) },
        "begun_late": of(|seen| &seen.ours.late),
        "bare_to_arrival": of(|seen| &seen.bare.arrived),
        "bare_round_trip": of(|seen| &seen.bare.done),
        "bare_begun_late": of(|seen| &seen.bare.late),
    })
}
