//! The alerts: those that operators read of are those that there are.

use std::collections::BTreeSet;

use super::root;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect("a document")
}

#[test]
fn every_alert_is_explained_to_operators_and_no_other() {
    let rules = read("docs/alerts.yml");
    let there: BTreeSet<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let page = read("docs/operating.md");
    let words = page.split(|letter: char| !letter.is_alphanumeric());
    let explained: BTreeSet<&str> = words.filter(|word| word.starts_with("Certhook")).collect();
    assert!(!there.is_empty(), "docs/alerts.yml has no alerts");
    assert_eq!(explained, there);
}
