//! What tests of several rooms need.

pub(crate) mod book;
pub(crate) mod event_source;
pub(crate) mod memory;
pub(crate) mod process;
pub(crate) mod receiver;
pub(crate) mod schemas;
pub(crate) mod scripted_source;
pub(crate) mod sight_memory;
pub(crate) mod vendor_pages;
