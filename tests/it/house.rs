//! The rules of the house, checked by reading the sources. Each rule is also shown a sample that breaks it: a rule
//! that cannot fail is no rule.

mod imports;
mod reading;
mod shape;

use std::path::Path;
use std::sync::LazyLock;

use reading::File;

/// Every Rust file below a folder of the repository.
fn files(folder: &str) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("a folder that can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source that can be read");
                let name = path.strip_prefix(root).expect("a file of the repository").display().to_string();
                found.push(File::new(&name, &text));
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// The program.
static SOURCES: LazyLock<Vec<File>> = LazyLock::new(|| {
    let sources = files("src");
    assert!(sources.len() > 30, "only {} files were found", sources.len());
    sources
});

/// Everything that people read.
static EVERYTHING: LazyLock<Vec<File>> =
    LazyLock::new(|| ["src", "tests", "examples", "benches"].into_iter().flat_map(files).collect());

/// Fails with every violation at once.
fn assert_kept(rule: &str, violations: &[String]) {
    assert!(violations.is_empty(), "{rule}\n  {}", violations.join("\n  "));
}
