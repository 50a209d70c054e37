//! From samples to figures.

use std::fmt;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// The time on a clock that all processes of this machine share.
pub(crate) fn monotonic() -> Duration {
    of_clock(ClockId::Monotonic)
}

/// What this process has used of the processors so far.
pub(crate) fn processor_time() -> Duration {
    of_clock(ClockId::ProcessCPUTime)
}

fn of_clock(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// How long nothing is to have happened, and how often that is waited for. An idle store takes half a percent of a core.
const QUIET: Duration = Duration::from_secs(2);
const QUIET_TRIES: u32 = 60;

/// How often memory was asked for (or for more of it in one piece), and for how many bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allocated {
    pub(crate) count: usize,
    /// How many of these were for more of it.
    pub(crate) grown: usize,
    pub(crate) bytes: usize,
}

/// What this process has allocated so far; `None` unless it was built to count that.
#[cfg(feature = "allocations")]
fn allocated() -> Option<Allocated> {
    let stats = stats_alloc::INSTRUMENTED_SYSTEM.stats();
    let (count, grown) = (stats.allocations + stats.reallocations, stats.reallocations);
    Some(Allocated { count, grown, bytes: stats.bytes_allocated })
}

#[cfg(not(feature = "allocations"))]
fn allocated() -> Option<Allocated> {
    None
}

/// Takes the time of something, and the processor time of this process meanwhile.
pub(crate) struct Stopwatch {
    begun: Instant,
    cpu: Duration,
    allocated: Option<Allocated>,
}

impl Stopwatch {
    /// It begins.
    pub(crate) fn start() -> Self {
        Self { begun: Instant::now(), cpu: processor_time(), allocated: allocated() }
    }

    /// It has ended, and was done so many times.
    pub(crate) fn stop(&self, count: usize) -> Pace {
        let since = |(before, now): (Allocated, Allocated)| Allocated {
            count: now.count - before.count,
            grown: now.grown - before.grown,
            bytes: now.bytes - before.bytes,
        };
        let allocated = self.allocated.zip(allocated()).map(since);
        Pace { count, took: self.begun.elapsed(), cpu: processor_time() - self.cpu, allocated }
    }
}

/// So many of something in so much time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) count: usize,
    pub(crate) took: Duration,
    pub(crate) cpu: Duration,
    pub(crate) allocated: Option<Allocated>,
}

impl Pace {
    /// How many a second.
    pub(crate) fn rate(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64()
    }

    /// How often each allocated; not a number where that is not counted.
    pub(crate) fn allocations(&self) -> f64 {
        self.allocated.map_or(f64::NAN, |all| all.count as f64 / self.count as f64)
    }

    /// How often each did so for more of what it had already.
    pub(crate) fn reallocations(&self) -> f64 {
        self.allocated.map_or(f64::NAN, |all| all.grown as f64 / self.count as f64)
    }

    /// How many bytes each allocated.
    pub(crate) fn allocated_bytes(&self) -> f64 {
        self.allocated.map_or(f64::NAN, |all| all.bytes as f64 / self.count as f64)
    }

    /// Microseconds of processor time for each.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.count as f64
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7.0} a second, {:>5.1} µs of processor time each", self.rate(), self.cpu_us())?;
        if self.allocated.is_some() {
            let (count, grown, bytes) = (self.allocations(), self.reallocations(), self.allocated_bytes());
            write!(f, ", {count:.1} allocations ({grown:.1} of them for more) of {bytes:.0} bytes in all")?;
        }
        Ok(())
    }
}

/// The figure in the middle, or what is between the two that are.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    let at = |place: usize| figures.get(place).copied().unwrap_or(f64::NAN);
    f64::midpoint(at(figures.len().saturating_sub(1) / 2), at(figures.len() / 2))
}

/// With two digits behind the point, which is more than a shared machine repeats.
pub(crate) fn rounded(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}

/// How many waits say what one in a thousand exceeds: ten of them do.
const TELLS_P999: usize = 10_000;

/// Waits, sorted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waits(Vec<Duration>);

impl Waits {
    /// Of all waits.
    pub(crate) fn of(waits: impl IntoIterator<Item = Duration>) -> Self {
        let mut waits: Vec<Duration> = waits.into_iter().collect();
        waits.sort_unstable();
        Self(waits)
    }

    /// Milliseconds that such a share of all did not exceed.
    pub(crate) fn ms(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let wait = self.0.get((last as f64 * share).round() as usize);
        wait.map_or(f64::NAN, |wait| wait.as_secs_f64() * 1e3)
    }

    /// What one in a thousand exceeds, in milliseconds; `None` where too few were measured to say.
    fn p999_ms(&self) -> Option<f64> {
        (self.0.len() >= TELLS_P999).then(|| self.ms(0.999))
    }

    /// The waits of some runs, for the line in JSON: medians of the runs, and of all of them together what a single
    /// run has too few for.
    pub(crate) fn json<'a>(runs: impl Iterator<Item = &'a Self> + Clone) -> serde_json::Value {
        let at = |share| rounded(median(runs.clone().map(|run| run.ms(share))));
        let all = Self::of(runs.clone().flat_map(|run| run.0.iter().copied()));
        serde_json::json!({
            "count": all.0.len(), "p50_ms": at(0.5), "p99_ms": at(0.99), "p999_ms": all.p999_ms().map(rounded),
            "max_ms": rounded(all.ms(1.0)),
        })
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| self.ms(share));
        write!(f, "p50 {p50:>7.2} ms, p99 {p99:>7.2} ms, ")?;
        if let Some(p999) = self.p999_ms() {
            write!(f, "p99.9 {p999:>7.2} ms, ")?;
        }
        write!(f, "longest {max:>7.2} ms")
    }
}

/// Waits until this process has done next to nothing for two seconds: what the store's engine clears up after a log was
/// filled is not to be charged to what comes next.
pub(crate) async fn quiet() -> anyhow::Result<()> {
    for _ in 0..QUIET_TRIES {
        let before = processor_time();
        tokio::time::sleep(QUIET).await;
        if processor_time() - before < QUIET / 50 {
            return Ok(());
        }
    }
    anyhow::bail!("this process still works {:?} after it was left alone", QUIET * QUIET_TRIES)
}

/// Memory of this process in MiB: what it has now, and the most that it has had.
pub(crate) fn memory_mib() -> anyhow::Result<(f64, f64)> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let figure = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let digits = line.map(|line| line.trim_matches(|sign: char| !sign.is_ascii_digit()));
        anyhow::Ok(digits.ok_or_else(|| anyhow::anyhow!("no {name} in the status"))?.parse::<f64>()? / 1024.0)
    };
    Ok((figure("VmRSS:")?, figure("VmHWM:")?))
}

/// Forgets how much memory this process has had, so that the most is what it has from now on.
pub(crate) fn most_memory_from_now() -> anyhow::Result<()> {
    Ok(std::fs::write("/proc/self/clear_refs", "5")?)
}
