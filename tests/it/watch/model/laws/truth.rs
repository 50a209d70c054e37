//! What is told was so: every state that was ever known is one that upstream had, in an order in which it had them.

use super::super::life::Life;
use super::super::meaning::{memos, without_memos};
use super::super::record::Record;
use super::{Verdict, broken, demand};

/// The known states can be laid over upstream's states, one after the other, none before it began.
///
/// What rows may lack is looked at by itself: beside a row's fields stands what an earlier answer by id showed of it.
pub(super) fn what_is_told_was_so_and_in_that_order(_: &Record, life: &Life) -> Verdict {
    let mut place = 0;
    for known in &life.known {
        let state = without_memos(&known.state);
        loop {
            let Some(era) = life.eras.get(place).filter(|era| era.since <= known.at) else {
                return broken(format!("what is known at {} was never so, or not after what was known", known.at));
            };
            if era.state.as_ref().is_some_and(|upstream| without_memos(upstream) == state) {
                break;
            }
            place += 1;
        }
        for memo in memos(&known.state) {
            let mut eras = life.eras.iter().filter(|era| era.since <= known.at);
            let was_so = eras.any(|era| era.state.as_ref().is_some_and(|state| memos(state).contains(&memo)));
            demand(was_so, || format!("{memo:?} is known at {} and was never so", known.at))?;
        }
    }
    Ok(())
}
