//! Looks by id whose time has come: a date has passed, a document is missing, somebody has decided on a removal.

use super::super::applier::{DueFetch, Fetch};
use super::removal::Confirmation;
use super::{Halt, Pass, halted};
use crate::detect::agenda::Reason;
use crate::model::event::Cause;
use crate::model::resource::{AbsenceState, Kind, ResourceId};
use crate::source::{Selection, Urgency};

/// More dates that have passed at once than this are left to a sweep, which needs a call for a hundred of them. Where
/// that would not tell, so many are answered about in one pass.
const DEADLINES_MAX: usize = 100;

/// So many documents are looked for in one pass, so that the next date that passes does not wait for long.
const DOCUMENTS_MAX: usize = 100;

/// So many of those that are due are read from the store.
const DUE_MAX: usize = 1_000;

impl Pass<'_> {
    /// Tells the reminders that are due, and asks by id for what is due for that. Tells whether a decision could not
    /// be carried out.
    pub(in super::super) async fn run_due(&mut self, has_decisions: bool) -> Result<bool, Halt> {
        let looked = self.look_at_what_is_due(has_decisions).await;
        self.tell_strays_after(looked).await
    }

    async fn look_at_what_is_due(&mut self, has_decisions: bool) -> Result<bool, Halt> {
        while self.applier.remind(self.clock.now()).await? {}
        let is_open = has_decisions && self.remove_as_decided().await?;
        let (mut dates, mut documents) = self.due().await?;
        let may_be_shown = dates.len() > DEADLINES_MAX || dates.iter().any(|due| due.is_open);
        let are_shown = may_be_shown && self.lists_show_statuses().await?;
        if may_be_shown {
            // What that page has told is due no more.
            (dates, documents) = self.due().await?;
        }
        self.look_after_dates(dates, are_shown).await?;
        // Nobody waits for a document as for a date: it must not take the place of a change.
        self.urgency = Urgency::Sweep;
        for due in documents.into_iter().take(DOCUMENTS_MAX) {
            self.look(due.kind, due.id).await?;
        }
        Ok(is_open)
    }

    /// The dates that have passed, and the documents that are to be looked for.
    async fn due(&self) -> Result<(Vec<DueFetch>, Vec<DueFetch>), Halt> {
        let due = self.applier.due_fetches(self.clock.now(), DUE_MAX).await?;
        Ok(due.into_iter().partition(|due| due.reason == Reason::Deadline))
    }

    /// Asks about dates that have passed, unless lists show what became of them.
    async fn look_after_dates(&mut self, mut due: Vec<DueFetch>, are_shown: bool) -> Result<(), Halt> {
        if are_shown {
            self.tally.wants_sweep = due.iter().filter(|due| !due.is_open).count() > DEADLINES_MAX;
            let (shown, others) = due.into_iter().partition(|due| due.is_open || self.tally.wants_sweep);
            self.left_to_lists(shown).await?;
            due = others;
        }
        if due.len() > DEADLINES_MAX {
            // A call for each of thousands must not take the place of changes, nor of a sweep for long. Those that are
            // left stay due, and the next pass begins at once.
            self.urgency = Urgency::Sweep;
        }
        // Those that are not answered about must not keep the others from being asked about.
        let mut answered = 0;
        for due in due {
            answered += usize::from(self.look(due.kind, due.id).await?);
            if answered == DEADLINES_MAX {
                break;
            }
        }
        Ok(())
    }

    /// Is done with what an open pass or a sweep will show.
    async fn left_to_lists(&self, shown: Vec<DueFetch>) -> Result<(), Halt> {
        for kind in Kind::ALL {
            let ids = shown.iter().filter(|due| due.kind == kind).map(|due| due.id.clone());
            self.applier.fetched(kind, &ids.collect::<Vec<_>>(), self.clock.now()).await?;
        }
        Ok(())
    }

    /// Whether lists show what became of certificates: one page tells. Where rows lack a status, what only the clock
    /// moves leaves no trace in them. Without a page, only asking by id helps.
    ///
    /// What that page shows is applied; but rows without a status call for answers by id, and are left to others.
    async fn lists_show_statuses(&mut self) -> Result<bool, Halt> {
        let (kind, ticket) = (Kind::Certificate, self.applier.depart());
        match self.upstream.page(kind, &Selection::Everything, None, self.urgency, self.stop).await {
            Ok(mut page) => {
                let show_statuses = self.applier.retain_with_status(kind, &mut page.rows);
                self.take(kind, None, page, &ticket).await?;
                Ok(show_statuses)
            }
            Err(error) => halted(error).map(|_| false),
        }
    }

    /// Asks for a resource because it is due. What was answered is done with until the next time, whatever the answer
    /// was; what was not stays due. Tells which of the two it is.
    async fn look(&mut self, kind: Kind, id: ResourceId) -> Result<bool, Halt> {
        let fetch = Fetch { kind, id: id.clone(), row: None };
        let is_done = self.fetch(fetch, false, 1).await?;
        if is_done {
            self.tally.seen += 1;
            self.applier.fetched(kind, &[id], self.clock.now()).await?;
        }
        (self.observe)(&self.tally);
        Ok(is_done)
    }

    /// Removes what somebody has decided may go, if it is confirmed to be gone. Tells whether some could not be
    /// confirmed either way.
    async fn remove_as_decided(&mut self) -> Result<bool, Halt> {
        let mut is_open = false;
        let mut after: Option<(Kind, ResourceId)> = None;
        loop {
            let beyond = after.as_ref().map(|(kind, id)| (*kind, id));
            let page = self.applier.absences(beyond, 100).await?;
            let Some(last) = page.last() else { return Ok(is_open) };
            after = Some((last.key.kind, last.key.id.clone()));
            for absence in page.into_iter().filter(|absence| absence.state == AbsenceState::Confirmed) {
                let key = absence.key.clone();
                match self.confirm(key.kind, &key.id).await? {
                    Confirmation::Gone(gone) => {
                        let removed = self.applier.remove(&[gone], Cause::Sweep, false).await?;
                        self.tally.removed += removed;
                        self.tally.changed += removed;
                    }
                    Confirmation::Listed => self.applier.put_absences(vec![(key, None)]).await?,
                    Confirmation::Unknown => is_open = true,
                }
            }
        }
    }
}
