//! How commands are given: words that are meant, keys, addresses, and the exit code of each mistake.

use certhook::cli::Cli;
use clap::{Arg, ArgAction, Command, CommandFactory};
use serde_json::Value;

use super::shell::{House, Shell};
use crate::support::process::{PATIENCE, free_port};

fn nowhere() -> Shell {
    Shell::new(&std::env::temp_dir(), &format!("http://127.0.0.1:{}", free_port()), None)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_bad_usage_and_says_what_would_be_right() {
    let shell = nowhere();
    for (arguments, help) in [
        (&["evnts"][..], "'events'"),
        (&["events", "lst"], "'list'"),
        (&["events", "list", "--limit", "0"], "0 is not in 1.."),
        (&["events", "list", "--all", "--limit", "3"], "cannot be used with"),
        (&["events", "list", "--since", "yesterday"], "2026-11-20T18:00Z, or how long ago"),
        (&["events", "list", "--types", "certificate.expirng"], "did you mean certificate.expiring?"),
        (&["events", "tail", "--types", "certificates.*"], "use *, a prefix such as certificate.*"),
        (&["endpoints", "create", "https://a.example/", "--start", "soon"], "must be now, earliest"),
        (&["endpoints", "create", "https://a.example/", "--header", "x"], "must be NAME: VALUE"),
        (&["endpoints", "test", "crm", "--type", "webhook.tset"], "did you mean webhook.test?"),
        (&["endpoints", "show", ".."], "is no id and no name"),
        (&["replay"], "<ENDPOINT>"),
        (&["replay", "crm", "--select", "some"], "missed, failed, all"),
        (&["sources", "removals", "keep", "numeral"], "<IDS>"),
        (&["keys", "create", "ci"], "--scopes"),
        (&["events", "list", "--api", "there"], "relative URL without a base"),
        (&["endpoints", "create", "https://a.example/", "--retry", "abc"], "--retry: must be a duration such as 30s"),
        (&["endpoints", "create", "https://a.example/", "--rate-limit", "9"], "--rate-limit: "),
        (&["endpoints", "create", "https://a.example/", "--replace"], "--uid"),
        (&["endpoints", "update", "crm"], "say what is to change"),
        (&["endpoints", "update", "crm", "--unset", "url"], "--unset url: is required"),
        (&["endpoints", "update", "crm", "--unset", "filter", "--source", "a"], "--unset: filter is given, too"),
        (&["endpoints", "rotate", "crm", "--overlap", "8d"], "--overlap: must be whole seconds, from 0s to 7d"),
        (&["replay", "crm", "--since", "1h", "--until", "2h"], "--until: must not be before --since"),
        (&["events", "list", "--since", "1h", "--until", "2h"], "--until: must not be before --since"),
        (&["deliveries", "list", "--since", "1h", "--until", "2h"], "--until: must not be before --since"),
        (&["keys", "create", "ci", "--scopes", "read", "--expires-in", "0s"], "--expires-in: must be in the future"),
        (&["events", "tail", "--forward-to", "http://127.0.0.1:9/"], "--key: give a key"),
        (&["sandbox", "trigger", "certificate.expirng"], "did you mean certificate.expiring?"),
    ] {
        let said = shell.run(arguments).await;
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{arguments:?}: {said:?}");
        assert!(said.err.contains(help), "{arguments:?}: {}", said.err);
    }
}

/// What an option or argument cannot be, by its name; `None` where any text may be meant: names for people, files, and
/// ids that only the gateway knows. `verify` tells a bad secret as the cause.
fn nonsense(name: &str) -> Option<&'static str> {
    Some(match name {
        "config" | "new_key" | "file" | "headers_file" | "body" | "key" | "ids" | "secrets" => return None,
        "api" | "forward_to" | "url" => "ftp://a.example",
        "listen" | "since" | "until" | "start" => "nowhere",
        "size" | "limit" => "-1",
        "max_in_flight" | "will_expire_days" => "99999",
        "duration" | "patience" | "tolerance" | "expires_in" | "overlap" | "retry" => "soon",
        "types" | "event_type" => "certificate.expirng",
        "pass" | "status" | "select" | "payload" | "format" | "ordering" | "scopes" | "shell" => "any",
        "source" | "endpoint" | "event" | "delivery" | "replay" | "key_id" => "..",
        "events" | "after" => "evt_x",
        "sources" => "No Such",
        "resource" | "uid" | "rate_limit" | "unset" => "a b",
        "customer" | "reference_customer" | "jurisdiction" => "",
        "customer_ids" | "reference_customer_ids" | "jurisdictions" | "certificate_type_ids" => "",
        "headers" | "metadata" => "x",
        "secret_file" => "nonsense",
        "name" | "description" => LONG,
        unknown => panic!("a new option: say here what it cannot be ({unknown})"),
    })
}

/// More than any line for people has.
const LONG: &str = include_str!("usage.rs");

/// Something that may be meant, for what must be given.
fn sense(name: &str) -> &'static str {
    match name {
        "url" => "https://a.example/",
        "event_type" => "certificate.expiring",
        "scopes" => "read",
        "shell" => "bash",
        "duration" => "1d",
        "headers" | "body" => "nonsense",
        _ => "a",
    }
}

/// Every command that does something, with the words that call it.
fn leaves(command: &Command, words: &[String], found: &mut Vec<(Vec<String>, Command)>) {
    let below: Vec<_> = command.get_subcommands().filter(|below| below.get_name() != "help").collect();
    for below in &below {
        leaves(below, &[words, &[below.get_name().to_owned()]].concat(), found);
    }
    if below.is_empty() || !command.is_subcommand_required_set() && !words.is_empty() {
        found.push((words.to_vec(), command.clone()));
    }
}

/// What is given of an option or argument, and how it is called in messages.
fn given(argument: &Arg, value: &str) -> (Vec<String>, String) {
    match argument.get_long() {
        Some(long) => (vec![format!("--{long}={value}")], format!("--{long}")),
        None => (vec![value.to_owned()], format!("<{}>", argument.get_value_names().expect("a name")[0])),
    }
}

/// Whatever can be told from the command alone is bad usage, in every command: the exit code is 2, the option is named,
/// and nothing was asked of a gateway.
#[tokio::test(flavor = "multi_thread")]
async fn no_command_takes_nonsense_for_a_value_and_each_names_the_option() {
    let mut whole = Cli::command();
    whole.build();
    let mut commands = Vec::new();
    leaves(&whole, &[], &mut commands);
    assert!(commands.len() > 30, "{}", commands.len());
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("nonsense"), "hush").expect("a file");
    let shell = Shell::new(folder.path(), &format!("http://127.0.0.1:{}", free_port()), Some("any"));
    for (words, command) in commands {
        let is_given = |argument: &&Arg| argument.get_action().takes_values() && !argument.is_hide_set();
        for argument in command.get_arguments().filter(is_given) {
            let name = argument.get_id().as_str();
            let is_capture = words[0] == "verify" && name == "headers";
            let Some(nonsense) = nonsense(if is_capture { "headers_file" } else { name }) else { continue };
            let (wrong, called) = given(argument, nonsense);
            let needed = command.get_arguments().filter(|other| other.is_required_set() && other.get_id() != name);
            let needed = needed.flat_map(|other| given(other, sense(other.get_id().as_str())).0);
            let arguments: Vec<_> = words.iter().cloned().chain(needed).chain(wrong).collect();
            let said = shell.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await;
            assert_eq!((said.code, said.out.as_str()), (2, ""), "{words:?} {called}: {said:?}");
            assert!(said.err.contains(&called), "{words:?} {called}: {}", said.err);
        }
        let flags = command.get_arguments().filter(|argument| matches!(argument.get_action(), ArgAction::SetTrue));
        for flag in flags {
            assert!(flag.get_help().is_some(), "{words:?} {}", flag.get_id());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_sandbox_answers_the_option_that_names_one_is_told() {
    let listen = format!("127.0.0.1:{}", free_port());
    for action in [&["advance", "1d"], &["trigger", "certificate.expiring"]] {
        let said = nowhere().run(&[&["sandbox", "--listen", &listen], &action[..]].concat()).await;
        assert_eq!((said.code, said.out.as_str()), (1, ""));
        assert!(said.err.contains(&format!("nothing answers at http://{listen}/")), "{}", said.err);
        assert!(said.err.contains("certhook sandbox") && said.err.contains("--listen"), "{}", said.err);
        assert!(!said.err.contains("CERTHOOK_API"), "that is a gateway's: {}", said.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_answers_the_address_and_the_remedy_are_told() {
    let shell = nowhere();
    let said = shell.run(&["events", "list"]).await;
    assert_eq!(said.code, 1);
    assert!(said.err.contains("nothing answers at http://127.0.0.1:"), "{}", said.err);
    assert!(said.err.contains("certhook serve --sandbox") && said.err.contains("CERTHOOK_API"), "{}", said.err);
    let said = shell.run(&["events", "list", "--json"]).await;
    let error: Value = serde_json::from_str(&said.err).expect("the error is JSON");
    assert_eq!((said.code, &error["type"]), (1, &Value::from("UNREACHABLE")));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shell_that_is_known_can_complete_commands() {
    for (shell, word) in [("bash", "complete -F"), ("zsh", "#compdef certhook"), ("fish", "complete -c certhook")] {
        let script = nowhere().done(&["completions", shell]).await;
        assert!(script.contains(word) && script.contains("forward-to"), "{shell}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut child = nowhere().command(&["completions", "bash"]).spawn().expect("it starts");
    drop(child.stdout.take());
    let ended = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").expect("an end");
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), &b""[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_wrong_key_is_told_with_what_would_be_right() {
    let house = House::start().await;
    let keyless = Shell::new(house.folder.path(), &house.gateway.url, None);
    for (said, message) in [
        (keyless.run(&["sources", "list"]).await, "authorization: Bearer"),
        (house.shell.run(&["sources", "list", "--key", "wrong"]).await, "this key opens nothing here"),
    ] {
        assert_eq!(said.code, 1);
        assert!(said.err.contains(message), "{}", said.err);
        assert!(said.err.contains("CERTHOOK_API_KEY") && said.err.contains("--key"), "{}", said.err);
    }
    let said = keyless.run(&["sources", "list", "--json"]).await;
    let error: Value = serde_json::from_str(&said.err).expect("the API's own error");
    assert_eq!((&error["code"], &error["type"]), (&Value::from(401), &Value::from("UNAUTHORIZED")));
    // Something else answers there.
    let wrong = Shell::new(house.folder.path(), &house.upstream.url, Some("any"));
    let said = wrong.run(&["events", "show", "evt_1"]).await;
    assert_eq!(said.code, 1);
    let path = format!("{}/below/", house.gateway.url);
    let said = Shell::new(house.folder.path(), &path, None).run(&["sources", "list"]).await;
    assert!(said.err.contains("there is no /below/v1/sources"), "an address may have a path: {}", said.err);
}
