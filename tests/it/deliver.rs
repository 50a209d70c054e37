//! The `deliver` room, through its door.

mod addresses;
mod connecting;
pub(crate) mod fixture;
mod former_secrets;
mod forms;
mod guarding;
mod http2;
mod proxies;
mod receivers;
mod registering;
mod reuse;
pub(crate) mod secure;
mod sending;
mod signing;
mod tls;
mod torture;
