//! The first sync of a million certificates: how fast it is beside the same client that only downloads the pages and
//! takes them apart, what it needs in memory, and what it leaves on the disk.
//!
//! ```text
//! cargo bench --bench baseline                                     # 1 000 000 certificates, a quarter of an hour
//! cargo bench --bench baseline -- --certificates 50000 --runs 3    # a quick look
//! ```
//!
//! The account is a process of its own, which keeps all of its pages in memory (700 MB for a million); so is the
//! gateway of each run, over a folder of its own.

#[expect(dead_code, reason = "each bench uses a part of what they share")]
mod support;

use std::path::Path;

use clap::Parser;
use serde_json::{Value, json};

use support::figures::{median, memory_mib, most_memory_from_now, rounded};
use support::polling::{self, Account, Common, Polling, Role, ask, ask_account, bytes_in, download_alone};

#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// How often everything is synced for the first time
    #[arg(long, default_value_t = 5)]
    runs: usize,
    #[command(flatten)]
    common: Common,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let common = arguments.common.clone();
    let certificates = common.certificates;
    polling::start(&common, bench(&arguments), async |_, folder: &Path, port| {
        baseline(folder, port, certificates).await
    })
}

async fn bench(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { runs, common } = arguments;
    let account = Account::start(common.certificates).await?;
    let resources = ask_account(account.port, "bytes").await? as f64;
    eprintln!("{} certificates, {:.0} MB", common.certificates, resources / 1e6);
    let mut figures = Vec::new();
    for _ in 0..*runs {
        let folder = tempfile::tempdir()?;
        let mut said = ask(Role::Baseline, common, folder.path(), account.port, &[]).await?;
        let on_disk = bytes_in(folder.path())? as f64;
        said["disk_bytes_each"] = rounded(on_disk / common.certificates as f64).into();
        said["disk_to_resources"] = rounded(on_disk / resources).into();
        eprintln!("{said}");
        figures.push(said);
    }
    let mut line = json!({
        "bench": "baseline", "certificates": common.certificates,
        "resource_bytes_each": rounded(resources / common.certificates as f64),
    });
    for name in figures.first().and_then(Value::as_object).into_iter().flat_map(|figures| figures.keys()) {
        let of_all = figures.iter().filter_map(|figures| figures[name].as_f64());
        line[name] = rounded(median(of_all)).into();
    }
    println!("{line}");
    Ok(())
}

async fn baseline(folder: &Path, port: u16, certificates: usize) -> anyhow::Result<Value> {
    let polling = Polling::open(folder, port, certificates).await?;
    let limit = download_alone(certificates, port).await?;
    let (idle, _) = memory_mib()?;
    most_memory_from_now()?;
    eprintln!("download alone: {limit}");
    let ours = polling.sweep(0).await?;
    eprintln!("baseline:       {ours}");
    let (_, most) = memory_mib()?;
    polling.close().await;
    Ok(json!({
        "ratio": rounded(ours.rate() / limit.rate()), "rate": rounded(ours.rate()), "limit_rate": rounded(limit.rate()),
        "cpu_us": rounded(ours.cpu_us()), "limit_cpu_us": rounded(limit.cpu_us()),
        "memory_idle_mib": rounded(idle), "memory_max_mib": rounded(most),
    }))
}
