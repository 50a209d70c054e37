//! What operators do with one delivery of a queue.

use super::Lane;
use crate::deliver::work::{Strand, Work};
use crate::model::delivery::Trigger;
use crate::model::id::Position;

impl Lane {
    /// Tries a delivery as soon as there is a slot, because an operator wants it. One that is not here is taken up if
    /// it `comes_anew`; otherwise it is just ending, and `false` is given.
    pub(in crate::deliver) fn urge(&mut self, position: Position, strand: Option<Strand>, comes_anew: bool) -> bool {
        if self.running.contains(&position) || self.urgent.iter().any(|work| work.position == position) {
            return true;
        }
        let known = self.take_out(position, strand.as_ref());
        if known.is_none() && !comes_anew {
            return false;
        }
        // Where it is not yet known here that its former end is durable, it holds its strand until its next one.
        self.ending.remove(&position);
        if let Some(key) = self.ordered(strand.as_ref()) {
            self.order.hold(position, &key);
        }
        let work = known.unwrap_or_else(|| Work::again(position, strand));
        self.urgent.push_back(Work { trigger: Trigger::Manual, ..work });
        true
    }

    /// Lets a delivery go that an operator no longer wants; those behind it wait until that is durable. `false` if it is
    /// not waiting here.
    pub(in crate::deliver) fn cancel(&mut self, position: Position, strand: Option<&Strand>) -> bool {
        let is_here = self.take_out(position, strand).is_some();
        if is_here {
            self.forget(position);
            self.end(position, strand.cloned());
            self.close(position);
        }
        is_here
    }

    /// A delivery that waits for its time, for a slot, or behind another one.
    fn take_out(&mut self, position: Position, strand: Option<&Strand>) -> Option<Work> {
        for queue in [&mut self.urgent, &mut self.ready, &mut self.replayed] {
            if let Some(index) = queue.iter().position(|work| work.position == position) {
                return queue.remove(index);
            }
        }
        if let Some(key) = self.waiting.keys().find(|(_, waiting)| *waiting == position).copied() {
            return self.waiting.remove(&key).map(|strand| Work::again(position, strand));
        }
        let key = self.ordered(strand)?;
        self.order.unpark(position, &key).then(|| Work::again(position, Some(key)))
    }
}
