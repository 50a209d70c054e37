//! How long an event takes from its commit to its arrival, at rates that do not wait for anything, beside a bare loop
//! of reqwest that signs and posts the same bodies at the same rate.
//!
//! ```text
//! cargo bench --bench latency                                      # 100 and 1 000 events a second, minutes
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
use support::telling::{Told, at_rate};

#[derive(Parser)]
struct Arguments {
    /// For how long each rate is kept up
    #[arg(long, default_value_t = 15)]
    seconds: usize,
    #[command(flatten)]
    common: Common,
}

/// Events a second.
const RATES: [usize; 2] = [100, 1_000];

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    support::start(&arguments.common, bench(arguments.seconds, arguments.common.runs))
}

async fn bench(seconds: usize, runs: usize) -> anyhow::Result<()> {
    let receiver = support::receivers(0).await?;
    let folder = tempfile::tempdir()?;
    let gateway = Gateway::open(folder.path()).await?;
    gateway.fill(0..100, 100).await?;
    let limit = Limit::new(&gateway.examples().await?, usize::MAX)?;
    gateway.register(vec![endpoint(&receiver.url("notes", 0), gateway.head())]).await?;
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
                        bare: bare(&receiver, &limit, rate, range.clone()).await?,
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
    bare: Times,
    ours: Times,
}

struct Times {
    /// Until the request was at the receiver: from when the event was durable, or from when the bare loop began.
    arrived: Waits,
    /// The same from the call that commits.
    since_call: Waits,
    /// What the bare loop takes for a whole round trip, and ours for a commit.
    done: Waits,
}

async fn bare(
    receiver: &Receiver,
    limit: &Limit,
    rate: usize,
    numbers: std::ops::Range<usize>,
) -> anyhow::Result<Times> {
    let url: reqwest::Url = receiver.url("notes", 0).parse()?;
    let first = numbers.start;
    let spans = at_rate(rate as f64, numbers, |number| {
        let (limit, url) = (limit.clone(), url.clone());
        async move { limit.post(&url, number).await }
    });
    let spans = spans.await?;
    let arrivals = receiver.arrivals().await?;
    let arrived = arrivals.iter().filter_map(|arrival| {
        let span = spans.get(usize::try_from(arrival.number).ok()?.checked_sub(first)?)?;
        Some(arrival.at.saturating_sub(span.begun))
    });
    let arrived = Waits::of(arrived);
    let done = Waits::of(spans.iter().map(|span| span.done - span.begun));
    Ok(Times { since_call: arrived.clone(), arrived, done })
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
    let done = Waits::of(told.commits.iter().map(|commit| commit.done - commit.begun));
    Ok(Times { arrived, since_call, done })
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
    json!({
        "rate": rate,
        "commit_to_arrival": of(|seen| &seen.ours.arrived),
        "call_to_arrival": of(|seen| &seen.ours.since_call),
        "commit": of(|seen| &seen.ours.done),
        "bare_to_arrival": of(|seen| &seen.bare.arrived),
        "bare_round_trip": of(|seen| &seen.bare.done),
        "above_round_trip": { "p50_ms": above(0.5), "p99_ms": above(0.99), "p999_ms": above(0.999) },
    })
}
