//! Files that a command is given.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context;

/// What is in a file, or comes on standard input where the path is `-`. Not more than so many bytes.
pub(super) fn read(path: &Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let opened: std::io::Result<Box<dyn Read>> = match path.to_str() {
        Some("-") => Ok(Box::new(std::io::stdin())),
        Some(_) | None => File::open(path).map(|file| Box::new(file) as _),
    };
    let read = opened.and_then(|from| from.take(bytes_max + 1).read_to_end(&mut bytes));
    read.with_context(|| format!("cannot read {}", path.display()))?;
    anyhow::ensure!(bytes.len() as u64 <= bytes_max, "{} has more than {bytes_max} bytes", path.display());
    Ok(bytes)
}
