//! The servers under load, each a process on core 0.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use doorward::authn::DevIssuer;
use tempfile::TempDir;

use super::{common::Shape, noop};

/// What a server is started with.
pub(crate) struct Rig {
    dir: TempDir,
    pub(crate) issuer: DevIssuer,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Audit {
    Off,
    BestEffort,
}

/// A server that runs; killed when dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Rig {
    pub(crate) fn new(shape: Shape) -> Self {
        let dir = TempDir::new().unwrap();
        let rules = dir.path().join("policies");
        fs::create_dir(&rules).unwrap();
        for (path, text) in shape.files().iter() {
            fs::write(rules.join(&**path), text).unwrap();
        }
        let data = dir.path().join("data");
        // The server marks its data directory, so it must be the one to make it.
        let mut rig = Self {
            issuer: DevIssuer::open(&dir.path().join("first")).unwrap(),
            dir,
        };
        drop(rig.doorward(Audit::Off));
        rig.issuer = DevIssuer::open(&data).unwrap();
        rig
    }

    pub(crate) fn doorward(&self, audit: Audit) -> Served {
        let program = std::env::var_os("WIRE_DOORWARD").map_or_else(
            || PathBuf::from(env!("CARGO_BIN_EXE_doorward")),
            PathBuf::from,
        );
        let mut command = Command::new("taskset");
        command
            .args(["-c", "0"])
            .arg(fs::canonicalize(program).unwrap());
        command.current_dir(self.dir.path());
        command.args(["serve", "--dev", "--bundle", "policies", "--data", "data"]);
        for listener in ["--grpc", "--http", "--probe"] {
            command.args([listener, "127.0.0.1:0"]);
        }
        command.env("DOORWARD_LOG", "warn").env(
            "DOORWARD_AUDIT__MODE",
            match audit {
                Audit::Off => "off",
                Audit::BestEffort => "best_effort",
            },
        );
        Served::start(command)
    }

    pub(crate) fn noop(&self, answer: &[u8]) -> Served {
        let mut command = Command::new("taskset");
        command
            .args(["-c", "0"])
            .arg(std::env::current_exe().unwrap());
        command
            .arg(noop::ROLE)
            .env(noop::ANSWER, STANDARD.encode(answer));
        Served::start(command)
    }
}

impl Served {
    /// Waits until it says where it answers.
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("the server ended").unwrap();
            let found = line.trim().strip_prefix("gRPC").map(|it| it.trim().parse());
            if let Some(Ok(address)) = found {
                break address;
            }
        };
        // Read to the end, so that the server never waits for a reader.
        thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    /// The processor time that it has taken, in microseconds.
    pub(crate) fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // Fields 14 and 15, in ticks of 10 ms, counted behind the name in parentheses.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks = fields.split_whitespace().skip(11).take(2);
        ticks.map(|it| it.parse::<f64>().unwrap() * 10_000.0).sum()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
