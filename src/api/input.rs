//! What a caller gave, field by field: the fields of a body and the parameters of a query are read the same way,
//! and what is wrong with any of them is collected, not returned at the first.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde_json::Value;

use super::error::{ApiError, Problems};
use crate::model::json::Fields;

/// Fields that are taken one after the other; what nobody took is unrecognized.
#[derive(Debug)]
pub(super) struct Input {
    fields: Fields,
    known: Vec<&'static str>,
    /// The path of the object that the fields belong to, with its final dot; empty for the request itself.
    path: String,
    problems: Problems,
}

impl Input {
    /// The fields of a body.
    pub(super) fn of_body(fields: Fields) -> Self {
        Self { fields, known: Vec::new(), path: String::new(), problems: Problems::default() }
    }

    /// The parameters of a query; one that is there twice is a problem, because either could be meant.
    pub(super) fn of_query(query: &str) -> Self {
        let mut input = Self::of_body(Fields::new());
        for (name, text) in url::form_urlencoded::parse(query.as_bytes()) {
            if input.fields.insert(name.clone().into_owned(), Value::String(text.into_owned())).is_some() {
                input.problems.report(name, "is given more than once");
            }
        }
        input
    }

    /// Whether a field is there and not null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(|value| !value.is_null())
    }

    /// A field's value; `None` if it is absent or null, which mean the same: the default.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.fields.shift_remove(name).filter(|value| !value.is_null())
    }

    /// Notes what is wrong with a field, or with a part of it (`types[3]`).
    pub(super) fn report(&mut self, field: impl Display, message: impl Display) {
        self.problems.report(format!("{}{field}", self.path), message);
    }

    /// A string.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                self.report(name, must_be("a string", &other));
                None
            }
        }
    }

    /// A string that reads as a `T`.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<T> {
        let text = self.text(name)?;
        text.parse().map_err(|why| self.report(name, why)).ok()
    }

    /// A string out of a few.
    pub(super) fn choice<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let chosen = choices.iter().find(|(word, _)| *word == text).map(|&(_, value)| value);
        if chosen.is_none() {
            let words: Vec<_> = choices.iter().map(|&(word, _)| word).collect();
            self.report(name, format!("must be one of: {}", words.join(", ")));
        }
        chosen
    }

    /// A whole number within a range.
    pub(super) fn number(&mut self, name: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let value = self.take(name)?;
        let number = whole_number(&value, &range);
        if number.is_none() {
            self.report(name, format!("must be a whole number from {} to {}", range.start(), range.end()));
        }
        number
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, name: &'static str) -> Option<bool> {
        match self.take(name)? {
            Value::Bool(flag) => Some(flag),
            other @ (Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
                self.report(name, must_be("a boolean", &other));
                None
            }
        }
    }

    /// A list of at most `max` values, each read by `read`. What is wrong with an entry is reported with its place, and
    /// then there is no list: what else could be said of it would speak of entries that nobody left out.
    pub(super) fn list<T>(
        &mut self,
        name: &'static str,
        max: usize,
        read: impl Fn(&Value) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let entries = match self.take(name)? {
            Value::Array(entries) => entries,
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                self.report(name, must_be("an array", &other));
                return None;
            }
        };
        if entries.len() > max {
            self.report(name, format!("must have at most {max} entries, not {}", entries.len()));
            return None;
        }
        let mut values = Vec::with_capacity(entries.len());
        for (place, entry) in entries.iter().enumerate() {
            match read(entry) {
                Ok(value) => values.push(value),
                Err(why) => self.report(format!("{name}[{place}]"), why),
            }
        }
        (values.len() == entries.len()).then_some(values)
    }

    /// The fields of an object.
    pub(super) fn fields(&mut self, name: &'static str) -> Option<Fields> {
        match self.take(name)? {
            Value::Object(fields) => Some(fields),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                self.report(name, must_be("an object", &other));
                None
            }
        }
    }

    /// An object whose fields are read in their turn; hand it back to [`Self::leave`].
    pub(super) fn enter(&mut self, name: &'static str, fields: Fields) -> Self {
        Self { path: format!("{}{name}.", self.path), ..Self::of_body(fields) }
    }

    /// Takes over what was wrong inside an object.
    pub(super) fn leave(&mut self, inner: Self) {
        self.problems.absorb(inner.into_problems());
    }

    /// Everything that was wrong, fields that nobody took included.
    pub(super) fn into_problems(self) -> Problems {
        let Self { fields, known, path, mut problems } = self;
        for name in fields.keys() {
            let message = match known.as_slice() {
                [] => "unrecognized; none is known here".into(),
                names => format!("unrecognized; known here: {}", names.join(", ")),
            };
            problems.unrecognized(format!("{path}{name}"), message);
        }
        problems
    }

    /// Ends the reading: an error if anything was wrong.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        self.into_problems().finish()
    }
}

/// "must be …, not …".
pub(super) fn must_be(what: &str, value: &Value) -> String {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    format!("must be {what}, not {found}")
}

/// A whole number within a range, from a JSON number. `7.0` is one, too (JSON Schema 2020-12, section 4.2.3).
pub(super) fn whole_number(value: &Value, range: &RangeInclusive<u32>) -> Option<u32> {
    let number =
        value.as_f64().filter(|number| number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number))?;
    // Within these bounds nothing is lost.
    Some(number as u32).filter(|number| range.contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        let read = |text: &str| whole_number(&serde_json::from_str(text).expect("JSON"), &(1..=1024));
        for text in ["7", "7.0", "7e0", "0.7e1"] {
            assert_eq!(read(text), Some(7), "{text}");
        }
        for text in ["0", "1025", "7.5", "-7", "1e99", "4294967296", "\"7\"", "null"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
