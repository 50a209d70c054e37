//! The documents: that their links lead somewhere, that what is generated is as it would be generated now, that every alert
//! is explained, and that the configurations and the commands that they show are valid. Their code is run by `.ci/documents.py`.
//!
//! `UPDATE=1 cargo test --test it -- docs::` writes anew what is generated.

use std::path::{Path, PathBuf};

mod alerts;
mod commands;
mod events;
mod links;
mod settings;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The README and everything in `docs` that is Markdown, by path in the repository.
fn documents() -> Vec<PathBuf> {
    let mut documents = Vec::new();
    let mut open = vec![root().join("README.md"), root().join("docs")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            documents.push(path.strip_prefix(root()).expect("of the repository").to_owned());
        }
    }
    documents
}
