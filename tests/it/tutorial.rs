//! `docs/authoring.md` is what really happens: its commands are run, in order, in one shell, and must
//! print what it shows.
//!
//! `UPDATE_TUTORIAL=1 cargo test --test it tutorial` writes what they print into it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread::sleep,
    time::Duration,
};

const DOORWARD: &str = env!("CARGO_BIN_EXE_doorward");
const PAGE: &str = "docs/authoring.md";
/// What a command's output ends with.
const END: &str = "--- the command ended with ";
/// How often a command marked `eventually` is tried, ten times a second.
const TRIES: usize = 600;

/// A command of the page with what it shows under it.
struct Step {
    command: String,
    shown: String,
    /// Whether it may take a while until the output is as shown.
    eventually: bool,
}

/// Text between the commands, and the commands of one fence.
enum Piece {
    Text(String),
    Fence { info: String, steps: Vec<Step> },
}

fn pieces(page: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = page;
    while let Some((text, fence)) = rest.split_once("```console") {
        pieces.push(Piece::Text(text.to_owned()));
        let (info, body) = fence.split_once('\n').unwrap();
        let (body, after) = body.split_once("```").unwrap();
        pieces.push(Piece::Fence {
            info: info.to_owned(),
            steps: steps(body, info.contains("eventually")),
        });
        rest = after;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    pieces
}

fn steps(body: &str, eventually: bool) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in body.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step {
                command: command.to_owned(),
                shown: String::new(),
                eventually,
            });
            continue;
        }
        let step = steps.last_mut().unwrap();
        match line.strip_prefix('>') {
            // The shell's second prompt, as long as nothing was printed.
            Some(more) if step.shown.is_empty() => {
                step.command.push('\n');
                step.command
                    .push_str(more.strip_prefix(' ').unwrap_or(more));
            }
            _ => {
                step.shown.push_str(line);
                step.shown.push('\n');
            }
        }
    }
    steps
}

/// A shell that runs one command after the other, in a directory of its own.
struct Shell {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Shell {
    fn start(dir: &Path) -> Self {
        let bin = dir.join(".bin");
        fs::create_dir(&bin).unwrap();
        // Servers of other tests have the usual ports.
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = port.local_addr().unwrap().port();
        let wrapper = format!(
            "#!/bin/sh\ncase \"$1\" in\n  serve) exec '{DOORWARD}' \"$@\" --grpc 127.0.0.1:{port} --http 127.0.0.1:0 --probe 127.0.0.1:0 ;;\n  check) exec '{DOORWARD}' \"$@\" --addr http://127.0.0.1:{port} ;;\n  *) exec '{DOORWARD}' \"$@\" ;;\nesac\n"
        );
        fs::write(bin.join("doorward"), wrapper).unwrap();
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(bin.join("doorward"), mode).unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut child = Command::new("bash")
            .args(["--noprofile", "--norc"])
            .current_dir(dir)
            .env("PATH", path)
            .env_remove("DOORWARD_CONFIG")
            .env("NO_COLOR", "1")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        writeln!(stdin, "exec 2>&1").unwrap();
        Self {
            stdin,
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    fn run(&mut self, command: &str) -> String {
        writeln!(self.stdin, "{command}\nprintf '\\n{END}%s\\n' $?").unwrap();
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            let read = self.stdout.read_line(&mut line).unwrap();
            assert!(read > 0, "the shell ended at `{command}`: {printed}");
            if line.starts_with(END) {
                break;
            }
            printed.push_str(&line);
        }
        // The line break before the end mark is ours, unless the output ends without one.
        printed.pop();
        printed
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // With what it started and left running.
        let group = format!("-{}", self.child.id());
        let _already_gone = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _reaped = self.child.wait();
    }
}

/// Lines of which only the name is the same in every run.
const DIFFER: [&str; 3] = ["  revision ", "  took ", "    token sha "];

/// What differs from run to run: digests, identifiers, ports, times.
fn masked(text: &str) -> String {
    let named = |line: &str| DIFFER.iter().find(|name| line.starts_with(*name)).copied();
    let text = text.lines().map(|line| named(line).unwrap_or(line));
    let text = &text.collect::<Vec<_>>().join("\n");
    let is_word = |char: char| char.is_ascii_alphanumeric() || "-:.+".contains(char);
    let mut out = String::new();
    let mut word = String::new();
    for char in text.chars().chain([' ']) {
        if is_word(char) {
            word.push(char);
            continue;
        }
        out.push_str(mask(&word));
        word.clear();
        out.push(char);
    }
    // Of columns that follow what is masked the width differs too.
    let lines = out.lines().map(str::trim_end);
    lines.collect::<Vec<_>>().join("\n")
}

fn mask(word: &str) -> &str {
    let hex = |text: &str| text.chars().all(|char| char.is_ascii_hexdigit());
    let parts: Vec<&str> = word.split('-').collect();
    let has_digit = word.contains(|char: char| char.is_ascii_digit());
    match () {
        () if parts.len() == 5 && word.len() == 36 && parts.iter().all(|it| hex(it)) => "<id>",
        () if (word.len() == 12 || word.len() == 64) && hex(word) && has_digit => "<digest>",
        () if word.starts_with("127.0.0.1:") => "<address>",
        () if word.len() > 18 && word.contains('T') && word.ends_with('Z') => "<time>",
        () => word,
    }
}

#[test]
fn the_tutorial_shows_what_really_happens() {
    let page = fs::read_to_string(PAGE).unwrap();
    let update = std::env::var_os("UPDATE_TUTORIAL").is_some();
    let dir = tempfile::tempdir().unwrap();
    let mut shell = Shell::start(dir.path());
    let (mut written, mut ran) = (String::new(), 0);
    for piece in pieces(&page) {
        let (info, steps) = match piece {
            Piece::Text(text) => {
                written.push_str(&text);
                continue;
            }
            Piece::Fence { info, steps } => (info, steps),
        };
        written.push_str(&format!("```console{info}\n"));
        for step in steps {
            ran += 1;
            let mut printed = shell.run(&step.command);
            let mut tries = 0;
            while step.eventually && masked(&printed) != masked(&step.shown) && tries < TRIES {
                tries += 1;
                sleep(Duration::from_millis(100));
                printed = shell.run(&step.command);
                if update && tries > 100 {
                    break;
                }
            }
            if !update {
                let (printed, shown) = (masked(&printed), masked(&step.shown));
                let command = &step.command;
                assert!(
                    printed == shown,
                    "$ {command}\n{printed}\n--- but {PAGE} shows\n{shown}"
                );
            }
            let command = step.command.replace('\n', "\n> ");
            written.push_str(&format!("$ {command}\n{printed}"));
            if !printed.is_empty() && !printed.ends_with('\n') {
                written.push('\n');
            }
        }
        written.push_str("```");
    }
    assert!(ran > 10, "only {ran} commands");
    if update {
        fs::write(PAGE, written.replace("\n> \n", "\n>\n")).unwrap();
    }
}

#[test]
fn what_differs_from_run_to_run_is_masked() {
    for (text, expected) in [
        ("digest 25a5b81fd1a8", "digest <digest>"),
        (
            "id 01a1fd86-cd60-7a93-b2e1-e92a64df74bd.",
            "id 01a1fd86-cd60-7a93-b2e1-e92a64df74bd.",
        ),
        ("id 01a1fd86-cd60-7a93-b2e1-e92a64df74bd", "id <id>"),
        ("http://127.0.0.1:4711/x", "http://<address>/x"),
        ("at 2026-11-21T13:00:00.123Z", "at <time>"),
        ("deadbeefcafe", "deadbeefcafe"),
        ("roles.cedar:12", "roles.cedar:12"),
        ("  took      12 µs, record 3\n  when", "  took\n  when"),
    ] {
        assert_eq!(masked(text), expected);
    }
}
