//! The servers under load, each a process on core 0.

use std::{
    fs,
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use doorward::{authn::DevIssuer, model::Value};
use tempfile::TempDir;

use super::{
    common::{Shape, doc},
    noop,
};

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
    /// Where operators are answered, if anywhere.
    admin: Option<String>,
}

impl Rig {
    pub(crate) fn new(shape: Shape) -> Self {
        Self::with(shape, "")
    }

    /// With so many documents in the directory, which is where the facts about them are.
    pub(crate) fn stored(shape: Shape, count: usize) -> Self {
        let rig = Self::with(
            shape,
            "[[entity]]\ntype = \"Doc\"\nsource = \"directory\"\n",
        );
        let lines = rig.dir.path().join("documents.jsonl");
        let mut file = BufWriter::new(fs::File::create(&lines).unwrap());
        for n in 0..count {
            let doc = doc(&format!("doc-{n}"), n % shape.groups());
            let attributes = Value::Record(doc.attributes);
            let parent = doc.parents.first().unwrap();
            let line = serde_json::json!({
                "uid": { "type": "Doc", "id": doc.uid.id },
                "attrs": serde_json::Value::from(&attributes),
                "parents": [{ "type": parent.type_name, "id": parent.id }],
            });
            writeln!(file, "{line}").unwrap();
        }
        file.flush().unwrap();
        let served = rig.doorward(Audit::Off);
        let mut import = Command::new(program());
        import.args(["directory", "import"]).arg(lines);
        import.arg("--addr").arg(served.admin.as_ref().unwrap());
        assert!(import.status().unwrap().success());
        rig
    }

    fn with(shape: Shape, sources: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let rules = dir.path().join("policies");
        fs::create_dir(&rules).unwrap();
        for (path, text) in shape.files().iter() {
            fs::write(rules.join(&**path), text).unwrap();
        }
        let mut bundle = fs::OpenOptions::new();
        let mut bundle = bundle.append(true).open(rules.join("bundle.toml")).unwrap();
        bundle.write_all(sources.as_bytes()).unwrap();
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
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(program());
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

fn program() -> PathBuf {
    let program = std::env::var_os("WIRE_DOORWARD");
    let program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_doorward").into());
    fs::canonicalize(program).unwrap()
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
        let mut line = || lines.next().expect("the server ended").unwrap();
        let address = loop {
            let line = line();
            let found = line.trim().strip_prefix("gRPC").map(|it| it.trim().parse());
            if let Some(Ok(address)) = found {
                break address;
            }
        };
        // The lines of the other listeners follow, up to an empty one.
        let others = std::iter::repeat_with(line).take_while(|it| !it.is_empty());
        let admin =
            others.filter_map(|it| Some(it.trim().strip_prefix("admin")?.trim().to_owned()));
        let admin = admin.last().map(|it| format!("http://{it}"));
        // Read to the end, so that the server never waits for a reader.
        thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            address,
            admin,
        }
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
