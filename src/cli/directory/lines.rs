//! Many entities: lists, and JSON lines in and out.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use serde_json::{Value as Json, json};

use super::{Server, told};
use crate::{
    bundle::entity_facts,
    cli::{Exit, Failure, output},
    client::{Operator, to_members},
    model::{EntityRef, JsonLimits, parse_json},
    proto::v1::{
        Entity, EntityChange, ListEntitiesRequest, StoredEntity, Value, entity_change::Change,
        value::Kind,
    },
};

/// Entities in one request: each is written whole or not at all.
const GROUP: usize = 1_000;
/// Entities between two tellings of progress.
const TOLD: usize = 50_000;
const LIMITS: JsonLimits = JsonLimits {
    depth: 64,
    values: 65_536,
};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct List {
    /// Only entities of this type
    #[arg(long = "type", value_name = "TYPE")]
    type_name: Option<String>,
    /// Only entities directly in this one, as Type::"id"
    #[arg(long = "in", value_name = "ENTITY")]
    parent: Option<EntityRef>,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Import {
    /// JSON lines of {"uid", "attrs", "parents"}, or - for standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// Go on after so many lines, where an earlier import ended
    #[arg(long, value_name = "LINES", default_value_t = 0)]
    skip: usize,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Export {
    /// Only entities of this type
    #[arg(long = "type", value_name = "TYPE")]
    type_name: Option<String>,
    /// Go on where an earlier export ended
    #[arg(
        long,
        value_name = "PAGE",
        default_value = "",
        hide_default_value = true
    )]
    from: String,
    #[command(flatten)]
    server: Server,
}

pub(super) fn list(args: List) -> Result<Exit, Failure> {
    let server = &args.server;
    let request = ListEntitiesRequest {
        bundle: server.bundle.clone(),
        r#type: args.type_name.unwrap_or_default(),
        parent: args.parent.map(Into::into),
        page_size: 1_000,
        ..ListEntitiesRequest::default()
    };
    server.run(async |operator| {
        pages(&operator, request, |entities, _| {
            let names = entities
                .iter()
                .filter_map(|it| it.entity.as_ref()?.uid.as_ref());
            let names = names.map(|it| EntityRef::new(it.r#type.as_str(), it.id.as_str()));
            let lines: String = names
                .map(|it| format!("{}\n", output::shown(&it.to_string())))
                .collect();
            output::print(&lines)
        })
        .await
    })?;
    Ok(Exit::Ok)
}

pub(super) fn export(args: Export) -> Result<Exit, Failure> {
    let server = &args.server;
    let request = ListEntitiesRequest {
        bundle: server.bundle.clone(),
        r#type: args.type_name.unwrap_or_default(),
        page_size: 1_000,
        page_token: args.from,
        ..ListEntitiesRequest::default()
    };
    let mut progress = Progress::new("exported");
    let mut reached = String::new();
    let exported = server.run(async |operator| {
        pages(&operator, request, |entities, next| {
            let count = entities.len();
            let lines = entities.into_iter().filter_map(|it| it.entity);
            let lines: String = lines.map(|it| format!("{}\n", to_json(it))).collect();
            output::print(&lines)?;
            reached = next.to_owned();
            progress.add(count);
            Ok(())
        })
        .await
    });
    progress.end();
    exported.map_err(|why| match reached.as_str() {
        "" => why,
        page => Failure {
            message: format!("{}; go on with `--from {page}`", why.message),
            ..why
        },
    })?;
    Ok(Exit::Ok)
}

/// Gives every page to `each`, with where the next one begins.
async fn pages(
    operator: &Operator,
    mut request: ListEntitiesRequest,
    mut each: impl FnMut(Vec<StoredEntity>, &str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    loop {
        let page = operator.list(request.clone()).await.map_err(told)?;
        each(page.entities, &page.next_page_token)?;
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        request.page_token = page.next_page_token;
    }
}

pub(super) fn import(args: Import) -> Result<Exit, Failure> {
    let mut lines = open(&args.file)?.lines().enumerate().skip(args.skip);
    let server = &args.server;
    let mut written = args.skip;
    let mut progress = Progress::new("imported");
    let imported = server.run(async |operator| {
        loop {
            let mut changes = Vec::with_capacity(GROUP);
            let mut read = 0;
            for (n, line) in lines.by_ref().take(GROUP) {
                read += 1;
                let line = line.map_err(Failure::failed)?;
                if line.trim().is_empty() {
                    continue;
                }
                let entity = parse(&line);
                let entity =
                    entity.map_err(|why| Failure::usage(format!("line {}: {why}", n + 1)))?;
                changes.push(EntityChange {
                    change: Some(Change::Put(entity)),
                    expectation: None,
                });
            }
            if read == 0 {
                return Ok(());
            }
            let count = changes.len();
            if count > 0 {
                let done = operator.write(&server.bundle, changes).await;
                done.map_err(told)?;
            }
            written += read;
            progress.add(count);
        }
    });
    progress.end();
    imported.map_err(|why| Failure {
        message: format!(
            "{}\n{written} lines are stored; go on with `--skip {written}`",
            why.message
        ),
        ..why
    })?;
    Ok(Exit::Ok)
}

fn open(file: &Path) -> Result<Box<dyn BufRead>, Failure> {
    if file == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let opened = File::open(file);
    let opened = opened
        .map_err(|why| Failure::failed(format!("cannot read `{}`: {why}", file.display())))?;
    Ok(Box::new(BufReader::new(opened)))
}

fn parse(line: &str) -> Result<Entity, String> {
    let value = parse_json(line.as_bytes(), LIMITS).map_err(|why| why.to_string())?;
    let facts = entity_facts(value)?;
    Ok(Entity {
        attributes: to_members(facts.attributes).map_err(|why| why.to_string())?,
        parents: facts.parents.into_iter().map(Into::into).collect(),
        ..facts.uid.into()
    })
}

/// An entity as `entities.json` has it.
pub(super) fn to_json(entity: Entity) -> Json {
    let name = |uid: crate::proto::v1::EntityUid| json!({ "type": uid.r#type, "id": uid.id });
    let attributes: serde_json::Map<_, _> = entity
        .attributes
        .into_iter()
        .map(|(name, value)| (name, value_json(value)))
        .collect();
    json!({
        "uid": name(entity.uid.unwrap_or_default()),
        "attrs": attributes,
        "parents": entity.parents.into_iter().map(name).collect::<Vec<_>>(),
    })
}

fn value_json(value: Value) -> Json {
    match value.kind {
        None => Json::Null,
        Some(Kind::Bool(value)) => value.into(),
        Some(Kind::Int64(value)) => value.into(),
        Some(
            Kind::String(text)
            | Kind::Ip(text)
            | Kind::Decimal(text)
            | Kind::Datetime(text)
            | Kind::Duration(text),
        ) => text.into(),
        Some(Kind::Entity(uid)) => json!({ "type": uid.r#type, "id": uid.id }),
        Some(Kind::Set(set)) => set.values.into_iter().map(value_json).collect(),
        Some(Kind::Record(record)) => record
            .members
            .into_iter()
            .map(|(name, value)| (name, value_json(value)))
            .collect(),
    }
}

/// Tells on standard error how far it has come.
struct Progress {
    verb: &'static str,
    count: usize,
    told: usize,
}

impl Progress {
    fn new(verb: &'static str) -> Self {
        Self {
            verb,
            count: 0,
            told: 0,
        }
    }

    fn add(&mut self, count: usize) {
        self.count += count;
        let is_seen = io::stderr().is_terminal();
        if is_seen || self.count - self.told >= TOLD {
            self.told = self.count;
            let end = if is_seen { '\r' } else { '\n' };
            // Progress that nobody can read changes nothing.
            let _unseen = write!(io::stderr(), "{} {} entities{end}", self.verb, self.count);
        }
    }

    fn end(&self) {
        let _unseen = writeln!(io::stderr(), "{} {} entities", self.verb, self.count);
    }
}
