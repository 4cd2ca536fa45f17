//! Who asks: the services and gateways of `[[caller]]`, each with its rights.

use std::{collections::BTreeSet, sync::Arc};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
};

use ipnet::IpNet;

use crate::{
    config::{CallerConfig, Proof, VouchScope},
    model::{
        AccessToken, BundleName, CallerCredential, CallerName, Digest, IssuerName, Refusal,
        Rejection, RejectionCode, Right, Timestamp,
    },
};

use super::{Identity, TokenScope, TokenVerifier, TrustedKeys, reject};

#[cfg(test)]
mod tests;

/// The callers the server knows.
#[derive(Debug)]
pub struct Callers {
    known: Vec<(CallerConfig, Arc<Known>)>,
    /// A caller without a credential, from this machine, while no caller is configured.
    anonymous: Arc<Known>,
    /// Whose tokens callers may present, and for which audiences.
    issuers: Vec<IssuerName>,
    audiences: Vec<String>,
}

/// Someone who may ask; cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller {
    known: Arc<Known>,
    expires_at: Option<Timestamp>,
}

/// What a caller may do.
#[derive(Debug)]
struct Known {
    name: CallerName,
    bundles: Option<Vec<BundleName>>,
    may: BTreeSet<Right>,
    vouch: VouchScope,
}

/// What a presented bearer turned out to be.
enum Bearer {
    NotPresented,
    Secret(Digest),
    Token(Identity),
}

impl Callers {
    /// Knows `callers`; with none, the anonymous caller on loopback may `check`, in development
    /// mode everything.
    pub fn new(callers: &[CallerConfig], dev: bool) -> Self {
        let tokens = || {
            callers
                .iter()
                .filter_map(|caller| caller.proof.token.as_ref())
        };
        let anonymous: BTreeSet<Right> = match dev {
            true => Right::ALL.into(),
            false => [Right::Check].into(),
        };
        let known = |caller: &CallerConfig| Known {
            name: caller.name.clone(),
            bundles: caller.bundles.clone(),
            may: caller.may.clone(),
            vouch: caller.vouch.clone(),
        };
        let known = callers
            .iter()
            .map(|caller| (caller.clone(), Arc::new(known(caller))));
        Self {
            known: known.collect(),
            anonymous: Arc::new(Known {
                name: CallerName::new("anonymous"),
                bundles: None,
                vouch: VouchScope {
                    types: Vec::new(),
                    parents: anonymous.contains(&Right::Vouch),
                },
                may: anonymous,
            }),
            issuers: tokens().map(|token| token.issuer.clone()).collect(),
            audiences: tokens().map(|token| token.audience.clone()).collect(),
        }
    }

    /// Finds out who presents `credential`: the first caller, in the order of the configuration,
    /// all of whose proofs it has.
    ///
    /// A bearer that is presented must be that of a caller: one that is not known is refused, even
    /// from a peer that would be known without it.
    ///
    /// # Errors
    /// `caller_unknown`; for a token, why it was refused.
    pub fn identify(
        &self,
        credential: &CallerCredential,
        keys: &TrustedKeys,
        now: Timestamp,
    ) -> Result<Caller, Rejection> {
        let bearer = self.read_bearer(credential, keys, now)?;
        let is = |(caller, _): &&(CallerConfig, _)| {
            proves_bearer(&caller.proof, &bearer) && proves_peer(&caller.proof, credential)
        };
        if let Some((_, known)) = self.known.iter().find(is) {
            return Ok(Caller {
                known: Arc::clone(known),
                expires_at: match &bearer {
                    Bearer::Token(identity) => Some(identity.claims().expires_at),
                    Bearer::Secret(_) | Bearer::NotPresented => None,
                },
            });
        }
        match bearer {
            Bearer::NotPresented if self.known.is_empty() => self.anonymous(credential),
            Bearer::NotPresented => reject(
                RejectionCode::CallerUnknown,
                "no credential of a configured caller; send its secret or token as \
                 `Authorization: Bearer`",
            ),
            Bearer::Secret(_) | Bearer::Token(_) => reject(
                RejectionCode::CallerUnknown,
                "the credential is that of no configured caller",
            ),
        }
    }

    /// For a credential that [`Self::identify`] rejected by `pinned`: the keys that a new read brought
    /// for its token, as [`TokenVerifier::signature`] does for those of subjects, and within the same
    /// bounds.
    ///
    /// Nobody is known yet, so only whoever else proves to be a caller, and only with a token of that
    /// caller's own issuer, has anything read.
    pub async fn refreshed(
        &self,
        tokens: &TokenVerifier,
        pinned: &TrustedKeys,
        credential: &CallerCredential,
        rejection: &Rejection,
        now: Timestamp,
    ) -> Option<Arc<TrustedKeys>> {
        let token = AccessToken::new(credential.bearer.as_deref()?);
        let index = pinned.outdated(&token, rejection.code)?;
        let issuer = &pinned.issuers.get(index)?.config.name;
        let may_be = |(caller, _): &(CallerConfig, _)| {
            let token = caller.proof.token.as_ref();
            token.is_some_and(|token| token.issuer == *issuer)
                && proves_peer(&caller.proof, credential)
        };
        if !self.known.iter().any(may_be) {
            return None;
        }
        tokens.renewed(index, pinned, &token, now).await
    }

    /// A bearer is a secret of some caller, else a token for callers, else a secret of nobody.
    fn read_bearer(
        &self,
        credential: &CallerCredential,
        keys: &TrustedKeys,
        now: Timestamp,
    ) -> Result<Bearer, Rejection> {
        let Some(bearer) = &credential.bearer else {
            return Ok(Bearer::NotPresented);
        };
        let secret = sha256(bearer.as_bytes());
        let is_secret =
            |(caller, _): &(CallerConfig, _)| is_same(caller.proof.token_sha256, secret);
        if self.known.iter().any(is_secret) || self.issuers.is_empty() {
            return Ok(Bearer::Secret(secret));
        }
        let scope = TokenScope {
            issuers: Some(&self.issuers),
            audiences: Some(&self.audiences),
        };
        let token = AccessToken::new(bearer.as_str());
        Ok(Bearer::Token(keys.verify(&token, &scope, now)?))
    }

    fn anonymous(&self, credential: &CallerCredential) -> Result<Caller, Rejection> {
        let local = credential
            .peer
            .is_none_or(|peer| peer.ip().to_canonical().is_loopback());
        if !local {
            return reject(
                RejectionCode::CallerUnknown,
                "not on loopback; configure a `[[caller]]`",
            );
        }
        Ok(Caller {
            known: Arc::clone(&self.anonymous),
            expires_at: None,
        })
    }
}

/// Whether the bearer is the one that `proof` asks for; one that it does not ask for is none.
fn proves_bearer(proof: &Proof, bearer: &Bearer) -> bool {
    match (bearer, &proof.token) {
        (Bearer::NotPresented, token) => proof.token_sha256.is_none() && token.is_none(),
        (Bearer::Secret(secret), _) => is_same(proof.token_sha256, *secret),
        (Bearer::Token(identity), Some(token)) => {
            let claims = identity.claims();
            claims.issuer == token.issuer
                && identity.audiences().contains(&token.audience)
                && claims.scopes.contains(&token.scope)
                && token.subject.as_ref().is_none_or(|sub| *sub == claims.sub)
        }
        (Bearer::Token(_), None) => false,
    }
}

/// Whether the peer is the one that `proof` asks for.
fn proves_peer(proof: &Proof, credential: &CallerCredential) -> bool {
    let is_in = |network: &IpNet| {
        let address = credential.peer.map(|peer| peer.ip().to_canonical());
        address.is_some_and(|address| network.contains(&address))
    };
    proof
        .mtls_san
        .as_ref()
        .is_none_or(|san| credential.sans.contains(san))
        && proof.unix_uid.is_none_or(|uid| credential.uid == Some(uid))
        && proof.cidr.as_ref().is_none_or(is_in)
}

/// Digests are compared, and in constant time, so that time tells nothing of the secret.
fn is_same(known: Option<Digest>, presented: Digest) -> bool {
    known.is_some_and(|known| {
        verify_slices_are_equal(known.as_bytes(), presented.as_bytes()).is_ok()
    })
}

fn sha256(bytes: &[u8]) -> Digest {
    let mut array = [0; 32];
    array.copy_from_slice(digest(&SHA256, bytes).as_ref());
    Digest::new(array)
}

impl Caller {
    /// The operator's name of it; `anonymous` for a caller without a credential.
    pub fn name(&self) -> &CallerName {
        &self.known.name
    }

    /// Whether it may do `right` in `bundle`.
    ///
    /// # Errors
    /// [`Refusal::CallerLacksRight`].
    pub fn may(&self, right: Right, bundle: &BundleName) -> Result<(), Refusal> {
        let reaches = self
            .known
            .bundles
            .as_ref()
            .is_none_or(|bundles| bundles.contains(bundle));
        if reaches && self.known.may.contains(&right) {
            return Ok(());
        }
        Err(Refusal::CallerLacksRight {
            right,
            bundle: bundle.clone(),
        })
    }

    /// When the token it presented expires, if it presented one.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// The bundle it asks when it names none, if it may ask only one.
    pub fn only_bundle(&self) -> Option<&BundleName> {
        match self.known.bundles.as_deref() {
            Some([only]) => Some(only),
            _ => None,
        }
    }

    /// What it may vouch for, given the right `vouch`.
    pub fn vouch(&self) -> &VouchScope {
        &self.known.vouch
    }
}
