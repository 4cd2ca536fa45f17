//! A whole server in the process, or the real program, and those who ask it.

use std::{
    collections::BTreeSet, fs, net::SocketAddr, path::Path, process::Command, time::Duration,
};

use doorward::{
    authn::{DevIssuer, Mint},
    config::{Config, IssuerConfig, KeySource, ListenAddress, Sources},
    model::{EntityRef, SignedDuration},
    proto::v1::{
        CheckRequest, NamedQuestion,
        check_request::{Question, Subject},
        decision_service_client::DecisionServiceClient,
    },
    server::{Addresses, Server, ServerError, clock},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};
use tonic::transport::{Channel, Endpoint};

use crate::program::Program;

/// A bundle in which alice, and nobody else, reads orders.
const BUNDLE: &[(&str, &str)] = &[
    (
        "schema.cedarschema",
        "entity User; entity Order;
         action ReadOrder appliesTo { principal: User, resource: Order, context: Doorward::Context };",
    ),
    (
        "orders.cedar",
        "@id(\"owner-reads\") @reason(\"She may.\")
         permit (principal == User::\"alice\", action == Action::\"ReadOrder\", resource);",
    ),
    (
        "bundle.toml",
        "name = \"orders\"\n[[principal]]\ntype = \"User\"\nid = \"{sub}\"",
    ),
];

fn write_bundle(root: &Path) {
    let rules = root.join("rules");
    // A test may have written its own.
    if rules.exists() {
        return;
    }
    fs::create_dir_all(&rules).unwrap();
    for (name, text) in BUNDLE {
        fs::write(rules.join(name), text).unwrap();
    }
}

/// The issuer of `root/issuer`, whose keys are then in `root/keys.json`.
pub(crate) fn issuer_with_keys(root: &Path) -> IssuerConfig {
    let issuer = DevIssuer::open(&root.join("issuer"))
        .unwrap()
        .issuer_config();
    let KeySource::Inline(keys) = &issuer.keys else {
        panic!("{:?}", issuer.keys)
    };
    fs::write(root.join("keys.json"), keys).unwrap();
    issuer
}

/// The configuration of a server with the bundle and these further lines: of development, or one
/// that trusts the issuer of `root/issuer`.
pub(crate) fn config(root: &Path, dev: bool, extra: &str) -> Result<Config, String> {
    write_bundle(root);
    let mut toml = "bundle = \"rules\"\ndata = \"data\"\n".to_owned();
    if !extra.contains("[listen]") {
        toml.push_str(
            "[listen]\ngrpc = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nprobe = \"127.0.0.1:0\"\n",
        );
    }
    toml.push_str(extra);
    if !dev {
        let issuer = issuer_with_keys(root);
        toml.push_str(&format!(
            "\n[[issuer]]\nname = \"corp\"\nissuer = \"{}\"\naudiences = {:?}\n\
             algorithms = [\"ES256\"]\njwks_file = \"keys.json\"\n",
            issuer.issuer, issuer.audiences
        ));
    }
    load(root, dev, &toml)
}

/// The configuration that this text is, as the file `doorward.toml` in `root`.
pub(crate) fn load(root: &Path, dev: bool, toml: &str) -> Result<Config, String> {
    let file = root.join("doorward.toml");
    fs::write(&file, toml).unwrap();
    Config::load(Sources {
        file: Some(file),
        dev,
        ..Sources::default()
    })
    .map_err(|why| why.to_string())
}

/// A development server as a process in `root`, with these further lines in its configuration and
/// this many descriptors at most.
pub(crate) fn program(root: &Path, extra: &str, descriptors: u32) -> Program {
    config(root, true, extra).unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n \"$0\"; exec \"$@\""])
        .arg(descriptors.to_string())
        .arg(env!("CARGO_BIN_EXE_doorward"))
        .args(["serve", "--dev", "--config", "doorward.toml"])
        .current_dir(root);
    Program::run(&mut command)
}

/// A server in this process.
pub(crate) struct Running {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) probe: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) root: TempDir,
    stop: Option<oneshot::Sender<()>>,
    ended: Option<JoinHandle<Result<(), ServerError>>>,
}

impl Running {
    /// Starts one with these further lines in its configuration.
    pub(crate) async fn start(extra: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), true, extra).await
    }

    /// Starts one in `root`.
    pub(crate) async fn start_in(root: TempDir, dev: bool, extra: &str) -> Self {
        let config = config(root.path(), dev, extra).unwrap();
        Self::serve(root, config).await
    }

    /// Starts one of this configuration, whose files are in `root`.
    pub(crate) async fn serve(root: TempDir, config: Config) -> Self {
        let server = Server::open(config).await.unwrap();
        let Addresses {
            grpc,
            http,
            probe,
            admin,
        } = server.addresses().unwrap();
        let [grpc, http, probe, admin] = [grpc, http, probe, admin].map(|at| match at {
            ListenAddress::Tcp(address) => address,
            ListenAddress::Unix(_) => SocketAddr::from(([127, 0, 0, 1], 0)),
        });
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(server.run(async {
            let _dropped = stopped.await;
        }));
        Self {
            grpc,
            http,
            probe,
            admin,
            root,
            stop: Some(stop),
            ended: Some(ended),
        }
    }

    /// A token of the embedded issuer.
    pub(crate) fn token(&self, sub: &str) -> String {
        let root = self.root.path();
        match root.join("issuer").exists() {
            true => token(&root.join("issuer"), sub),
            false => token(&root.join("data"), sub),
        }
    }

    pub(crate) async fn client(&self) -> DecisionServiceClient<Channel> {
        let url = format!("http://{}", self.grpc);
        let endpoint = Endpoint::from_shared(url).unwrap();
        DecisionServiceClient::new(endpoint.connect().await.unwrap())
    }

    /// The page of metrics.
    pub(crate) async fn metrics(&self) -> String {
        get(self.probe, "/metrics").await
    }

    /// Asks it to end, without waiting.
    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> Result<(), ServerError> {
        let ended = self.ended.take().unwrap();
        tokio::time::timeout(Duration::from_secs(30), ended)
            .await
            .unwrap()
            .unwrap()
    }

    /// The lines of the decision log, after the end.
    pub(crate) fn records(&self) -> Vec<serde_json::Value> {
        recorded(self.root.path())
    }
}

/// What the decision log of the server in `root` has for each question.
pub(crate) fn recorded(root: &Path) -> Vec<serde_json::Value> {
    let log = doorward::audit::lines(&root.join("data/audit")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    lines
        .filter(|line: &serde_json::Value| line.get("decision_id").is_some())
        .collect()
}

/// The ids of all that it has, those of counted denies among them.
pub(crate) fn recorded_ids(root: &Path) -> BTreeSet<String> {
    let log = doorward::audit::lines(&root.join("data/audit")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let ids = lines.flat_map(|line: serde_json::Value| {
        let many = line["decision_ids"].as_array().cloned().unwrap_or_default();
        many.into_iter().chain(line.get("decision_id").cloned())
    });
    ids.map(|id| id.as_str().unwrap().to_owned()).collect()
}

/// A token of the issuer in `dir`.
pub(crate) fn token(dir: &Path, sub: &str) -> String {
    mint(dir, sub, "", SignedDuration::from_mins(10), &[])
}

/// The same with a scope, a life and further claims.
pub(crate) fn mint(
    dir: &Path,
    sub: &str,
    scope: &str,
    ttl: SignedDuration,
    claims: &[(&str, &str)],
) -> String {
    let claims = claims.iter();
    let mint = Mint {
        sub: sub.to_owned(),
        scope: scope.to_owned(),
        client_id: "test".to_owned(),
        ttl,
        claims: claims
            .map(|(name, json)| ((*name).to_owned(), (*json).to_owned()))
            .collect(),
    };
    let issuer = DevIssuer::open(dir).unwrap();
    issuer.mint(&mint, clock::now()).unwrap()
}

/// May the holder of `token` read order `o-1`?
pub(crate) fn ask(token: &str) -> CheckRequest {
    CheckRequest {
        subject: Some(Subject::AccessToken(token.to_owned())),
        ..unasked()
    }
}

/// The same about nobody yet.
pub(crate) fn unasked() -> CheckRequest {
    CheckRequest {
        question: Some(Question::Named(NamedQuestion {
            action: "ReadOrder".to_owned(),
            resource: Some(EntityRef::new("Order", "o-1").into()),
        })),
        ..CheckRequest::default()
    }
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}
