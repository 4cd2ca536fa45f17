//! `doorward.v1.DirectoryService`.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tonic::{Code, Request, Response, Status};

use super::{
    changes::{read_change, to_stored_entity},
    operate::{Desk, Operator},
};
use crate::{
    bundle::Snapshot,
    ledger::record::{Change, EntityChanges, LedgerRecord},
    model::{Refusal, Right},
    pep::grpc::read_uid,
    pip::storable_key,
    proto::v1::{
        self as wire,
        directory_service_server::{DirectoryService, DirectoryServiceServer},
        entity_change::Change as Of,
    },
    store::{Directory, Key, KeyRef, Outcome, Reach, Stored, Version},
};

/// The most changes in one request.
const MAX_CHANGES: usize = 1_000;
/// Entities on a page, unless asked otherwise, and at most.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;
/// Largest request, in bytes: as many changes as there may be, of 8 KiB each.
const MAX_MESSAGE: usize = 8 * 1024 * 1024;
/// How long a read waits for a revision that is still to come.
const PATIENCE: Duration = Duration::from_millis(800);

/// Serves the directories to operators.
#[derive(Clone, Debug)]
pub struct DirectoryFace(Desk);

impl DirectoryFace {
    /// A face of this desk.
    pub fn new(desk: Desk) -> Self {
        Self(desk)
    }

    /// The service.
    pub fn into_service(self) -> DirectoryServiceServer<Self> {
        DirectoryServiceServer::new(self)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    async fn admit<T: Sync>(
        &self,
        request: &Request<T>,
        action: &'static str,
        bundle: &str,
    ) -> Result<Operator, Status> {
        let admitted = self.0.admit(request, action, Right::Directory, bundle);
        admitted.await
    }

    /// Checks changes against the rules of now, and writes them.
    async fn write(
        &self,
        by: Operator,
        changes: Vec<wire::EntityChange>,
    ) -> Result<String, Status> {
        if changes.len() > MAX_CHANGES {
            let limit = MAX_CHANGES;
            let what = "changes";
            return Err(self.0.refuse(&by, Refusal::TooLarge { what, limit }));
        }
        let snapshot = self.0.snapshot(&by)?;
        let read: Result<Vec<Change>, Refusal> = changes
            .into_iter()
            .enumerate()
            .map(|(n, change)| read_change(&snapshot, change).map_err(|why| numbered(why, n)))
            .collect();
        let changes = read.map_err(|refusal| self.0.refuse(&by, refusal))?;
        let count = changes.len();
        let record = LedgerRecord::Entities(EntityChanges {
            bundle: by.bundle.to_string(),
            time: by.now,
            by: by.name.to_string(),
            changes,
        });
        let written = self.0.store.write(&record).await;
        let written = written.map_err(|why| self.0.not_written(&by, &why))?;
        match written.outcome {
            Outcome::Applied => {
                tracing::info!(bundle = %by.bundle, by = %by.name, count, sequence = written.sequence, "directory changed");
                Ok(written.revision.to_string())
            }
            Outcome::Conflict(n) => {
                let message = format!("change {}: what it expects does not hold", n + 1);
                let class = (Code::FailedPrecondition, "conflict", "conflict");
                Err(self.0.not_made(&by, class, &message))
            }
            Outcome::Refused(n, why) => {
                let field = format!("changes[{n}].parents");
                let refusal = Refusal::malformed(field, "hierarchy", why);
                Err(self.0.refuse(&by, refusal))
            }
            Outcome::Nothing => {
                let message = "what is stored cannot be read, and nothing was changed";
                let class = (Code::Unavailable, "unavailable", "not_written");
                Err(self.0.not_made(&by, class, message))
            }
        }
    }

    /// What is stored, as of a revision or later.
    async fn version(&self, by: &Operator, at_least: &str) -> Result<Arc<Version>, Status> {
        let store = &self.0.store;
        if at_least.is_empty() {
            return Ok(store.pin());
        }
        match store.reach(at_least, PATIENCE).await {
            Reach::Reached => Ok(store.pin()),
            Reach::Later => Err(self.0.refuse(by, Refusal::Stale)),
            Reach::Lost | Reach::Unknown => {
                let message = "is no revision of what is stored here";
                let refusal = Refusal::malformed("at_least_revision", "unknown_revision", message);
                Err(self.0.refuse(by, refusal))
            }
        }
    }

    fn entity(
        &self,
        by: &Operator,
        snapshot: &Snapshot,
        directory: &Directory,
        key: &Key,
    ) -> Result<wire::StoredEntity, Status> {
        let missing = || {
            let message = format!("`{}` is not stored", key.entity());
            self.0.fail(Code::NotFound, "unknown_entity", &message)
        };
        let stored = directory.get(key).ok_or_else(missing)?;
        self.told(by, snapshot, directory, stored)
    }

    fn told(
        &self,
        by: &Operator,
        snapshot: &Snapshot,
        directory: &Directory,
        stored: &Stored,
    ) -> Result<wire::StoredEntity, Status> {
        let told = to_stored_entity(snapshot, directory, stored);
        told.map_err(|refusal| self.0.refuse(by, refusal))
    }
}

#[tonic::async_trait]
impl DirectoryService for DirectoryFace {
    async fn put_entity(
        &self,
        request: Request<wire::PutEntityRequest>,
    ) -> Result<Response<wire::PutEntityResponse>, Status> {
        let by = self.admit(&request, "write", &request.get_ref().bundle);
        let by = by.await?;
        let wire::PutEntityRequest {
            entity,
            expectation,
            ..
        } = request.into_inner();
        let change = wire::EntityChange {
            change: Some(Of::Put(entity.unwrap_or_default())),
            expectation,
        };
        let revision = self.write(by, vec![change]).await?;
        Ok(Response::new(wire::PutEntityResponse { revision }))
    }

    async fn delete_entity(
        &self,
        request: Request<wire::DeleteEntityRequest>,
    ) -> Result<Response<wire::DeleteEntityResponse>, Status> {
        let by = self.admit(&request, "write", &request.get_ref().bundle);
        let by = by.await?;
        let wire::DeleteEntityRequest {
            uid, expectation, ..
        } = request.into_inner();
        let change = wire::EntityChange {
            change: Some(Of::Delete(uid.unwrap_or_default())),
            expectation,
        };
        let revision = self.write(by, vec![change]).await?;
        Ok(Response::new(wire::DeleteEntityResponse { revision }))
    }

    async fn write_entities(
        &self,
        request: Request<wire::WriteEntitiesRequest>,
    ) -> Result<Response<wire::WriteEntitiesResponse>, Status> {
        let by = self.admit(&request, "write", &request.get_ref().bundle);
        let by = by.await?;
        let changes = request.into_inner().changes;
        let revision = self.write(by, changes).await?;
        Ok(Response::new(wire::WriteEntitiesResponse { revision }))
    }

    async fn get_entity(
        &self,
        request: Request<wire::GetEntityRequest>,
    ) -> Result<Response<wire::GetEntityResponse>, Status> {
        let by = self.admit(&request, "read", &request.get_ref().bundle);
        let by = by.await?;
        let asked = request.into_inner();
        let version = self.version(&by, &asked.at_least_revision).await?;
        let snapshot = self.0.snapshot(&by)?;
        let key = read_uid(asked.uid, "uid").and_then(|uid| storable_key(&snapshot, &uid, "uid"));
        let key = key.map_err(|refusal| self.0.refuse(&by, refusal))?;
        let directory = version
            .directory(by.bundle.as_str())
            .cloned()
            .unwrap_or_default();
        Ok(Response::new(wire::GetEntityResponse {
            entity: Some(self.entity(&by, &snapshot, &directory, &key)?),
            revision: version.revision().to_string(),
        }))
    }

    async fn list_entities(
        &self,
        request: Request<wire::ListEntitiesRequest>,
    ) -> Result<Response<wire::ListEntitiesResponse>, Status> {
        let by = self.admit(&request, "read", &request.get_ref().bundle);
        let by = by.await?;
        let asked = request.into_inner();
        let version = self.version(&by, &asked.at_least_revision).await?;
        let snapshot = self.0.snapshot(&by)?;
        let filter = Filter::read(&snapshot, &asked);
        let filter = filter.map_err(|refusal| self.0.refuse(&by, refusal))?;
        let directory = version
            .directory(by.bundle.as_str())
            .cloned()
            .unwrap_or_default();
        let limit = match usize::try_from(asked.page_size) {
            Ok(0) | Err(_) => PAGE,
            Ok(size) => size.min(MAX_PAGE),
        };
        let found = directory.clone();
        let page = tokio::task::spawn_blocking(move || filter.page(&found, limit)).await;
        let page =
            page.map_err(|why| self.0.fail(Code::Internal, "unavailable", &why.to_string()))?;
        let next_page_token = match page.last() {
            Some(last) if page.len() == limit => to_token(last.key()),
            _ => String::new(),
        };
        let entities: Result<Vec<_>, Status> = page
            .iter()
            .map(|stored| self.told(&by, &snapshot, &directory, stored))
            .collect();
        Ok(Response::new(wire::ListEntitiesResponse {
            entities: entities?,
            next_page_token,
            revision: version.revision().to_string(),
        }))
    }
}

/// Which entities a list is of.
struct Filter {
    type_name: Option<String>,
    parent: Option<Key>,
    after: Option<Key>,
}

impl Filter {
    fn read(snapshot: &Snapshot, asked: &wire::ListEntitiesRequest) -> Result<Self, Refusal> {
        let type_name = match asked.r#type.as_str() {
            "" => None,
            name => {
                let def = snapshot.schema.type_named(name).ok_or_else(|| {
                    let message = format!("the bundle's schema has no entity type `{name}`");
                    Refusal::malformed("type", "unknown_type", message)
                })?;
                Some(def.name.to_string())
            }
        };
        let parent = match &asked.parent {
            None => None,
            Some(uid) => {
                let uid = read_uid(Some(uid.clone()), "parent")?;
                Some(storable_key(snapshot, &uid, "parent")?)
            }
        };
        let after = match asked.page_token.as_str() {
            "" => None,
            token => Some(from_token(token).ok_or_else(|| {
                Refusal::malformed("page_token", "page_token", "was not given out here")
            })?),
        };
        Ok(Self {
            type_name,
            parent,
            after,
        })
    }

    fn page(&self, directory: &Directory, limit: usize) -> Vec<Stored> {
        let (type_name, after) = (self.type_name.as_deref(), self.after.as_ref());
        directory.page(type_name, after, limit, |stored| {
            let parent = self.parent.as_ref().map(Key::borrowed);
            parent.is_none_or(|parent| stored.parents().any(|it| it == parent))
        })
    }
}

fn to_token(key: KeyRef<'_>) -> String {
    let text = format!("{}\0{}", key.type_name, key.id);
    URL_SAFE_NO_PAD.encode(text)
}

fn from_token(token: &str) -> Option<Key> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (type_name, id) = std::str::from_utf8(&bytes).ok()?.split_once('\0')?;
    Some(Key::new(type_name, id))
}

/// Says of which change a fault is.
fn numbered(refusal: Refusal, n: usize) -> Refusal {
    match refusal {
        Refusal::Malformed(mut violations) => {
            for violation in &mut violations {
                violation.field = format!("changes[{n}].{}", violation.field);
            }
            Refusal::Malformed(violations)
        }
        other => other,
    }
}
