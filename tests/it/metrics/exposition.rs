//! OpenMetrics text, read strictly: <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>.

use std::collections::{BTreeMap, BTreeSet};

/// A metric with its samples.
#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) kind: String,
    pub(super) help: String,
    pub(super) unit: Option<String>,
    /// Each with its name, which may have a suffix, and its labels.
    pub(super) samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

/// What was scraped, by the names of the metrics.
#[derive(Debug)]
pub(super) struct Exposition(pub(super) BTreeMap<String, Family>);

impl Exposition {
    /// Reads it, and panics if it is not what the specification says.
    pub(super) fn read(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("it ends with an EOF");
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut current = String::new();
        for line in body.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let (word, rest) = comment.split_once(' ').unwrap();
                let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
                if name != current {
                    assert!(!families.contains_key(name), "{name} comes twice, or its lines are not together");
                    current = name.into();
                }
                let family = families.entry(name.into()).or_default();
                assert!(family.samples.is_empty(), "what describes {name} comes before its samples");
                match word {
                    "HELP" => family.help = value.into(),
                    "TYPE" => family.kind = value.into(),
                    "UNIT" => family.unit = Some(value.into()),
                    other => panic!("{other} is no word of a comment: {line}"),
                }
                continue;
            }
            let (name, labels, value) = sample(line);
            assert!(seen.insert((name.clone(), labels.clone())), "twice: {line}");
            let family = families.get_mut(&current).unwrap_or_else(|| panic!("nothing describes {line}"));
            let suffixes: &[&str] = match family.kind.as_str() {
                "counter" => &["_total"],
                "gauge" => &[""],
                "histogram" => &["_bucket", "_sum", "_count"],
                "info" => &["_info"],
                other => panic!("{other} is no type that we use"),
            };
            let is_one = |suffix: &&str| name.strip_prefix(current.as_str()) == Some(*suffix);
            assert!(suffixes.iter().any(is_one), "{name} does not belong to {current}");
            family.samples.push((name, labels, value));
        }
        Self(families)
    }

    /// The sample with that name and these labels among its own, if there is one; panics if there are more.
    pub(super) fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let found: Vec<f64> = self.samples(name, labels).collect();
        assert!(found.len() < 2, "{} samples are {name} {labels:?}", found.len());
        found.first().copied()
    }

    /// The sum of all samples with that name and these labels among their own.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.samples(name, labels).sum()
    }

    fn samples(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = f64> {
        let has = |known: &BTreeMap<String, String>| {
            labels.iter().all(|(label, value)| known.get(*label).is_some_and(|known| known == value))
        };
        let samples = self.0.values().flat_map(|family| &family.samples);
        samples.filter(move |(known, of, _)| known == name && has(of)).map(|(_, _, value)| *value)
    }

    /// The one sample that there must be.
    pub(super) fn get(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).unwrap_or_else(|| panic!("there is no {name} {labels:?}"))
    }

    /// The names of all samples, which are what queries ask for.
    pub(super) fn names(&self) -> BTreeSet<&str> {
        self.0.values().flat_map(|family| &family.samples).map(|(name, _, _)| name.as_str()).collect()
    }
}

/// The name, the labels and the value of a line.
fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
    let Some((name, rest)) = series.split_once('{') else { return (series.into(), BTreeMap::new(), value) };
    let mut labels = BTreeMap::new();
    let mut rest = rest.strip_suffix('}').unwrap();
    while let Some((label, after)) = rest.split_once("=\"") {
        let end = after.find('"').expect("a value in quotes");
        assert!(!after[..end].contains('\\'), "no value of ours needs an escape: {line}");
        assert!(labels.insert(label.into(), after[..end].into()).is_none(), "{label} comes twice: {line}");
        rest = after[end + 1..].trim_start_matches(',');
    }
    assert!(rest.is_empty(), "{rest} in {line}");
    (name.into(), labels, value)
}
