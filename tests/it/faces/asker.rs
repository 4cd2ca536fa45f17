//! Who asks at every face, and what each says.

use std::{net::SocketAddr, path::PathBuf};

use doorward::{
    model::SignedDuration,
    proto::v1::{
        CheckBatchRequest, CheckRequest, CheckStreamRequest, Decision, Outcome, Refusal,
        check_result, check_stream_response, decision_service_client::DecisionServiceClient,
    },
};
use envoy_types::pb::{
    envoy::service::auth::v3::{
        attribute_context::HttpRequest, authorization_client::AuthorizationClient,
    },
    google::protobuf,
};
use serde_json::{Value as Json, json};
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt as _;

use super::{ALICE, Asked, HOST, Who};
use crate::{
    ext_authz::about,
    fit::kit::mint,
    wire::{Reply, send},
};

/// What a face said, as far as its protocol can; the rest is in the record of that id.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) face: &'static str,
    pub(super) id: String,
    /// `allow`, `deny` or `refused`.
    pub(super) outcome: String,
    pub(super) told: Option<Told>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Told {
    /// The cause of a decision, the code of a refusal.
    pub(super) cause: String,
    pub(super) policies: Vec<String>,
    pub(super) digest: String,
    pub(super) revision: String,
}

impl Said {
    pub(super) fn decision(face: &'static str, it: Decision) -> Self {
        let outcome = match it.outcome() {
            Outcome::Allow => "allow",
            Outcome::Deny => "deny",
            Outcome::Unspecified => panic!("{it:?}"),
        };
        let cause = it.cause().as_str_name().trim_start_matches("CAUSE_");
        let policies = it.reasons.iter().map(|it| it.policy_id.clone());
        Self {
            face,
            outcome: outcome.to_owned(),
            told: Some(Told {
                cause: cause.to_lowercase(),
                policies: policies.collect(),
                digest: it.bundle_digest.clone(),
                revision: it.revision.clone(),
            }),
            id: it.decision_id,
        }
    }

    pub(super) fn refused(face: &'static str, id: String, code: &str) -> Self {
        Self {
            face,
            id,
            outcome: "refused".to_owned(),
            told: Some(Told {
                cause: code.to_owned(),
                policies: Vec::new(),
                digest: String::new(),
                revision: String::new(),
            }),
        }
    }

    pub(super) fn refusal(face: &'static str, it: Refusal) -> Self {
        Self::refused(face, it.decision_id, &it.reason)
    }

    pub(super) fn status(face: &'static str, status: &Status) -> Self {
        let info = status.get_details_error_info().unwrap();
        Self::refused(face, info.metadata["decision_id"].clone(), &info.reason)
    }

    /// The answer to a subrequest, which has no room for more.
    pub(super) fn subrequest(face: &'static str, reply: &Reply) -> Self {
        let outcome = match reply.status {
            200 => "allow",
            400 | 401 | 403 => "deny or refused",
            _ => panic!("{face}: {reply:?}"),
        };
        Self {
            face,
            id: reply.header("doorward-decision-id").to_owned(),
            outcome: outcome.to_owned(),
            told: None,
        }
    }
}

/// Who asks at every face.
pub(super) struct Faces {
    pub(super) grpc: DecisionServiceClient<Channel>,
    pub(super) envoy: AuthorizationClient<Channel>,
    pub(super) http: SocketAddr,
    pub(super) issuer: PathBuf,
}

impl Faces {
    pub(super) fn token(&self, who: Who) -> Option<String> {
        match who {
            Who::Nobody => None,
            Who::Garbage => Some("a.b.c".to_owned()),
            Who::Forged => {
                let real = self.token(ALICE)?;
                let (signed, _) = real.rsplit_once('.')?;
                Some(format!("{signed}.{}", "A".repeat(86)))
            }
            Who::User { team, level, clerk } => {
                let roles = if clerk { "[\"clerk\"]" } else { "[]" };
                let claims = [
                    ("team", json!(team).to_string()),
                    ("level", level.to_string()),
                    ("roles", roles.to_owned()),
                ];
                let claims: Vec<_> = claims.iter().map(|(k, v)| (*k, v.as_str())).collect();
                let ttl = SignedDuration::from_mins(10);
                Some(mint(&self.issuer, "alice", "", ttl, &claims))
            }
        }
    }

    pub(super) async fn native(
        &mut self,
        face: [&'static str; 3],
        check: CheckRequest,
    ) -> Vec<Said> {
        let [one, batch, stream] = face;
        let mut said = vec![match self.grpc.check(check.clone()).await {
            Ok(response) => Said::decision(one, response.into_inner().decision.unwrap()),
            Err(status) => Said::status(one, &status),
        }];
        let checks = CheckBatchRequest {
            checks: vec![check.clone()],
            ..CheckBatchRequest::default()
        };
        let mut results = self.grpc.check_batch(checks).await.unwrap().into_inner();
        said.push(match results.results.remove(0).result.unwrap() {
            check_result::Result::Decision(it) => Said::decision(batch, it),
            check_result::Result::Refusal(it) => Said::refusal(batch, it),
        });
        let question = CheckStreamRequest {
            id: "q".to_owned(),
            check: Some(check),
        };
        let answers = self.grpc.check_stream(tokio_stream::once(question)).await;
        let answer = answers
            .unwrap()
            .into_inner()
            .message()
            .await
            .unwrap()
            .unwrap();
        said.push(match answer.result.unwrap() {
            check_stream_response::Result::Decision(it) => Said::decision(stream, it),
            check_stream_response::Result::Refusal(it) => Said::refusal(stream, it),
        });
        said
    }

    pub(super) async fn ext_authz(&mut self, asked: &Asked, token: Option<&str>) -> Said {
        let bearer = token.map(|it| ("authorization".to_owned(), format!("Bearer {it}")));
        let team = asked.team.map(|it| ("x-team".to_owned(), it.to_owned()));
        let http = HttpRequest {
            method: asked.method.to_owned(),
            host: HOST.to_owned(),
            path: asked.path.to_owned(),
            headers: bearer.into_iter().chain(team).collect(),
            ..HttpRequest::default()
        };
        let response = self.envoy.check(about(http)).await.unwrap().into_inner();
        let told = response.dynamic_metadata.unwrap().fields;
        let text = |name: &str| match told.get(name).and_then(|it| it.kind.as_ref()) {
            Some(protobuf::value::Kind::StringValue(text)) => text.clone(),
            None => String::new(),
            other => panic!("{name}: {other:?}"),
        };
        let policies = match told.get("policies").and_then(|it| it.kind.clone()) {
            Some(protobuf::value::Kind::ListValue(list)) => list.values,
            None => Vec::new(),
            other => panic!("{other:?}"),
        };
        let policies = policies.into_iter().map(|it| match it.kind {
            Some(protobuf::value::Kind::StringValue(text)) => text,
            other => panic!("{other:?}"),
        });
        assert_eq!(
            response.status.unwrap().code == 0,
            text("outcome") == "allow"
        );
        Said {
            face: "ext_authz",
            id: text("decision_id"),
            outcome: text("outcome"),
            told: Some(Told {
                cause: text("cause"),
                policies: policies.collect(),
                digest: text("bundle_digest"),
                revision: text("revision"),
            }),
        }
    }

    pub(super) fn subrequest(
        &self,
        gateway: &'static str,
        asked: &Asked,
        token: Option<&str>,
    ) -> Said {
        let mut lines = Vec::new();
        lines.extend(token.map(|it| format!("authorization: Bearer {it}")));
        lines.extend(asked.team.map(|it| format!("x-team: {it}")));
        let family = match gateway {
            "nginx" => Some("original"),
            "caddy" | "traefik" => Some("forwarded"),
            _ => None,
        };
        let Some(family) = family else {
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            let target = format!("/forward-auth/{gateway}{}", asked.path);
            return Said::subrequest(
                gateway,
                &send(self.http, asked.method, HOST, &target, &lines, b""),
            );
        };
        lines.push(format!("x-{family}-method: {}", asked.method));
        lines.push(format!("x-{family}-host: {HOST}"));
        lines.push(format!("x-{family}-uri: {}", asked.path));
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let target = format!("/forward-auth/{gateway}");
        Said::subrequest(gateway, &send(self.http, "GET", HOST, &target, &lines, b""))
    }

    pub(super) fn authzen(&self, face: &'static str, team: &str, level: i64, page: &str) -> Said {
        let question = json!({
            "subject": { "type": "User", "id": "alice", "properties": { "team": team, "level": level } },
            "action": { "name": "Read" },
            "resource": { "type": "Page", "id": page },
        });
        let body = match face {
            "evaluation" => question,
            _ => json!({ "evaluations": [question] }),
        };
        let lines = ["content-type: application/json"];
        let target = format!("/access/v1/{face}");
        let body = body.to_string();
        let reply = send(
            self.http,
            "POST",
            "localhost",
            &target,
            &lines,
            body.as_bytes(),
        )
        .json();
        let answer = reply.get("evaluations").map_or(&reply, |all| &all[0]);
        let context = &answer["context"];
        let text = |it: &Json| it.as_str().unwrap().to_owned();
        let policies = context["reasons"].as_array().unwrap().iter();
        Said {
            face,
            id: text(&context["decision_id"]),
            outcome: if answer["decision"] == true {
                "allow"
            } else {
                "deny"
            }
            .to_owned(),
            told: Some(Told {
                cause: text(&context["cause"]),
                policies: policies.map(|it| text(&it["policy_id"])).collect(),
                digest: text(&context["bundle_digest"]),
                revision: text(&context["revision"]),
            }),
        }
    }
}
