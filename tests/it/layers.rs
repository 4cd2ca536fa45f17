//! Holds the plan of the house: who may import whom, and which crates are named where.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The modules of the crate and their levels; a module imports lower levels only.
const LEVELS: &[(&str, u8)] = &[
    ("model", 0),
    ("metrics", 0),
    ("proto", 0),
    ("config", 1),
    ("policy", 1),
    ("ledger", 1),
    ("watch", 1),
    ("client", 1),
    ("bundle", 2),
    ("store", 2),
    ("authn", 3),
    ("pip", 3),
    ("audit", 3),
    ("pdp", 4),
    ("pap", 5),
    ("pep", 5),
    ("admin", 6),
    ("server", 7),
    ("cli", 8),
];

/// Words, by their beginning, that only code under these paths may say.
const WIRE: &[&str] = &["proto/", "client/", "pep/", "admin/", "server/"];
const HOMES: &[(&str, &[&str])] = &[
    ("tonic", WIRE),
    ("axum", WIRE),
    ("cedar_policy_core", &["policy/core"]),
    (
        "cedar_policy",
        &["model/", "policy/", "bundle/", "pip/", "pap/"],
    ),
    ("spawn", &["server/"]),
    ("notify", &["watch/"]),
    ("sled", &["store/"]),
];

const MAX_LINES: usize = 500;

#[test]
fn modules_import_lower_levels_only_and_crates_stay_at_home() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut files, mut faults) = (0, Vec::new());
    for path in rust_files(&root.join("src")) {
        let source = fs::read_to_string(&path).unwrap();
        let path = path.strip_prefix(root.join("src")).unwrap();
        faults.extend(faults_in(path.to_str().unwrap(), &source));
        files += 1;
    }
    for path in rust_files(&root.join("tests")) {
        faults.extend(too_long(
            path.to_str().unwrap(),
            &fs::read_to_string(&path).unwrap(),
        ));
    }
    assert!(files > LEVELS.len(), "read only {files} files");
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    entries
        .into_iter()
        .flat_map(|path| match path.is_dir() {
            true => rust_files(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// What is wrong with the file `path` (relative to `src/`).
fn faults_in(path: &str, source: &str) -> Vec<String> {
    let level_of = |name: &str| LEVELS.iter().find(|(module, _)| *module == name);
    let mut faults = too_long(path, source);
    let tokens = tokens(source);
    if let Some((module, inner)) = path.split_once('/') {
        let Some((_, level)) = level_of(module) else {
            return vec![format!(
                "{path}: `{module}` has no level: add it to the table here and in lib.rs"
            )];
        };
        // How many `super` lead to the crate's root; `a/mod.rs` and `a/b.rs` are one and two deep.
        let depth = path.split('/').count() - usize::from(inner.ends_with("mod.rs"));
        for import in imports(&tokens, depth) {
            match level_of(import) {
                _ if import == module => {}
                Some((_, other)) if other < level => {}
                Some(_) => faults.push(format!("{path}: imports `{import}`, which is not below")),
                None => faults.push(format!("{path}: imports `{import}` from the crate's root")),
            }
        }
    }
    for named in tokens.windows(2).filter_map(|pair| match pair {
        ["use", name] | [name, "::"] => Some(name),
        // Blocking work that is awaited where it starts is no task of its own.
        [call, "("] if call.starts_with("spawn") && *call != "spawn_blocking" => Some(call),
        _ => None,
    }) {
        // The first home that fits the word decides, so the longer name stands first.
        if let Some((word, homes)) = HOMES.iter().find(|(word, _)| named.starts_with(word))
            && !homes.iter().any(|home| path.starts_with(home))
        {
            faults.push(format!("{path}: `{named}` is for {homes:?} alone ({word})"));
        }
    }
    faults.dedup();
    faults
}

fn too_long(path: &str, source: &str) -> Vec<String> {
    let lines = source.lines().count();
    let fault = format!("{path}: {lines} lines, more than {MAX_LINES}");
    (lines > MAX_LINES).then_some(fault).into_iter().collect()
}

/// Words, `::` and single characters; comments are left out.
fn tokens(source: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    for line in source.lines() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match rest {
                _ if rest.starts_with("//") => break,
                _ if rest.starts_with("::") => 2,
                _ => match rest.find(|c: char| !c.is_alphanumeric() && c != '_') {
                    None => rest.len(),
                    Some(0) => first.len_utf8(),
                    Some(end) => end,
                },
            };
            tokens.push(&rest[..length]);
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

/// The top-level modules a file names: `crate::a`, `crate::{a::b, c}`, and `super::a` after as many
/// `super` as the file is deep.
fn imports<'a>(tokens: &[&'a str], depth: usize) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut supers = 0;
    for (at, pair) in tokens.windows(2).enumerate() {
        supers = match pair {
            ["super", "::"] => supers + 1,
            ["::", "super"] => supers,
            _ => 0,
        };
        let heads = heads(&tokens[at + 2..]);
        match pair {
            ["crate", "::"] => found.extend(heads),
            // In an inline module of tests it may be something of the file itself.
            ["super", "::"] if supers >= depth => found.extend(
                heads
                    .into_iter()
                    .filter(|name| LEVELS.iter().any(|(module, _)| module == name)),
            ),
            _ => {}
        }
    }
    found
}

/// The names that stand first in the rest of a path: `a::b`, or `{a::b, c}`.
fn heads<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    if rest.first() != Some(&"{") {
        return rest.first().copied().into_iter().collect();
    }
    let (mut heads, mut depth) = (Vec::new(), 0);
    for pair in rest.windows(2) {
        match pair[0] {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        match depth {
            0 => break,
            1 if matches!(pair[0], "{" | ",") && pair[1] != "}" => heads.push(pair[1]),
            _ => {}
        }
    }
    heads
}

#[track_caller]
fn check(path: &str, source: &str, faults: usize) {
    let found = faults_in(path, source);
    assert_eq!(found.len(), faults, "{path}: {source}\n{found:#?}");
}

#[test]
fn imports_of_the_same_or_a_higher_level_are_found() {
    check("pip/mod.rs", "use crate::model::Value;", 0);
    check("pip/mod.rs", "use crate::pip::slice;", 0);
    check("pip/mod.rs", "use crate::{bundle::Snapshot, model};", 0);
    check("pip/mod.rs", "//! Feeds [`crate::pdp`].", 0);
    check("pip/mod.rs", "use super::pdp::Pdp;", 1);
    check("pip/mod.rs", "use super::{pdp, slice};", 1);
    check("pip/slice.rs", "use super::gather;", 0);
    check("pip/slice.rs", "use super::super::pdp::Pdp;", 1);
    check("pip/slice/tests.rs", "use super::super::{gather, pdp};", 0);
    check(
        "pip/slice/tests.rs",
        "use super::super::super::pdp::Pdp;",
        1,
    );
    check("pip/slice.rs", "use crate::pdp::Pdp;", 1);
    check("pip/slice.rs", "use crate::authn::Identity;", 1);
    check("pip/slice.rs", "fn f(x: &crate::server::Clock) {}", 1);
    check(
        "pip/slice.rs",
        "use crate::{\n    model::{Value, EntityRef},\n    pdp,\n    pep::{grpc, status},\n};",
        2,
    );
    check("pip/slice.rs", "use crate::VERSION;", 1);
    check("helpers/mod.rs", "", 1);
    check("lib.rs", "pub mod server;", 0);
}

#[test]
fn crates_named_away_from_home_are_found() {
    check("pep/status.rs", "use tonic::Status;", 0);
    check("pdp/mod.rs", "use tonic::Status;", 1);
    check("authn/mod.rs", "fn f() -> tonic_types::ErrorDetails {}", 1);
    check("pdp/mod.rs", "use axum::Router;", 1);
    check("pip/mod.rs", "use cedar_policy::Entities;", 0);
    check("pdp/mod.rs", "let e = cedar_policy::Entities::empty();", 1);
    check("policy/core.rs", "use cedar_policy_core::ast;", 0);
    check("policy/index.rs", "use cedar_policy_core::ast;", 1);
    check("authn/keys.rs", "tokio::spawn(async {});", 1);
    check("audit/mod.rs", "tasks.spawn(write());", 1);
    check("audit/mod.rs", "tokio::task::spawn_local(f);", 1);
    check("audit/mod.rs", "tokio::task::spawn_blocking(f).await;", 0);
    check("server/tasks.rs", "tokio::spawn(async {});", 0);
    check("bundle/mod.rs", "use notify::Watcher;", 1);
    check("pip/mod.rs", "let db = sled::open(path)?;", 1);
    check("pip/mod.rs", "// tonic::Status is not for us", 0);
}

#[test]
fn files_of_more_than_500_lines_are_found() {
    check("pip/mod.rs", &"\n".repeat(500), 0);
    check("pip/mod.rs", &"\n".repeat(501), 1);
}
