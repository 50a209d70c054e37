//! How long an event takes from its commit to its arrival, at rates that do not wait for anything, beside a bare loop
//! of reqwest that signs and posts the same bodies at the same rate.
//!
//! ```text
//! cargo bench --bench latency                                      # 100 and 1 000 events a second, 5 minutes
//! cargo bench --bench latency -- --seconds 3 --runs 1              # a quick look
//! ```
//!
//! An event is committed by a task of its own, at its time, so that none waits for one that is late. Times are taken
//! on the clock that all processes of the machine share: when the event was durable, and when the receiver had read
//! the head of the request.

#[expect(dead_code, reason = "each bench uses a part of what they share")]
mod support;

use std::time::Duration;

use certhook::model::id::Position;
use clap::Parser;
use serde_json::{Value, json};

use support::Common;
use support::figures::{Waits, median, rounded};
use support::gateway::{self, Gateway};
use support::limit::Limit;
use support::receiver::Receiver;
use support::sample::endpoint;
use support::telling::{Posted, Told};

#[derive(Parser)]
struct Arguments {
    /// For how long each rate is kept up
    #[arg(long, default_value_t = 15)]
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
        .while_delivering(gateway::settings(), async |_| {
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
                        println!("{rate:>5} a second, bare loop:           {}", seen.bare.arrived);
                        println!("{rate:>5} a second, commit to arrival:   {}", seen.ours.arrived);
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
    ours: Times,
}

struct Times {
    /// From when the event was durable until the request was at the receiver.
    arrived: Waits,
    /// The same from the call that commits.
    since_call: Waits,
    /// What that call takes.
    committed: Waits,
}

async fn ours(
    receiver: &Receiver,
    gateway: &Gateway,
    rate: usize,
    numbers: std::ops::Range<usize>,
) -> anyhow::Result<Times> {
    let count = numbers.len();
    let told = Told::at_rate(gateway, rate as f64, numbers, 100).await?;
    let mut arrivals = Vec::new();
    while arrivals.len() < count {
        arrivals.extend(receiver.arrivals().await?);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::ensure!(gateway.head() > Position::START && arrivals.len() == count, "each event once");
    let (arrived, since_call) = told.waits(gateway, &arrivals).await?;
    let committed = Waits::of(told.commits.iter().map(|commit| commit.done - commit.begun));
    Ok(Times { arrived, since_call, committed })
}

fn summary(rate: usize, sightings: &[Seen]) -> Value {
    let of = |which: fn(&Seen) -> &Waits| {
        let at = |share| rounded(median(sightings.iter().map(|seen| which(seen).ms(share))));
        json!({ "p50_ms": at(0.5), "p99_ms": at(0.99), "p999_ms": at(0.999) })
    };
    let above = |share: f64| {
        let above = sightings.iter().map(|seen| seen.ours.arrived.ms(share) - seen.bare.done.ms(share));
        rounded(median(above))
    };
    let ratio = |share: f64| {
        let ratio = sightings.iter().map(|seen| seen.ours.arrived.ms(share) / seen.bare.arrived.ms(share));
        rounded(median(ratio))
    };
    json!({
        "rate": rate,
        "commit_to_arrival": of(|seen| &seen.ours.arrived),
        "call_to_arrival": of(|seen| &seen.ours.since_call),
        "commit": of(|seen| &seen.ours.committed),
        "bare_to_arrival": of(|seen| &seen.bare.arrived),
        "bare_round_trip": of(|seen| &seen.bare.done),
        "above_round_trip": { "p50_ms": above(0.5), "p99_ms": above(0.99), "p999_ms": above(0.999) },
        "ratio": { "p50": ratio(0.5), "p99": ratio(0.99), "p999": ratio(0.999) },
    })
}
