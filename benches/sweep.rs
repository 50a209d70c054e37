//! A sweep over a million certificates of which nothing has changed, and one of which 1 % has, beside the same client
//! in a process of its own, that only downloads the pages and takes them apart.
//!
//! ```text
//! cargo bench --bench sweep                            # 1 000 000 certificates, minutes
//! cargo bench --bench sweep -- --certificates 100000   # a quick look
//! ```
//!
//! The account is a process of its own, and keeps all of its pages in memory (700 MB for a million). So is the gateway:
//! one makes the baseline and ends; another one opens the folder, and sweeps, first with nothing in its memory, as
//! after every start.

#[expect(dead_code, reason = "each bench uses a part of what they share")]
mod support;

use std::path::Path;

use clap::Parser;
use serde_json::{Value, json};

use support::figures::{Pace, median, memory_mib, most_memory_from_now, rounded};
use support::polling::{self, Account, Common, Polling, Role, ask, ask_account, download_alone};

#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// How often each kind of sweep is measured
    #[arg(long, default_value_t = 5)]
    runs: usize,
    #[command(flatten)]
    common: Common,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let common = arguments.common.clone();
    polling::start(&common, bench(&arguments), async |role, folder: &Path, port| match role {
        Role::Sweep => sweep(folder, port, &arguments).await,
        Role::Baseline | Role::Account | Role::Download => baseline(folder, port, &arguments).await,
    })
}

async fn bench(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { runs, common } = arguments;
    let folder = tempfile::tempdir()?;
    let account = Account::start(common.certificates).await?;
    eprintln!("{} certificates, {} MiB of pages", common.certificates, ask_account(account.port, "bytes").await? >> 20);
    ask(Role::Baseline, common, folder.path(), account.port, &[]).await?;
    let runs = runs.to_string();
    let mut figures = ask(Role::Sweep, common, folder.path(), account.port, &["--runs", &runs]).await?;
    figures["bench"] = "sweep".into();
    figures["certificates"] = common.certificates.into();
    println!("{figures}");
    Ok(())
}

async fn baseline(folder: &Path, port: u16, arguments: &Arguments) -> anyhow::Result<Value> {
    let polling = Polling::open(folder, port, arguments.common.certificates).await?;
    eprintln!("baseline, not measured here:      {}", polling.sweep(0).await?);
    polling.close().await;
    Ok(Value::Null)
}

async fn sweep(folder: &Path, port: u16, arguments: &Arguments) -> anyhow::Result<Value> {
    let certificates = arguments.common.certificates;
    let polling = Polling::open(folder, port, certificates).await?;
    let limit = download_alone(certificates, port).await?;
    eprintln!("download alone:                   {limit}");
    let memory = Memory::now()?;
    let first = polling.sweep(0).await?;
    eprintln!("first sweep after a start:        {first}");
    let memory_of_first = memory.most("the first sweep")?;
    let memory = Memory::now()?;
    let mut unchanged = Vec::new();
    for _ in 0..arguments.runs {
        unchanged.push(measure(&polling, 0, port, "unchanged").await?);
    }
    let memory_of_unchanged = memory.most("sweeps with nothing changed")?;
    let memory = Memory::now()?;
    let mut changed = Vec::new();
    for _ in 0..arguments.runs {
        let moved = ask_account(port, "move").await?;
        changed.push(measure(&polling, moved, port, "1 % changed").await?);
    }
    let memory_of_changed = memory.most("sweeps with 1 % changed")?;
    polling.close().await;
    Ok(json!({
        "first_after_a_start": {
            "ratio": rounded(first.rate() / limit.rate()), "rate": rounded(first.rate()),
            "cpu_us": rounded(first.cpu_us()), "memory": memory_of_first,
        },
        "unchanged": summary(&unchanged, &memory_of_unchanged),
        "changed_1_percent": summary(&changed, &memory_of_changed),
    }))
}

/// The memory of this process before a sweep.
struct Memory {
    idle_mib: f64,
}

impl Memory {
    fn now() -> anyhow::Result<Self> {
        most_memory_from_now()?;
        Ok(Self { idle_mib: memory_mib()?.0 })
    }

    /// How much it has had at most since, in all and above what it had then.
    fn most(&self, during: &str) -> anyhow::Result<Value> {
        let (_, most) = memory_mib()?;
        let Self { idle_mib } = *self;
        eprintln!("memory: {idle_mib:.0} MiB before {during}, {most:.0} MiB at most");
        let above_idle = rounded(most - idle_mib);
        Ok(json!({ "idle_mib": rounded(idle_mib), "max_mib": rounded(most), "above_idle_mib": above_idle }))
    }
}

/// The limit, and a sweep.
async fn measure(polling: &Polling, changed: usize, port: u16, what: &str) -> anyhow::Result<(Pace, Pace)> {
    let limit = download_alone(polling.certificates, port).await?;
    let ours = polling.sweep(changed).await?;
    eprintln!("download alone:                   {limit}");
    eprintln!("{:<33} {ours}: {:.2}", format!("sweep, {what}:"), ours.rate() / limit.rate());
    Ok((limit, ours))
}

fn summary(runs: &[(Pace, Pace)], memory: &Value) -> Value {
    let of = |figure: fn(&(Pace, Pace)) -> f64| rounded(median(runs.iter().map(figure)));
    json!({
        "ratio": of(|(limit, ours)| ours.rate() / limit.rate()), "rate": of(|(_, ours)| ours.rate()),
        "limit_rate": of(|(limit, _)| limit.rate()), "cpu_us": of(|(_, ours)| ours.cpu_us()),
        "limit_cpu_us": of(|(limit, _)| limit.cpu_us()), "memory": memory,
    })
}
