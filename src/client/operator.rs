//! Asks a Doorward to keep its directory, to revoke tokens, and for its decision log.

use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use super::{ClientError, endpoint};
use crate::proto::v1::{
    AuditRecord, EntityChange, EntityUid, GetEntityRequest, GetRecordRequest, ListEntitiesRequest,
    ListEntitiesResponse, QueryRecordsRequest, QueryRecordsResponse, RevokeRequest, RevokeResponse,
    StoredEntity, TailRecordsRequest, TailRecordsResponse, WriteEntitiesRequest,
    audit_service_client::AuditServiceClient, directory_service_client::DirectoryServiceClient,
    revocation_service_client::RevocationServiceClient, tail_records_response::What,
};

/// Largest answer, in bytes: a page of large entities.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Speaks to the listener for operators.
#[derive(Clone, Debug)]
pub struct Operator {
    channel: Channel,
    authorization: Option<MetadataValue<Ascii>>,
}

/// Records as they come.
#[derive(Debug)]
pub struct Tail(tonic::Streaming<TailRecordsResponse>);

impl Tail {
    /// What came next; `None` at the end.
    ///
    /// # Errors
    /// [`ClientError::Refused`].
    pub async fn next(&mut self) -> Result<Option<What>, ClientError> {
        let next = self.0.message().await;
        let next = next.map_err(|status| ClientError::refused(&status))?;
        Ok(next.and_then(|it| it.what))
    }
}

impl Operator {
    /// Connects to `url`, as `http://127.0.0.1:8283`.
    ///
    /// # Errors
    /// [`ClientError::Url`] and [`ClientError::Unreachable`].
    pub async fn connect(url: &str) -> Result<Self, ClientError> {
        let connected = endpoint(url)?.connect().await;
        let channel = connected.map_err(|source| ClientError::Unreachable {
            url: url.to_owned(),
            source,
        })?;
        Ok(Self {
            channel,
            authorization: None,
        })
    }

    /// Sends `secret` as this caller's own credential.
    ///
    /// # Errors
    /// [`ClientError::Secret`] when it cannot stand in a header.
    pub fn with_secret(mut self, secret: &str) -> Result<Self, ClientError> {
        let value = MetadataValue::try_from(format!("Bearer {secret}"));
        let mut value = value.map_err(|_| ClientError::Secret)?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(self)
    }

    /// Does changes, all or none; returns the revision that has them.
    ///
    /// # Errors
    /// [`ClientError::Refused`].
    pub async fn write(
        &self,
        bundle: &str,
        changes: Vec<EntityChange>,
    ) -> Result<String, ClientError> {
        let request = WriteEntitiesRequest {
            bundle: bundle.to_owned(),
            changes,
        };
        let answered = self.directory().write_entities(self.call(request)).await;
        Ok(done(answered)?.revision)
    }

    /// An entity, if it is stored.
    ///
    /// # Errors
    /// [`ClientError::Refused`].
    pub async fn get(
        &self,
        bundle: &str,
        uid: EntityUid,
    ) -> Result<Option<StoredEntity>, ClientError> {
        let request = GetEntityRequest {
            bundle: bundle.to_owned(),
            uid: Some(uid),
            at_least_revision: String::new(),
        };
        match done(self.directory().get_entity(self.call(request)).await) {
            Ok(answer) => Ok(answer.entity),
            Err(ClientError::Refused(why)) if why.reason == "unknown_entity" => Ok(None),
            Err(why) => Err(why),
        }
    }

    /// A page of entities.
    ///
    /// # Errors
    /// [`ClientError::Refused`].
    pub async fn list(
        &self,
        request: ListEntitiesRequest,
    ) -> Result<ListEntitiesResponse, ClientError> {
        done(self.directory().list_entities(self.call(request)).await)
    }

    /// Revokes tokens.
    ///
    /// # Errors
    /// [`ClientError::Refused`].
    pub async fn revoke(&self, request: RevokeRequest) -> Result<RevokeResponse, ClientError> {
        let mut service = RevocationServiceClient::new(self.channel.clone());
        done(service.revoke(self.call(request)).await)
    }

    /// A page of records.
    ///
    /// # Errors
    /// [`ClientError::Refused`].
    pub async fn query_records(
        &self,
        request: QueryRecordsRequest,
    ) -> Result<QueryRecordsResponse, ClientError> {
        done(self.audit().query_records(self.call(request)).await)
    }

    /// The record of one decision.
    ///
    /// # Errors
    /// [`ClientError::Refused`], with the reason `unknown_decision` where there is none.
    pub async fn record(
        &self,
        request: GetRecordRequest,
    ) -> Result<Option<AuditRecord>, ClientError> {
        let answered = self.audit().get_record(self.call(request)).await;
        Ok(done(answered)?.record)
    }

    /// Records as they come.
    ///
    /// # Errors
    /// [`ClientError::Refused`].
    pub async fn tail_records(&self, request: TailRecordsRequest) -> Result<Tail, ClientError> {
        let answered = self.audit().tail_records(self.call(request)).await;
        done(answered).map(Tail)
    }

    fn audit(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    fn directory(&self) -> DirectoryServiceClient<Channel> {
        DirectoryServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    fn call<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", authorization.clone());
        }
        request
    }
}

fn done<T>(answered: Result<tonic::Response<T>, tonic::Status>) -> Result<T, ClientError> {
    match answered {
        Ok(answer) => Ok(answer.into_inner()),
        Err(status) => Err(ClientError::refused(&status)),
    }
}
