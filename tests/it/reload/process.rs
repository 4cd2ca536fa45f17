//! The real program, and what can be asked of it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use doorward::{
    client::{Client, ClientError},
    model::EntityRef,
    proto::v1::{CheckRequest, Decision, Entity, NamedQuestion, check_request},
};

/// How long anything is waited for: a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Doorward {
    child: Child,
    pub(super) grpc: String,
    probe: String,
    log: Arc<Mutex<String>>,
}

impl Doorward {
    /// Starts `doorward serve --dev` with these variables.
    pub(super) fn start(rules: &Path, data: &Path, variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_doorward"))
            .args([
                "serve",
                "--dev",
                "--grpc",
                "127.0.0.1:0",
                "--http",
                "127.0.0.1:0",
                "--probe",
                "127.0.0.1:0",
            ])
            .arg("--bundle")
            .arg(rules)
            .arg("--data")
            .arg(data)
            .env("DOORWARD_RELOAD__SETTLE", "20ms")
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, copy) = (
            BufReader::new(child.stderr.take().unwrap()),
            Arc::clone(&log),
        );
        thread::Builder::new()
            .spawn(move || {
                for line in lines.lines().map_while(Result::ok) {
                    let mut log = copy.lock().unwrap();
                    log.push_str(&line);
                    log.push('\n');
                }
            })
            .unwrap();
        let mut this = Self {
            child,
            grpc: String::new(),
            probe: String::new(),
            log,
        };
        let log = this.wait_for("its addresses", |this| {
            let log = this.log();
            log.contains("probes ").then_some(log)
        });
        let after = |word: &str| {
            let rest = log.split_once(word).unwrap().1;
            rest.split_whitespace().next().unwrap().to_owned()
        };
        this.grpc = format!("http://{}", after("gRPC "));
        let probe = after("probes ");
        this.probe = probe
            .trim_start_matches("http://")
            .trim_end_matches("/readyz")
            .to_owned();
        this
    }

    /// What it wrote to standard error so far.
    pub(super) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The body of a probe.
    pub(super) fn probe(&self, path: &str) -> String {
        let Ok(mut stream) = TcpStream::connect(&self.probe) else {
            return String::new();
        };
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    }

    /// Waits until `found` finds something.
    pub(super) fn wait_for<T>(&self, what: &str, found: impl Fn(&Self) -> Option<T>) -> T {
        for _ in 0..PATIENCE.as_millis() / 10 {
            if let Some(found) = found(self) {
                return found;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!(
            "waited in vain for {what}:\n{}\n{}",
            self.probe("/readyz"),
            self.log()
        );
    }

    pub(super) fn wait_for_readiness(&self, text: &str) -> String {
        self.wait_for(text, |this| {
            let body = this.probe("/readyz");
            body.contains(text).then_some(body)
        })
    }

    pub(super) fn wait_for_log(&self, text: &str) {
        self.wait_for(text, |this| this.log().contains(text).then_some(()));
    }

    /// Asks one question on a connection of its own.
    pub(super) fn check(&self, user: &str, doc: &str) -> Result<Decision, ClientError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let client = Client::connect(&self.grpc).await?;
            let verdict = client.check(question(user, doc)).await?;
            Ok(verdict.decision().clone())
        })
    }

    /// Ends it at once, as a crash would.
    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Doorward {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// May `user` read `doc`?
pub(super) fn question(user: &str, doc: &str) -> CheckRequest {
    let entity: Entity = EntityRef::new("User", user).into();
    CheckRequest {
        subject: Some(check_request::Subject::Entity(entity)),
        question: Some(check_request::Question::Named(NamedQuestion {
            action: "read".to_owned(),
            resource: Some(EntityRef::new("Doc", doc).into()),
        })),
        ..CheckRequest::default()
    }
}
