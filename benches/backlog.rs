//! A million events behind one endpoint that is dead: what they cost in memory, how soon a process that was killed is
//! back, and how fast they go out once the receiver is there.
//!
//! ```text
//! cargo bench --bench backlog                          # 1 000 000 events, minutes
//! cargo bench --bench backlog -- --events 50000        # a quick look
//! cargo bench --bench backlog -- --events 10000000     # half an hour
//! TMPDIR=PATH cargo bench --bench backlog              # on another file system
//! ```
//!
//! An event takes some 0.3 KB of the disk, and as much again once it is delivered: ten million need some 6 GB.
//!
//! The gateway is a process of its own, so that its memory is its own: one that commits the events while nobody listens
//! at the endpoint's address, and is killed; and one that starts over the same folder, now with a receiver. The kernel
//! outlives the kill, and so do the pages of the file that it has in memory: how soon a process is back after the machine
//! itself has gone down is not measured. Beside it, before and after, another such process delivers a log that is not as
//! long to an endpoint that is well, once its store has come to rest.

#[expect(dead_code, reason = "each bench uses a part of what they share")]
mod support;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use certhook::deliver::Settings;
use certhook::model::id::Position;
use clap::Parser;
use serde_json::{Value, json};
use tokio::process::Command;

use support::Common;
use support::figures::{Stopwatch, median, memory_mib, quiet, rounded};
use support::gateway::{self, Gateway};
use support::polling::bytes_in;
use support::receiver::{Receiver, url_at};
use support::sample::endpoint;

#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// Events behind the endpoint
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Serves as a gateway; the bench starts itself so
    #[arg(long, hide = true, requires_all = ["folder", "port"])]
    role: Option<Role>,
    /// The gateway's folder
    #[arg(long, hide = true)]
    folder: Option<PathBuf>,
    /// Where the receiver is, or will be
    #[arg(long, hide = true)]
    port: Option<u16>,
    #[command(flatten)]
    common: Common,
}

/// What a gateway is started for.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Role {
    /// To commit events that nobody takes.
    Fill,
    /// To deliver what is in the folder.
    Drain,
    /// To commit some events, and then to deliver them.
    Deliver,
}

/// Requests at a time.
const WIDTH: usize = 64;

/// Events that are delivered for comparison, at most.
const COMPARED_MAX: usize = 200_000;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let common = arguments.common.clone();
    support::start(&common, async {
        match (arguments.role, &arguments.folder, arguments.port) {
            (Some(role), Some(folder), Some(port)) => serve(role, folder, port, arguments.events).await,
            _ => bench(&arguments).await,
        }
    })
}

async fn bench(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    // A port on which nobody listens yet.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let filled = ask(Role::Fill, folder.path(), port, arguments.events).await?;
    println!("{} events behind a dead endpoint: {filled}", arguments.events);
    let receiver = support::receivers(port).await?;
    let mut rates = vec![compared(&receiver, arguments.events).await?];
    let drained = ask(Role::Drain, folder.path(), port, arguments.events).await?;
    println!("after a kill: {drained}");
    rates.push(compared(&receiver, arguments.events).await?);
    let ratio = drained["rate"].as_f64().unwrap_or(f64::NAN) / median(rates.iter().copied());
    println!(
        "{}",
        json!({
            "bench": "backlog", "events": arguments.events, "filled": filled, "drained": drained,
            "deliver_rates": rates, "drain_to_deliver": rounded(ratio),
        })
    );
    Ok(())
}

/// Starts a gateway, gives what it has to say when it is done, and kills it.
async fn ask(role: Role, folder: &Path, port: u16, events: usize) -> anyhow::Result<Value> {
    let role = match role {
        Role::Fill => "fill",
        Role::Drain => "drain",
        Role::Deliver => "deliver",
    };
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--role", role, "--port", &port.to_string(), "--events", &events.to_string(), "--folder"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let said = support::first_line(&mut child).await?;
    child.kill().await?;
    Ok(serde_json::from_str(&said)?)
}

/// Deliveries per second of a log that is not so long.
async fn compared(receiver: &Receiver, events: usize) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let said = ask(Role::Deliver, folder.path(), receiver.port(), events.min(COMPARED_MAX)).await?;
    println!("for comparison: {said}");
    said["rate"].as_f64().ok_or_else(|| anyhow::anyhow!("no rate in {said}"))
}

/// Works as a gateway, says how that was, and waits until it is killed.
async fn serve(role: Role, folder: &Path, port: u16, events: usize) -> anyhow::Result<()> {
    let said = match role {
        Role::Fill => fill(folder, port, events).await?,
        Role::Drain => drain(folder, port, events).await?,
        Role::Deliver => deliver(folder, port, events).await?,
    };
    println!("{said}");
    support::parent_is_gone().await
}

fn settings() -> Settings {
    Settings { per_endpoint_in_flight: WIDTH, ..gateway::settings() }
}

async fn fill(folder: &Path, port: u16, events: usize) -> anyhow::Result<Value> {
    let gateway = Gateway::open(folder).await?;
    gateway.register(vec![endpoint(&url_at(port, "takes", 0), Position::START)]).await?;
    gateway
        .while_delivering(settings(), async |_| {
            let watch = Stopwatch::start();
            gateway.fill(0..events, events).await?;
            let pace = watch.stop(events);
            let (now, most) = memory_mib()?;
            Ok(json!({
                "memory_mib": rounded(now), "memory_max_mib": rounded(most), "events_per_second": rounded(pace.rate()),
                "disk_mib": bytes_in(folder)? >> 20,
            }))
        })
        .await
}

async fn drain(folder: &Path, port: u16, events: usize) -> anyhow::Result<Value> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let seconds = |since: &Stopwatch| rounded(since.stop(1).took.as_secs_f64());
    let started = Stopwatch::start();
    let begun = count(&client, port).await?;
    let gateway = Gateway::open(folder).await?;
    let opened = seconds(&started);
    gateway
        .while_delivering(settings(), async |deliverer| {
            gateway::ready(deliverer).await?;
            let ready = seconds(&started);
            while count(&client, port).await? == begun {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let (first, watch) = (seconds(&started), Stopwatch::start());
            gateway.delivered(gateway.head()).await?;
            let pace = watch.stop(events);
            let (now, most) = memory_mib()?;
            let sent = count(&client, port).await? - begun;
            anyhow::ensure!(sent >= events, "{sent} requests for {events} events");
            Ok(json!({
                "opened_s": opened, "ready_s": ready, "first_delivery_s": first, "rate": rounded(pace.rate()),
                "cpu_us": rounded(pace.cpu_us()), "memory_mib": rounded(now), "memory_max_mib": rounded(most),
                "sent_again": sent - events, "disk_mib": bytes_in(folder)? >> 20,
            }))
        })
        .await
}

async fn count(client: &reqwest::Client, port: u16) -> anyhow::Result<usize> {
    Ok(client.get(format!("http://127.0.0.1:{port}/count")).send().await?.text().await?.parse()?)
}

async fn deliver(folder: &Path, port: u16, events: usize) -> anyhow::Result<Value> {
    let gateway = Gateway::open(folder).await?;
    gateway.fill(0..events, events).await?;
    gateway.register(vec![endpoint(&url_at(port, "takes", 0), Position::START)]).await?;
    quiet().await?;
    gateway
        .while_delivering(settings(), async |_| {
            let watch = Stopwatch::start();
            gateway.delivered(gateway.head()).await?;
            let pace = watch.stop(events);
            Ok(json!({ "rate": rounded(pace.rate()), "cpu_us": rounded(pace.cpu_us()) }))
        })
        .await
}
