//! The real program, run as a server of its own process.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// How long anything is waited for: a machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A development server as a process; killed with the test.
pub(crate) struct Program {
    child: Child,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) probe: SocketAddr,
    pub(crate) admin: SocketAddr,
    log: Arc<Mutex<String>>,
}

/// `doorward` in `dir`.
pub(crate) fn doorward(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command.current_dir(dir).env_remove("DOORWARD_CONFIG");
    command
}

/// Words by which it serves on ports that are free.
pub(crate) const SERVE: [&str; 8] = [
    "serve",
    "--dev",
    "--grpc",
    "127.0.0.1:0",
    "--http",
    "127.0.0.1:0",
    "--probe",
    "127.0.0.1:0",
];

impl Program {
    /// Runs a command that serves, and waits until it has said where.
    pub(crate) fn run(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let copy = Arc::clone(&log);
        // Read to the end, so that the server never waits for a reader.
        thread::Builder::new()
            .spawn(move || {
                for line in lines.map_while(Result::ok) {
                    let mut log = copy.lock().unwrap();
                    log.push_str(&line);
                    log.push('\n');
                }
            })
            .unwrap();
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut this = Self {
            child,
            grpc: nowhere,
            http: nowhere,
            probe: nowhere,
            admin: nowhere,
            log,
        };
        // The last line of its welcome has these letters.
        this.wait_for_log("AAAA");
        let log = this.log();
        let after = |word: &str| {
            let (_, rest) = log.split_once(word).unwrap();
            let rest = rest.trim_start().trim_start_matches("http://");
            let end = rest.find(|it: char| it == '/' || it.is_whitespace());
            rest[..end.unwrap()].parse().unwrap()
        };
        this.grpc = after("\n  gRPC ");
        this.http = after("\n  HTTP ");
        this.probe = after("\n  probes ");
        this.admin = after("\n  admin ");
        this
    }

    /// What it wrote to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until `found` finds something.
    pub(crate) fn wait_for<T>(&self, what: &str, found: impl Fn() -> Option<T>) -> T {
        for _ in 0..PATIENCE.as_millis() / 10 {
            if let Some(found) = found() {
                return found;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("waited in vain for {what}:\n{}", self.log());
    }

    /// Waits until it has written this.
    pub(crate) fn wait_for_log(&self, text: &str) {
        self.wait_for(text, || self.log().contains(text).then_some(()));
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, as `-TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end; `None` when it takes longer than `patience`.
    pub(crate) async fn ended(&mut self, patience: Duration) -> Option<ExitStatus> {
        let ended = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let status = tokio::time::timeout(patience, ended).await.ok()?;
        assert_eq!(status.signal(), None, "it was killed");
        Some(status)
    }

    /// Asks it to end, and waits for that; its exit code.
    pub(crate) fn stop(mut self) -> i32 {
        self.signal("-TERM");
        self.child.wait().unwrap().code().unwrap()
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A line of `/proc/PID/status`, in KiB: `VmRSS`, or `VmHWM` for its peak.
    pub(crate) fn memory(&self, line: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let found = status.lines().find_map(|it| it.strip_prefix(line)).unwrap();
        let digits = found.trim_matches(|it: char| !it.is_ascii_digit());
        digits.parse().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
