//! The simulated upstream.

pub mod book;
pub mod catalogue;
pub mod day;
pub mod dice;
pub mod happening;
pub mod live;
pub mod options;
pub mod seed;
pub mod wire;
