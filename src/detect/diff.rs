//! The transitions.
