//! What endpoints have not got of what was cut.

use super::*;

#[test]
fn what_endpoints_have_missed() {
    let values = [Missed { count: 7, more: false }, Missed { count: 300, more: true }];
    check(include_str!("missed.hex"), &values, missed, |_, bytes| read_missed(bytes));
}
