//! The nouns, as plain data.
//!
//! Everything that two rooms must agree on lives here: what a resource, an event, an endpoint and a delivery
//! *are*, and how one becomes bytes. Nothing here does I/O, waits, reads a clock or draws a random number, and
//! nothing here knows another room.
//!
//! In reading order: [`time`], [`mod@http_date`], [`id`], [`json`], [`resource`], [`criteria`], [`exemption`],
//! [`source`], [`event`], [`pattern`], [`filter`], [`endpoint`], [`health`], [`delivery`], [`replay`], [`key`],
//! [`audit`]; and [`nearest`], how a slip in one of their names finds the name that was meant, and `shape`, how those
//! that have a text form of their own are described.

pub mod audit;
pub mod criteria;
pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod exemption;
pub mod filter;
pub mod health;
pub mod http_date;
pub mod id;
pub mod json;
pub mod key;
pub mod nearest;
pub mod pattern;
pub mod replay;
pub mod resource;
mod shape;
pub mod source;
pub mod time;
