//! The `deliver` room, through its door.

mod fixture;
mod guarding;
mod receivers;
mod sending;
mod signing;
mod tls;
