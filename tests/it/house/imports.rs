//! Who may know whom: imports between rooms, and one home for each outside crate.

use super::reading::{File, is_name, leading_name, place, words};
use super::{SOURCES, assert_kept};

/// Which rooms a room may import, beside itself. What is not here does not know it: `detect` knows no time and no
/// store, `source` and `deliver` do not know each other, and the sandbox shares nothing with the gateway that it
/// must be able to catch out. Chance and random bytes come with `clock`. What `app` may import is everything.
const ROOMS: [(&str, &[&str]); 16] = [
    ("model", &[]),
    ("clock", &["model"]),
    ("telemetry", &["model"]),
    ("detect", &["model"]),
    ("source", &["model", "clock", "telemetry"]),
    ("store", &["model", "clock", "telemetry"]),
    ("watch", &["model", "clock", "source", "detect", "store", "telemetry"]),
    ("deliver", &["model", "clock", "store", "telemetry"]),
    ("api", &["model", "clock", "store", "telemetry"]),
    ("sandbox", &["model", "clock"]),
    ("config", &["model", "api", "deliver", "detect", "source", "store", "telemetry", "watch"]),
    ("client", &["api", "model"]),
    ("cli", &["api", "app", "client", "clock", "config", "model", "telemetry"]),
    ("main", &["cli"]),
    ("lib", &[]),
    ("app", &EVERYTHING_BELOW_APP),
];

const EVERYTHING_BELOW_APP: [&str; 11] =
    ["model", "clock", "telemetry", "detect", "source", "store", "watch", "deliver", "api", "sandbox", "config"];

/// Where an outside crate, or a part of the standard library, may be named. Paths that begin so.
const HOMES: [(&str, &[&str]); 28] = [
    ("axum", &["src/api/", "src/sandbox/", "src/app"]),
    ("tower", &["src/api/", "src/sandbox/", "src/app"]),
    ("tower_http", &["src/api/", "src/sandbox/", "src/app"]),
    ("hyper_util", &["src/api/", "src/sandbox/", "src/app", "src/deliver/transport/"]),
    ("h2", &["src/deliver/transport/"]),
    ("schemars", &["src/model/", "src/api/"]),
    ("rustls", &["src/deliver/transport/"]),
    ("rustls_native_certs", &["src/deliver/transport/"]),
    ("tokio_rustls", &["src/deliver/transport/"]),
    ("reqwest", &["src/source/http", "src/client"]),
    ("rustix", &["src/store/space", "src/telemetry/process"]),
    ("sled", &["src/store/sled"]),
    ("postcard", &["src/store/codec"]),
    ("lz4_flex", &["src/store/codec/packed"]),
    ("chacha20poly1305", &["src/store/vault"]),
    ("hmac", &["src/deliver/sign"]),
    ("sha2", &["src/deliver/sign", "src/api/auth", "src/api/idempotency"]),
    ("xxhash_rust", &["src/detect/fingerprint", "src/store/backup/"]),
    ("getrandom", &["src/clock.rs"]),
    ("clap", &["src/cli/", "src/main.rs"]),
    ("clap_complete", &["src/cli/mod.rs"]),
    ("comfy_table", &["src/cli/output.rs"]),
    ("indicatif", &["src/cli/progress.rs"]),
    ("toml", &["src/config/"]),
    ("tracing_subscriber", &["src/telemetry/logs"]),
    ("prometheus_client", &["src/telemetry/"]),
    ("tikv_jemallocator", &["src/app/mod.rs"]),
    ("stats_alloc", &["src/app/mod.rs"]),
];

/// Rooms that may name the meters anywhere: they make them, set them up or show them.
const MEASURED: [&str; 5] = ["telemetry", "config", "cli", "app", "lib"];

/// In the other rooms, the loops and doors that hold a meter.
const LOOPS: [&str; 10] = [
    "src/api/metrics.rs",
    "src/api/routes.rs",
    "src/deliver/board.rs",
    "src/deliver/mod.rs",
    "src/source/http/client.rs",
    "src/source/numeral/mod.rs",
    "src/store/sled/mod.rs",
    "src/store/sled/writer.rs",
    "src/watch/watcher.rs",
    "src/watch/watcher/look.rs",
];

/// The functions that read the environment of the process.
const ENVIRONMENT_READS: [&str; 4] = ["var", "vars", "var_os", "vars_os"];

/// The room that a file is in: the first part of its path below `src`.
fn room(file: &File) -> &str {
    leading_name(file.path.trim_start_matches("src/"))
}

/// The rooms that code names, each with its place: behind `crate::` or our own name, behind as many `super` as lead
/// out of the room, and inside the braces of such a path.
fn named_rooms(file: &File) -> Vec<(usize, &str)> {
    let mut named = Vec::new();
    for root in ["crate", "certhook"] {
        for start in words(&file.program, root) {
            named.extend(path_heads(&file.program, start + root.len()).into_iter().map(|room| (start, room)));
        }
    }
    // `src/a.rs` and `src/a/mod.rs` are one `super` below the root, `src/a/b.rs` and `src/a/b/mod.rs` two.
    let depth = file.path.trim_end_matches("/mod.rs").matches('/').count();
    let way_out = "super::".repeat(depth);
    for (start, _) in file.program.match_indices(&way_out) {
        named.extend(path_heads(&file.program, start + way_out.len() - 2).into_iter().map(|room| (start, room)));
    }
    named.retain(|(_, head)| ROOMS.iter().any(|(room, _)| room == head));
    named
}

/// The names behind a `::`, one or those in braces.
fn path_heads(code: &str, offset: usize) -> Vec<&str> {
    let Some(rest) = code[offset..].trim_start().strip_prefix("::") else { return Vec::new() };
    let rest = rest.trim_start();
    let Some(group) = rest.strip_prefix('{') else { return vec![leading_name(rest)] };
    let mut heads = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    for (offset, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                heads.push(leading_name(group[start..offset].trim_start()));
                start = offset + 1;
                if letter == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    heads
}

fn forbidden_imports(files: &[File]) -> Vec<String> {
    let mut forbidden = Vec::new();
    for file in files {
        let own = room(file);
        match ROOMS.iter().find(|(room, _)| *room == own) {
            None => forbidden.push(format!("{} is in no room of the table", file.path)),
            Some((_, allowed)) => {
                let others = named_rooms(file).into_iter().filter(|(_, other)| *other != own);
                let strangers = others.filter(|(_, other)| !allowed.contains(other));
                forbidden
                    .extend(strangers.map(|(start, other)| format!("{}: {own} imports {other}", place(file, start))));
            }
        }
    }
    forbidden
}

/// Outside crates that are named away from home.
fn strayed_crates(files: &[File]) -> Vec<String> {
    let mut strayed = Vec::new();
    for file in files {
        for (name, homes) in HOMES {
            if homes.iter().any(|home| file.path.starts_with(home)) || is_ours(file, name) {
                continue;
            }
            let named = words(&file.program, name).filter(|&start| begins_a_path(&file.program, start, name));
            strayed.extend(named.map(|start| format!("{} names {name}", place(file, start))));
        }
    }
    strayed
}

/// Whether a name is that of a module of ours in this file: declared, or imported from our own crate.
fn is_ours(file: &File, name: &str) -> bool {
    let declared = words(&file.program, "mod").any(|start| file.program[start + 3..].trim_start().starts_with(name));
    let imports = words(&file.program, "use").map(|start| file.program[start + 3..].trim_start());
    let ours = imports.filter(|path| ["crate::", "super::", "self::"].iter().any(|root| path.starts_with(root)));
    declared
        || ours.map(|path| &path[..path.find(';').unwrap_or(path.len())]).any(|path| words(path, name).next().is_some())
}

/// Whether the name at `start` is the first of a path (or the whole of a `use`), and so that of a crate.
fn begins_a_path(code: &str, start: usize, name: &str) -> bool {
    let before = code[..start].trim_end();
    let is_first = match before.strip_suffix("::") {
        Some(further) => !further.ends_with(|letter: char| is_name(letter) || letter == '>'),
        None => true,
    };
    let after = code[start + name.len()..].trim_start();
    is_first && (after.starts_with("::") || before.ends_with("use") || before.ends_with("extern crate"))
}

/// Decisions that measure: files that know of meters and are no loop.
fn measuring_decisions(files: &[File]) -> Vec<String> {
    let mut measuring = Vec::new();
    for file in files.iter().filter(|file| !MEASURED.contains(&room(file)) && !LOOPS.contains(&file.path.as_str())) {
        let telemetry = named_rooms(file).into_iter().filter(|(_, named)| *named == "telemetry");
        measuring.extend(telemetry.map(|(start, _)| format!("{} names telemetry", place(file, start))));
    }
    measuring
}

fn environment_reads(files: &[File]) -> Vec<String> {
    let mut reads = Vec::new();
    for file in files.iter().filter(|file| !file.path.starts_with("src/config/")) {
        for start in words(&file.program, "env") {
            let functions = path_heads(&file.program, start + "env".len());
            if functions.iter().any(|function| ENVIRONMENT_READS.contains(function)) {
                reads.push(format!("{} reads the environment", place(file, start)));
            }
        }
    }
    reads
}

#[test]
fn rooms_import_only_what_lies_upstream_of_them() {
    assert_kept("imports between rooms follow the table", &forbidden_imports(&SOURCES));
    let bad = [
        File::new("src/detect/diff.rs", "//! See [`crate::store`].\nuse crate::model::id;\nuse crate::store::Store;\n"),
        File::new(
            "src/source/http.rs",
            "use crate::{\n    clock::Clock,\n    deliver::{self, sign},\n    watch,\n};\n",
        ),
        File::new("src/deliver/sign.rs", "fn f() { crate::api::x() }\nuse super::super::watch;\nuse super::store;\n"),
        File::new("src/client.rs", "use super::model;\nuse super::config;\nlet x = \"crate::store\";\n"),
        File::new("src/main.rs", "use certhook::cli;\nuse certhook::store;\n"),
        File::new("src/store/mod.rs", "#[cfg(test)]\nmod tests {\n    use crate::watch::X;\n}\n"),
        File::new("src/drawer.rs", ""),
    ];
    assert_eq!(
        forbidden_imports(&bad),
        [
            "src/detect/diff.rs:3: detect imports store",
            "src/source/http.rs:1: source imports deliver",
            "src/source/http.rs:1: source imports watch",
            "src/deliver/sign.rs:1: deliver imports api",
            "src/deliver/sign.rs:2: deliver imports watch",
            "src/client.rs:2: client imports config",
            "src/main.rs:2: main imports store",
            "src/drawer.rs is in no room of the table",
        ]
    );
}

#[test]
fn every_outside_crate_has_its_home() {
    assert_kept("one outside crate, one home", &strayed_crates(&SOURCES));
    let bad = [
        File::new("src/store/sled/writer.rs", "use sled::Db;\n"),
        File::new("src/store/mod.rs", "pub mod sled;\nfn f() { sled::open() }\n"),
        File::new("src/app.rs", "use crate::store::sled;\nfn f() { sled::Store::open() }\n"),
        File::new("src/watch/mod.rs", "fn f(db: sled::Db) {}\n// sled::Db\nfn g() { crate::store::sled::open() }\n"),
        File::new("src/deliver/guard.rs", "use reqwest;\nuse ::hmac::Mac;\n"),
        File::new("src/model/id.rs", "#[derive(clap::Parser)]\nstruct S;\n"),
    ];
    let expected = [
        "src/watch/mod.rs:1 names sled",
        "src/deliver/guard.rs:1 names reqwest",
        "src/deliver/guard.rs:2 names hmac",
        "src/model/id.rs:1 names clap",
    ];
    assert_eq!(strayed_crates(&bad), expected);
}

#[test]
fn only_config_reads_the_environment() {
    assert_kept("config is the only reader of the environment", &environment_reads(&SOURCES));
    let bad = [
        File::new("src/config/mod.rs", "std::env::vars_os()"),
        File::new(
            "src/app.rs",
            "std::env::var(\"HOME\");\nuse std::env::{self, var_os};\nenv!(\"CARGO_PKG_VERSION\");\n",
        ),
        File::new("src/cli/mod.rs", "std::env::args();\nenv::temp_dir();\n"),
    ];
    assert_eq!(environment_reads(&bad), ["src/app.rs:1 reads the environment", "src/app.rs:2 reads the environment"]);
}

#[test]
fn only_loops_measure() {
    assert_kept("a decision measures nothing", &measuring_decisions(&SOURCES));
    let bad = [
        File::new("src/deliver/policy.rs", "use crate::telemetry::meters::Attempts;\n"),
        File::new("src/deliver/board.rs", "use crate::telemetry::meters::Attempts;\n"),
        File::new("src/app/scrape.rs", "use crate::telemetry::text::text;\n"),
        File::new("src/detect/diff.rs", "// crate::telemetry\nfn f() { crate::telemetry::install() }\n"),
    ];
    let expected = ["src/deliver/policy.rs:1 names telemetry", "src/detect/diff.rs:2 names telemetry"];
    assert_eq!(measuring_decisions(&bad), expected);
}
