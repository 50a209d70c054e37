//! What retention may remove: decisions about places in the log, whose ages somebody else has looked up.

use crate::model::id::Position;

/// Where the log is how old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ages {
    /// The first event that is not older than it has to be kept.
    pub(super) young: Position,
    /// The first event that is not twice as old.
    pub(super) awaited: Position,
}

/// What an event that is pending for an endpoint means for retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    /// Nothing: it would not be cut anyway.
    Later,
    /// It is kept, and so is everything after it.
    HoldsBack,
    /// The endpoint has to give it up.
    Overdue,
}

impl Ages {
    /// Whether an endpoint that has dealt with everything up to `position` is behind more than twice as long as events
    /// have to be kept.
    pub(super) fn is_overdue(self, position: Position) -> bool {
        position.next() < self.awaited
    }

    /// The last event that may go, where everything up to these positions was dealt with.
    pub(super) fn last(self, dealt_with: impl IntoIterator<Item = Position>) -> Position {
        dealt_with.into_iter().fold(self.young.previous(), Position::min)
    }

    /// Up to where the log may go beside a replay that has come to `at` on its way to `until`: what it has not come to is
    /// kept until it is twice as old. `None`: it holds nothing back.
    pub(super) fn beside_replay(self, at: Position, until: Position) -> Option<Position> {
        let held = at.max(self.awaited.previous());
        (held < until).then_some(held)
    }

    /// What the oldest event that is pending means, where everything up to `last` would go otherwise.
    pub(super) fn pending(self, position: Position, last: Position) -> Pending {
        if position > last {
            Pending::Later
        } else if position < self.awaited {
            Pending::Overdue
        } else {
            Pending::HoldsBack
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGES: Ages = Ages { young: Position(30), awaited: Position(20) };

    #[test]
    fn who_has_not_got_an_event_of_twice_the_age_is_overdue() {
        for (position, is_overdue) in [(0, true), (18, true), (19, false), (29, false), (40, false)] {
            assert_eq!(AGES.is_overdue(Position(position)), is_overdue, "{position}");
        }
    }

    #[test]
    fn what_goes_is_old_and_dealt_with_by_all() {
        for (dealt_with, last) in [(&[][..], 29), (&[40, 35], 29), (&[40, 25], 25), (&[19, 25], 19), (&[0], 0)] {
            assert_eq!(AGES.last(dealt_with.iter().copied().map(Position)), Position(last), "{dealt_with:?}");
        }
    }

    #[test]
    fn a_replay_holds_back_what_it_has_still_to_read_until_that_is_twice_as_old() {
        for (at, until, held) in [
            (0, 60, Some(19)),
            (19, 60, Some(19)),
            (25, 60, Some(25)),
            (0, 19, None),
            (0, 20, Some(19)),
            (25, 25, None),
        ] {
            assert_eq!(AGES.beside_replay(Position(at), Position(until)), held.map(Position), "{at} to {until}");
        }
    }

    #[test]
    fn what_is_pending_holds_back_until_it_is_overdue() {
        for (position, last, meaning) in [
            (19, 29, Pending::Overdue),
            (20, 29, Pending::HoldsBack),
            (29, 29, Pending::HoldsBack),
            (30, 29, Pending::Later),
            (19, 18, Pending::Later),
        ] {
            assert_eq!(AGES.pending(Position(position), Position(last)), meaning, "{position} {last}");
        }
    }
}
