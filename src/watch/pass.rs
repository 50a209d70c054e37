//! One run over a source: both listings page by page, what they call for by id, and what follows from having seen
//! it all.

use std::collections::HashSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::applier::{Applier, Arrival, Fetch, Held, Item};
use super::crossing::Ticket;
use super::progress::{Proof, behind};
use super::ruling::is_settled;
use super::upstream::{NoAnswer, Upstream};
use crate::detect::diff::row_agrees;
use crate::model::event::Cause;
use crate::model::resource::{Kind, ResourceId};
use crate::model::source::PassKind;
use crate::source::listing::{Complete, Listing, Step};
use crate::source::{Fetched, Malformed, Page, Selection, SourceError, Urgency};
use crate::store::StoreError;

/// How many answers may lead to one another: a row, the request by id, its certificate, and twice more because they
/// crossed. Each crossing means that somebody else has just applied a newer answer, so there is little to miss.
const DEPTH_MAX: u32 = 5;

/// What a pass has seen so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Pages read.
    pub(super) pages: u64,
    /// Items on them.
    pub(super) seen: u64,
    /// Sights that told something.
    pub(super) changed: u64,
    /// Answers that may have been older than what was known.
    pub(super) dropped: u64,
    /// Items that could not be used.
    pub(super) malformed: u64,
    /// The first thing that keeps the pass from being complete.
    pub(super) error: Option<String>,
}

/// Why a pass ended before it had seen what it could.
#[derive(Debug)]
pub(super) enum Halt {
    /// The gateway is stopping.
    Stopped,
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

/// One pass under way.
pub(super) struct Pass<'a> {
    applier: &'a Applier,
    upstream: &'a Upstream,
    stop: &'a CancellationToken,
    cause: Cause,
    urgency: Urgency,
    /// Certificates for which no request waits any more: each was asked for, and is known or cannot be had.
    settled: HashSet<ResourceId>,
    behind: Option<Duration>,
    tally: Tally,
    /// Told after every page.
    observe: &'a (dyn Fn(&Tally) + Sync),
}

impl<'a> Pass<'a> {
    /// A pass that has not begun.
    pub(super) fn new(
        kind: PassKind,
        applier: &'a Applier,
        upstream: &'a Upstream,
        stop: &'a CancellationToken,
        observe: &'a (dyn Fn(&Tally) + Sync),
    ) -> Self {
        let (cause, urgency) = match kind {
            PassKind::Changes => (Cause::Changes, Urgency::Changes),
            PassKind::Sweep => (Cause::Sweep, Urgency::Sweep),
        };
        let (settled, behind, tally) = (HashSet::new(), None, Tally::default());
        Self { applier, upstream, stop, cause, urgency, settled, behind, tally, observe }
    }

    /// What it has seen.
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// How far upstream's clock was behind ours at the first page.
    pub(super) fn behind(&self) -> Duration {
        self.behind.unwrap_or_default()
    }

    /// Reads both listings. The proof is there only if nothing was missing; what was seen is applied in any case.
    pub(super) async fn run(&mut self, selection: &Selection) -> Result<Option<Proof>, Halt> {
        let certificates = self.list(Kind::Certificate, selection).await?;
        let requests = self.list(Kind::CertificateRequest, selection).await?;
        Ok(Proof::of(certificates, requests).filter(|_| self.tally.error.is_none()))
    }

    async fn list(&mut self, kind: Kind, selection: &Selection) -> Result<Option<Complete>, Halt> {
        let mut listing = Listing::default();
        let mut cursor = None;
        loop {
            let ticket = self.applier.depart();
            let answer = self.upstream.page(kind, selection, cursor.as_ref(), self.urgency, self.stop).await;
            let step = match answer {
                Ok(page) => {
                    let step = listing.accept(Ok(&page));
                    self.take(kind, page, &ticket).await?;
                    step
                }
                Err(error) => listing.accept(Err(halted(error)?)),
            };
            match step {
                Step::Next(next) => cursor = Some(next),
                Step::Done(complete) => return Ok(Some(complete)),
                Step::Broken(why) => {
                    self.missing(format!("the listing of {kind}s is incomplete: {why}"));
                    return Ok(None);
                }
            }
            if self.stop.is_cancelled() {
                return Err(Halt::Stopped);
            }
        }
    }

    /// Applies a page, and what it calls for.
    async fn take(&mut self, kind: Kind, page: Page, ticket: &Ticket) -> Result<(), Halt> {
        self.behind.get_or_insert_with(|| behind(page.exchange));
        self.tally.pages += 1;
        self.tally.seen += (page.rows.len() + page.malformed.len()) as u64;
        self.malformed(kind, page.malformed);
        let items = page.rows.into_iter().map(Item::row).collect();
        let arrival = Arrival { kind, exchange: page.exchange, ticket, cause: self.cause };
        self.settle(items, arrival, 0).await?;
        (self.observe)(&self.tally);
        Ok(())
    }

    /// Applies items, and does what they call for. `depth` counts the answers that led here.
    async fn settle(&mut self, items: Vec<Item>, arrival: Arrival<'_>, depth: u32) -> Result<(), Halt> {
        let applied = self.applier.apply(items, arrival, &self.settled).await?;
        self.tally.changed += applied.changed;
        self.tally.dropped += applied.dropped;
        self.malformed(arrival.kind, applied.malformed);
        for fetch in applied.fetches {
            Box::pin(self.fetch(fetch, depth + 1)).await?;
        }
        for held in applied.held {
            Box::pin(self.release(held, arrival, depth + 1)).await?;
        }
        Ok(())
    }

    /// Asks for one resource by id.
    async fn fetch(&mut self, fetch: Fetch, depth: u32) -> Result<(), Halt> {
        let Fetch { kind, id, row } = fetch;
        if depth > DEPTH_MAX {
            self.missing(format!("answers about {kind} {id} keep crossing"));
            return Ok(());
        }
        let ticket = self.applier.depart();
        match self.upstream.get(kind, &id, self.urgency, self.stop).await {
            Ok(Fetched::Found(seen, exchange)) => {
                // Only a row that shows this very state, and can show no other, may be recognised as it later.
                let is_settled = is_settled(seen.updated_at(), exchange);
                let row = row.filter(|(row, _)| is_settled && row_agrees(row, &seen));
                let row_fingerprint = row.map(|(_, fingerprint)| fingerprint);
                let arrival = Arrival { kind, exchange, ticket: &ticket, cause: self.cause };
                self.settle(vec![Item::Seen { seen, row_fingerprint }], arrival, depth).await?;
            }
            Ok(Fetched::NotFound(_)) => {}
            Ok(Fetched::Malformed(malformed)) => self.malformed(kind, vec![malformed]),
            Err(error) => {
                let error = halted(error)?;
                self.missing(format!("{kind} {id} could not be fetched: {error}"));
                if !matches!(error, SourceError::Refused { .. }) {
                    return Ok(());
                }
            }
        }
        if kind == Kind::Certificate {
            self.settled.insert(id);
        }
        Ok(())
    }

    /// Lets a fulfilled request go after its certificate. While that cannot be asked for, the request is held back
    /// too: the pass is incomplete, so the next one shows it again.
    async fn release(&mut self, held: Held, arrival: Arrival<'_>, depth: u32) -> Result<(), Halt> {
        let Held { item, certificate } = held;
        if !self.settled.contains(&certificate) {
            let fetch = Fetch { kind: Kind::Certificate, id: certificate.clone(), row: None };
            self.fetch(fetch, depth).await?;
        }
        if self.settled.contains(&certificate) { self.settle(vec![item], arrival, depth).await } else { Ok(()) }
    }

    fn malformed(&mut self, kind: Kind, items: Vec<Malformed>) {
        for item in items {
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
