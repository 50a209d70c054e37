//! Every event type, as data.
