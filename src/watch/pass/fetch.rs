//! Answers by id that a listing calls for. One that goes wrong for itself, while the lists are answered, does not hold up
//! the rest: it is put aside, and asked for once more when everything else is done.

use super::super::applier::{Arrival, Fetch, Held, Item, ShownRow, Way};
use super::super::ruling::is_settled;
use super::{DEPTH_MAX, Halt, Pass, halted};
use crate::detect::diff::{lacks_status, row_agrees};
use crate::model::resource::Kind;
use crate::source::{Fetched, SourceError, Urgency};

/// So many are put aside at most, so that little is kept and the pass comes to its end.
const ASIDE_MAX: usize = 100;

/// What was not answered at the first try.
#[derive(Debug, Default)]
pub(super) struct Aside {
    fetches: Vec<(Fetch, bool)>,
    /// Whether there is no later try.
    is_over: bool,
}

impl Aside {
    fn has_room(&self, urgency: Urgency) -> bool {
        // Who waits for our API is told at once.
        !self.is_over && self.fetches.len() < ASIDE_MAX && urgency != Urgency::Api
    }
}

impl Pass<'_> {
    /// Asks for one resource by id, now or, if that is not answered, once more at the end of the pass.
    pub(super) async fn fetch_or_put_aside(&mut self, fetch: Fetch, is_a_sight: bool, depth: u32) -> Result<(), Halt> {
        if let Some((fetch, error)) = self.ask_by_id(fetch, is_a_sight, depth).await? {
            let may_help = !matches!(error, SourceError::Refused { .. });
            if may_help && self.aside.has_room(self.urgency) {
                self.aside.fetches.push((fetch, is_a_sight));
            } else {
                self.not_fetched(&fetch, &error);
            }
        }
        Ok(())
    }

    /// Asks once more for what was put aside.
    pub(super) async fn ask_again(&mut self) -> Result<(), Halt> {
        self.aside.is_over = true;
        for (fetch, is_a_sight) in std::mem::take(&mut self.aside.fetches) {
            self.fetch(fetch, is_a_sight, 1).await?;
        }
        Ok(())
    }

    /// Asks for one resource by id. Tells whether that is done with: `false` if asking again may give an answer.
    pub(super) async fn fetch(&mut self, fetch: Fetch, is_a_sight: bool, depth: u32) -> Result<bool, Halt> {
        let Some((fetch, error)) = self.ask_by_id(fetch, is_a_sight, depth).await? else { return Ok(true) };
        self.not_fetched(&fetch, &error);
        Ok(matches!(error, SourceError::Refused { .. }))
    }

    fn not_fetched(&mut self, fetch: &Fetch, error: &SourceError) {
        let Fetch { kind, id, .. } = fetch;
        self.missing(format!("{kind} {id} could not be fetched: {error}"));
    }

    /// Asks for one resource by id and applies the answer. Gives back what was not answered, and why.
    async fn ask_by_id(
        &mut self,
        fetch: Fetch,
        is_a_sight: bool,
        depth: u32,
    ) -> Result<Option<(Fetch, SourceError)>, Halt> {
        let Fetch { kind, id, row } = fetch;
        if depth > DEPTH_MAX {
            let error = SourceError::Unavailable("answers about it keep crossing".into());
            return Ok(Some((Fetch { kind, id, row }, error)));
        }
        let ticket = self.applier.depart();
        match self.upstream.get(kind, &id, self.urgency, self.stop).await {
            Ok(Fetched::Found(seen, exchange)) => {
                let way = row.as_ref().map_or(Way::ById, |row| Way::Followed(row.gone));
                // Only a row that shows this very state, and can show no other, may be recognised as it later.
                let is_settled = is_settled(seen.updated_at(), exchange);
                let row = row
                    .filter(|ShownRow { seen: row, .. }| (is_settled || !lacks_status(row)) && row_agrees(row, &seen));
                let row_fingerprint = row.map(|row| row.fingerprint);
                let arrival = self.arrival(kind, exchange, &ticket, is_a_sight);
                Box::pin(self.settle(vec![Item::Seen { seen, row_fingerprint, way }], arrival, depth)).await?;
            }
            Ok(Fetched::NotFound(_)) => {}
            Ok(Fetched::Malformed(malformed)) => self.malformed(kind, vec![malformed], is_a_sight),
            Err(error) => return Ok(Some((Fetch { kind, id, row }, halted(error)?))),
        }
        Ok(None)
    }

    /// Lets a fulfilled request go after its certificate. While that cannot be asked for, the request is held back
    /// too: the pass is incomplete, so the next one shows it again.
    pub(super) async fn release(&mut self, held: Held, arrival: Arrival<'_>, depth: u32) -> Result<(), Halt> {
        let Held { item, certificate } = held;
        if !self.findings.settled.contains(&certificate) {
            let fetch = Fetch { kind: Kind::Certificate, id: certificate.clone(), row: None };
            if self.fetch(fetch, true, depth).await? {
                self.findings.settled.insert(certificate.clone());
            }
        }
        let is_settled = self.findings.settled.contains(&certificate);
        if is_settled { self.settle(vec![item], arrival, depth).await } else { Ok(()) }
    }
}
