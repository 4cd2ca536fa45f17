//! Changes of one entity.

use super::{Server, done, lines::to_json, pair, told};
use crate::{
    cli::{Exit, Failure, output},
    client::{ClientError, Code, to_members},
    model::{EntityRef, JsonLimits, Members, parse_json},
    proto::v1::{
        Entity, EntityChange, EntityUid, Expectation, entity_change::Change, expectation::Kind,
    },
};

/// What the server accepts at most.
const LIMITS: JsonLimits = JsonLimits {
    depth: 32,
    values: 4096,
};
/// How often a change is tried that others keep overtaking.
const TRIES: usize = 16;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Put {
    /// The entity, as Type::"id"
    #[arg(value_name = "ENTITY")]
    uid: EntityRef,
    /// A fact about it, its value as JSON (text in quotes); repeatable
    #[arg(long = "attr", value_name = "NAME=JSON", value_parser = pair)]
    attributes: Vec<(String, String)>,
    /// A parent, as Type::"id"; repeatable
    #[arg(long = "parent", value_name = "ENTITY")]
    parents: Vec<EntityRef>,
    /// Only if it is not stored yet
    #[arg(long)]
    new: bool,
    /// Only if it is still this version (`doorward directory get`)
    #[arg(long, value_name = "VERSION", conflicts_with = "new")]
    if_version: Option<String>,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Get {
    /// The entity, as Type::"id"
    #[arg(value_name = "ENTITY")]
    uid: EntityRef,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Delete {
    /// The entity, as Type::"id"
    #[arg(value_name = "ENTITY")]
    uid: EntityRef,
    /// Only if it is still this version (`doorward directory get`)
    #[arg(long, value_name = "VERSION")]
    if_version: Option<String>,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Parent {
    /// The entity, as Type::"id"
    #[arg(value_name = "ENTITY")]
    uid: EntityRef,
    /// What it is to be in, or no more, as Type::"id"
    #[arg(value_name = "PARENT")]
    parent: EntityRef,
    #[command(flatten)]
    server: Server,
}

pub(super) fn put(args: Put) -> Result<Exit, Failure> {
    let mut attributes = Members::new();
    for (name, json) in args.attributes {
        let value = parse_json(json.as_bytes(), LIMITS).map_err(|why| {
            Failure::usage(format!(
                "--attr {name}: `{json}` is {why}; text needs its own quotes, as in '\"{json}\"'"
            ))
        })?;
        attributes.insert(name, value);
    }
    let entity = Entity {
        attributes: to_members(attributes).map_err(Failure::usage)?,
        parents: args.parents.into_iter().map(Into::into).collect(),
        ..args.uid.clone().into()
    };
    let expectation = match (args.new, args.if_version) {
        (true, _) => Some(Kind::Absent(true)),
        (false, version) => version.map(Kind::Version),
    };
    let change = change(Change::Put(entity), expectation);
    let server = &args.server;
    let written = server.run(async |operator| {
        let written = operator.write(&server.bundle, vec![change]).await;
        written.map_err(told)
    });
    done("stored", &args.uid, &written?)
}

pub(super) fn get(args: Get) -> Result<Exit, Failure> {
    let server = &args.server;
    let found = server.run(async |operator| {
        let found = operator.get(&server.bundle, args.uid.clone().into()).await;
        found.map_err(told)
    })?;
    let Some(stored) = found else {
        let uid = output::shown(&args.uid.to_string());
        return Err(Failure::failed(format!("`{uid}` is not stored")));
    };
    let mut json = to_json(stored.entity.unwrap_or_default());
    if let Some(members) = json.as_object_mut() {
        members.insert("version".to_owned(), stored.version.into());
    }
    output::print(&format!("{json:#}\n"))?;
    Ok(Exit::Ok)
}

pub(super) fn delete(args: Delete) -> Result<Exit, Failure> {
    let uid = Change::Delete(args.uid.clone().into());
    let change = change(uid, args.if_version.map(Kind::Version));
    let server = &args.server;
    let written = server.run(async |operator| {
        let written = operator.write(&server.bundle, vec![change]).await;
        written.map_err(told)
    });
    done("removed", &args.uid, &written?)
}

/// Reads the entity, changes its parents, and writes it unless someone else did meanwhile.
pub(super) fn parent(args: Parent, add: bool) -> Result<Exit, Failure> {
    let server = &args.server;
    let parent: EntityUid = args.parent.clone().into();
    let written = server.run(async |operator| {
        for _ in 0..TRIES {
            let uid: EntityUid = args.uid.clone().into();
            let found = operator.get(&server.bundle, uid).await.map_err(told)?;
            let (mut entity, expectation) = match found {
                Some(stored) => (
                    stored.entity.unwrap_or_default(),
                    Kind::Version(stored.version),
                ),
                None if add => (args.uid.clone().into(), Kind::Absent(true)),
                None => {
                    let uid = output::shown(&args.uid.to_string());
                    return Err(Failure::failed(format!("`{uid}` is not stored")));
                }
            };
            entity.parents.retain(|it| !is_same(it, &parent));
            if add {
                entity.parents.push(parent.clone());
            }
            let change = change(Change::Put(entity), Some(expectation));
            match operator.write(&server.bundle, vec![change]).await {
                Err(ClientError::Refused(why)) if why.code == Code::FailedPrecondition => {}
                written => return written.map_err(told),
            }
        }
        Err(Failure::failed(
            "others change this entity all the time: try again",
        ))
    });
    let what = match add {
        true => format!("put into {}:", args.parent),
        false => format!("taken out of {}:", args.parent),
    };
    done(&output::shown(&what), &args.uid, &written?)
}

/// Whether two names are of one entity; the server has full names, the caller may have bare ones.
fn is_same(full: &EntityUid, given: &EntityUid) -> bool {
    let bare = full.r#type.rsplit("::").next();
    full.id == given.id && (full.r#type == given.r#type || bare == Some(given.r#type.as_str()))
}

fn change(change: Change, expectation: Option<Kind>) -> EntityChange {
    EntityChange {
        change: Some(change),
        expectation: expectation.map(|kind| Expectation { kind: Some(kind) }),
    }
}
