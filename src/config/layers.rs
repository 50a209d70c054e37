//! The layers of configuration laid over one another, key by key: the defaults, the operator's file or the sandbox,
//! the environment. Which keys exist is what the defaults hold; whatever else is named is a problem.

use std::collections::BTreeMap;

use super::document::{Document, Entry, Section, Table, Text, TextOrigin, Value};
use super::error::{Origin, Problems};
use crate::model::nearest::nearest;

/// What the variables that override a key begin with.
const VARIABLE_PREFIX: &str = "CERTHOOK_";

/// What stands between the parts of such a variable's name. A variable without it is no override.
const VARIABLE_SEPARATOR: &str = "__";

/// The configuration as all layers together give it: every key of every section has a value.
#[derive(Clone)]
pub(super) struct Layers {
    sections: BTreeMap<String, Section>,
    sources: Vec<Section>,
    /// What a source's missing keys are taken from.
    sample: Section,
}

impl Layers {
    /// The lowest layer, from `config.toml` as compiled in.
    pub(super) fn defaults() -> Self {
        let ours = "the compiled-in defaults are TOML, as every test finds out";
        let mut document = compiled_in(include_str!("../../config.toml"), Origin::Default).expect(ours);
        let sources = document.sources.take().expect(ours);
        Self { sections: document.sections, sample: sources.first().expect(ours).clone(), sources }
    }

    /// Lays what `--sandbox` sets over these.
    pub(super) fn add_sandbox(&mut self, upstream: &url::Url) {
        let ours = "the compiled-in sandbox settings are TOML and name known keys, as a test finds out";
        let mut document = compiled_in(include_str!("sandbox.toml"), Origin::Sandbox).expect(ours);
        for source in document.sources.iter_mut().flatten() {
            let value = Value::Text(upstream.as_str().into());
            source.table.insert("base_url".into(), Entry { value, origin: Origin::Sandbox });
        }
        let problems = Problems::default();
        self.add(document, &problems);
        problems.or(Some(())).expect(ours);
    }

    /// Lays a document over these. Its sources, if it speaks of any, replace those below as a whole; what one of
    /// them does not say is as in the sample.
    pub(super) fn add(&mut self, document: Document, problems: &Problems) {
        let known = self.key_names();
        let section_names: Vec<String> = self.sections.keys().cloned().chain(["sources".into()]).collect();
        let sections = || section_names.iter().map(String::as_str);
        for (name, origin) in document.stray {
            let message = if self.sections.contains_key(&name) {
                format!("{name} must be a section, begun by [{name}]")
            } else {
                let names = sections().chain(known.iter().map(String::as_str));
                format!("unknown key {name}{}", help(nearest(&name, names), sections()))
            };
            problems.add(&origin, message);
        }
        for (name, section) in document.sections {
            match self.sections.get_mut(&name) {
                Some(below) => overlay(&name, &mut below.table, section.table, &known, problems),
                None => {
                    let meant = nearest(&name, sections().chain(["sources.poll"]));
                    problems.add(&section.origin, format!("unknown section {name}{}", help(meant, sections())));
                }
            }
        }
        if let Some(sources) = document.sources {
            let sample = &self.sample;
            self.sources = sources.into_iter().map(|source| over_sample(sample, source, &known, problems)).collect();
        }
    }

    /// Lays the environment over these: every variable `CERTHOOK_<SECTION>__<KEY>`.
    pub(super) fn add_environment(&mut self, environment: &BTreeMap<String, String>, problems: &Problems) {
        let mut places = self.places();
        for (variable, text) in environment {
            let named = variable.strip_prefix(VARIABLE_PREFIX);
            if !named.is_some_and(|rest| rest.contains(VARIABLE_SEPARATOR)) {
                continue;
            }
            let origin = Origin::Variable(variable.clone());
            match places.get_mut(variable) {
                Some(place) => **place = Entry { value: Value::Variable(text.clone()), origin },
                None => {
                    let meant = nearest(variable, places.keys().map(String::as_str));
                    let meant = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
                    problems.add(&origin, format!("overrides no key{meant}"));
                }
            }
        }
    }

    /// Every value by the name of the variable that overrides it.
    fn places(&mut self) -> BTreeMap<String, &mut Entry> {
        let mut places = BTreeMap::new();
        let sections = self.sections.iter_mut().map(|(name, section)| (name.clone(), section));
        let sources = self.sources.iter_mut().map(|source| {
            let name = match source.table.get("name").map(|entry| &entry.value) {
                Some(Value::Text(name)) => name.clone(),
                _ => String::new(),
            };
            (format!("sources.{name}"), source)
        });
        for (name, section) in sections.chain(sources) {
            for (key, entry) in &mut section.table {
                places.insert(variable(&format!("{name}.{key}")), entry);
            }
        }
        places
    }

    /// Every key by its full name, such as `sources.poll.changes`.
    fn key_names(&self) -> Vec<String> {
        let sections = self.sections.iter().map(|(name, section)| (name.as_str(), section));
        sections
            .chain([("sources", &self.sample)])
            .flat_map(|(name, section)| section.table.keys().map(move |key| format!("{name}.{key}")))
            .collect()
    }

    /// Takes one key as other layers have it.
    pub(super) fn take_key(&mut self, section: &str, key: &str, other: &Self) {
        let taken = self.sections.get_mut(section).and_then(|section| section.table.get_mut(key));
        if let (Some(place), Some(entry)) = (taken, other.section(section).table.get(key)) {
            *place = entry.clone();
        }
    }

    /// A section that the defaults hold.
    pub(super) fn section(&self, name: &str) -> &Section {
        self.sections.get(name).expect("the defaults hold every section that is asked for")
    }

    /// The sources in their order.
    pub(super) fn sources(&self) -> &[Section] {
        &self.sources
    }
}

/// The name of the variable that overrides a key: `_` for `-`, because names of variables have no `-`.
fn variable(key: &str) -> String {
    let parts = key.replace('-', "_").replace('.', VARIABLE_SEPARATOR);
    format!("{VARIABLE_PREFIX}{}", parts.to_uppercase())
}

fn compiled_in(toml: &str, origin: Origin) -> Option<Document> {
    Document::parse(&Text { toml, origin: TextOrigin::Ours(origin) }, &Problems::default())
}

fn over_sample(sample: &Section, source: Section, known: &[String], problems: &Problems) -> Section {
    let mut table = sample.table.clone();
    for entry in table.values_mut() {
        // With several sources, a problem with a default is found by the source that it concerns.
        entry.origin = source.origin.clone();
    }
    overlay("sources", &mut table, source.table, known, problems);
    Section { table, origin: source.origin }
}

fn overlay(section: &str, below: &mut Table, above: Table, known: &[String], problems: &Problems) {
    for (key, entry) in above {
        match below.get_mut(&key) {
            Some(place) => *place = entry,
            None => {
                let name = format!("{section}.{key}");
                let meant = nearest(&name, known.iter().map(String::as_str));
                let help = help(meant, siblings(&name, known));
                problems.add(&entry.origin, format!("unknown key {name}{help}"));
            }
        }
    }
}

/// The known keys of the section that a key would be in.
fn siblings<'a>(name: &str, known: &'a [String]) -> impl Iterator<Item = &'a str> {
    let section = name.rsplit_once('.').map(|(section, _)| section);
    let parts = known.iter().filter_map(|known| known.rsplit_once('.'));
    parts.filter(move |(other, _)| Some(*other) == section).map(|(_, key)| key)
}

/// What would be right: the one that was meant, or else all there are.
fn help<'a>(meant: Option<&str>, all: impl Iterator<Item = &'a str>) -> String {
    match meant {
        Some(meant) => format!("; did you mean {meant}?"),
        None => format!("; there are {}", all.collect::<Vec<_>>().join(", ")),
    }
}
