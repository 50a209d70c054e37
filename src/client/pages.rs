//! Lists, page by page.

use serde_json::Value;

use super::{Client, ClientError, Query};
use crate::api::PAGE_LIMIT_MAX;

/// Reads a list until there is no more of it, or enough.
#[derive(Debug)]
pub struct Pages<'a> {
    client: &'a Client,
    path: &'a [&'a str],
    query: Query,
    cursor: Option<String>,
    /// How many are still wanted; `None`: all.
    wanted: Option<u64>,
    has_more: bool,
}

impl Client {
    /// A list, of which at most `wanted` entries are read; `None`: all of it.
    pub fn pages<'a>(&'a self, path: &'a [&'a str], query: Query, wanted: Option<u64>) -> Pages<'a> {
        Pages { client: self, path, query, cursor: None, wanted, has_more: true }
    }
}

impl Pages<'_> {
    /// The next entries; `None` at the end. A page of a filtered list may be empty and not the last.
    ///
    /// # Errors
    /// Those of [`Client::get`].
    pub async fn next(&mut self) -> Result<Option<Vec<Value>>, ClientError> {
        if !self.has_more || self.wanted == Some(0) {
            return Ok(None);
        }
        let size = self.wanted.map_or(PAGE_LIMIT_MAX as u64, |wanted| wanted.min(PAGE_LIMIT_MAX as u64));
        let mut query = self.query.clone();
        query.push(("limit", size.to_string()));
        query.extend(self.cursor.take().map(|cursor| ("cursor", cursor)));
        let mut page = self.client.get(self.path, &query).await?;
        self.cursor = page.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
        self.has_more = self.cursor.is_some();
        let entries = match page.get_mut("data").map(Value::take) {
            Some(Value::Array(entries)) => entries,
            Some(_) | None => return Err(self.client.foreign(200)),
        };
        self.wanted = self.wanted.map(|wanted| wanted.saturating_sub(entries.len() as u64));
        Ok(Some(entries))
    }

    /// All the entries that are wanted. Only for lists that are known to be short, or with a limit.
    ///
    /// # Errors
    /// Those of [`Client::get`].
    pub async fn collect(mut self) -> Result<Vec<Value>, ClientError> {
        let mut entries = Vec::new();
        while let Some(page) = self.next().await? {
            entries.extend(page);
        }
        Ok(entries)
    }

    /// Whether the list goes on behind what was wanted.
    pub fn has_more(&self) -> bool {
        self.has_more
    }
}
