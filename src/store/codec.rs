//! Versioned bytes.
