//! Every way in which files get written, and two bundles to write.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use doorward::bundle::BundleFiles;

/// How many documents there are; each has a file of its own.
pub(super) const DOCS: usize = 8;

/// A bundle that permits the even documents, or the odd ones. Each names an action that the other
/// does not have, so that no mixture of their files is valid.
pub(super) fn bundle(odd: bool) -> BundleFiles {
    let own = if odd { "odd" } else { "even" };
    let schema = format!(
        "entity User; entity Doc; action read, {own} appliesTo {{ principal: User, resource: Doc }};\n"
    );
    let case = format!(
        "now: 2030-01-01T00:00:00Z\ncases:\n  - name: {own} documents are read\n    subject: {{ entity: 'User::\"u\"' }}\n    action: read\n    resource: 'Doc::\"{}\"'\n    expect: {{ decision: allow }}\n",
        usize::from(odd)
    );
    let mut files = BundleFiles::new([
        ("schema.cedarschema", schema),
        (
            "bundle.toml",
            "[[principal]]\ntype = \"User\"\nid = \"{sub}\"\n".to_owned(),
        ),
        ("tests/own.yaml", case),
    ]);
    for n in (usize::from(odd)..DOCS).step_by(2) {
        let policy = format!(
            "permit (principal, action in [Action::\"read\", Action::\"{own}\"], resource == Doc::\"{n}\");\n"
        );
        // Both bundles have the same files.
        files.insert(format!("part{0}/doc{0}.cedar", n / 2), policy);
    }
    files
}

/// Ways that work within any directory.
pub(super) const WITHIN: &[fn(&Path, &BundleFiles)] = &[
    in_place,
    in_halves,
    over_by_rename,
    as_an_editor,
    as_git,
    as_rsync,
];

/// Ways that replace the directory, so that it is of another kind afterwards.
pub(super) const WHOLE: &[fn(&Path, &BundleFiles)] = &[
    delete_and_recreate,
    swap_directories,
    swap_link,
    as_kubernetes,
];

pub(super) fn in_place(root: &Path, files: &BundleFiles) {
    each(root, files, |at, text| fs::write(at, text).unwrap());
}

fn in_halves(root: &Path, files: &BundleFiles) {
    each(root, files, |at, text| {
        let (first, rest) = text.as_bytes().split_at(text.len() / 2);
        let mut file = File::create(at).unwrap();
        file.write_all(first).unwrap();
        file.sync_data().unwrap();
        file.write_all(rest).unwrap();
    });
}

fn over_by_rename(root: &Path, files: &BundleFiles) {
    each(root, files, |at, text| {
        let side = beside(at, "", ".tmp");
        fs::write(&side, text).unwrap();
        fs::rename(side, at).unwrap();
    });
}

/// vim: tries the directory with `4913`, renames the old file to `name~`, writes a new one.
fn as_an_editor(root: &Path, files: &BundleFiles) {
    each(root, files, |at, text| {
        let probe = at.with_file_name("4913");
        fs::write(&probe, "").unwrap();
        fs::remove_file(probe).unwrap();
        let (swap, backup) = (beside(at, ".", ".swp"), beside(at, "", "~"));
        fs::write(&swap, "b0VIM").unwrap();
        let _new = fs::rename(at, &backup);
        fs::write(at, text).unwrap();
        let _none = fs::remove_file(backup);
        fs::remove_file(swap).unwrap();
    });
}

/// git: unlinks each file and creates it.
fn as_git(root: &Path, files: &BundleFiles) {
    each(root, files, |at, text| {
        let _none = fs::remove_file(at);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(at)
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    });
}

/// rsync: hidden files beside, all renamed at the end.
fn as_rsync(root: &Path, files: &BundleFiles) {
    each(root, files, |at, text| {
        fs::write(beside(at, ".", ".aB3xYz"), text).unwrap()
    });
    each(root, files, |at, _| {
        fs::rename(beside(at, ".", ".aB3xYz"), at).unwrap()
    });
}

fn delete_and_recreate(root: &Path, files: &BundleFiles) {
    remove(root);
    in_place(root, files);
}

fn swap_directories(root: &Path, files: &BundleFiles) {
    let (new, old) = (beside(root, "", ".new"), beside(root, "", ".old"));
    in_place(&new, files);
    remove(&old);
    let _none = fs::rename(root, old);
    fs::rename(new, root).unwrap();
}

/// The directory is a link to a release; the link is renamed over.
fn swap_link(root: &Path, files: &BundleFiles) {
    let release = fresh(root);
    in_place(&release, files);
    let side = beside(root, "", ".link");
    symlink(&release, &side).unwrap();
    if !root.is_symlink() {
        remove(root);
    }
    fs::rename(side, root).unwrap();
}

/// A mounted `ConfigMap`: entries are links through `..data`, which is renamed over.
fn as_kubernetes(root: &Path, files: &BundleFiles) {
    if !root.join("..data").is_symlink() {
        remove(root);
        fs::create_dir_all(root).unwrap();
    }
    let release = fresh(&root.join("..2030_01_01"));
    in_place(&release, files);
    let side = root.join("..data_tmp");
    symlink(release.file_name().unwrap(), &side).unwrap();
    fs::rename(side, root.join("..data")).unwrap();
    for (path, _) in files.iter() {
        let top = path.split('/').next().unwrap();
        if !root.join(top).exists() {
            symlink(Path::new("..data").join(top), root.join(top)).unwrap();
        }
    }
}

fn each(root: &Path, files: &BundleFiles, write: impl Fn(&Path, &str)) {
    for (path, text) in files.iter() {
        let at = root.join(&**path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        write(&at, text);
    }
}

fn beside(at: &Path, before: &str, after: &str) -> PathBuf {
    let name = at.file_name().unwrap().to_str().unwrap();
    at.with_file_name(format!("{before}{name}{after}"))
}

/// A name beside `at` that is not taken.
fn fresh(at: &Path) -> PathBuf {
    (0..)
        .map(|n| beside(at, "", &format!(".{n}")))
        .find(|it| !it.exists())
        .unwrap()
}

fn remove(root: &Path) {
    if root.is_symlink() {
        fs::remove_file(root).unwrap();
    } else if root.exists() {
        fs::remove_dir_all(root).unwrap();
    }
}
