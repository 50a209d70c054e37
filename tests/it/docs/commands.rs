//! The commands that the documents show: each is one that the program takes.

use certhook::cli::Cli;
use clap::Parser;
use clap::error::ErrorKind;

use super::{documents, root};

/// The commands of ours in the blocks of a document that are for a shell, and those between backticks in its prose.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (place, part) in text.split("\n```").enumerate() {
        if place % 2 == 1 {
            let lines = part.strip_prefix("sh\n").unwrap_or_default().lines();
            let lines = lines.map(|line| line.strip_prefix("sudo -u certhook ").unwrap_or(line));
            found.extend(lines.filter(|line| line.starts_with("certhook ")).map(str::to_owned));
        } else {
            let code = part.split('`').skip(1).step_by(2);
            found.extend(code.filter(|code| code.starts_with("certhook ")).map(|code| code.replace('\n', " ")));
        }
    }
    found
}

/// The words of a command, as far as our documents need a shell: quotes, `$(…)`, and remarks and pipes at its end.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for letter in command.chars() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (None, '(') => quote = Some(')'),
            (None, '#' | '|') if words.last().is_some_and(String::is_empty) => break,
            (None, ' ') => words.push(String::new()),
            (Some(_) | None, _) => words.last_mut().expect("a word").push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn every_command_that_is_shown_is_one() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for document in documents() {
        let text = std::fs::read_to_string(root().join(&document)).expect("a document");
        for command in commands(&text) {
            // `certhook COMMAND` and `…` stand for others.
            let words = words(&command);
            if words.get(1).is_none_or(|word| word.chars().all(|letter| !letter.is_lowercase())) {
                continue;
            }
            count += 1;
            let Err(error) = Cli::try_parse_from(&words) else { continue };
            let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::MissingSubcommand);
            // A group of commands may be named without one of them, and one without what it must be given.
            let is_named = words.len() <= 3
                && matches!(
                    error.kind(),
                    ErrorKind::MissingRequiredArgument | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                );
            if !is_help && !is_named {
                wrong.push(format!("{}: {command}: {error}", document.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 50, "{count} commands were found");
}
