//! The command line, as the real program against a real gateway over a simulated upstream.

mod check;
mod commands;
mod endpoints;
mod keys;
mod sending;
mod shell;
mod status;
mod tail;
mod usage;
mod verify;
