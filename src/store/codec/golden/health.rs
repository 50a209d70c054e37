//! How endpoints were doing.

use super::*;
use crate::model::health::HealthRecord;

#[test]
fn how_endpoints_are_doing() {
    let failing = HealthRecord {
        last_success_at: Some(at(1)),
        last_failure_at: Some(at(2)),
        consecutive_failures: 4,
        failing_since: Some(at(3)),
        is_told: true,
        paused_until: Some(at(5)),
        first_given_up: Some(Position(6)),
    };
    let values = [HealthRecord::default(), failing];
    check(include_str!("health.hex"), &values, rare::health, |_, bytes| rare::read_health(bytes));
}
