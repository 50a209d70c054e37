//! Deliveries per second and processor time for each, beside a bare loop of reqwest that signs the same bodies and
//! posts them, as many at a time, to the same receivers.
//!
//! ```text
//! cargo bench --bench deliver                                   # 200 000 events, minutes
//! cargo bench --bench deliver -- --events 20000 --runs 1        # a quick look
//! ```
//!
//! The events are in the log already, and every delivery ends with a durable record. One endpoint gets all of them;
//! of ten, each gets the last tenth, so that both make as many deliveries.

#[expect(dead_code, reason = "each bench uses a part of what they share")]
mod support;

use clap::Parser;
use serde_json::json;

use support::Common;
use support::figures::{Pace, Stopwatch, median, rounded};
use support::gateway::{self, Gateway};
use support::limit::Limit;
use support::receiver::Receiver;
use support::sample::endpoint;

#[derive(Parser)]
struct Arguments {
    /// Events in the log, and deliveries in each part
    #[arg(long, default_value_t = 200_000)]
    events: usize,
    #[command(flatten)]
    common: Common,
}

/// How many endpoints there are, and requests at a time for each of them.
const PARTS: [(usize, usize); 2] = [(1, 64), (10, 16)];

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    support::start(&arguments.common, bench(arguments.events, arguments.common.runs))
}

async fn bench(events: usize, runs: usize) -> anyhow::Result<()> {
    let receiver = support::receivers(0).await?;
    let folder = tempfile::tempdir()?;
    let gateway = Gateway::open(folder.path()).await?;
    let filled = Stopwatch::start();
    gateway.fill(0..events, events).await?;
    println!("events into the log:        {}", filled.stop(events));
    let limit = Limit::new(&gateway.examples().await?, usize::MAX)?;
    println!("each is delivered as {} bytes", limit.body_bytes());
    let mut parts = Vec::new();
    for (endpoints, width) in PARTS {
        let part = Part { receiver: &receiver, gateway: &gateway, limit: &limit, events, endpoints, width };
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
        parts.push(json!({
            "endpoints": endpoints,
            "at_a_time": endpoints * width,
            "rate": rounded(median(figures.iter().map(|(_, ours)| ours.rate()))),
            "cpu_us": rounded(median(figures.iter().map(|(_, ours)| ours.cpu_us()))),
            "bare_rate": rounded(median(figures.iter().map(|(bare, _)| bare.rate()))),
            "bare_cpu_us": rounded(median(figures.iter().map(|(bare, _)| bare.cpu_us()))),
            "ratio": rounded(median(figures.iter().map(|(bare, ours)| ours.rate() / bare.rate()))),
        }));
    }
    println!("{}", json!({ "bench": "deliver", "events": events, "runs": runs, "parts": parts }));
    gateway.store.close().await;
    Ok(())
}

/// What one part of the bench works with.
struct Part<'a> {
    receiver: &'a Receiver,
    gateway: &'a Gateway,
    limit: &'a Limit,
    events: usize,
    endpoints: usize,
    width: usize,
}

impl Part<'_> {
    fn urls(&self) -> Vec<String> {
        (0..self.endpoints).map(|number| self.receiver.url("takes", number)).collect()
    }

    async fn bare(&self, count: usize) -> anyhow::Result<Pace> {
        self.limit.run(&self.urls(), count, self.endpoints * self.width).await
    }

    /// Delivers the end of the log to endpoints that are new.
    async fn ours(&self, count: usize) -> anyhow::Result<Pace> {
        let (gateway, head) = (self.gateway, self.gateway.head());
        let each = count / self.endpoints;
        let start = certhook::model::id::Position((self.events - each) as u64);
        let endpoints = self.urls().iter().map(|url| endpoint(url, start)).collect();
        let endpoints = gateway.register(endpoints).await?;
        let before = self.receiver.count().await?;
        let settings = certhook::deliver::Settings { per_endpoint_in_flight: self.width, ..gateway::settings() };
        let pace = gateway
            .while_delivering(settings, async |_| {
                let watch = Stopwatch::start();
                gateway.delivered(head).await?;
                Ok(watch.stop(each * self.endpoints))
            })
            .await?;
        let sent = self.receiver.count().await? - before;
        anyhow::ensure!(sent == pace.count, "{sent} requests for {} deliveries", pace.count);
        gateway.forget(endpoints).await?;
        Ok(pace)
    }
}
