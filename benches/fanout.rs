//! Many endpoints: one event for all of 10 000, and 10 000 with filters that hardly any event meets.
//!
//! ```text
//! cargo bench --bench fanout                                          # some 6 minutes
//! cargo bench --bench fanout -- --endpoints 1000 --events 20000 --runs 1
//! ```
//!
//! *One to all*: from the call that commits it to the last arrival, beside a bare loop of reqwest that posts as many
//! bodies to the same addresses, as many at a time. Every endpoint has a host of its own, so that each request needs a
//! connection. The processor time goes on until every delivery has a durable record.
//!
//! *Routing*: the processor time that the gateway takes for each event of a log in which only the last event is for any
//! endpoint, until that is delivered, less what it takes with one endpoint instead of all. What is left is the cost of
//! finding out.
//!
//! *Filtered*: events at a rate that waits for nothing, each for one endpoint, from when the event was durable, as its
//! caller learned it (see `latency`), to its arrival, beside the bare loop at the same rate. The bare loop connects anew
//! for every request; so does the gateway, where there are more endpoints than events in the 4 s for which it keeps an
//! unused connection. How much later than its time a call was made is shown for both sides, and is in no other figure.

#[expect(dead_code, reason = "each bench uses a part of what they share")]
mod support;

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use certhook::model::endpoint::Endpoint;
use certhook::model::filter::Filter;
use certhook::model::id::Position;
use clap::Parser;
use serde_json::{Value, json};

use support::Common;
use support::figures::{Pace, Stopwatch, Waits, median, monotonic, quiet, rounded};
use support::gateway::{self, Gateway};
use support::limit::Limit;
use support::receiver::Receiver;
use support::sample::{customer, endpoint};
use support::telling::{Posted, Told};

/// For how long events come at a rate in each run.
const SECONDS: usize = 10;

/// Longer than the gateway keeps an unused connection.
const UNUSED: Duration = Duration::from_secs(5);

#[derive(Parser)]
struct Arguments {
    /// How many endpoints there are
    #[arg(long, default_value_t = 10_000)]
    endpoints: usize,
    /// Events that are routed
    #[arg(long, default_value_t = 100_000)]
    events: usize,
    /// Events a second, of which each is for one endpoint
    #[arg(long, default_value_t = 1_000)]
    rate: usize,
    /// How often each part is measured
    #[arg(long, default_value_t = 5)]
    runs: usize,
    #[command(flatten)]
    common: Common,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    support::start(&arguments.common, bench(&arguments))
}

async fn bench(arguments: &Arguments) -> anyhow::Result<()> {
    let receiver = support::receivers(0).await?;
    let to_all = to_all(arguments, &receiver).await?;
    let routing = routing(arguments, &receiver).await?;
    let filtered = filtered(arguments, &receiver).await?;
    let Arguments { endpoints, events, runs, .. } = arguments;
    println!(
        "{}",
        json!({
            "bench": "fanout", "endpoints": endpoints, "events": events, "runs": runs,
            "to_all": to_all, "routing": routing, "filtered": filtered,
        })
    );
    Ok(())
}

/// One event to all endpoints.
async fn to_all(arguments: &Arguments, receiver: &Receiver) -> anyhow::Result<Value> {
    let folder = tempfile::tempdir()?;
    let gateway = Gateway::open(folder.path()).await?;
    gateway.fill(0..100, 100).await?;
    let limit = Limit::new(&gateway.examples().await?, 0)?;
    let urls: Vec<String> = (0..arguments.endpoints).map(|number| receiver.url("notes", number)).collect();
    gateway.register(urls.iter().map(|url| endpoint(url, gateway.head())).collect()).await?;
    let settings = gateway::settings();
    let at_once = settings.max_in_flight;
    let figures = gateway.while_delivering(settings, async |deliverer| {
        gateway.caught_up(deliverer).await?;
        let mut figures: Vec<(Pace, Pace)> = Vec::new();
        // The first one is to warm up.
        for run in 0..=arguments.runs {
            let bare = to_each(receiver, urls.len(), async || {
                limit.run(&urls, urls.len(), at_once).await?;
                Ok(())
            });
            let bare = bare.await?;
            // What the gateway has kept of its last run is not to be of use in this one.
            tokio::time::sleep(UNUSED).await;
            let ours = to_each(receiver, urls.len(), async || {
                gateway.tell(100 + run, 100).await?;
                gateway.delivered(gateway.head()).await
            });
            let ours = ours.await?;
            if run > 0 {
                println!("one event to {} endpoints, bare loop:  {bare}; {:.2} s", urls.len(), bare.took.as_secs_f64());
                println!("one event to {} endpoints, gateway:    {ours}; {:.2} s", urls.len(), ours.took.as_secs_f64());
                figures.push((bare, ours));
            }
        }
        Ok(figures)
    });
    let figures = figures.await?;
    gateway.store.close().await;
    Ok(json!({
        "seconds": rounded(median(figures.iter().map(|(_, ours)| ours.took.as_secs_f64()))),
        "cpu_us": rounded(median(figures.iter().map(|(_, ours)| ours.cpu_us()))),
        "bare_seconds": rounded(median(figures.iter().map(|(bare, _)| bare.took.as_secs_f64()))),
        "bare_cpu_us": rounded(median(figures.iter().map(|(bare, _)| bare.cpu_us()))),
        "ratio": rounded(median(figures.iter().map(|(bare, ours)| ours.rate() / bare.rate()))),
    }))
}

/// Does what sends a request to each of so many endpoints. Gives the time until the last one has arrived, and the
/// processor time until there is nothing left to do.
async fn to_each(
    receiver: &Receiver,
    count: usize,
    send: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Pace> {
    let (begun, watch) = (monotonic(), Stopwatch::start());
    send().await?;
    let pace = watch.stop(count);
    let arrivals = receiver.collect(count).await?;
    let endpoints: HashSet<u32> = arrivals.iter().map(|arrival| arrival.endpoint).collect();
    anyhow::ensure!(endpoints.len() == count, "{count} requests came to {} endpoints", endpoints.len());
    let last = arrivals.iter().map(|arrival| arrival.at).max().unwrap_or(begun);
    Ok(Pace { took: last - begun, ..pace })
}

/// An endpoint that no event of these benches is for, by one condition of its filter or another.
fn choosy(number: usize) -> Endpoint {
    let filter = match number % 4 {
        0 => Filter { customer_ids: vec![format!("cust_nobody_{number}")], ..Filter::default() },
        1 => Filter { reference_customer_ids: vec![format!("nobody {number}")], ..Filter::default() },
        2 => Filter { jurisdictions: vec![format!("XX-{number}")], ..Filter::default() },
        _ => Filter { certificate_type_ids: vec![format!("XX-{number}")], ..Filter::default() },
    };
    Endpoint { filter, ..endpoint("http://127.0.0.1:9/", Position::START) }
}

/// What it costs to find out that an event is for none of many endpoints.
async fn routing(arguments: &Arguments, receiver: &Receiver) -> anyhow::Result<Value> {
    let &Arguments { endpoints, events, runs, .. } = arguments;
    // To warm up.
    routed(receiver, (events / 10).max(1), endpoints).await?;
    let mut figures = Vec::new();
    for _ in 0..runs {
        let few = routed(receiver, events, 1).await?;
        let many = routed(receiver, events, endpoints).await?;
        let own = many.cpu_us() - few.cpu_us();
        println!("an event is routed past {endpoints} endpoints in {own:.1} µs of processor time");
        figures.push((few, many, own));
    }
    Ok(json!({
        "cpu_us_one_endpoint": rounded(median(figures.iter().map(|(few, _, _)| few.cpu_us()))),
        "cpu_us_all_endpoints": rounded(median(figures.iter().map(|(_, many, _)| many.cpu_us()))),
        "cpu_us": rounded(median(figures.iter().map(|(_, _, own)| *own))),
    }))
}

async fn routed(receiver: &Receiver, events: usize, endpoints: usize) -> anyhow::Result<Pace> {
    let folder = tempfile::tempdir()?;
    let gateway = Gateway::open(folder.path()).await?;
    // How far events were routed is only saved now and then, but with the record of a delivery at once.
    let filter = Filter { customer_ids: vec![customer(events - 1)], ..Filter::default() };
    let last = Endpoint { filter, ..endpoint(&receiver.url("takes", 0), Position::START) };
    gateway.register((1..endpoints).map(choosy).chain([last]).collect()).await?;
    // While the log is empty, so that all of them keep up with it from its beginning.
    gateway.while_delivering(gateway::settings(), async |deliverer| gateway.caught_up(deliverer).await).await?;
    gateway.fill(0..events, events).await?;
    quiet().await?;
    let pace = gateway.while_delivering(gateway::settings(), async |deliverer| {
        gateway::ready(deliverer).await?;
        let watch = Stopwatch::start();
        gateway.delivered(gateway.head()).await?;
        Ok(watch.stop(events))
    });
    let pace = pace.await?;
    gateway.store.close().await;
    Ok(pace)
}

/// Events at a rate, each for one endpoint of many.
async fn filtered(arguments: &Arguments, receiver: &Receiver) -> anyhow::Result<Value> {
    let &Arguments { endpoints, rate, runs, .. } = arguments;
    let folder = tempfile::tempdir()?;
    let gateway = Gateway::open(folder.path()).await?;
    gateway.fill(0..100, 100).await?;
    let limit = Limit::new(&gateway.examples().await?, 0)?;
    let urls: Vec<String> = (0..endpoints).map(|number| receiver.url("notes", number)).collect();
    let choosy = urls.iter().zip(0..).map(|(url, number)| {
        let filter = Filter { customer_ids: vec![customer(number)], ..Filter::default() };
        Endpoint { filter, ..endpoint(url, gateway.head()) }
    });
    gateway.register(choosy.collect()).await?;
    let figures = gateway.while_delivering(gateway::settings(), async |deliverer| {
        gateway.caught_up(deliverer).await?;
        let mut figures = Vec::new();
        let mut numbers = 0..0;
        // The first one is to warm up.
        for run in 0..=runs {
            numbers = numbers.end..numbers.end + if run == 0 { rate } else { rate * SECONDS };
            let bare = bare_filtered(receiver, &limit, &urls, rate, numbers.clone()).await?;
            let ours = ours_filtered(receiver, &gateway, endpoints, rate, numbers.clone()).await?;
            if run > 0 {
                println!("{rate} events a second, each for one of {endpoints} endpoints, bare loop:  {}", bare.arrived);
                println!("{rate} events a second, each for one of {endpoints} endpoints, gateway:    {}", ours.arrived);
                figures.push((bare, ours));
            }
        }
        Ok(figures)
    });
    let figures = figures.await?;
    gateway.store.close().await;
    let (bare, ours) = (figures.iter().map(|(bare, _)| bare), figures.iter().map(|(_, ours)| ours));
    let ratio = |at| rounded(median(figures.iter().map(|(bare, ours)| ours.arrived.ms(at) / bare.arrived.ms(at))));
    Ok(json!({
        "rate": rate,
        "cpu_us": rounded(median(ours.clone().map(|sent| sent.pace.cpu_us()))),
        "bare_cpu_us": rounded(median(bare.clone().map(|sent| sent.pace.cpu_us()))),
        "durable_to_arrival_at_least": Waits::json(ours.clone().map(|sent| &sent.arrived)),
        "bare_to_arrival": Waits::json(bare.clone().map(|sent| &sent.arrived)),
        "ratio_at_least": { "p50": ratio(0.5), "p99": ratio(0.99) },
        "begun_late": Waits::json(ours.map(|sent| &sent.late)),
        "bare_begun_late": Waits::json(bare.map(|sent| &sent.late)),
    }))
}

/// What one run took.
struct Sent {
    pace: Pace,
    /// How long each request was on its way.
    arrived: Waits,
    /// How much later than it should each was begun.
    late: Waits,
}

/// The bare loop connects anew for every request, as everybody must who calls each host so seldom.
async fn bare_filtered(
    receiver: &Receiver,
    limit: &Limit,
    urls: &[String],
    rate: usize,
    numbers: Range<usize>,
) -> anyhow::Result<Sent> {
    let (watch, count) = (Stopwatch::start(), numbers.len());
    let posted = Posted::at_rate(receiver, limit, urls, rate as f64, numbers).await?;
    Ok(Sent { pace: watch.stop(count), arrived: posted.arrived, late: posted.late })
}

async fn ours_filtered(
    receiver: &Receiver,
    gateway: &Gateway,
    endpoints: usize,
    rate: usize,
    numbers: Range<usize>,
) -> anyhow::Result<Sent> {
    let (watch, count) = (Stopwatch::start(), numbers.len());
    let told = Told::at_rate(gateway, rate as f64, numbers, endpoints).await?;
    let arrivals = receiver.collect(count).await?;
    gateway.delivered(gateway.head()).await?;
    let pace = watch.stop(count);
    let delays = told.delays(gateway, &arrivals).await?;
    Ok(Sent { pace, arrived: delays.durable, late: delays.late })
}
