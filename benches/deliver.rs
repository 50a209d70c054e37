//! Deliveries per second and processor time for each, beside a bare loop of reqwest that signs the same bodies and
//! posts them, as many at a time, to the same receivers.
//!
//! ```text
//! cargo bench --bench deliver                                   # 200 000 events, minutes
//! cargo bench --bench deliver -- --events 20000 --runs 1        # a quick look
//! cargo bench --bench deliver --features allocations -- --events 50000 --runs 3
//! ```
//!
//! The last one tells how often a delivery allocates, and how much, ours and the bare loop's (malloc, calloc and realloc of
//! the whole process). The counting disturbs the times, which are not to be taken from it.
//!
//! The events are in the log already, the newest 4 096 of them in memory as well, and every delivery ends with a durable
//! record. One endpoint gets all of them. Ten endpoints get the same last tenth of them each, so that both parts make as
//! many deliveries: there, an event that is read goes out ten times. Every run has a store of its own, so that no run
//! finds there what the ones before it have left, and begins once the process has come to rest, so that it does not pay
//! for what the store clears up after the log was filled; the limit does, too.

#[expect(dead_code, reason = "each bench uses a part of what they share")]
mod support;

use std::sync::Arc;

use certhook::model::event::Event;
use certhook::model::id::Position;
use clap::Parser;
use serde_json::json;

use support::Common;
use support::figures::{Pace, Stopwatch, median, quiet, rounded};
use support::gateway::{self, Gateway};
use support::limit::Limit;
use support::receiver::Receiver;
use support::sample::endpoint;

#[derive(Parser)]
struct Arguments {
    /// Events in the log, and deliveries in each part
    #[arg(long, default_value_t = 200_000)]
    events: usize,
    /// How often each part is measured
    #[arg(long, default_value_t = 5)]
    runs: usize,
    #[command(flatten)]
    common: Common,
}

/// How many endpoints there are, and requests at a time for each of them.
const PARTS: [(usize, usize); 2] = [(1, 64), (10, 16)];

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    support::start(&arguments.common, bench(arguments.events, arguments.runs))
}

async fn bench(events: usize, runs: usize) -> anyhow::Result<()> {
    let receiver = support::receivers(0).await?;
    let limit = Limit::new(&examples().await?, usize::MAX)?;
    println!("each is delivered as {} bytes", limit.body_bytes());
    let mut parts = Vec::new();
    for (endpoints, width) in PARTS {
        let part = Part { receiver: &receiver, limit: &limit, endpoints, width };
        // To warm up.
        part.bare(events / 10).await?;
        part.ours(events / 10).await?;
        let mut figures = Vec::new();
        for _ in 0..runs {
            let (bare, ours) = (part.bare(events).await?, part.ours(events).await?);
            println!("{endpoints:>2} endpoint(s), bare loop:  {bare}");
            println!("{endpoints:>2} endpoint(s), gateway:    {ours}; {:.2} of that", ours.rate() / bare.rate());
            figures.push((bare, ours));
        }
        let bare = |figure: fn(&Pace) -> f64| rounded(median(figures.iter().map(|(bare, _)| figure(bare))));
        let ours = |figure: fn(&Pace) -> f64| rounded(median(figures.iter().map(|(_, ours)| figure(ours))));
        parts.push(json!({
            "endpoints": endpoints,
            "at_a_time": endpoints * width,
            "rate": ours(Pace::rate),
            "cpu_us": ours(Pace::cpu_us),
            "allocations": ours(Pace::allocations),
            "reallocations": ours(Pace::reallocations),
            "allocated_bytes": ours(Pace::allocated_bytes),
            "bare_rate": bare(Pace::rate),
            "bare_cpu_us": bare(Pace::cpu_us),
            "bare_allocations": bare(Pace::allocations),
            "bare_reallocations": bare(Pace::reallocations),
            "bare_allocated_bytes": bare(Pace::allocated_bytes),
            "ratio": rounded(median(figures.iter().map(|(bare, ours)| ours.rate() / bare.rate()))),
        }));
    }
    println!("{}", json!({ "bench": "deliver", "events": events, "runs": runs, "parts": parts }));
    Ok(())
}

/// Some events as they will be delivered.
async fn examples() -> anyhow::Result<Vec<Arc<Event>>> {
    let folder = tempfile::tempdir()?;
    let gateway = Gateway::open(folder.path()).await?;
    gateway.fill(0..100, 100).await?;
    let examples = gateway.examples().await?;
    gateway.store.close().await;
    Ok(examples)
}

/// What one part of the bench works with.
struct Part<'a> {
    receiver: &'a Receiver,
    limit: &'a Limit,
    endpoints: usize,
    width: usize,
}

impl Part<'_> {
    fn urls(&self) -> Vec<String> {
        (0..self.endpoints).map(|number| self.receiver.url("takes", number)).collect()
    }

    async fn bare(&self, count: usize) -> anyhow::Result<Pace> {
        quiet().await?;
        self.limit.run(&self.urls(), count, self.endpoints * self.width).await
    }

    /// Delivers the end of a log of so many events.
    async fn ours(&self, events: usize) -> anyhow::Result<Pace> {
        let folder = tempfile::tempdir()?;
        let gateway = Gateway::open(folder.path()).await?;
        gateway.fill(0..events, events).await?;
        let each = events / self.endpoints;
        let start = Position((events - each) as u64);
        gateway.register(self.urls().iter().map(|url| endpoint(url, start)).collect()).await?;
        let before = self.receiver.count().await?;
        let settings = certhook::deliver::Settings { per_endpoint_in_flight: self.width, ..gateway::settings() };
        let head = gateway.head();
        quiet().await?;
        let pace = gateway
            .while_delivering(settings, async |_| {
                let watch = Stopwatch::start();
                gateway.delivered(head).await?;
                Ok(watch.stop(each * self.endpoints))
            })
            .await?;
        let sent = self.receiver.count().await? - before;
        anyhow::ensure!(sent == pace.count, "{sent} requests for {} deliveries", pace.count);
        gateway.store.close().await;
        Ok(pace)
    }
}
