//! Reading Rust as far as the rules need it: code without comments and literals, and where blocks end.

/// A source file.
pub(super) struct File {
    /// Its path in the repository, such as `src/store/mod.rs`.
    pub(super) path: String,
    /// As it stands on disk.
    pub(super) text: String,
    /// Line for line the same, with blanks for comments and for what is in quotes.
    pub(super) code: String,
    /// The code with blanks for `#[cfg(test)]` modules.
    pub(super) program: String,
}

impl File {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let code = without_comments_and_literals(text);
        let program = without_test_modules(&code);
        Self { path: path.into(), text: text.into(), code, program }
    }

    /// How many lines it has beside its test modules.
    pub(super) fn program_lines(&self) -> usize {
        let in_tests = test_modules(&self.code).into_iter().map(|(start, end)| self.code[start..end].lines().count());
        self.text.lines().count() - in_tests.sum::<usize>()
    }
}

/// `path:line`, for a place in a file's code.
pub(super) fn place(file: &File, offset: usize) -> String {
    format!("{}:{}", file.path, 1 + file.code[..offset].matches('\n').count())
}

/// Whether a character can be part of a name.
pub(super) fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Where a word stands in code, as a whole word.
pub(super) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(offset, _)| offset).filter(move |&offset| {
        let before = code[..offset].chars().next_back();
        let after = code[offset + word.len()..].chars().next();
        !before.is_some_and(is_name) && !after.is_some_and(is_name)
    })
}

/// The name that code begins with, if it begins with one.
pub(super) fn leading_name(code: &str) -> &str {
    let end = code.find(|letter| !is_name(letter)).unwrap_or(code.len());
    &code[..end]
}

/// The end of the block that the first `{` of the code opens, just behind its `}`. `None` if a `;` comes first.
pub(super) fn block_end(code: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut nested = 0_usize;
    for (offset, letter) in code.char_indices() {
        match letter {
            '(' | '[' => nested += 1,
            ')' | ']' => nested = nested.saturating_sub(1),
            ';' if depth == 0 && nested == 0 => return None,
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(offset + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Where `#[cfg(test)]` modules begin and end.
fn test_modules(code: &str) -> Vec<(usize, usize)> {
    const ATTRIBUTE: &str = "#[cfg(test)]";
    let mut modules = Vec::new();
    for (start, _) in code.match_indices(ATTRIBUTE) {
        let rest = &code[start + ATTRIBUTE.len()..];
        if rest.trim_start().starts_with("mod ")
            && let Some(length) = block_end(rest)
        {
            modules.push((start, start + ATTRIBUTE.len() + length));
        }
    }
    modules
}

fn without_test_modules(code: &str) -> String {
    let mut program = String::with_capacity(code.len());
    let mut kept = 0;
    for (start, end) in test_modules(code) {
        program.push_str(&code[kept..start]);
        program.push_str(&blank(&code[start..end]));
        kept = end;
    }
    program + &code[kept..]
}

fn without_comments_and_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let in_name = code.chars().next_back().is_some_and(is_name);
        let length = comment(rest).or_else(|| literal(rest, in_name));
        match length {
            Some(length) => code.push_str(&blank(&rest[..length])),
            None => code.push(letter),
        }
        rest = &rest[length.unwrap_or(letter.len_utf8())..];
    }
    code
}

/// As many blanks as there are bytes, so that offsets stay the same; line ends stay.
fn blank(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

/// The length of the comment that a text begins with.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let mut depth = 0;
    let mut offset = 0;
    while offset < text.len() {
        let rest = &text.as_bytes()[offset..];
        if rest.starts_with(b"/*") {
            depth += 1;
            offset += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            offset += 2;
            if depth == 0 {
                return Some(offset);
            }
        } else {
            offset += 1;
        }
    }
    Some(text.len())
}

/// The length of the string or character that a text begins with, its prefix included.
fn literal(text: &str, in_name: bool) -> Option<usize> {
    let prefixes = ["br", "cr", "b", "c", "r", ""];
    let prefix = prefixes.into_iter().find(|prefix| text.starts_with(prefix)).filter(|_| !in_name).unwrap_or("");
    let body = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let fence = body.len() - body.trim_start_matches('#').len();
        let opened = body[fence..].starts_with('"');
        let close = format!("\"{}", "#".repeat(fence));
        let inner = prefix.len() + fence + 1;
        return opened.then(|| text[inner..].find(&close).map_or(text.len(), |end| inner + end + close.len()));
    }
    if let Some(quoted) = body.strip_prefix('"') {
        return Some(prefix.len() + 1 + quoted_end(quoted, '"'));
    }
    let quoted = body.strip_prefix('\'')?;
    let mut letters = quoted.chars();
    match (letters.next()?, letters.next()?) {
        ('\\', _) => Some(prefix.len() + 1 + quoted_end(quoted, '\'')),
        (letter, '\'') => Some(prefix.len() + 2 + letter.len_utf8()),
        // A lifetime.
        (_, _) => None,
    }
}

/// Where a quoted text ends, just behind its closing quote.
fn quoted_end(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (offset, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if letter == quote => return offset + 1,
            _ => {}
        }
    }
    text.len()
}

#[test]
fn comments_and_literals_are_no_code() {
    for (text, code) in [
        ("a // b {\nc", "a\nc"),
        ("a /* b /* c */ d */ e", "a e"),
        ("f(\"fn x() {\")", "f( )"),
        ("\"a\\\"b\" c", "c"),
        ("r#\"a\"b\"# c r#type", "c r#type"),
        ("br\"\\\" c", "c"),
        ("'{' '\\'' '\\u{7b}' b'\"' c", "c"),
        ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
        ("for x in bar {}", "for x in bar {}"),
        ("\"ä\" c", "c"),
        ("//! `crate::x`\nuse y;", "use y;"),
    ] {
        let found = without_comments_and_literals(text);
        assert_eq!(found.split_whitespace().collect::<Vec<_>>(), code.split_whitespace().collect::<Vec<_>>(), "{text}");
        assert_eq!((found.len(), found.lines().count()), (text.len(), text.lines().count()), "{text}");
    }
}

#[test]
fn test_modules_are_no_program() {
    let text = "a\n#[cfg(test)]\nmod tests {\n    // a brace }\n\n    fn f() {}\n}\nb\n";
    let file = File::new("src/x.rs", text);
    assert_eq!(file.program.split_whitespace().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(file.program_lines(), 2);
    let outside = File::new("src/x.rs", "#[cfg(test)]\nmod tests;\nb {}\n");
    assert_eq!(outside.program_lines(), 3);
}
