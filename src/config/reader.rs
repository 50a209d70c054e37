//! From values as written to typed ones. A getter that cannot give its value notes down why and gives `None`, so
//! that one run over all sections finds every problem.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use toml::de::DeValue;

use super::document::{Entry, Section, Text, TextOrigin, Value};
use super::error::Problems;

/// More of a wrong value than this is not shown: it helps nobody, and might be a key pasted into the wrong place.
const SHOWN_CHARS_MAX: usize = 40;

/// What values may refer to.
pub(super) struct Surroundings {
    /// Where relative paths start.
    pub(super) folder: PathBuf,
    /// The variables that `{ env = "NAME" }` finds.
    pub(super) environment: BTreeMap<String, String>,
}

/// Reads the keys of one section.
pub(super) struct Reader<'a> {
    name: &'static str,
    section: &'a Section,
    pub(super) surroundings: &'a Surroundings,
    problems: &'a Problems,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        name: &'static str,
        section: &'a Section,
        surroundings: &'a Surroundings,
        problems: &'a Problems,
    ) -> Self {
        Self { name, section, surroundings, problems }
    }

    /// Notes down what is wrong with a key, in words that follow its name.
    pub(super) fn refuse(&self, key: &str, what: impl Display) {
        let message = format!("{}.{key} {what}", self.name);
        self.problems.add(&self.entry(key).origin, message);
    }

    pub(super) fn entry(&self, key: &str) -> &'a Entry {
        self.section.table.get(key).expect("the defaults hold every key that is asked for")
    }

    /// A text that `parse` makes something of. `expected` completes "must be …".
    pub(super) fn parsed<T>(&self, key: &str, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let entry = self.entry(key);
        let parsed = text(entry).and_then(parse);
        if parsed.is_none() {
            self.refuse(key, mismatch(expected, entry));
        }
        parsed
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let quoted: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        let find = |text: &str| words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        self.parsed(key, &quoted.join(" or "), find)
    }

    /// A whole number within bounds.
    pub(super) fn integer(&self, key: &str, bounds: RangeInclusive<i64>) -> Option<i64> {
        let entry = self.entry(key);
        let number = integer(entry, &bounds);
        if number.is_none() {
            self.refuse(key, mismatch(&expected_integer(&bounds), entry));
        }
        number
    }

    /// A list of whole numbers, each within bounds.
    pub(super) fn integers(&self, key: &str, bounds: RangeInclusive<i64>) -> Option<Vec<i64>> {
        self.items(key, &expected_integer(&bounds), |item| integer(item, &bounds))
    }

    /// A number within bounds, with or without a fraction.
    pub(super) fn number(&self, key: &str, bounds: RangeInclusive<f64>) -> Option<f64> {
        let entry = self.entry(key);
        let number = match entry.value {
            Value::Integer(number) => Some(number as f64),
            Value::Float(number) => Some(number),
            Value::Variable(_) => variable(entry),
            Value::Text(_) | Value::Flag(_) | Value::List(_) | Value::Table(_) | Value::Other(_) => None,
        };
        let number = number.filter(|number| bounds.contains(number));
        if number.is_none() {
            let expected = format!("a number from {} to {}", bounds.start(), bounds.end());
            self.refuse(key, mismatch(&expected, entry));
        }
        number
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        let entry = self.entry(key);
        let flag = if let Value::Flag(flag) = entry.value { Some(flag) } else { variable(entry) };
        if flag.is_none() {
            self.refuse(key, mismatch("true or false", entry));
        }
        flag
    }

    /// A duration within bounds.
    pub(super) fn duration(&self, key: &str, bounds: RangeInclusive<Duration>) -> Option<Duration> {
        self.parsed(key, &expected_duration(&bounds), |text| duration(text, &bounds))
    }

    /// A list of texts, each of which `parse` makes something of. `expected` completes "item 1 of … must be".
    pub(super) fn list<T>(&self, key: &str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
        self.items(key, expected, |item| text(item).and_then(&parse))
    }

    fn items<T>(&self, key: &str, expected: &str, parse: impl Fn(&Entry) -> Option<T>) -> Option<Vec<T>> {
        let entry = self.entry(key);
        let Some(items) = items(entry) else {
            self.refuse(key, mismatch("a list", entry));
            return None;
        };
        let mut parsed = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match parse(item) {
                Some(value) => parsed.push(value),
                None => {
                    let what = mismatch(expected, item);
                    let message = format!("item {} of {}.{key} {what}", index + 1, self.name);
                    self.problems.add(&item.origin, message);
                }
            }
        }
        (parsed.len() == items.len()).then_some(parsed)
    }

    /// A table that has these fields, all of them and no others. `example` shows them.
    pub(super) fn table(&self, key: &str, fields: &[&str], example: &str) -> Option<Section> {
        let entry = self.entry(key);
        if let Value::Table(table) = spelled_out(entry, '{')
            && table.len() == fields.len()
            && fields.iter().all(|field| table.contains_key(*field))
        {
            return Some(Section { table, origin: entry.origin.clone() });
        }
        self.refuse(key, mismatch(&format!("a table of {}, such as {example}", fields.join(" and ")), entry));
        None
    }

    /// Reads the fields of such a table, which is called `name`.
    pub(super) fn within<'b>(&'b self, name: &'static str, section: &'b Section) -> Reader<'b> {
        Reader::new(name, section, self.surroundings, self.problems)
    }
}

/// "must be …; it is …".
pub(super) fn mismatch(expected: &str, entry: &Entry) -> String {
    match found(&entry.value) {
        Some(found) => format!("must be {expected}; it is {found}"),
        None => format!("must be {expected}"),
    }
}

/// A value in words. A text with an `@` may be a URL with a password, and is not shown.
fn found(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) | Value::Variable(text) => (!text.contains('@')).then(|| quoted(text)),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Flag(flag) => Some(flag.to_string()),
        Value::List(_) => Some("a list".into()),
        Value::Table(_) => Some("a table".into()),
        Value::Other(what) => Some((*what).into()),
    }
}

/// A text in quotes, cut where it gets long.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// The text that an entry is.
pub(super) fn text(entry: &Entry) -> Option<&str> {
    if let Value::Text(text) | Value::Variable(text) = &entry.value { Some(text) } else { None }
}

/// The whole number that an entry is, if it is within bounds.
fn integer(entry: &Entry, bounds: &RangeInclusive<i64>) -> Option<i64> {
    let number = if let Value::Integer(number) = entry.value { Some(number) } else { variable(entry) };
    number.filter(|number| bounds.contains(number))
}

/// What a whole number must be, with its bounds.
fn expected_integer(bounds: &RangeInclusive<i64>) -> String {
    format!("a whole number from {} to {}", bounds.start(), bounds.end())
}

/// What a variable of the environment spells out.
fn variable<T: FromStr>(entry: &Entry) -> Option<T> {
    if let Value::Variable(text) = &entry.value { text.parse().ok() } else { None }
}

/// The items of a list; of a variable, those of a TOML list or those between commas.
fn items(entry: &Entry) -> Option<Vec<Entry>> {
    match spelled_out(entry, '[') {
        Value::List(items) => Some(items),
        Value::Variable(text) if text.trim().is_empty() => Some(Vec::new()),
        Value::Variable(text) => {
            let item = |part: &str| Entry { value: Value::Variable(part.trim().into()), origin: entry.origin.clone() };
            Some(text.split(',').map(item).collect())
        }
        Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Flag(_) | Value::Table(_) | Value::Other(_) => {
            None
        }
    }
}

/// What an entry holds. A variable that begins with `bracket` is read as TOML, if it is any.
pub(super) fn spelled_out(entry: &Entry, bracket: char) -> Value {
    if let Value::Variable(toml) = &entry.value
        && toml.trim_start().starts_with(bracket)
        && let Ok(value) = DeValue::parse(toml)
    {
        let text = Text { toml, origin: TextOrigin::Ours(entry.origin.clone()) };
        return text.entry(&value, entry.origin.clone()).value;
    }
    entry.value.clone()
}

/// Reads a duration within bounds.
pub(super) fn duration(text: &str, bounds: &RangeInclusive<Duration>) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|duration| bounds.contains(duration))
}

/// What a duration must be, with its bounds.
pub(super) fn expected_duration(bounds: &RangeInclusive<Duration>) -> String {
    format!("a duration from {} to {}, such as \"30s\"", shown(*bounds.start()), shown(*bounds.end()))
}

/// A bound in its largest whole unit, as one would write it.
fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "d"), (3600, "h"), (60, "m")];
    let fitting = units.iter().find(|(length, _)| seconds > 0 && seconds.is_multiple_of(*length));
    fitting.map_or(format!("{seconds}s"), |(length, unit)| format!("{}{unit}", seconds / length))
}
