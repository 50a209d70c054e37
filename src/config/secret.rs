//! Secrets: written out, in a variable of the environment, or in a file. Never shown, whatever is wrong with one.

use std::path::Path;

use secrecy::SecretString;

use super::document::{Entry, Table, Value};
use super::read_text;
use super::reader::{Reader, spelled_out, text};

/// A file that is larger holds no secret of ours, and is not read.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The forms that a secret can have.
const EXPECTED: &str = "must be a text, { env = \"NAME\" } or { file = \"PATH\" }";

/// Where a secret is.
pub(super) enum Secret {
    /// Found.
    Here(SecretString),
    /// In this variable, which is not set.
    Unset(String),
}

impl Reader<'_> {
    /// A secret that must be there. `remedy` completes "the variable … is not set; …".
    pub(super) fn secret(&self, key: &str, remedy: &str) -> Option<SecretString> {
        match self.find_secret(key)? {
            Secret::Here(secret) => Some(secret),
            Secret::Unset(variable) => {
                self.refuse(key, format!("needs the variable {variable}, which is not set; {remedy}"));
                None
            }
        }
    }

    /// A secret, or the variable that lacks it.
    pub(super) fn find_secret(&self, key: &str) -> Option<Secret> {
        match spelled_out(self.entry(key), '{') {
            Value::Text(text) | Value::Variable(text) => Some(Secret::Here(text.as_str().into())),
            Value::Table(table) => self.secret_elsewhere(key, &table),
            Value::Integer(_) | Value::Float(_) | Value::Flag(_) | Value::List(_) | Value::Other(_) => {
                self.refuse(key, EXPECTED);
                None
            }
        }
    }

    fn secret_elsewhere(&self, key: &str, table: &Table) -> Option<Secret> {
        let mut fields = table.iter().map(|(field, entry): (_, &Entry)| (field.as_str(), text(entry)));
        match (fields.next(), fields.next()) {
            (Some(("env", Some(name))), None) => match self.surroundings.environment.get(name) {
                Some(value) if value.is_empty() => {
                    self.refuse(key, format!("needs the variable {name}, which is empty; set it or unset it"));
                    None
                }
                Some(value) => Some(Secret::Here(value.as_str().into())),
                None => Some(Secret::Unset(name.into())),
            },
            (Some(("file", Some(path))), None) => match read(&self.surroundings.folder.join(path)) {
                Ok(secret) => Some(Secret::Here(secret)),
                Err(error) => {
                    self.refuse(key, format!("needs the file {path}, which cannot be read: {error}"));
                    None
                }
            },
            _ => {
                self.refuse(key, EXPECTED);
                None
            }
        }
    }
}

/// The content of a file without the line end that editors put there.
fn read(path: &Path) -> Result<SecretString, String> {
    let text = read_text(path, FILE_BYTES_MAX)?;
    let secret = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if secret.is_empty() { Err("it is empty".into()) } else { Ok(secret.into()) }
}
