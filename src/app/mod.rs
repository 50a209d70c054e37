//! Composition: builds the parts, starts the loops, stops them in order.
pub mod http;
