//! When two values are the same.
