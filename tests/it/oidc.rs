//! Tokens of a real OpenID provider, behind TLS by a certificate authority of its own.
//!
//! Needs Node and the provider's packages: `tests/all.sh` brings them and says where they are by
//! `TEST_NODE_MODULES`; without it this test has nothing to run against and says so.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use doorward::{
    client::{Client, ClientError},
    proto::v1::{CheckRequest, Entity, EntityUid, NamedQuestion, check_request},
};
use serde_json::{Value as Json, json};

const SCHEMA: &str = "entity Tenant; entity Role; entity User in [Role] = { tenant: Tenant }; entity Service;\n\
    action Use appliesTo { principal: [User, Service], resource: [Tenant], context: Doorward::Context };";
const POLICIES: &str = "@id(\"service\") permit(principal is Service, action, resource)\n\
    when { context has token && context.token.scopes.contains(\"orders:read\") };\n\
    @id(\"clerk\") permit(principal is User in Role::\"clerk\", action, resource) when { principal.tenant == resource };";
const MAPPING: &str = "[[principal]]\ntype = \"Service\"\nwhen = { claim = \"client_id\", equals_claim = \"sub\" }\nid = \"{client_id}\"\n\
    [[principal]]\ntype = \"User\"\nid = \"{sub}\"\nattributes = { tenant = \"tenant\" }\nparents = [{ type = \"Role\", claim = \"roles\" }]\n";
const REFETCH: Duration = Duration::from_secs(2);
const FLOOD: usize = 10_000;

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

struct Provider {
    process: Process,
    issuer: String,
    control: String,
}

impl Provider {
    #[expect(clippy::disallowed_methods, reason = "a thread of the test's own")]
    fn start(dir: &Path, modules: &Path) -> Self {
        let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        fs::write(&cert, signed.cert.pem()).unwrap();
        fs::write(&key, signed.signing_key.serialize_pem()).unwrap();
        let mut child = Command::new("node")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oidc/provider.mjs"))
            .args([&cert, &key, modules])
            .env("NODE_EXTRA_CA_CERTS", &cert)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.starts_with('{'))
            .unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        let ready: Json = serde_json::from_str(&ready).unwrap();
        let text = |name: &str| ready[name].as_str().unwrap().to_owned();
        Self {
            process: Process(child),
            issuer: text("issuer"),
            control: text("control"),
        }
    }

    fn call(&self, method: &str, path: &str) -> Json {
        let address = self.control.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nhost: {address}\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|_| panic!("{path}: {answer}"))
    }

    fn token(&self, path: &str) -> String {
        self.call("GET", path)["access_token"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn key_reads(&self) -> u64 {
        self.call("GET", "/stats")["reads"].as_u64().unwrap()
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn write_all(dir: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Starts a server that trusts the provider, and a client of it.
async fn start_doorward(dir: &Path, provider: &Provider) -> (Process, Client) {
    let (grpc, probe) = (free_port(), free_port());
    let config = format!(
        "bundle = \"bundle\"\ndata = \"data\"\n[listen]\ngrpc = \"127.0.0.1:{grpc}\"\nhttp = \"127.0.0.1:0\"\nprobe = \"127.0.0.1:{probe}\"\n\
         [[issuer]]\nname = \"provider\"\nissuer = \"{}\"\naudiences = [\"https://api.example.test\"]\nalgorithms = [\"ES256\"]\n\
         ca_file = \"cert.pem\"\nallow_addresses = [\"127.0.0.1/32\"]\nkey_refetch = \"{}s\"\n",
        provider.issuer,
        REFETCH.as_secs(),
    );
    write_all(
        dir,
        &[
            ("doorward.toml", &config),
            ("bundle/schema.cedarschema", SCHEMA),
            ("bundle/all.cedar", POLICIES),
            ("bundle/bundle.toml", MAPPING),
        ],
    );
    let log = fs::File::create(dir.join("doorward.log")).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .args(["serve", "--config", "doorward.toml"])
        .current_dir(dir)
        .stderr(log)
        .spawn()
        .unwrap();
    let process = Process(child);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if let Ok(client) = Client::connect(&format!("http://127.0.0.1:{grpc}")).await {
            return (process, client);
        }
    }
    panic!(
        "no server: {}",
        fs::read_to_string(dir.join("doorward.log")).unwrap()
    );
}

fn ask(token: &str, tenant: &str) -> CheckRequest {
    let resource = Entity {
        uid: Some(EntityUid {
            r#type: "Tenant".to_owned(),
            id: tenant.to_owned(),
        }),
        ..Entity::default()
    };
    CheckRequest {
        subject: Some(check_request::Subject::AccessToken(token.to_owned())),
        question: Some(check_request::Question::Named(NamedQuestion {
            action: "Use".to_owned(),
            resource: Some(resource),
        })),
        ..CheckRequest::default()
    }
}

/// `allow`, `deny`, or the reason of a refusal.
async fn decide(client: &Client, token: &str, tenant: &str) -> String {
    match client.check(ask(token, tenant)).await {
        Ok(verdict) if verdict.is_allowed() => "allow".to_owned(),
        Ok(_) => "deny".to_owned(),
        Err(ClientError::Refused(refused)) => refused.reason,
        Err(other) => panic!("{other}"),
    }
}

fn forged(provider: &Provider, kid: usize) -> String {
    let part = |value: Json| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({"alg": "ES256", "typ": "at+jwt", "kid": format!("random-{kid}")}));
    let payload = part(json!({"iss": provider.issuer, "sub": "eve", "exp": 4_000_000_000_u64}));
    format!("{header}.{payload}.{}", "A".repeat(86))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_a_real_provider_decide_through_rotation_flood_and_outage() {
    let Some(modules) = std::env::var_os("TEST_NODE_MODULES").map(PathBuf::from) else {
        eprintln!("not run: TEST_NODE_MODULES is not set (tests/all.sh sets it)");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let mut provider = Provider::start(dir.path(), &modules);
    let (_doorward, client) = start_doorward(dir.path(), &provider).await;

    // Both flows, allowed and denied.
    let (service, alice) = (provider.token("/service"), provider.token("/user/alice"));
    assert_eq!(decide(&client, &service, "globex").await, "allow");
    assert_eq!(decide(&client, &alice, "acme").await, "allow");
    assert_eq!(decide(&client, &alice, "globex").await, "deny");
    let id_token = provider.call("GET", "/user/alice")["id_token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(decide(&client, &id_token, "acme").await, "invalid_token");

    // A flood of unknown keys costs one read per bound, and nobody else waits for it.
    tokio::time::sleep(REFETCH).await;
    let (before, started) = (provider.key_reads(), tokio::time::Instant::from_std(now()));
    for n in 0..FLOOD {
        let answer = decide(&client, &forged(&provider, n), "acme").await;
        assert!(
            matches!(answer.as_str(), "invalid_token" | "keys_unavailable"),
            "{answer}"
        );
        if n % 100 == 0 {
            assert_eq!(decide(&client, &alice, "acme").await, "allow");
        }
    }
    let bounds = started.elapsed().as_secs() / REFETCH.as_secs() + 1;
    let reads = provider.key_reads() - before;
    assert!(
        (1..=bounds).contains(&reads),
        "{reads} reads in {bounds} bounds"
    );

    // The signing key rotates while requests run: once the bound has passed, no valid token is
    // refused and the old key's tokens are.
    tokio::time::sleep(REFETCH).await;
    provider.call("POST", "/rotate");
    let fresh = provider.token("/user/bob");
    assert_eq!(
        decide(&client, &fresh, "acme").await,
        "allow",
        "fetched on demand"
    );
    for _ in 0..50 {
        assert_eq!(decide(&client, &fresh, "acme").await, "allow");
        assert_eq!(
            decide(&client, &alice, "acme").await,
            "invalid_token",
            "by the retired key"
        );
    }

    // The same under the same `kid`.
    tokio::time::sleep(REFETCH).await;
    provider.call("POST", "/replace");
    let (retired, fresh) = (fresh, provider.token("/user/bob"));
    assert_eq!(
        decide(&client, &fresh, "acme").await,
        "allow",
        "fetched on demand"
    );
    assert_eq!(decide(&client, &retired, "acme").await, "invalid_token");

    // The provider is gone: what was trusted goes on, what is unknown is refused.
    provider.process.0.kill().unwrap();
    for n in 0..100 {
        assert_eq!(decide(&client, &fresh, "acme").await, "allow");
        assert_ne!(
            decide(&client, &forged(&provider, FLOOD + n), "acme").await,
            "allow"
        );
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the flood is measured against the bound"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
