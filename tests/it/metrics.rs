//! What `/metrics` of a real gateway tells, over a simulated upstream and receivers that fail.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod door;
mod exposition;
mod names;
mod sums;
