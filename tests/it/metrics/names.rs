//! Names: what they must be, and that the alerts and the dashboard ask for none that is not there.

use std::collections::BTreeSet;

use serde_json::Value;

use super::door::{house, scrape};
use super::exposition::Family;

const ALERTS: &str = include_str!("../../../docs/alerts.yml");
const DASHBOARD: &str = include_str!("../../../docs/grafana.json");
const README: &str = include_str!("../../../README.md");

/// What the names of a metric's samples are, whether there are any or not.
fn sample_names(name: &str, family: &Family) -> Vec<String> {
    let suffixes: &[&str] = match family.kind.as_str() {
        "counter" => &["_total"],
        "histogram" => &["_bucket", "_sum", "_count"],
        "info" => &["_info"],
        _ => &[""],
    };
    suffixes.iter().map(|suffix| format!("{name}{suffix}")).collect()
}

/// Every metric of ours that a text names, with the labels that it asks for in braces behind it.
fn named(text: &str) -> Vec<(String, Vec<String>)> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let starts = text.match_indices("certhook_").map(|(start, _)| &text[start..]);
    let parts = starts.map(|rest| rest.split_at(rest.find(|letter| !is_name(letter)).unwrap_or(rest.len())));
    let with_labels = parts.map(|(name, rest)| {
        let inside = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inside, _)| inside);
        let labels = inside.split(',').filter_map(|matcher| matcher.split_once(['=', '!']));
        (name.to_owned(), labels.map(|(label, _)| label.trim().to_owned()).collect())
    });
    with_labels.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_keeps_to_the_rules_of_names() {
    let (_folder, _upstream, gateway) = house(&[]).await;
    let told = scrape(&gateway).await;
    assert!(told.0.len() > 40, "{} metrics", told.0.len());
    for (name, family) in &told.0 {
        assert!(name.starts_with("certhook_"), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert!(family.help.len() > 10 && !family.help.ends_with('.'), "the help of {name}: {:?}", family.help);
        // A suffix of its type is added to it.
        assert!(["_total", "_bucket", "_sum", "_count", "_info"].iter().all(|end| !name.ends_with(end)), "{name}");
        let unit = ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(&format!("_{unit}")));
        assert_eq!(family.unit.as_deref(), unit, "the unit of {name}");
        for other in ["_ms", "_millis", "_minutes", "_kib", "_mib", "_percent", "_age", "_duration", "_lag"] {
            assert!(!name.ends_with(other), "{name} has no base unit");
        }
        assert!(family.kind != "histogram" || unit.is_some(), "{name} has no unit");
        let is_per_endpoint = family.samples.iter().any(|(_, labels, _)| labels.contains_key("endpoint"));
        assert!(!is_per_endpoint || family.kind == "gauge", "{name}: per endpoint there are gauges alone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_dashboard_and_readme_ask_for_nothing_that_is_not_there() {
    let (_folder, _upstream, gateway) = house(&[]).await;
    gateway.baseline().await;
    let told = scrape(&gateway).await;
    let names: BTreeSet<String> = told.0.iter().flat_map(|(name, family)| sample_names(name, family)).collect();
    assert!(told.names().iter().all(|name| names.contains(*name)), "what is shown is what is described");
    // Prose may name a metric as a whole; a query asks for samples.
    let is_prose = |line: &&str| ["summary:", "meaning:", "action:"].iter().any(|start| line.trim().starts_with(start));
    let (prose, queries): (Vec<&str>, Vec<&str>) = ALERTS.lines().partition(is_prose);
    for (name, _) in named(&prose.join("\n")).iter().chain(&named(README)) {
        assert!(told.0.contains_key(name) || names.contains(name), "{name} is spoken of, and nobody shows it");
    }
    let dashboard = DASHBOARD.replace("\\\"", "\"");
    for (document, text, least) in [("alerts.yml", queries.join("\n"), 20), ("grafana.json", dashboard, 30)] {
        let asked = named(&text);
        let different: BTreeSet<&str> = asked.iter().map(|(name, _)| name.as_str()).collect();
        assert!(different.len() >= least, "{document} names only {}", different.len());
        for (name, labels) in &asked {
            assert!(names.contains(name), "{document} names {name}, which nobody shows");
            let samples = told.0.values().flat_map(|family| &family.samples).filter(|(known, _, _)| known == name);
            let known: BTreeSet<&String> = samples.flat_map(|(_, labels, _)| labels.keys()).collect();
            for label in labels {
                assert!(
                    known.is_empty() || known.contains(label) || label == "instance",
                    "{document}: {name}{{{label}}}"
                );
            }
        }
    }
}

#[test]
fn every_alert_says_what_it_means_and_what_to_do() {
    let alerts: Vec<&str> = ALERTS.split("- alert: ").skip(1).collect();
    assert!(alerts.len() >= 20, "{} alerts", alerts.len());
    let mut names = BTreeSet::new();
    for alert in alerts {
        let (name, rest) = alert.split_once('\n').unwrap();
        assert!(name.starts_with("Certhook") && names.insert(name), "{name}");
        for part in ["expr: ", "summary: \"", "meaning: \"", "action: \""] {
            assert_eq!(rest.matches(part).count(), 1, "{name} has {part}");
        }
        assert!(rest.contains("severity: critical\n") || rest.contains("severity: warning\n"), "{name}");
    }
}

#[test]
fn the_dashboard_has_a_row_for_each_part_and_a_query_in_each_panel() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let (rows, panels): (Vec<&Value>, Vec<&Value>) = panels.iter().partition(|panel| panel["type"] == "row");
    let titles: Vec<&str> = rows.iter().filter_map(|row| row["title"].as_str()).collect();
    assert_eq!(titles, ["Sources", "Deliveries", "Endpoints", "Store", "API", "Process"]);
    let ids: BTreeSet<_> = rows.iter().chain(&panels).map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), rows.len() + panels.len(), "each has an id of its own");
    for panel in panels {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{}", panel["title"]);
        for target in targets {
            assert!(!named(target["expr"].as_str().unwrap()).is_empty(), "{}", panel["title"]);
        }
        assert!(panel["description"].as_str().is_some_and(|text| text.len() > 10), "{}", panel["title"]);
    }
}
