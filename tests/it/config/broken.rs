//! Broken configurations, each with its exact messages.

use super::{load, load_from, problems};

/// Cases: a file, then what is wrong with it in lines that begin with `> `, up to a line `---`.
const BROKEN: &str = include_str!("broken.txt");

/// As many kinds as there must be at least; a split that goes wrong would find fewer.
const CASES_MIN: usize = 80;

#[test]
fn every_broken_configuration_gives_its_exact_messages() {
    let mut cases = 0;
    let mut wrong = Vec::new();
    for case in BROKEN.split("---\n").filter(|case| !case.is_empty()) {
        let (messages, lines): (Vec<&str>, Vec<&str>) = case.lines().partition(|line| line.starts_with("> "));
        let toml: Vec<&str> = lines.into_iter().filter(|line| !line.starts_with("===")).collect();
        let found = load(&toml.join("\n"), &[]).map(|_| Vec::new()).unwrap_or_else(|errors| problems(&errors));
        let found: Vec<String> = found.iter().map(|problem| format!("> {problem}")).collect();
        if found != messages || messages.is_empty() {
            wrong.push(format!("{case}but found:\n{}", found.join("\n")));
        }
        cases += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(cases >= CASES_MIN, "only {cases} cases were read");
}

#[test]
fn no_message_quotes_what_may_be_a_secret() {
    let canaries = BROKEN.lines().filter(|line| !line.starts_with("> ") && line.contains("canary"));
    assert!(canaries.count() >= 8, "there are cases with a canary for a secret");
    let told = BROKEN.lines().filter(|line| line.starts_with("> ") && line.contains("canary"));
    assert_eq!(told.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn errors_are_shown_as_one_line_or_as_a_list() {
    let one = load("[log]\nformat = 1", &[]).unwrap_err().to_string();
    assert!(one.ends_with("certhook.toml:2: log.format must be \"text\" or \"json\"; it is 1"), "{one}");
    let two = load("[log]\nformat = 1\nlevel = 2", &[]).unwrap_err().to_string();
    let lines: Vec<&str> = two.lines().collect();
    assert_eq!(lines[0], "the configuration has 2 errors");
    assert!(lines[1].starts_with("  /") && lines[1].ends_with("it is 1"), "{two}");
    assert!(lines[2].starts_with("  /") && lines[2].ends_with("it is 2"), "{two}");
    assert_eq!(lines.len(), 3);
}

#[test]
fn a_file_that_was_asked_for_must_be_there_and_be_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("certhook.toml");
    let check = |expected: &str| {
        assert_eq!(problems(&load_from(&path, &[]).unwrap_err()), [format!("certhook.toml{expected}")]);
    };
    check(": cannot be read: there is no such file");
    std::fs::write(&path, b"[log]\nlevel = \"\xff\"").unwrap();
    check(": cannot be read: it is not UTF-8 text");
    std::fs::write(&path, "#".repeat(1024 * 1024 + 1)).unwrap();
    check(": cannot be read: it is larger than 1024 KiB");
}
