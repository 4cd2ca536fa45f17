//! The real program, and what can be asked of it.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
};

use doorward::{
    client::{Client, ClientError},
    model::EntityRef,
    proto::v1::{CheckRequest, Decision, Entity, NamedQuestion, check_request},
};

use crate::program::{Program, SERVE, doorward};

pub(super) struct Doorward {
    program: Program,
    pub(super) grpc: String,
}

impl Doorward {
    /// Starts `doorward serve --dev` with these variables.
    pub(super) fn start(rules: &Path, data: &Path, variables: &[(&str, &str)]) -> Self {
        let program = Program::run(
            doorward(Path::new("."))
                .args(SERVE)
                .arg("--bundle")
                .arg(rules)
                .arg("--data")
                .arg(data)
                .env("DOORWARD_RELOAD__SETTLE", "20ms")
                .envs(variables.iter().copied()),
        );
        Self {
            grpc: format!("http://{}", program.grpc),
            program,
        }
    }

    /// What it wrote to standard error so far.
    pub(super) fn log(&self) -> String {
        self.program.log()
    }

    /// The body of a probe.
    pub(super) fn probe(&self, path: &str) -> String {
        let Ok(mut stream) = TcpStream::connect(self.program.probe) else {
            return String::new();
        };
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    }

    pub(super) fn wait_for_readiness(&self, text: &str) -> String {
        self.program.wait_for(text, || {
            let body = self.probe("/readyz");
            body.contains(text).then_some(body)
        })
    }

    pub(super) fn wait_for_log(&self, text: &str) {
        self.program.wait_for_log(text);
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
    pub(super) fn kill(self) {
        self.program.kill();
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
