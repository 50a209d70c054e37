//! A gateway that only polls: the real client, the real passes and the real store with its syncs, over an account in
//! another process ([`super::account`]). And what bounds it, in a process of its own: the same client, which downloads
//! the same pages, takes them apart into rows, and does nothing with them.
//!
//! The token bucket is set so wide that it never makes anybody wait; nothing else is set differently from what a user
//! has.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use certhook::clock::{Clock, SystemClock};
use certhook::detect::agenda::Policy;
use certhook::model::resource::Kind;
use certhook::model::source::{PassKind, PassStatus};
use certhook::source::listing::{Listing, Step};
use certhook::source::numeral::Numeral;
use certhook::source::{self, Selection, Source, Urgency};
use certhook::store::Store;
use certhook::store::sled::SledStore;
use certhook::watch::{Baseline, Description, RemovalGuard, Schedule, Settings, Watcher};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::account::{self, PAGE_SIZE};
use super::figures::{Pace, Stopwatch};

/// Calls a second, which nobody reaches.
const CALLS_PER_SECOND: f64 = 1e6;

/// How often no schedule comes round: passes are asked for one by one.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// What every bench of polling can be told.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Common {
    /// Certificates in the account
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) certificates: usize,
    /// What this process is for; the bench starts itself so
    #[arg(long, hide = true)]
    role: Option<Role>,
    /// The gateway's folder
    #[arg(long, hide = true)]
    folder: Option<PathBuf>,
    /// Where the account is
    #[arg(long, hide = true)]
    port: Option<u16>,
    /// Handed over by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// What a process of the bench is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Role {
    /// To be the account.
    Account,
    /// To download everything, and nothing else.
    Download,
    /// To see everything for the first time.
    Baseline,
    /// To see it again.
    Sweep,
}

/// Runs a bench, or the part of it that this process was started for.
pub(crate) fn start(
    common: &Common,
    bench: impl Future<Output = anyhow::Result<()>>,
    gateway: impl AsyncFnOnce(Role, &Path, u16) -> anyhow::Result<Value>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match (common.role, &common.folder, common.port) {
        (None, ..) => runtime.block_on(bench),
        (Some(Role::Account), ..) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(account::serve(common.certificates)),
        (Some(Role::Download), _, Some(port)) => runtime.block_on(until_parent_is_gone(download(port, common))),
        (Some(role), Some(folder), Some(port)) => runtime.block_on(until_parent_is_gone(gateway(role, folder, port))),
        (Some(_), ..) => anyhow::bail!("a gateway needs a folder and a port"),
    }
}

/// Prints what a process of the bench has to say, unless nobody is there any more to hear it.
async fn until_parent_is_gone(work: impl Future<Output = anyhow::Result<Value>>) -> anyhow::Result<()> {
    let said = tokio::select! {
        said = work => said?,
        gone = super::parent_is_gone() => return gone,
    };
    println!("{said}");
    Ok(())
}

/// The account, from the bench's side. Its process ends with this one.
pub(crate) struct Account {
    /// Where it listens.
    pub(crate) port: u16,
    _process: Child,
}

impl Account {
    /// One of so many certificates.
    pub(crate) async fn start(certificates: usize) -> anyhow::Result<Self> {
        let mut process = child(Role::Account, certificates).spawn()?;
        Ok(Self { port: super::first_line(&mut process).await?.parse()?, _process: process })
    }
}

/// A question to the account that is none of the vendor's.
pub(crate) async fn ask_account(port: u16, what: &str) -> anyhow::Result<usize> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let answer = client.get(format!("http://127.0.0.1:{port}/{what}")).send().await?.error_for_status()?;
    Ok(answer.text().await?.parse()?)
}

/// Starts a gateway, and gives what it has to say at its end.
pub(crate) async fn ask(role: Role, common: &Common, folder: &Path, port: u16, more: &[&str]) -> anyhow::Result<Value> {
    let mut command = child(role, common.certificates);
    command.arg("--port").arg(port.to_string()).arg("--folder").arg(folder).args(more);
    last_word(command).await
}

/// The limit, measured in a process of its own.
pub(crate) async fn download_alone(certificates: usize, port: u16) -> anyhow::Result<Pace> {
    let mut command = child(Role::Download, certificates);
    command.arg("--port").arg(port.to_string());
    let said = last_word(command).await?;
    let seconds = |name: &str| Some(Duration::from_secs_f64(said[name].as_f64()?));
    let (took, cpu) = seconds("took").zip(seconds("cpu")).context("a download says how long it took")?;
    Ok(Pace { count: certificates, took, cpu, allocated: None })
}

async fn last_word(mut command: Command) -> anyhow::Result<Value> {
    let mut child = command.spawn()?;
    let said = super::first_line(&mut child).await?;
    child.wait().await?;
    Ok(serde_json::from_str(&said)?)
}

fn child(role: Role, certificates: usize) -> Command {
    let role = match role {
        Role::Account => "account",
        Role::Download => "download",
        Role::Baseline => "baseline",
        Role::Sweep => "sweep",
    };
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--role", role, "--certificates", &certificates.to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

/// A gateway over a folder, and the account that it polls.
pub(crate) struct Polling {
    store: Arc<SledStore>,
    watcher: Arc<Watcher>,
    pub(crate) certificates: usize,
}

impl Polling {
    /// Opens the store, or makes it. Nothing is sent yet.
    pub(crate) async fn open(folder: &Path, port: u16, certificates: usize) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let settings = certhook::store::Settings { path: folder.join("data"), encryption_key: None, min_free: 0 };
        let opened = Arc::clone(&clock);
        let store = tokio::task::spawn_blocking(move || SledStore::open(&settings, &*opened)).await??;
        let source = Arc::new(client(port, Arc::clone(&clock))?);
        let base_url = format!("http://127.0.0.1:{port}");
        let description = Description { kind: "numeral".into(), base_url, livemode: true };
        let sights = Arc::clone(&store);
        let watcher = Watcher::open(source, sights, clock, settings_of_passes(), description).await?;
        Ok(Self { store, watcher, certificates })
    }

    /// A complete sweep, the first of which is the baseline; how many certificates had changed is checked.
    pub(crate) async fn sweep(&self, changed: usize) -> anyhow::Result<Pace> {
        let watch = Stopwatch::start();
        let report = self.watcher.pass(PassKind::Sweep, &CancellationToken::new()).await;
        let pace = watch.stop(self.certificates);
        ensure!(report.status == PassStatus::Complete, "the sweep is {:?}: {:?}", report.status, report.error);
        let (seen, told) = (report.seen as usize, report.changed as usize);
        ensure!(seen == self.certificates, "the sweep saw {seen} of {} certificates", self.certificates);
        ensure!(told == changed, "{changed} certificates had changed, and the sweep told of {told}");
        Ok(pace)
    }

    /// Writes what there is to write, and lets the folder go.
    pub(crate) async fn close(self) {
        self.store.close().await;
    }
}

/// The limit: everything downloaded and taken apart into rows. Once before it counts, since a gateway that sweeps has
/// done so before, too.
async fn download(port: u16, common: &Common) -> anyhow::Result<Value> {
    let source = client(port, Arc::new(SystemClock::default()))?;
    download_once(&source, common.certificates).await?;
    let Pace { took, cpu, .. } = download_once(&source, common.certificates).await?;
    Ok(json!({ "took": took.as_secs_f64(), "cpu": cpu.as_secs_f64() }))
}

async fn download_once(source: &Numeral, certificates: usize) -> anyhow::Result<Pace> {
    let watch = Stopwatch::start();
    let mut seen = 0;
    for kind in Kind::ALL {
        let (mut listing, mut cursor) = (Listing::default(), None);
        loop {
            let page = source.page(kind, &Selection::Everything, cursor.as_ref(), Urgency::Sweep).await?;
            seen += page.rows.len();
            match listing.accept(Ok(&page)) {
                Step::Next(next) => cursor = Some(next),
                Step::Done(_) => break,
                Step::Broken(why) => return Err(why.into()),
            }
        }
    }
    ensure!(seen == certificates, "{seen} of {certificates} certificates were listed");
    Ok(watch.stop(seen))
}

fn client(port: u16, clock: Arc<dyn Clock>) -> anyhow::Result<Numeral> {
    let settings = source::Settings {
        name: "numeral".parse()?,
        base_url: format!("http://127.0.0.1:{port}").parse()?,
        api_key: "sk_live_bench".into(),
        api_version: "2026-03-01".into(),
        requests_per_second: CALLS_PER_SECOND,
        page_size: u8::try_from(PAGE_SIZE)?,
        ca_file: None,
        proxy: None,
    };
    Ok(Numeral::new(settings, clock)?)
}

/// The defaults of the configuration, but for the times of passes.
fn settings_of_passes() -> Settings {
    Settings {
        changes: Schedule::Every(NEVER),
        overlap: Duration::from_secs(300),
        open: Schedule::Every(NEVER),
        sweep: Schedule::Every(NEVER),
        removal_guard: RemovalGuard { count: 10, share: 0.10 },
        dates: Policy { will_expire: vec![60, 30, 14, 7, 1], ..Policy::default() },
        baseline: Baseline::Silent,
        ignore_fields: Vec::new(),
    }
}

/// How many bytes the files of a folder have.
pub(crate) fn bytes_in(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() { bytes_in(&entry.path())? } else { about.len() };
    }
    Ok(bytes)
}
