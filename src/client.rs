//! Our own API, seen from outside.
