//! What somebody who waits for our API asks for: one resource by id, before everything else.

use std::time::Duration;

use tokio::time::timeout;

use super::super::applier::{Item, Way};
use super::super::upstream::NoAnswer;
use super::{Halt, Pass};
use crate::model::resource::{Kind, ResourceId};
use crate::model::time::Timestamp;
use crate::source::command::{Command, Commands};
use crate::source::{Fetched, SourceError};

/// So long somebody waits for an answer at most, the wait for the bucket included: as long as a call may take.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Looked {
    /// The resource is as the snapshot says, as of this instant.
    Seen(Timestamp),
    /// Upstream knows no such id.
    NotFound,
    /// Upstream answers to the id, and no list shows it: it was archived, deleted or replaced by a revision.
    NotListed,
}

impl Pass<'_> {
    /// Asks for a resource by id and applies the answer. One that is not known, or known to be gone, is looked for in
    /// the lists first: what only answers to its id is none of ours.
    pub(in super::super) async fn ask_for(
        &mut self,
        kind: Kind,
        id: &ResourceId,
    ) -> Result<Result<Looked, SourceError>, Halt> {
        let asked = self.ask(kind, id).await;
        self.tell_strays_after(asked).await
    }

    /// Asks for a change and applies the answer; the resource that it is about.
    pub(in super::super) async fn command(
        &mut self,
        account: &dyn Commands,
        command: &Command,
    ) -> Result<Result<ResourceId, SourceError>, Halt> {
        let ticket = self.applier.depart();
        let answer = tokio::select! {
            () = self.stop.cancelled() => return Err(Halt::Stopped),
            answer = account.command(command) => answer,
        };
        let (seen, exchange) = match answer {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(error)),
        };
        let (kind, id) = (seen.key.kind, seen.key.id.clone());
        let arrival = self.arrival(kind, exchange, &ticket, false);
        self.settle(vec![Item::Seen { seen, row_fingerprint: None, way: Way::ById }], arrival, 1).await?;
        Ok(Ok(id))
    }

    async fn ask(&mut self, kind: Kind, id: &ResourceId) -> Result<Result<Looked, SourceError>, Halt> {
        let ticket = self.applier.depart();
        let answer = timeout(ANSWER_WAIT_MAX, self.upstream.get(kind, id, self.urgency, self.stop)).await;
        let (seen, exchange) = match answer {
            Ok(Ok(Fetched::Found(seen, exchange))) => (seen, exchange),
            Ok(Ok(Fetched::NotFound(_))) => return Ok(Ok(Looked::NotFound)),
            Ok(Ok(Fetched::Malformed(malformed))) => {
                let why = malformed.to_string();
                self.malformed(kind, vec![malformed], false);
                return Ok(Err(SourceError::Unavailable(why)));
            }
            Ok(Err(NoAnswer::Stopped)) => return Err(Halt::Stopped),
            Ok(Err(NoAnswer::Error(error))) => return Ok(Err(error)),
            Err(_) => return Ok(Err(SourceError::Unavailable(format!("no answer within {ANSWER_WAIT_MAX:?}")))),
        };
        if !self.applier.is_there(kind, id).await? {
            let Some(created_at) = seen.created_at() else { return Ok(Ok(Looked::NotListed)) };
            let lookup = self.look_in_lists(kind, id, created_at).await?;
            if !lookup.is_listed {
                return Ok(match lookup.end {
                    Ok(_complete) => Ok(Looked::NotListed),
                    Err(why) => Err(SourceError::Unavailable(why.to_string())),
                });
            }
        }
        let arrival = self.arrival(kind, exchange, &ticket, false);
        self.settle(vec![Item::Seen { seen, row_fingerprint: None, way: Way::ById }], arrival, 1).await?;
        Ok(Ok(Looked::Seen(exchange.answered_at)))
    }
}
