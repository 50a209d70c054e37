//! What is wrong with a body, as far as that can be told without a gateway: by the readers that the calls themselves use,
//! so that whoever puts a call together hears the same beforehand.
//!
//! What only the network and the store know (whether a URL may be called, whether a name is taken) is not looked at.

use serde_json::Value;

use super::endpoints::{fields, settings};
pub use super::error::FieldError;
use super::input::Input;
use super::keys;
use crate::model::json::Fields;
use crate::model::time::Timestamp;

/// So many days ahead is a reminder at most.
pub const DAYS_AHEAD_MAX: u32 = fields::DAYS_MAX;

/// So long is an entry of a filter at most, in bytes.
pub const FILTER_ENTRY_BYTES_MAX: usize = fields::FILTER_ENTRY_BYTES_MAX;

/// The settings of an endpoint that is to be registered.
pub fn registration(body: Fields) -> Vec<FieldError> {
    settings::wrong_settings(body).into_errors()
}

/// A merge patch of an endpoint's settings.
pub fn change(mut patch: Fields) -> Vec<FieldError> {
    // Any URL will do in the place of the one that stays.
    patch.entry("url").or_insert_with(|| Value::from("https://receiver.example/"));
    registration(patch)
}

/// How a secret is followed by another.
pub fn rotation(body: Fields) -> Vec<FieldError> {
    settings::wrong_rotation(body).into_errors()
}

/// A key that is to be made at `now`.
pub fn key(body: Fields, now: Timestamp) -> Vec<FieldError> {
    let mut input = Input::of_body(body);
    let _ = keys::asked(&mut input, now);
    input.into_problems().into_errors()
}
