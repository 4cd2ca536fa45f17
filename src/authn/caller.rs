//! Who asks: the services and gateways of `[[caller]]`, each with its rights.

use std::collections::BTreeSet;

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
};

use crate::{
    config::{CallerConfig, VouchScope},
    model::{BundleName, CallerCredential, CallerName, Refusal, Rejection, RejectionCode, Right},
};

use super::reject;

/// The callers the server knows.
#[derive(Debug)]
pub struct Callers {
    known: Vec<CallerConfig>,
    /// What a caller without a credential may do from this machine, while no caller is configured.
    anonymous: BTreeSet<Right>,
}

/// Someone who may ask.
#[derive(Clone, Debug)]
pub struct Caller {
    name: CallerName,
    bundles: Option<Vec<BundleName>>,
    may: BTreeSet<Right>,
    vouch: VouchScope,
}

impl Callers {
    /// Knows `callers`; with none, the anonymous caller on loopback may `check`, in development
    /// mode everything.
    pub fn new(callers: &[CallerConfig], dev: bool) -> Self {
        Self {
            known: callers.to_vec(),
            anonymous: match dev {
                true => Right::ALL.into(),
                false => [Right::Check].into(),
            },
        }
    }

    /// Finds out who presents `credential`.
    ///
    /// A credential that is presented and not known never becomes an anonymous caller.
    ///
    /// # Errors
    /// `caller_unknown`.
    pub fn identify(&self, credential: &CallerCredential) -> Result<Caller, Rejection> {
        match &credential.bearer {
            Some(secret) => self.by_secret(secret),
            None if self.known.is_empty() => self.anonymous(credential),
            None => reject(
                RejectionCode::CallerUnknown,
                "no credential; send the caller's secret as `Authorization: Bearer`",
            ),
        }
    }

    /// Digests are compared, and in constant time, so that time tells nothing of the secret.
    fn by_secret(&self, secret: &str) -> Result<Caller, Rejection> {
        let presented = digest(&SHA256, secret.as_bytes());
        let same = |caller: &&CallerConfig| {
            caller.token_sha256.is_some_and(|known| {
                verify_slices_are_equal(known.as_bytes(), presented.as_ref()).is_ok()
            })
        };
        match self.known.iter().find(same) {
            Some(caller) => Ok(Caller {
                name: caller.name.clone(),
                bundles: caller.bundles.clone(),
                may: caller.may.clone(),
                vouch: caller.vouch.clone(),
            }),
            None => reject(
                RejectionCode::CallerUnknown,
                "the secret is that of no configured caller",
            ),
        }
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
            name: CallerName::new("anonymous"),
            bundles: None,
            may: self.anonymous.clone(),
            vouch: VouchScope {
                types: Vec::new(),
                parents: self.anonymous.contains(&Right::Vouch),
            },
        })
    }
}

impl Caller {
    /// The operator's name of it; `anonymous` for a caller without a credential.
    pub fn name(&self) -> &CallerName {
        &self.name
    }

    /// Whether it may do `right` in `bundle`.
    ///
    /// # Errors
    /// [`Refusal::CallerLacksRight`].
    pub fn may(&self, right: Right, bundle: &BundleName) -> Result<(), Refusal> {
        let reaches = self
            .bundles
            .as_ref()
            .is_none_or(|bundles| bundles.contains(bundle));
        if reaches && self.may.contains(&right) {
            return Ok(());
        }
        Err(Refusal::CallerLacksRight {
            right,
            bundle: bundle.clone(),
        })
    }

    /// What it may vouch for, given the right `vouch`.
    pub fn vouch(&self) -> &VouchScope {
        &self.vouch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    fn digest_of(secret: &str) -> Digest {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
        Digest::new(bytes)
    }

    fn api() -> CallerConfig {
        CallerConfig {
            name: CallerName::new("api"),
            token_sha256: Some(digest_of("s3cret")),
            bundles: Some(vec![BundleName::new("orders")]),
            may: [Right::Check, Right::Vouch].into(),
            vouch: VouchScope::default(),
        }
    }

    fn credential(peer: Option<&str>, bearer: Option<&str>) -> CallerCredential {
        CallerCredential {
            peer: peer.map(|peer| peer.parse().unwrap()),
            bearer: bearer.map(str::to_owned),
        }
    }

    #[track_caller]
    fn check(callers: &Callers, peer: Option<&str>, bearer: Option<&str>, expected: Option<&str>) {
        let name = callers
            .identify(&credential(peer, bearer))
            .ok()
            .map(|caller| caller.name().to_string());
        assert_eq!(name.as_deref(), expected);
    }

    #[test]
    fn a_caller_is_who_knows_its_secret() {
        let callers = Callers::new(&[api()], false);
        check(&callers, Some("192.0.2.1:5"), Some("s3cret"), Some("api"));
        check(&callers, None, Some("s3cret"), Some("api"));
        for wrong in ["", "S3cret", "s3cret ", "s3cre"] {
            check(&callers, None, Some(wrong), None);
        }
        check(&callers, None, Some(&digest_of("s3cret").to_string()), None);
        check(&callers, Some("127.0.0.1:5"), None, None);
    }

    #[test]
    fn without_configured_callers_this_machine_alone_may_ask() {
        let callers = Callers::new(&[], false);
        for local in [
            "127.0.0.1:5",
            "127.8.9.1:5",
            "[::1]:5",
            "[::ffff:127.0.0.1]:5",
        ] {
            check(&callers, Some(local), None, Some("anonymous"));
        }
        check(&callers, None, None, Some("anonymous"));
        for remote in [
            "192.0.2.1:5",
            "[2001:db8::1]:5",
            "0.0.0.0:5",
            "[::ffff:192.0.2.1]:5",
        ] {
            check(&callers, Some(remote), None, None);
        }
        check(&callers, Some("127.0.0.1:5"), Some("anything"), None);
    }

    #[test]
    fn rights_are_per_bundle() {
        let (orders, other) = (BundleName::new("orders"), BundleName::new("other"));
        let lacks = |right, bundle: &BundleName| {
            Err(Refusal::CallerLacksRight {
                right,
                bundle: bundle.clone(),
            })
        };
        let api = Callers::new(&[api()], false);
        let api = api.identify(&credential(None, Some("s3cret"))).unwrap();
        assert_eq!(api.may(Right::Vouch, &orders), Ok(()));
        assert_eq!(
            api.may(Right::Explain, &orders),
            lacks(Right::Explain, &orders)
        );
        assert_eq!(api.may(Right::Check, &other), lacks(Right::Check, &other));

        let anonymous = |dev| {
            let callers = Callers::new(&[], dev);
            callers.identify(&credential(None, None)).unwrap()
        };
        for right in Right::ALL {
            assert_eq!(anonymous(true).may(right, &other), Ok(()));
            let expected = match right {
                Right::Check => Ok(()),
                right => lacks(right, &other),
            };
            assert_eq!(anonymous(false).may(right, &other), expected);
        }
    }
}
