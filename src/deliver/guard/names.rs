//! Names to addresses: one look-up per name at a time, on threads of its own, remembered for a moment.
//!
//! The system's resolver blocks, for half a minute if a name server does not answer. It runs neither on the async
//! threads nor on tokio's blocking ones: those serve the store, and a shutdown waits for them. A name takes one
//! thread however many ask for it, so that a hanging name server holds up the names that it serves and no others.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Look-ups at a time. Each is a thread that does nothing but wait.
const THREADS_MAX: usize = 64;

/// Enough for getaddrinfo and the modules that it loads.
const STACK_BYTES: usize = 512 * 1024;

/// Names remembered before those whose time is over are first swept out.
const NAMES_KEPT: usize = 1024;

/// How long a failure is remembered: enough for all that wait at the time, too short to delay a recovery.
const FAILURE_KEPT: Duration = Duration::from_secs(1);

/// Where addresses come from. Blocks; is called on a thread of its own.
pub trait LookUp: Send + Sync + fmt::Debug {
    /// All addresses of a name.
    ///
    /// # Errors
    /// If there are none, or nobody could say.
    fn look_up(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The machine's resolver, `/etc/hosts` included.
#[derive(Debug)]
pub struct SystemLookUp;

impl LookUp for SystemLookUp {
    fn look_up(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
    }
}

/// The addresses of a name, at least one, in the resolver's order; or why there are none.
pub(super) type Answer = Result<Arc<[IpAddr]>, Arc<str>>;

/// The names that are being looked up, and those that were lately.
#[derive(Debug)]
pub(super) struct Names {
    look_up: Arc<dyn LookUp>,
    kept: Duration,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    hosts: HashMap<Arc<str>, Entry>,
    /// Names that wait for a thread.
    queue: VecDeque<Arc<str>>,
    threads: usize,
    /// So many names call for a sweep.
    sweep_at: usize,
}

impl Table {
    /// Forgets the names whose time is over. The next sweep comes when there are twice as many as are left, so that
    /// sweeping costs each look-up the same however many names there are.
    fn sweep(&mut self, now: Instant) {
        if self.hosts.len() < self.sweep_at {
            return;
        }
        self.hosts.retain(|_, entry| match entry {
            Entry::UnderWay(_) => true,
            Entry::Known(_, until) => now < *until,
        });
        self.sweep_at = NAMES_KEPT.max(2 * self.hosts.len());
    }
}

#[derive(Debug)]
enum Entry {
    UnderWay(watch::Sender<Option<Answer>>),
    Known(Answer, Instant),
}

impl Names {
    /// Addresses are remembered for `kept`.
    pub(super) fn new(look_up: Arc<dyn LookUp>, kept: Duration) -> Arc<Self> {
        let table = Table { hosts: HashMap::new(), queue: VecDeque::new(), threads: 0, sweep_at: NAMES_KEPT };
        Arc::new(Self { look_up, kept, table: Mutex::new(table) })
    }

    /// The addresses of a name. Waits as long as the resolver does: the caller sets the limit, and may give up at
    /// any time.
    pub(super) async fn resolve(self: &Arc<Self>, host: &str) -> Answer {
        let mut answer = match self.join(host) {
            Joined::Known(answer) => return answer,
            Joined::UnderWay(answer) => answer,
        };
        match answer.wait_for(Option::is_some).await.map(|found| found.clone()) {
            Ok(Some(answer)) => answer,
            Ok(None) | Err(_) => Err("the look-up was given up".into()),
        }
    }

    fn join(self: &Arc<Self>, host: &str) -> Joined {
        let mut table = self.table();
        let receiver = match table.hosts.get(host) {
            Some(Entry::Known(answer, until)) if Instant::now() < *until => return Joined::Known(answer.clone()),
            Some(Entry::UnderWay(sender)) => sender.subscribe(),
            Some(Entry::Known(..)) | None => {
                let (sender, receiver) = watch::channel(None);
                let host: Arc<str> = host.into();
                table.hosts.insert(Arc::clone(&host), Entry::UnderWay(sender));
                table.queue.push_back(host);
                receiver
            }
        };
        self.start_thread(&mut table);
        Joined::UnderWay(receiver)
    }

    /// Starts a thread if something is queued and there may be one more. If the machine has none to give, the queue
    /// is left to the threads that run, or to the next caller.
    fn start_thread(self: &Arc<Self>, table: &mut Table) {
        if table.queue.is_empty() || table.threads >= THREADS_MAX {
            return;
        }
        let names = Arc::clone(self);
        let thread = thread::Builder::new().name("look-up".into()).stack_size(STACK_BYTES);
        match thread.spawn(move || names.work()) {
            Ok(_) => table.threads += 1,
            Err(error) => tracing::warn!(%error, threads = table.threads, "no thread for a name look-up"),
        }
    }

    /// Looks up what is queued, then ends.
    fn work(&self) {
        while let Some(host) = self.take() {
            let found = catch_unwind(AssertUnwindSafe(|| self.look_up.look_up(&host)));
            let answer = match found {
                Ok(Ok(addresses)) if addresses.is_empty() => Err("it has no addresses".into()),
                Ok(Ok(addresses)) => Ok(addresses.into()),
                Ok(Err(error)) => Err(error.to_string().into()),
                Err(_) => Err("the look-up panicked".into()),
            };
            self.settle(&host, answer);
        }
    }

    /// The next name that somebody still waits for. Ends the thread's place in the count when there is none.
    fn take(&self) -> Option<Arc<str>> {
        let mut table = self.table();
        while let Some(host) = table.queue.pop_front() {
            match table.hosts.get(&host) {
                Some(Entry::UnderWay(sender)) if sender.receiver_count() > 0 => return Some(host),
                Some(Entry::UnderWay(_)) => drop(table.hosts.remove(&host)),
                Some(Entry::Known(..)) | None => {}
            }
        }
        table.threads -= 1;
        None
    }

    fn settle(&self, host: &Arc<str>, answer: Answer) {
        let kept = if answer.is_ok() { self.kept } else { FAILURE_KEPT.min(self.kept) };
        let now = Instant::now();
        let mut table = self.table();
        let before = table.hosts.insert(Arc::clone(host), Entry::Known(answer.clone(), now + kept));
        table.sweep(now);
        drop(table);
        if let Some(Entry::UnderWay(sender)) = before {
            sender.send_replace(Some(answer));
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("nothing panics while it holds this lock")
    }
}

enum Joined {
    Known(Answer),
    UnderWay(watch::Receiver<Option<Answer>>),
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[derive(Debug)]
    struct Anywhere;

    impl LookUp for Anywhere {
        fn look_up(&self, _: &str) -> io::Result<Vec<IpAddr>> {
            Ok(vec![Ipv4Addr::LOCALHOST.into()])
        }
    }

    #[tokio::test]
    async fn names_whose_time_is_over_are_forgotten() {
        let names = Names::new(Arc::new(Anywhere), Duration::ZERO);
        for number in 0..3 * NAMES_KEPT {
            names.resolve(&format!("{number}.test")).await.expect("an address");
        }
        assert!(names.table().hosts.len() < NAMES_KEPT);
    }
}
