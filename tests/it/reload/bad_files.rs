//! Directories that are no bundle: what is not a plain file within the directory is refused.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
    process::Command,
};

use doorward::bundle::{BundleFiles, BundleLimits};

use super::ways::{bundle, in_place};

/// Arranges a directory within another, and tells the rules of the faults found, or none.
#[track_caller]
fn check(row: &str, arrange: impl Fn(&Path), expected: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("rules");
    in_place(&root, &bundle(false));
    arrange(&root);
    let limits = BundleLimits {
        files: 200,
        bytes: 100_000,
        depth: 16,
    };
    let found: Vec<&str> = match BundleFiles::read(&root, limits) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(|fault| fault.rule).collect(),
    };
    assert_eq!(found, expected, "{row}");
}

#[test]
fn h15_links_may_not_lead_out_of_the_directory() {
    let link = |target: &'static str, name: &'static str| {
        move |root: &Path| symlink(target, root.join(name)).unwrap()
    };
    check("H15 absolute", link("/etc/passwd", "x.cedar"), &["link"]);
    check("H15 relative", link("../../x", "x.cedar"), &["link"]);
    check("H15 a folder", link("/etc", "x"), &["link"]);
    check("H15 above", link("..", "x"), &["link"]);
    check("H15 to itself", link("x.cedar", "x.cedar"), &["link"]);
    check("H15 in a circle", link(".", "x"), &["link"]);
    check("H15 into itself", link("..", "part0/up"), &["link"]);
    check("H15 into the void", link("nowhere", "x.cedar"), &["link"]);
    check("H15 no file of ours", link("/etc/passwd", "notes.txt"), &[]);
    check(
        "H15 an editor's lock",
        link("me@host.42:1", ".#x.cedar"),
        &[],
    );
    check("H15 within", link("part1/doc1.cedar", "x.cedar"), &[]);
    check("H15 a folder within", link("part1", "more"), &[]);
}

#[test]
fn h15_only_plain_files_are_read() {
    let fifo = |root: &Path| {
        let made = Command::new("mkfifo").arg(root.join("x.cedar")).status();
        assert!(made.unwrap().success());
    };
    check("H15 FIFO", fifo, &["not_a_file"]);
    let linked = |root: &Path| {
        let made = Command::new("mkfifo").arg(root.join("pipe")).status();
        assert!(made.unwrap().success());
        symlink("pipe", root.join("x.cedar")).unwrap();
    };
    check("H15 link to a FIFO", linked, &["not_a_file"]);
    let socket = |root: &Path| drop(UnixListener::bind(root.join("x.cedar")).unwrap());
    check("H15 socket", socket, &["not_a_file"]);
    check(
        "H15 device",
        |root| symlink("/dev/zero", root.join("x.cedar")).unwrap(),
        &["link"],
    );
    let folder = |root: &Path| fs::create_dir(root.join("x.cedar")).unwrap();
    check("a folder of that name", folder, &[]);
    check(
        "not UTF-8",
        |root| fs::write(root.join("x.cedar"), [0xff]).unwrap(),
        &["not_utf8"],
    );
}

#[test]
fn h15_depth_number_and_size_are_bounded() {
    let deep =
        |depth| move |root: &Path| fs::create_dir_all(root.join("d/".repeat(depth))).unwrap();
    check("H15 depth 15", deep(15), &[]);
    check("H15 depth 500", deep(500), &["bundle_too_deep"]);
    let many = |root: &Path| {
        for n in 0..300 {
            fs::write(root.join(format!("{n}.txt")), "").unwrap();
        }
    };
    check("H15 many files", many, &["bundle_too_large"]);
    let large = |root: &Path| fs::write(root.join("x.cedar"), "x".repeat(100_001)).unwrap();
    check("H03 large", large, &["bundle_too_large"]);
}

#[test]
fn h13_leftovers_of_editors_are_left_alone() {
    let leftovers = |root: &Path| {
        for name in [
            "4913",
            ".x.cedar.swp",
            "x.cedar~",
            "#x.cedar#",
            ".x.cedar.aB3xYz",
            "x.cedar.orig",
        ] {
            fs::write(root.join(name), "half of").unwrap();
        }
    };
    check("H13", leftovers, &[]);
}

#[test]
fn a_missing_directory_or_schema_is_a_fault() {
    let missing = BundleFiles::read(Path::new("/nowhere/at/all"), BundleLimits::default());
    assert_eq!(missing.unwrap_err()[0].rule, "unreadable");
    check(
        "schema",
        |root| fs::remove_file(root.join("schema.cedarschema")).unwrap(),
        &["no_schema"],
    );
}
