//! Files and functions: how they begin, how long they are, what they are called, and that they are reached.

use std::collections::BTreeSet;

use super::reading::{File, block_end, leading_name, place, words};
use super::{EVERYTHING, SOURCES, assert_kept};

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// Names of drawers, into which everything fits.
const DRAWERS: [&str; 6] = ["util", "utils", "common", "helper", "helpers", "misc"];

/// Every file says what it is before anything else.
fn without_an_opening(files: &[File]) -> Vec<String> {
    let closed = files.iter().filter(|file| !file.text.starts_with("//! "));
    closed.map(|file| format!("{} does not open with `//! `", file.path)).collect()
}

fn long_files(files: &[File]) -> Vec<String> {
    let lengths = files.iter().map(|file| (file, file.program_lines()));
    let long = lengths.filter(|(_, lines)| *lines > FILE_LINES_MAX);
    long.map(|(file, lines)| format!("{} has {lines} lines without its tests", file.path)).collect()
}

fn long_functions(files: &[File]) -> Vec<String> {
    let mut long = Vec::new();
    for file in files {
        for start in words(&file.code, "fn") {
            let rest = &file.code[start..];
            let name = leading_name(rest["fn".len()..].trim_start());
            // Without a name it is the type of a function, and without a block a declaration.
            if let (false, Some(end)) = (name.is_empty(), block_end(rest)) {
                let lines = rest[..end].lines().count();
                if lines > FUNCTION_LINES_MAX {
                    long.push(format!("{}: {name} has {lines} lines", place(file, start)));
                }
            }
        }
    }
    long
}

/// Folders, files and modules that are called like a drawer.
fn drawers(files: &[File]) -> Vec<String> {
    let mut drawers = Vec::new();
    for file in files {
        let parts = file.path.trim_end_matches(".rs").split('/');
        drawers.extend(parts.filter(|part| DRAWERS.contains(part)).map(|part| format!("{} is in {part}", file.path)));
        for (start, name) in modules(file) {
            if DRAWERS.contains(&name) {
                drawers.push(format!("{} declares {name}", place(file, start)));
            }
        }
    }
    drawers
}

/// `mod` declarations with their names.
fn modules(file: &File) -> impl Iterator<Item = (usize, &str)> {
    words(&file.code, "mod").map(|start| (start, leading_name(file.code[start + "mod".len()..].trim_start())))
}

/// Files that no `mod` declaration leads to, from `lib.rs` and `main.rs` on.
fn unreached(files: &[File]) -> Vec<String> {
    let mut reached = BTreeSet::from(["src/lib.rs".to_owned(), "src/main.rs".to_owned()]);
    let mut open: Vec<String> = reached.iter().cloned().collect();
    while let Some(path) = open.pop() {
        let Some(file) = files.iter().find(|file| file.path == path) else { continue };
        let folder = ["/lib.rs", "/main.rs", "/mod.rs", ".rs"].iter().find_map(|end| path.strip_suffix(end));
        let folder = folder.expect("a Rust file");
        for (_, name) in modules(file) {
            for child in [format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")] {
                if files.iter().any(|file| file.path == child) && reached.insert(child.clone()) {
                    open.push(child);
                }
            }
        }
    }
    let missed = files.iter().filter(|file| !reached.contains(&file.path));
    missed.map(|file| format!("{} is reached by no mod declaration", file.path)).collect()
}

/// Exceptions from lints are `expect`ed with a reason, so that they go when their cause has gone.
fn silenced_lints(files: &[File]) -> Vec<String> {
    let mut silenced = Vec::new();
    for file in files {
        for attribute in ["#[allow(", "#![allow("] {
            silenced.extend(file.code.match_indices(attribute).map(|(start, _)| place(file, start)));
        }
    }
    silenced
}

#[test]
fn every_file_opens_by_saying_what_it_is() {
    assert_kept("every file opens with //!", &without_an_opening(&EVERYTHING));
    let bad = [File::new("src/a.rs", "use x;\n//! late\n"), File::new("src/b.rs", "//! B.\n")];
    assert_eq!(without_an_opening(&bad), ["src/a.rs does not open with `//! `"]);
}

#[test]
fn files_are_short() {
    assert_kept("files have at most 400 lines without their tests", &long_files(&EVERYTHING));
    let tests = format!("//! A.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "//\n".repeat(500));
    let bad = [File::new("src/a.rs", &"x;\n".repeat(401)), File::new("src/b.rs", &tests)];
    assert_eq!(long_files(&bad), ["src/a.rs has 401 lines without its tests"]);
}

#[test]
fn functions_are_short() {
    assert_kept("functions have at most 70 lines", &long_functions(&EVERYTHING));
    let body = "    x;\n".repeat(68);
    let fits = format!("fn fits(f: fn(u8), a: [u8; 2]) {{\n{body}}}\n");
    let long = format!("trait T {{\n    fn declared(&self);\n    fn long() -> &'static str {{\n{body}\n    }}\n}}\n");
    let bad = [File::new("src/a.rs", &format!("{fits}{long}"))];
    assert_eq!(long_functions(&bad), ["src/a.rs:73: long has 71 lines"]);
}

#[test]
fn nothing_is_called_like_a_drawer() {
    assert_kept("no util, common, helpers or misc", &drawers(&EVERYTHING));
    let bad = [
        File::new("src/utils/mod.rs", "//! U.\n"),
        File::new("src/a.rs", "// mod misc;\nmod helpers {}\nmod useful;\n"),
        File::new("src/b/common.rs", "\"mod util;\""),
    ];
    let expected = ["src/utils/mod.rs is in utils", "src/a.rs:2 declares helpers", "src/b/common.rs is in common"];
    assert_eq!(drawers(&bad), expected);
}

#[test]
fn every_file_is_reached() {
    assert_kept("every file below src is part of the program", &unreached(&SOURCES));
    let bad = [
        File::new("src/lib.rs", "pub mod a;\n// mod c;\n"),
        File::new("src/main.rs", ""),
        File::new("src/a/mod.rs", "mod b;"),
        File::new("src/a/b.rs", "mod d;"),
        File::new("src/a/b/d.rs", ""),
        File::new("src/a/d.rs", ""),
        File::new("src/c.rs", ""),
    ];
    let missed = ["src/a/d.rs", "src/c.rs"].map(|path| format!("{path} is reached by no mod declaration"));
    assert_eq!(unreached(&bad), missed);
}

#[test]
fn lints_are_not_silenced() {
    assert_kept("#[expect(…, reason)] instead of #[allow(…)]", &silenced_lints(&EVERYTHING));
    let bad = [File::new("src/a.rs", "//! `#[allow(x)]`\n#[expect(x)]\n#[allow(y)]\n#![allow(z)]\n")];
    assert_eq!(silenced_lints(&bad), ["src/a.rs:3", "src/a.rs:4"]);
}
