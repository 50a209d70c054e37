//! The `config` room, through its door.

use std::path::Path;

use certhook::config::{Config, Errors};

mod broken;
mod defaults;
mod layers;
mod sandbox;
mod secrets;

/// The least environment with which the defaults are valid.
const ENVIRONMENT: [(&str, &str); 2] =
    [("CERTHOOK_API_KEY", "0123456789abcdef01234567"), ("NUMERAL_API_KEY", "sk_prod_of_nobody")];

/// Loads a file of this content with the least environment and further variables.
fn load(toml: &str, variables: &[(&str, &str)]) -> Result<Config, Errors> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("certhook.toml");
    std::fs::write(&path, toml).expect("a file");
    load_from(&path, variables)
}

/// Loads a file with the least environment and further variables.
fn load_from(path: &Path, variables: &[(&str, &str)]) -> Result<Config, Errors> {
    Config::load(Some(path), environment(variables))
}

fn environment(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    let variables = ENVIRONMENT.iter().chain(variables);
    variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The problems, with the file by its name alone.
fn problems(errors: &Errors) -> Vec<String> {
    let shown = |problem: String| match problem.split_once("certhook.toml") {
        Some((folder, rest)) if folder.starts_with('/') => format!("certhook.toml{rest}"),
        Some(_) | None => problem,
    };
    errors.iter().map(|problem| shown(problem.to_string())).collect()
}
