//! Texts that others wrote, made fit for our errors and logs.

/// The longest text of others that we repeat, in characters: enough for a sentence, too short to flood a log.
const TEXT_CHARS_MAX: usize = 300;

/// The longest word that we repeat as an error's type, in characters.
const WORD_CHARS_MAX: usize = 64;

/// Repeats a text without the API key, without the query of any URL, on one line and not too long.
pub(super) fn text(original: &str, api_key: &str) -> String {
    cleaned(original, api_key, TEXT_CHARS_MAX)
}

/// The same for a word that names an error.
pub(super) fn word(original: &str, api_key: &str) -> String {
    cleaned(original, api_key, WORD_CHARS_MAX)
}

fn cleaned(original: &str, api_key: &str, chars_max: usize) -> String {
    let without_key = if api_key.is_empty() { original.into() } else { original.replace(api_key, "***") };
    let words: Vec<String> = without_key.split(|c: char| c.is_whitespace() || c.is_control()).map(masked).collect();
    let line = words.iter().filter(|word| !word.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Masks what follows a question mark inside of something that has a slash before it: a URL, whole or relative.
fn masked(word: &str) -> String {
    match word.split_once('?') {
        Some((before, query)) if before.contains('/') && !query.is_empty() => format!("{before}?***"),
        Some(_) | None => word.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_repeated_without_secrets() {
        for (original, repeated) in [
            ("Certificate not found", "Certificate not found"),
            ("Bad key sk_live_1, use another", "Bad key ***, use another"),
            ("see https://x.test/a?sig=1&b=2 for more", "see https://x.test/a?*** for more"),
            (r#"{"url":"https://x.test/a?sig=1","b":2}"#, r#"{"url":"https://x.test/a?***"#),
            ("Cannot GET /tax/certificates?cursor=c1", "Cannot GET /tax/certificates?***"),
            ("What? Why/how?", "What? Why/how?"),
            ("a\r\n\tb\u{1b}[31mc\0", "a b [31mc"),
            ("", ""),
        ] {
            assert_eq!(text(original, "sk_live_1"), repeated);
        }
    }

    #[test]
    fn what_others_wrote_is_cut_between_characters() {
        let cut = text(&"ä".repeat(1000), "");
        assert_eq!(cut, format!("{}…", "ä".repeat(300)));
        assert_eq!(word(&"A".repeat(65), "").chars().count(), 65);
    }
}
