//! What is written, and for whom: tables for people at a terminal, the same without lines where it goes into a file or
//! another program, JSON for programs.
//!
//! Text that came from elsewhere (a receiver's answer, a description) is shown without its control characters, so that
//! nobody can steer the terminal of an operator.

use std::io::{self, IsTerminal, Write};

use comfy_table::{ColumnConstraint, ContentArrangement, Table, TableStyle, presets};
use serde_json::Value;

/// What stands for what there is not.
const NOTHING: &str = "-";

/// The one who reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    json: bool,
    at_terminal: bool,
}

impl Output {
    /// Whoever is at standard output.
    pub(super) fn new(json: bool) -> Self {
        Self { json, at_terminal: io::stdout().is_terminal() }
    }

    /// Whether a program reads.
    pub(super) fn is_json(self) -> bool {
        self.json
    }

    /// Whether a person watches who can be shown how something goes on.
    pub(super) fn is_watched(self) -> bool {
        !self.json && self.at_terminal && io::stderr().is_terminal()
    }

    /// A value for a program; for people, what `show` makes of it.
    pub(super) fn value(self, value: &Value, show: impl FnOnce(Self) -> io::Result<()>) -> io::Result<()> {
        if self.json { self.json_line(value) } else { show(self) }
    }

    /// A value as a line of JSON.
    pub(super) fn json_line(self, value: &Value) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{value}")
    }

    /// A line of text.
    pub(super) fn line(self, text: &str) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{}", tame(text))
    }

    /// Something beside the matter, which does not belong to what was asked for. Nothing for programs.
    pub(super) fn note(self, text: &str) {
        if !self.json {
            // Where nobody hears it, nobody misses it.
            let _ = writeln!(io::stderr().lock(), "{}", tame(text));
        }
    }

    /// Something beside the matter that whoever gave the command must know.
    pub(super) fn announce(self, text: &str) -> io::Result<()> {
        writeln!(io::stderr().lock(), "{}", tame(text))
    }

    /// A table.
    pub(super) fn table(self, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> io::Result<()> {
        let mut table = self.empty_table(presets::UTF8_FULL_CONDENSED);
        table.set_header(header.iter().map(|name| name.to_uppercase()));
        self.print(table, rows)
    }

    /// What there is to say of one thing: names and values.
    pub(super) fn fields<'a>(self, fields: impl IntoIterator<Item = (&'a str, String)>) -> io::Result<()> {
        let rows = fields.into_iter().map(|(name, value)| vec![name.to_owned(), value]);
        self.print(self.empty_table(presets::NOTHING), rows)
    }

    fn empty_table(self, style: TableStyle) -> Table {
        let mut table = Table::new();
        if self.at_terminal {
            table.load_style(style).set_content_arrangement(ContentArrangement::Dynamic);
        } else {
            table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).force_no_tty();
        }
        table
    }

    fn print(self, mut table: Table, rows: impl IntoIterator<Item = Vec<String>>) -> io::Result<()> {
        table.add_rows(rows.into_iter().map(|row| row.iter().map(|cell| tame(cell)).collect::<Vec<_>>()));
        let has_lines = self.at_terminal && table.header().is_some();
        let has_blanks: Vec<bool> = (0..table.column_count()).map(|column| has_blanks(&table, column)).collect();
        for (place, (column, has_blanks)) in table.column_iter_mut().zip(has_blanks).enumerate() {
            if place == 0 && !has_lines {
                column.set_padding((0, 1));
            }
            if !has_blanks {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        let mut out = io::stdout().lock();
        for line in table.lines() {
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Whether a column holds words. What has no blank, such as an id, is never broken: somebody may want to copy it.
fn has_blanks(table: &Table, column: usize) -> bool {
    table.column_cells_iter(column).flatten().any(|cell| cell.content().contains(' '))
}

/// Text without the characters that a terminal obeys.
fn tame(text: &str) -> String {
    let harmless = |letter: char| !letter.is_control() || letter == '\n';
    if text.chars().all(harmless) {
        return text.into();
    }
    text.chars()
        .flat_map(|letter| if harmless(letter) { vec![letter] } else { letter.escape_unicode().collect() })
        .collect()
}

/// What stands at a place of a value, in words; a dash for nothing.
pub(super) fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).map_or_else(|| NOTHING.into(), words)
}

/// A value in words.
pub(super) fn words(value: &Value) -> String {
    match value {
        Value::Null => NOTHING.into(),
        Value::String(text) if text.is_empty() => NOTHING.into(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Number(number) => number.to_string(),
        Value::Array(entries) if entries.is_empty() => NOTHING.into(),
        Value::Array(entries) => entries.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let told = fields.iter().map(|(name, value)| (name, words(value))).filter(|(_, words)| words != NOTHING);
            let told: Vec<_> = told.map(|(name, words)| format!("{name}: {words}")).collect();
            if told.is_empty() { NOTHING.into() } else { told.join("; ") }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_receiver_cannot_steer_the_terminal() {
        assert_eq!(tame("a\u{1b}[2Jb\rc\u{9b}d\ne"), "a\\u{1b}[2Jb\\u{d}c\\u{9b}d\ne");
    }

    #[test]
    fn values_are_put_in_words() {
        let value = json!({"a": null, "b": [], "c": ["x", 1], "d": {"e": true, "f": ["g"], "h": []}});
        let told = ["/a", "/b", "/c", "/d", "/z"].map(|pointer| text(&value, pointer));
        assert_eq!(told, ["-", "-", "x, 1", "e: yes; f: g", "-"]);
    }
}
