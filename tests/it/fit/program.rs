//! The real program, with its own descriptors and memory.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use super::kit;

/// A development server as a process; killed with the test.
pub(crate) struct Program {
    child: Child,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) probe: SocketAddr,
}

impl Program {
    /// Starts one in `root`, with this many descriptors at most.
    #[expect(clippy::disallowed_methods, reason = "a thread of the test's own")]
    pub(crate) fn start(root: &Path, extra: &str, descriptors: u32) -> Self {
        kit::config(root, true, extra).unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "ulimit -n \"$0\"; exec \"$@\""])
            .arg(descriptors.to_string())
            .arg(env!("CARGO_BIN_EXE_doorward"))
            .args([
                "serve",
                "--dev",
                "--config",
                "doorward.toml",
                "--log-format",
                "json",
            ])
            .current_dir(root)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut address = |name: &str| {
            for line in lines.by_ref().map(Result::unwrap) {
                let Ok(line) = serde_json::from_str::<serde_json::Value>(&line) else {
                    continue;
                };
                if line["message"] == "listening" && line["name"] == name {
                    return line["address"].as_str().unwrap().parse().unwrap();
                }
            }
            panic!("it ended before it listened")
        };
        let (grpc, http, probe) = (address("grpc"), address("http"), address("probe"));
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            grpc,
            http,
            probe,
        }
    }

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
