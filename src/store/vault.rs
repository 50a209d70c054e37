//! Secrets, sealed at rest.
