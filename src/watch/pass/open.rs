//! The open lists: what the clock or the vendor's people may move without a trace in `updated_at`.

use std::collections::{BTreeMap, HashSet};

use super::super::applier::Fetch;
use super::{Halt, Pass, Question};
use crate::detect::fingerprint::id_hash;
use crate::model::resource::{OpenList, ResourceId};
use crate::source::Selection;

/// So many that have left their lists are asked for by id in one pass; those that are left are asked for by the next.
const LEFT_MAX: usize = 100;

/// So many members are read from the store at a time.
const PAGE: usize = 1_000;

/// Where the last pass stopped asking for those who have left a list.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Resume {
    /// The list that comes first next time, by its place in [`OpenList::ALL`]: the one after the list at which the
    /// last pass had to stop, so that those of one list do not keep those of another from being asked for.
    first: usize,
    /// Whom to begin after, in each list that was not gone round.
    after: BTreeMap<OpenList, ResourceId>,
}

impl Pass<'_> {
    /// Lists each open list anew, and asks by id for what has left one of them.
    pub(in super::super) async fn run_open(&mut self, resume: &mut Resume) -> Result<(), Halt> {
        let looked = self.look_at_open_lists(resume).await;
        self.tell_strays_after(looked).await
    }

    async fn look_at_open_lists(&mut self, resume: &mut Resume) -> Result<(), Halt> {
        let mut budget = LEFT_MAX;
        let mut lists = OpenList::ALL;
        lists.rotate_left(resume.first);
        for list in lists {
            let selection = Selection::Status(list.status());
            let mut shown = HashSet::new();
            let mut visit = |id: Option<&ResourceId>| shown.extend(id.map(id_hash));
            let question = Question { kind: list.kind(), selection: &selection, list: Some(list), visit: &mut visit };
            match self.read(question).await? {
                Ok(_complete) => self.ask_for_those_who_left(list, &shown, &mut budget, resume).await?,
                Err(why) => {
                    self.missing(format!("the listing of {} {}s is incomplete: {why}", list.status(), list.kind()))
                }
            }
        }
        Ok(())
    }

    /// Goes round the members of a list, beginning where the last pass stopped, so that those who do not move when
    /// they are asked for do not keep the others from being asked for.
    async fn ask_for_those_who_left(
        &mut self,
        list: OpenList,
        shown: &HashSet<u64>,
        budget: &mut usize,
        resume: &mut Resume,
    ) -> Result<(), Halt> {
        let begin = resume.after.remove(&list);
        let mut after = begin.clone();
        let mut has_turned = begin.is_none();
        loop {
            let page = self.applier.members(list, after.as_ref(), PAGE).await?;
            let Some(last) = page.last().cloned() else {
                if has_turned {
                    return Ok(());
                }
                (after, has_turned) = (None, true);
                continue;
            };
            for id in page.into_iter().filter(|id| !shown.contains(&id_hash(id))) {
                if has_turned && begin.as_ref().is_some_and(|begin| id > *begin) {
                    return Ok(());
                }
                if *budget == 0 {
                    resume.after.extend(after.map(|after| (list, after)));
                    return Ok(());
                }
                *budget -= 1;
                if *budget == 0 {
                    resume.first = (list as usize + 1) % OpenList::ALL.len();
                }
                after = Some(id.clone());
                self.fetch(Fetch { kind: list.kind(), id, row: None }, false, 1).await?;
            }
            after = Some(last);
        }
    }
}
