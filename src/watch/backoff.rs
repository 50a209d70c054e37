//! How long to leave a source alone that is in trouble.

use std::time::Duration;

/// The ceiling of the first wait.
const FIRST: Duration = Duration::from_secs(1);

/// No wait is longer: a source that is back should not be left alone for longer than people would.
const LONGEST: Duration = Duration::from_secs(300);

/// How long a source whose key is refused is left alone between two looks whether it is accepted again.
pub const PROBE_EVERY: Duration = Duration::from_secs(300);

/// The wait after so many failures in a row, with full jitter: evenly between nothing and a ceiling that doubles
/// from 1 s to 5 min. `chance` is drawn evenly from 0 to 1.
pub fn wait_after(failures: u32, chance: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let ceiling = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    ceiling.mul_f64(chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        let ceilings: Vec<u64> = (0..=11).map(|failures| wait_after(failures, 1.0).as_secs()).collect();
        assert_eq!(ceilings, [1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(wait_after(u32::MAX, 1.0), LONGEST);
        assert_eq!(wait_after(3, 0.5), Duration::from_secs(2));
        assert_eq!(wait_after(3, 0.0), Duration::ZERO);
    }
}
