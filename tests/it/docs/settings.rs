//! The configurations that the documents show: each is one that the gateway takes.

use certhook::config::Config;

use super::{documents, root};

/// The blocks of a document that are TOML.
fn blocks(text: &str) -> Vec<String> {
    let fenced = text.split("\n```").skip(1).step_by(2);
    fenced.filter_map(|block| block.strip_prefix("toml\n")).map(str::to_owned).collect()
}

#[test]
fn every_configuration_that_is_shown_is_valid() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, key) in [("api_key", "0123456789abcdef01234567\n"), ("numeral_api_key", "sk_prod_of_nobody\n")] {
        std::fs::write(folder.path().join(name), key).expect("a key file");
    }
    let path = folder.path().join("config.toml");
    let mut count = 0;
    for document in documents() {
        let text = std::fs::read_to_string(root().join(&document)).expect("a document");
        for block in blocks(&text) {
            std::fs::write(&path, block).expect("a configuration");
            let problems = Config::load(Some(&path), []).err().map(|problems| problems.to_string());
            assert_eq!(problems, None, "{}", document.display());
            count += 1;
        }
    }
    assert!(count > 0, "no document shows a configuration");
}
