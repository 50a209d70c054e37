//! Links between the documents of the repository: every file and every heading that one leads to is there, and from the
//! README a reader gets to every document.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::{documents, root};

/// A document: what it links to, and the anchors of its headings.
struct Document {
    links: Vec<String>,
    anchors: BTreeSet<String>,
}

/// The documents by path in the repository.
fn read_all() -> BTreeMap<PathBuf, Document> {
    let text = |path: &Path| std::fs::read_to_string(root().join(path)).expect("a document");
    documents().into_iter().map(|path| (path.clone(), read(&text(&path)))).collect()
}

/// Reads Markdown as far as links need it.
fn read(text: &str) -> Document {
    let mut document = Document { links: Vec::new(), anchors: BTreeSet::new() };
    let mut prose = String::new();
    let mut is_code = false;
    for line in text.lines() {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        if is_fence || is_code {
            continue;
        }
        let depth = line.len() - line.trim_start_matches('#').len();
        if (1..=6).contains(&depth) && line[depth..].starts_with(' ') {
            document.anchors.insert(anchor(line[depth..].trim()));
        }
        prose.push_str(line);
        prose.push('\n');
    }
    // What is between backticks is no link.
    let prose: String = prose.split('`').step_by(2).collect::<Vec<_>>().join("``");
    for (start, _) in prose.match_indices("](") {
        let rest = &prose[start + 2..];
        document.links.push(rest[..rest.find(')').expect("a link ends")].trim().to_owned());
    }
    document
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_')).collect()
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => plain.push(part),
        }
    }
    plain
}

/// Where a link of a document leads within the repository, and to which heading; `None` if it leads out of it.
fn target<'a>(from: &Path, link: &'a str) -> Option<(PathBuf, &'a str)> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let path = if path.is_empty() { from.to_owned() } else { plain(&from.parent().expect("a file").join(path)) };
    Some((path, anchor))
}

/// The links that lead nowhere.
fn broken(documents: &BTreeMap<PathBuf, Document>, exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut broken = Vec::new();
    for (from, document) in documents {
        for link in &document.links {
            let Some((path, anchor)) = target(from, link) else { continue };
            let is_there = match documents.get(&path) {
                Some(there) => anchor.is_empty() || there.anchors.contains(anchor),
                None => anchor.is_empty() && exists(&path),
            };
            if !is_there {
                broken.push(format!("{}: {link}", from.display()));
            }
        }
    }
    broken
}

/// The documents that nobody gets to from the README.
fn unreached(documents: &BTreeMap<PathBuf, Document>) -> Vec<String> {
    let mut reached = BTreeSet::from([PathBuf::from("README.md")]);
    let mut open: Vec<PathBuf> = reached.iter().cloned().collect();
    while let Some(from) = open.pop() {
        let links = documents.get(&from).map_or(&[][..], |document| &document.links);
        for (path, _) in links.iter().filter_map(|link| target(&from, link)) {
            if documents.contains_key(&path) && reached.insert(path.clone()) {
                open.push(path);
            }
        }
    }
    let missed = documents.keys().filter(|path| !reached.contains(*path));
    missed.map(|path| path.display().to_string()).collect()
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let documents = read_all();
    assert!(documents.len() > 5, "only {} documents were found", documents.len());
    let broken = broken(&documents, |path| root().join(path).exists());
    assert!(broken.is_empty(), "links that lead nowhere:\n  {}", broken.join("\n  "));
}

#[test]
fn every_document_is_reached_from_the_readme() {
    let missed = unreached(&read_all());
    assert!(missed.is_empty(), "no way leads from the README to:\n  {}", missed.join("\n  "));
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let readme = "# A `b.c`: d\n[one](docs/x.md#a-bc-d) [two](docs/y.md) [three](https://e.org/#f) `[no](z.md)`\n\
        ```\n[no](z.md)\n# no\n```\n[four](#no) [five](#a-bc-d) [six](src)\n";
    let documents = BTreeMap::from([
        (PathBuf::from("README.md"), read(readme)),
        (PathBuf::from("docs/x.md"), read("## A b.c: d\n[up](../README.md) [beside](r/../x.md#gone)\n")),
        (PathBuf::from("docs/lost.md"), read("[x](x.md)")),
    ]);
    let found = broken(&documents, |path| path == Path::new("src"));
    assert_eq!(found, ["README.md: docs/y.md", "README.md: #no", "docs/x.md: r/../x.md#gone"]);
    assert_eq!(unreached(&documents), ["docs/lost.md"]);
}
