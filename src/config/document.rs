//! The first stage, configuration as written: sections, keys and values, each with its place; not yet laid
//! over one another and not yet judged. Nothing here has a `Debug`: a value may be a secret.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Origin, Problems};

/// A value as written.
#[derive(Clone)]
pub(super) enum Value {
    /// A quoted text.
    Text(String),
    /// What a variable of the environment holds: a text, until the reader of the key knows better.
    Variable(String),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// `true` or `false`.
    Flag(bool),
    /// A list.
    List(Vec<Entry>),
    /// A table such as `{ env = "NAME" }`.
    Table(Table),
    /// Something that no key takes, in words.
    Other(&'static str),
}

/// A value and where it was written.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// Values by key.
pub(super) type Table = BTreeMap<String, Entry>;

/// A section, or one source with the keys of its `poll` section as `poll.KEY`.
#[derive(Clone)]
pub(super) struct Section {
    pub(super) table: Table,
    /// Where it begins.
    pub(super) origin: Origin,
}

/// A configuration as written.
#[derive(Clone, Default)]
pub(super) struct Document {
    /// Every section but the sources.
    pub(super) sections: BTreeMap<String, Section>,
    /// The sources in their order; `None` if the document does not speak of them.
    pub(super) sources: Option<Vec<Section>>,
    /// Keys outside every section.
    pub(super) stray: Vec<(String, Origin)>,
}

/// A TOML text and whose it is.
pub(super) struct Text<'a> {
    pub(super) toml: &'a str,
    pub(super) origin: TextOrigin,
}

/// Whose a TOML text is.
pub(super) enum TextOrigin {
    /// The operator's; lines are worth naming.
    File(Arc<str>),
    /// Ours.
    Ours(Origin),
}

impl Text<'_> {
    fn origin(&self, span: &Range<usize>) -> Origin {
        match &self.origin {
            TextOrigin::Ours(origin) => origin.clone(),
            TextOrigin::File(file) => {
                let before = &self.toml.as_bytes()[..span.start.min(self.toml.len())];
                let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
                Origin::Line { file: file.clone(), line }
            }
        }
    }

    pub(super) fn entry(&self, value: &Spanned<DeValue<'_>>, origin: Origin) -> Entry {
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
                .map_or(Value::Other("a number beyond all bounds"), Value::Integer),
            DeValue::Float(float) => float.as_str().parse().map_or(Value::Other("no number"), Value::Float),
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Datetime(_) => Value::Other("a date or time without quotes"),
            DeValue::Array(items) => {
                Value::List(items.iter().map(|item| self.entry(item, self.origin(&item.span()))).collect())
            }
            DeValue::Table(table) => Value::Table(self.table(table)),
        };
        Entry { value, origin }
    }

    fn table(&self, table: &DeTable<'_>) -> Table {
        let entry = |(key, value): (&Spanned<_>, _)| self.entry(value, self.origin(&key.span()));
        table.iter().map(|pair| (pair.0.get_ref().to_string(), entry(pair))).collect()
    }
}

impl Document {
    /// Reads a TOML text. `None` if it is not TOML: what else might be wrong with it would be guesswork.
    pub(super) fn parse(text: &Text<'_>, problems: &Problems) -> Option<Self> {
        let (root, errors) = DeTable::parse_recoverable(text.toml);
        for error in &errors {
            // The message alone: the error's own display quotes the line, which may hold a secret.
            let origin = text.origin(&error.span().unwrap_or(0..0));
            problems.add(&origin, format!("not TOML: {}", error.message()));
        }
        if !errors.is_empty() {
            return None;
        }
        let mut document = Self::default();
        for (key, Entry { value, origin }) in text.table(root.get_ref()) {
            match (key.as_str(), value) {
                ("sources", Value::List(items)) if items.is_empty() => {
                    problems.add(&origin, "sources must have at least one source; leave it out for the default one");
                }
                ("sources", Value::List(items)) => document.sources = Some(sources(items, problems)),
                ("sources", _) => {
                    problems.add(&origin, "sources must be a list of sections, each begun by [[sources]]");
                }
                (_, Value::Table(table)) => {
                    document.sections.insert(key, Section { table, origin });
                }
                (_, _) => document.stray.push((key, origin)),
            }
        }
        Some(document)
    }
}

/// Takes the sources of a document, each with its `poll` section drawn into it.
fn sources(items: Vec<Entry>, problems: &Problems) -> Vec<Section> {
    let mut sources = Vec::new();
    for Entry { value, origin } in items {
        let Value::Table(mut table) = value else {
            problems.add(&origin, "sources must be a list of sections, each begun by [[sources]]");
            continue;
        };
        match table.remove("poll") {
            Some(Entry { value: Value::Table(poll), .. }) => {
                table.extend(poll.into_iter().map(|(key, entry)| (format!("poll.{key}"), entry)));
            }
            Some(other) => problems.add(&other.origin, "sources.poll must be a section, begun by [sources.poll]"),
            None => {}
        }
        sources.push(Section { table, origin });
    }
    sources
}
