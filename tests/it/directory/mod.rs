//! What is stored while the server runs, and how it decides.

mod facts;
mod input;
mod kill;
mod newcomer;
mod recorded;
mod revoke;
mod trouble;
mod why;

use std::{fs, path::Path};

use doorward::{
    client::{ClientError, Operator},
    model::EntityRef,
    proto::v1::{
        CheckRequest, Decision, Entity, EntityChange, NamedQuestion, Value,
        check_request::{Question, Subject},
        entity_change::Change,
        value::Kind,
    },
};
use tempfile::TempDir;
use tonic::Status;

use crate::fit::kit::Running;

const SCHEMA: &str = r#"
entity Group in [Group];
entity Team;
entity User in [Group, Team] = { level?: Long };
entity Doc in [Group] = {
  owner: User, ip?: ipaddr, price?: decimal, when?: datetime, tags?: Set<String>, note?: { text?: String },
};
action read, link appliesTo { principal: [User], resource: [Doc], context: Doorward::Context };
"#;

const POLICIES: &str = r#"
@id("staff-reads")
permit (principal in Group::"staff", action == Action::"read", resource);
@id("owner-reads")
permit (principal, action == Action::"read", resource) when { resource.owner == principal };
@id("owners-team")
permit (principal, action == Action::"link", resource) when { resource.owner in Team::"red" };
@id("low")
forbid (principal, action, resource) when { principal has level && principal.level < 0 };
"#;

const BUNDLE: &str = r#"
name = "docs"
[[principal]]
type = "User"
id = "{sub}"
[[entity]]
type = "User"
attributes = { level = "directory" }
parents = { Group = "directory", Team = "directory" }
[[entity]]
type = "Group"
source = "directory"
[[entity]]
type = "Doc"
source = "directory"
[[route]]
path = "/{owner}/docs/{doc}"
action = "read"
resource = { type = "Doc", id = "{doc}", attributes = { owner = "{owner}" } }
"#;

fn write_rules(root: &Path, schema: &str) {
    let rules = root.join("rules");
    fs::create_dir_all(&rules).unwrap();
    for (name, text) in [
        ("schema.cedarschema", schema),
        ("docs.cedar", POLICIES),
        ("bundle.toml", BUNDLE),
    ] {
        fs::write(rules.join(name), text).unwrap();
    }
}

/// A caller that knows its own name as a secret, and may do this.
fn caller(name: &str, may: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    let digest = digest.as_ref().iter().map(|it| format!("{it:02x}"));
    let digest: String = digest.collect();
    format!("[[caller]]\nname = \"{name}\"\ntoken_sha256 = \"{digest}\"\nmay = [{may}]\n")
}

/// A server of these rules, and an operator of it.
struct Kept {
    server: Running,
    operator: Operator,
}

impl Kept {
    async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), true, "").await
    }

    async fn start_in(root: TempDir, dev: bool, extra: &str) -> Self {
        write_rules(root.path(), SCHEMA);
        let server = Running::start_in(root, dev, extra).await;
        let url = format!("http://{}", server.admin);
        let operator = Operator::connect(&url).await.unwrap();
        Self { server, operator }
    }

    async fn write(&self, changes: Vec<EntityChange>) -> Result<String, ClientError> {
        self.operator.write("", changes).await
    }

    async fn put(&self, entity: Entity) -> Result<String, ClientError> {
        self.write(vec![put(entity)]).await
    }

    async fn decide(&self, request: CheckRequest) -> Result<Decision, Status> {
        let answer = self.server.client().await.check(request).await?;
        Ok(answer.into_inner().decision.unwrap())
    }

    /// `allow`, `deny`, or the reason of a refusal.
    async fn outcome(&self, request: CheckRequest) -> String {
        match self.decide(request).await {
            Ok(decision) => decision.outcome().as_str_name().to_owned(),
            Err(status) => {
                use tonic_types::StatusExt as _;
                let info = status.get_error_details().error_info().cloned();
                info.map_or_else(|| status.to_string(), |it| it.reason)
            }
        }
    }

    fn token(&self, sub: &str) -> String {
        self.server.token(sub)
    }
}

fn uid(text: &str) -> EntityRef {
    text.parse().unwrap()
}

/// An entity with these attributes and parents.
fn entity(name: &str, attributes: &[(&str, Kind)], parents: &[&str]) -> Entity {
    let attributes = attributes.iter().map(|(name, kind)| {
        let value = Value {
            kind: Some(kind.clone()),
        };
        ((*name).to_owned(), value)
    });
    Entity {
        attributes: attributes.collect(),
        parents: parents.iter().map(|it| uid(it).into()).collect(),
        ..uid(name).into()
    }
}

fn text(text: &str) -> Kind {
    Kind::String(text.to_owned())
}

fn put(entity: Entity) -> EntityChange {
    EntityChange {
        change: Some(Change::Put(entity)),
        expectation: None,
    }
}

fn delete(name: &str) -> EntityChange {
    EntityChange {
        change: Some(Change::Delete(uid(name).into())),
        expectation: None,
    }
}

fn ask(token: &str, action: &str, resource: &str) -> CheckRequest {
    CheckRequest {
        subject: Some(Subject::AccessToken(token.to_owned())),
        question: Some(Question::Named(NamedQuestion {
            action: action.to_owned(),
            resource: Some(uid(resource).into()),
        })),
        ..CheckRequest::default()
    }
}
