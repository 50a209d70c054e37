//! When too much is gone, or new, at once to be believed.

use super::RemovalGuard;

/// How many of each kind, in the order of [`crate::model::resource::Kind::ALL`].
pub(super) type Counts = [u64; 2];

impl RemovalGuard {
    /// Whether so many resources that are absent, or first seen, are too many to be believed. `all` is how many there
    /// are of each kind, these among them.
    ///
    /// They are if there are at least `count` of them and they make up at least `share` of a kind; or if they are the
    /// whole of a kind of more than one.
    pub(super) fn trips(&self, strange: Counts, all: Counts) -> bool {
        let whole = strange.iter().zip(all).any(|(&strange, all)| strange > 1 && strange >= all);
        let is_share = |strange: u64, all: u64| strange > 0 && strange as f64 >= self.share * all as f64;
        let enough = strange.iter().sum::<u64>() >= self.count;
        whole || enough && strange.iter().zip(all).any(|(&strange, all)| is_share(strange, all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(strange: Counts, all: Counts, expected: bool) {
        let guard = RemovalGuard { count: 10, share: 0.10 };
        assert_eq!(guard.trips(strange, all), expected, "{strange:?} of {all:?}");
    }

    #[test]
    fn the_guard_trips_at_a_count_and_a_share_or_at_a_whole_kind() {
        check([0, 0], [0, 0], false);
        check([0, 0], [100, 100], false);
        check([9, 0], [50, 50], false);
        check([10, 0], [100, 50], true);
        check([10, 0], [101, 50], false);
        check([100, 0], [1_001, 0], false);
        check([5, 5], [50, 1_000], true);
        check([5, 5], [51, 1_000], false);
        check([1, 0], [1, 50], false);
        check([2, 0], [2, 50], true);
        check([0, 2], [50, 2], true);
    }

    #[test]
    fn a_guard_of_nothing_trips_at_once_and_one_of_everything_only_at_a_whole_kind() {
        let guard = RemovalGuard { count: 1, share: 0.0 };
        assert!(guard.trips([1, 0], [1_000, 0]) && !guard.trips([0, 0], [1_000, 0]));
        let guard = RemovalGuard { count: u64::MAX, share: 1.0 };
        assert!(!guard.trips([999, 0], [1_000, 0]) && guard.trips([1_000, 0], [1_000, 0]));
    }
}
