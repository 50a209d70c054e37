//! One run over a source: listings page by page, what they call for by id, and what follows from having seen it all.
//!
//! In reading order: this file (listings, and what they call for), `fetch` (answers by id), `strays` (first sights that
//! may belong to the baseline), `open` (the open lists), `due` (looks by id whose time has come), `removal` (what no list shows), `call`
//! (what somebody asks for through our API).

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::fetch::Aside;
use self::strays::HeldBack;
use super::applier::{Applier, Arrival, Findings, Item};
use super::crossing::Ticket;
use super::progress::{Proof, behind};
use super::upstream::{NoAnswer, Upstream};
use super::{RemovalGuard, Settings};
use crate::clock::Clock;
use crate::model::event::Cause;
use crate::model::resource::{Kind, OpenList, ResourceId};
use crate::model::source::PassKind;
use crate::source::listing::{Complete, Incomplete, Listing, Step};
use crate::source::{Exchange, Malformed, Page, Selection, SourceError, Urgency};
use crate::store::StoreError;

mod call;
mod due;
mod fetch;
mod open;
mod removal;
mod strays;

pub(super) use call::Looked;
pub(super) use open::Resume;

/// How many answers may lead to one another: a row, the request by id, its certificate, and twice more because they
/// crossed. Each crossing means that somebody else has just applied a newer answer, so there is little to miss.
const DEPTH_MAX: u32 = 5;

/// What a pass has seen so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Pages read.
    pub(super) pages: u64,
    /// Items on them, and answers by id to what was due.
    pub(super) seen: u64,
    /// Sights that told something, removals included.
    pub(super) changed: u64,
    /// Of these, what had been gone and was seen again.
    pub(super) restored: u64,
    /// Of these, removals.
    pub(super) removed: u64,
    /// First sights that were taken into the baseline.
    pub(super) absorbed: u64,
    /// Answers that may have been older than what was known.
    pub(super) dropped: u64,
    /// Items that could not be used.
    pub(super) malformed: u64,
    /// The first thing that keeps the pass from being complete.
    pub(super) error: Option<String>,
    /// Whether more was due than is asked for by id, so that a sweep must look.
    pub(super) wants_sweep: bool,
}

impl Tally {
    /// Whether upstream was not asked at all.
    pub(super) fn is_untouched(&self) -> bool {
        self.pages == 0 && self.seen == 0 && self.error.is_none()
    }
}

/// Why a pass ended before it had seen what it could.
#[derive(Debug)]
pub(super) enum Halt {
    /// The gateway is stopping.
    Stopped,
    /// There is too little room for what it may find.
    NoRoom,
    /// The source is to be left alone.
    Paused,
    /// What was updated can be asked for only once the baseline is complete.
    NoBaseline,
    /// Upstream refuses the key.
    Unauthorized(SourceError),
    /// The store did not do what it was asked.
    Store(StoreError),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What all passes over a source share.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    /// Where answers become commits.
    pub(super) applier: &'a Applier,
    /// Whom to ask.
    pub(super) upstream: &'a Upstream,
    /// The time.
    pub(super) clock: &'a dyn Clock,
    /// What configuration says.
    pub(super) settings: &'a Settings,
    /// When to stop.
    pub(super) stop: &'a CancellationToken,
    /// Told after every page.
    pub(super) observe: &'a (dyn Fn(&Tally) + Sync),
}

/// One pass under way.
pub(super) struct Pass<'a> {
    applier: &'a Applier,
    upstream: &'a Upstream,
    clock: &'a dyn Clock,
    guard: &'a RemovalGuard,
    stop: &'a CancellationToken,
    observe: &'a (dyn Fn(&Tally) + Sync),
    cause: Option<Cause>,
    request_id: Option<&'a str>,
    urgency: Urgency,
    findings: Findings,
    strays: HeldBack,
    aside: Aside,
    behind: Option<Duration>,
    tally: Tally,
}

/// One listing: what is asked for, and what the pass does with what it shows.
struct Question<'q> {
    kind: Kind,
    selection: &'q Selection,
    list: Option<OpenList>,
    /// Told every id that is shown, also of an item that cannot be used; `None` for an item without one.
    visit: &'q mut (dyn FnMut(Option<&ResourceId>) + Send),
}

impl<'a> Pass<'a> {
    /// A pass that has not begun.
    pub(super) fn new(kind: PassKind, surroundings: Surroundings<'a>) -> Self {
        let (cause, urgency) = match kind {
            PassKind::Deadline => (Cause::Deadline, Urgency::Deadline),
            PassKind::Changes => (Cause::Changes, Urgency::Changes),
            PassKind::Open => (Cause::Open, Urgency::Open),
            PassKind::Sweep => (Cause::Sweep, Urgency::Sweep),
        };
        Self::looking(Some(cause), None, urgency, surroundings)
    }

    /// What a call through our API sets going before everything else; `cause` is there if it changed something.
    pub(super) fn of_call(cause: Option<Cause>, request_id: &'a str, surroundings: Surroundings<'a>) -> Self {
        Self::looking(cause, Some(request_id), Urgency::Api, surroundings)
    }

    fn looking(
        cause: Option<Cause>,
        request_id: Option<&'a str>,
        urgency: Urgency,
        surroundings: Surroundings<'a>,
    ) -> Self {
        let Surroundings { applier, upstream, clock, settings, stop, observe } = surroundings;
        let guard = &settings.removal_guard;
        let (findings, strays, aside, behind, tally) = Default::default();
        Self {
            applier,
            upstream,
            clock,
            guard,
            stop,
            observe,
            cause,
            request_id,
            urgency,
            findings,
            strays,
            aside,
            behind,
            tally,
        }
    }

    /// What it has seen.
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// How far upstream's clock was behind ours at the first page.
    pub(super) fn behind(&self) -> Duration {
        self.behind.unwrap_or_default()
    }

    /// Forgets what was seen, so that what a sweep does not see is known at its end.
    pub(super) async fn begin_sweep(&self) -> Result<(), Halt> {
        self.applier.recall(self.stop).await?;
        Ok(self.applier.begin_sweep().await?)
    }

    /// Reads both listings. The proof is there only if nothing was missing; what was seen is applied in any case.
    pub(super) async fn run(&mut self, selection: &Selection) -> Result<Option<Proof>, Halt> {
        let listed = self.list_all(selection).await;
        let listed = self.tell_strays_after(listed).await?;
        Ok(listed.filter(|_| self.tally.error.is_none()))
    }

    async fn list_all(&mut self, selection: &Selection) -> Result<Option<Proof>, Halt> {
        let certificates = self.list(Kind::Certificate, selection).await?;
        let requests = self.list(Kind::CertificateRequest, selection).await?;
        Ok(Proof::of(certificates, requests))
    }

    async fn list(&mut self, kind: Kind, selection: &Selection) -> Result<Option<Complete>, Halt> {
        let question = Question { kind, selection, list: None, visit: &mut |_| {} };
        match self.read(question).await? {
            Ok(complete) => Ok(Some(complete)),
            Err(why) => {
                self.missing(format!("the listing of {kind}s is incomplete: {why}"));
                Ok(None)
            }
        }
    }

    /// Reads one listing to its end, or to where it breaks off.
    async fn read(&mut self, question: Question<'_>) -> Result<Result<Complete, Incomplete>, Halt> {
        let Question { kind, selection, list, visit } = question;
        let mut listing = Listing::default();
        let mut cursor = None;
        loop {
            let ticket = self.applier.depart();
            let answer = self.upstream.page(kind, selection, cursor.as_ref(), self.urgency, self.stop).await;
            let step = match answer {
                Ok(page) => {
                    let step = listing.accept(Ok(&page));
                    page.rows.iter().map(|row| Some(&row.id)).for_each(&mut *visit);
                    page.malformed.iter().map(|item| item.id.as_ref()).for_each(&mut *visit);
                    self.take(kind, list, page, &ticket).await?;
                    step
                }
                Err(error) => listing.accept(Err(halted(error)?)),
            };
            match step {
                Step::Next(next) => cursor = Some(next),
                Step::Done(complete) => return Ok(Ok(complete)),
                Step::Broken(why) => return Ok(Err(why)),
            }
            if self.stop.is_cancelled() {
                return Err(Halt::Stopped);
            }
        }
    }

    /// Applies a page, and what it calls for.
    async fn take(&mut self, kind: Kind, list: Option<OpenList>, page: Page, ticket: &Ticket) -> Result<(), Halt> {
        self.behind.get_or_insert_with(|| behind(page.exchange));
        self.tally.pages += 1;
        self.tally.seen += (page.rows.len() + page.malformed.len()) as u64;
        self.malformed(kind, page.malformed, true);
        let items = page.rows.into_iter().map(Item::row).collect();
        let arrival = Arrival { list, ..self.arrival(kind, page.exchange, ticket, true) };
        self.settle(items, arrival, 0).await?;
        (self.observe)(&self.tally);
        Ok(())
    }

    fn arrival<'t>(&self, kind: Kind, exchange: Exchange, ticket: &'t Ticket, is_a_sight: bool) -> Arrival<'t>
    where
        'a: 't,
    {
        let Self { cause, request_id, .. } = *self;
        Arrival { kind, exchange, ticket, cause, request_id, list: None, is_a_sight }
    }

    /// Applies items, and does what they call for. `depth` counts the answers that led here.
    async fn settle(&mut self, items: Vec<Item>, arrival: Arrival<'_>, depth: u32) -> Result<(), Halt> {
        let applied = self.applier.apply(items, arrival, &self.findings).await?;
        self.tally.changed += applied.changed;
        self.tally.restored += applied.restored;
        self.tally.absorbed += applied.absorbed;
        self.tally.dropped += applied.dropped;
        self.malformed(arrival.kind, applied.malformed, arrival.is_a_sight);
        for fetch in applied.fetches {
            Box::pin(self.fetch_or_put_aside(fetch, arrival.is_a_sight, depth + 1)).await?;
        }
        for held in applied.held {
            Box::pin(self.release(held, arrival, depth + 1)).await?;
        }
        if !applied.strays.is_empty() {
            Box::pin(self.hold_back(applied.strays, arrival)).await?;
        }
        Ok(())
    }

    /// Counts items that cannot be used. Each is left as it was, and is not absent if it is a sight of something.
    fn malformed(&mut self, kind: Kind, items: Vec<Malformed>, is_a_sight: bool) {
        for item in items {
            if let Some(id) = item.id.as_ref().filter(|_| is_a_sight) {
                self.applier.recognised().see(kind, id);
            }
            let id = item.id.as_ref().map_or("without a usable id", ResourceId::as_str);
            tracing::warn!(%kind, id, reason = item.reason, "an item cannot be used and is left as it was");
            self.tally.malformed += 1;
        }
    }

    fn missing(&mut self, what: String) {
        self.tally.error.get_or_insert(what);
    }
}

/// The error of a call, unless it ends the pass.
fn halted(error: NoAnswer) -> Result<SourceError, Halt> {
    match error {
        NoAnswer::Stopped => Err(Halt::Stopped),
        NoAnswer::Error(error @ SourceError::Unauthorized { .. }) => Err(Halt::Unauthorized(error)),
        NoAnswer::Error(error) => Ok(error),
    }
}
