//! JSON that is kept as text: written as it was read, number for number and key for key.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;
use serde_json::value::RawValue;

/// The fields of a JSON object, in the order in which they came.
pub type Fields = serde_json::Map<String, Value>;

/// A valid JSON text. Inside other JSON it is written verbatim.
#[derive(Clone)]
pub struct Json(Box<RawValue>);

impl Json {
    /// The compact text of `value`.
    ///
    /// # Panics
    /// If `value` cannot be JSON (a map with keys that are no strings); plain data always can.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        Self(serde_json::value::to_raw_value(value).expect("plain data is JSON"))
    }

    /// Takes a text over after checking that it is JSON.
    ///
    /// # Errors
    /// If it is not.
    pub fn from_text(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(Self)
    }

    /// The text.
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// Reads it as a `T`.
    ///
    /// # Errors
    /// If it has another shape.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.text())
    }

    /// Its fields; empty if it is no object.
    pub fn fields(&self) -> Fields {
        self.parse().unwrap_or_default()
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            self.0.serialize(serializer)
        } else {
            serializer.serialize_str(self.text())
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            Box::<RawValue>::deserialize(deserializer).map(Self)
        } else {
            Self::from_text(String::deserialize(deserializer)?).map_err(de::Error::custom)
        }
    }
}
