//! The `deliver` room, through its door.

mod former_secrets;
pub(crate) mod fixture;
mod forms;
mod guarding;
mod http2;
mod proxies;
mod receivers;
mod reuse;
pub(crate) mod secure;
mod sending;
mod signing;
mod tls;
mod torture;
