//! What changed: a pure comparison of the last sight of a resource with the next, and what its dates call for.
//!
//! Invariants: the same inputs always give the same events in the same order; no event without a difference; every
//! difference is told by at least one event; what was not observed is not invented.
//!
//! This room has no clock and knows nothing of stores, HTTP or who will hear of it. It has no state.
//!
//! In reading order: [`compare`] (when two values are the same), [`diff`] (the transitions, with `lifecycle` for
//! the status words and `jurisdictions` for the entries of a certificate), [`removal`] (the end of a resource),
//! [`agenda`] (reminders and looks at their time), [`gateway`] (what is said about sources), [`fingerprint`] (rows
//! recognised by their bytes), [`catalogue`] (every event type, as data, with a JSON Schema and an example).

pub mod agenda;
pub mod catalogue;
pub mod compare;
pub mod diff;
pub mod fingerprint;
pub mod gateway;
mod jurisdictions;
mod lifecycle;
pub mod removal;

#[cfg(test)]
mod absence;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod transitions;
