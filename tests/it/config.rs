//! The `config` room, through its door.

use std::path::Path;

use certhook::config::{Config, Errors};

/// The least environment with which the defaults are valid.
const ENVIRONMENT: [(&str, &str); 2] =
    [("CERTHOOK_API_KEY", "0123456789abcdef01234567"), ("NUMERAL_API_KEY", "sk_prod_canary")];

/// Loads a file of this content with the least environment and further variables.
fn load(toml: &str, variables: &[(&str, &str)]) -> Result<Config, Errors> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("certhook.toml");
    std::fs::write(&path, toml).expect("a file");
    load_from(&path, variables)
}

fn load_from(path: &Path, variables: &[(&str, &str)]) -> Result<Config, Errors> {
    let environment = ENVIRONMENT.iter().chain(variables);
    Config::load(Some(path), environment.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

#[test]
fn an_empty_file_gives_the_defaults() {
    println!("{:#?}", load("", &[]).unwrap());
    println!("{}", load("[server]\nlistn = 1\n[sources]\n[[source]]\nb=1\n[delivery]\ntimeout='3h'\nretry=[\n'5s',\n'x']\n[log]\nlevel='verbose'\nprobe=1", &[("CERTHOOK_SERVER__LISTEN","x"),("CERTHOOK_SERVER__LISTN","x"), ("CERTHOOK_SOURCES__NUMERAL__POLL__SWEEP", "0 0 0 30 2 *")]).unwrap_err());
    println!(
        "{}",
        load("[[sources]]\n\n[[sources]]\napi_key='sk_test_x'\n[sources.poll]\nchangs='1s'\npage_size=0", &[])
            .unwrap_err()
    );
    println!("{}", load("[[sources\na=1\na=2\nx='", &[]).unwrap_err());
    println!("{}", load("[log]\na=1\na=2\nx='\nlevel='info'", &[]).unwrap_err());
}
