//! One decision point, many faces: the same question has the same answer at each of them.

mod asker;

use std::{collections::BTreeMap, fs, path::Path};

use doorward::{
    model::EntityRef,
    proto::v1::{
        Anonymous, CheckRequest, Entity, HttpQuestion, NamedQuestion, Value,
        check_request::{Question, Subject},
        decision_service_client::DecisionServiceClient,
        value::Kind,
    },
};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use proptest::{
    prelude::{Just, Strategy, any, prop},
    prop_oneof,
    strategy::ValueTree as _,
    test_runner::TestRunner,
};
use serde_json::Value as Json;
use tokio::runtime::Runtime;
use tonic::transport::Endpoint;

use self::asker::{Faces, Said};
use crate::fit::kit::Running;

const BUNDLE: &[(&str, &str)] = &[
    (
        "schema.cedarschema",
        r#"
entity Role; entity User in [Role] = { team: String, level: Long }; entity Guest; entity Page;
action Read appliesTo { principal: [User, Guest], resource: [Page] };
action Write appliesTo { principal: [User], resource: [Page], context: { headers?: { "x-team"?: String } } };
"#,
    ),
    (
        "rules.cedar",
        r#"
@id("public") @obligation("watermark=on")
permit (principal, action == Action::"Read", resource == Page::"public");
@id("reds-read") @reason("Reds read.")
permit (principal is User, action == Action::"Read", resource) when { principal.team == "red" };
@id("clerks-read") permit (principal in Role::"clerk", action == Action::"Read", resource);
@id("vault") @reason("Needs a second factor.") @step_up("acr=mfa max_age=300")
forbid (principal is User, action, resource == Page::"vault") when { principal.level < 5 };
@id("odd") forbid (principal is User, action == Action::"Read", resource == Page::"odd")
when { principal.level + 9223372036854775807 > 0 };
@id("writers") @challenge_scope("pages:write")
permit (principal is User, action == Action::"Write", resource)
when { context has headers && context.headers has "x-team" && context.headers["x-team"] == principal.team };
"#,
    ),
    (
        "bundle.toml",
        r#"
name = "pages"
[[principal]]
type = "User"
id = "{sub}"
attributes = { team = "team", level = "level" }
parents = [{ type = "Role", claim = "roles" }]
[[principal]]
type = "Guest"
anonymous = true
[[route]]
method = "GET"
path = "/pages/{page}"
anonymous = true
action = "Read"
resource = { type = "Page", id = "{page}" }
[[route]]
method = "POST"
path = "/pages/{page}"
action = "Write"
resource = { type = "Page", id = "{page}" }
"#,
    ),
];

const HOST: &str = "site.example";

/// Whom a question is about.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Nobody,
    /// A token that is none, and one that nobody signed.
    Garbage,
    Forged,
    User {
        team: &'static str,
        level: i64,
        clerk: bool,
    },
}

#[derive(Clone, Debug)]
struct Asked {
    who: Who,
    method: &'static str,
    path: &'static str,
    team: Option<&'static str>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let user = (
        prop::sample::select(vec!["red", "blue"]),
        prop::sample::select(vec![0, 1, 5]),
        any::<bool>(),
    );
    let user = user.prop_map(|(team, level, clerk)| Who::User { team, level, clerk });
    let who = prop_oneof![
        1 => Just(Who::Nobody), 1 => Just(Who::Garbage), 1 => Just(Who::Forged), 6 => user,
    ];
    let method = prop::sample::select(vec!["GET", "GET", "GET", "POST", "POST", "DELETE", "get"]);
    let path = prop::sample::select(vec![
        "/pages/public",
        "/pages/public?draft=1",
        "/pages/%70ublic",
        "/pages/p1",
        "/pages/p1",
        "/pages/vault",
        "/pages/odd",
        "/pages/zo%C3%AB",
        "/pages/a%2Fb",
        "/pages/p1;v=1",
        "//pages/p1",
        "/nowhere",
    ]);
    let team = prop::option::of(prop::sample::select(vec!["red", "blue"]));
    (who, method, path, team).prop_map(|(who, method, path, team)| Asked {
        who,
        method,
        path,
        team,
    })
}

const ALICE: Who = Who::User {
    team: "red",
    level: 1,
    clerk: false,
};

/// The same as a named question, of a user whom a vouching caller can describe.
fn named(asked: &Asked) -> Option<(&'static str, i64, &'static str)> {
    let page = match asked.path {
        "/pages/public" => "public",
        "/pages/p1" => "p1",
        "/pages/vault" => "vault",
        "/pages/odd" => "odd",
        _ => return None,
    };
    match asked.who {
        Who::User {
            team,
            level,
            clerk: false,
        } if asked.method == "GET" => Some((team, level, page)),
        _ => None,
    }
}

fn ask_everywhere(runtime: &Runtime, faces: &mut Faces, asked: &Asked) -> Vec<Said> {
    let token = faces.token(asked.who);
    let token = token.as_deref();
    let subject = match token {
        Some(token) => Subject::AccessToken(token.to_owned()),
        None => Subject::Anonymous(Anonymous {}),
    };
    let check = |subject, question| CheckRequest {
        subject: Some(subject),
        question: Some(question),
        ..CheckRequest::default()
    };
    let http = HttpQuestion {
        method: asked.method.to_owned(),
        host: HOST.to_owned(),
        path: asked.path.to_owned(),
        headers: asked
            .team
            .map(|it| ("x-team".to_owned(), it.to_owned()))
            .into_iter()
            .collect(),
    };
    let http = check(subject.clone(), Question::Http(http));
    let mut said = runtime.block_on(async {
        let mut said = faces.native(["check", "batch", "stream"], http).await;
        said.push(faces.ext_authz(asked, token).await);
        said
    });
    for gateway in ["envoy", "nginx", "caddy", "traefik"] {
        said.push(faces.subrequest(gateway, asked, token));
    }
    if let Some((team, level, page)) = named(asked) {
        let question = || {
            Question::Named(NamedQuestion {
                action: "Read".to_owned(),
                resource: Some(EntityRef::new("Page", page).into()),
            })
        };
        let entity = Entity {
            attributes: [
                ("team".to_owned(), Kind::String(team.to_owned())),
                ("level".to_owned(), Kind::Int64(level)),
            ]
            .map(|(name, kind)| (name, Value { kind: Some(kind) }))
            .into(),
            ..EntityRef::new("User", "alice").into()
        };
        let vouched = check(Subject::Entity(entity), question());
        runtime.block_on(async {
            let kinds = ["named check", "named batch", "named stream"];
            said.extend(faces.native(kinds, check(subject, question())).await);
            let kinds = ["vouched check", "vouched batch", "vouched stream"];
            said.extend(faces.native(kinds, vouched).await);
        });
        said.push(faces.authzen("evaluation", team, level, page));
        said.push(faces.authzen("evaluations", team, level, page));
    }
    said
}

/// What a record says of its decision, whatever it was asked through.
fn essence(record: &Json) -> Vec<(&'static str, Json)> {
    let kept = [
        "kind",
        "outcome",
        "cause",
        "reasons",
        "errors",
        "obligations",
        "refusal",
        "reason",
        "bundle",
        "bundle_digest",
        "revision",
        "principal",
        "action",
        "resource",
    ];
    let kept = kept.into_iter();
    kept.map(|name| (name, record[name].clone())).collect()
}

fn write_bundle(root: &Path) {
    let rules = root.join("rules");
    fs::create_dir_all(&rules).unwrap();
    for (name, text) in BUNDLE {
        fs::write(rules.join(name), text).unwrap();
    }
}

/// Denies above a rate share a record, unless it is 0.
const EACH_DENY: &str = "[audit]\ndenies_per_second = 0\n";

#[test]
fn the_same_question_has_the_same_answer_at_every_face() {
    let runtime = Runtime::new().unwrap();
    let root = tempfile::tempdir().unwrap();
    write_bundle(root.path());
    let mut server = runtime.block_on(Running::start_in(root, true, EACH_DENY));
    let mut faces = runtime.block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://{}", server.grpc)).unwrap();
        let channel = endpoint.connect().await.unwrap();
        Faces {
            grpc: DecisionServiceClient::new(channel.clone()),
            envoy: AuthorizationClient::new(channel),
            http: server.http,
            issuer: server.root.path().join("data"),
        }
    });
    let mut runner = TestRunner::deterministic();
    let mut all = Vec::new();
    for _ in 0..150 {
        let asked = asked().new_tree(&mut runner).unwrap().current();
        all.push((asked.clone(), ask_everywhere(&runtime, &mut faces, &asked)));
    }
    drop(faces);
    server.stop();
    runtime.block_on(server.ended()).unwrap();
    let records: BTreeMap<String, Json> = server
        .records()
        .into_iter()
        .map(|it| (it["decision_id"].as_str().unwrap().to_owned(), it))
        .collect();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for (asked, said) in &all {
        let first = &said[0];
        // Of what strangers are refused, the log keeps examples.
        let decided = [
            "permitted",
            "forbidden",
            "forbid_errored",
            "nothing_permits",
        ];
        let cause = first.told.as_ref().map(|told| &*told.cause);
        let kept = cause.is_some_and(|cause| decided.contains(&cause));
        let known = said.iter().find_map(|it| records.get(&it.id));
        for other in said {
            let face = other.face;
            let record = records.get(&other.id);
            assert!(
                !kept || record.is_some(),
                "{face} left no record of {asked:?}"
            );
            if let (Some(record), Some(known)) = (record, known) {
                assert_eq!(essence(record), essence(known), "{face}: {asked:?}");
            }
            assert!(
                other.outcome.contains(&first.outcome),
                "{face}: {asked:?}: {said:?}"
            );
            if other.told.is_some() {
                assert_eq!(other.told, first.told, "{face}: {asked:?}");
            }
        }
        let told = first.told.as_ref().unwrap();
        *kinds.entry(told.cause.clone()).or_default() += 1;
    }
    eprintln!("{} questions at up to 16 faces: {kinds:?}", all.len());
    for cause in [
        "permitted",
        "forbidden",
        "forbid_errored",
        "nothing_permits",
        "malformed",
        "no_route",
        "invalid_token",
        "token_missing",
    ] {
        assert!(
            kinds.contains_key(cause),
            "no question came to `{cause}`: {kinds:?}"
        );
    }
}
