//! Tokens that are no longer accepted, though they have not expired.

use rpds::HashTrieMapSync;

use crate::{
    ledger::record::{Restored, Revocation, Revoked},
    model::{Claims, SignedDuration, Timestamp, Value},
};

/// What was revoked, and could be accepted otherwise.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    /// By issuer and what of it.
    exact: HashTrieMapSync<(Box<str>, Exact), Revocation>,
    /// By issuer and subject.
    subjects: HashTrieMapSync<(Box<str>, Box<str>), Revocation>,
    pub(super) restored: Option<Restored>,
    /// How many there were after the last look for those that no longer matter.
    pruned: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Exact {
    Token(Box<str>),
    Session(Box<str>),
}

impl Revocations {
    /// Whether a token with these claims was revoked.
    pub fn revoke(&self, claims: &Claims) -> bool {
        let iss = || Box::from(claims.iss.as_str());
        if !self.exact.is_empty() {
            let session = claims.get("sid").and_then(Value::as_str);
            let token = claims.jti.as_deref().map(|jti| Exact::Token(jti.into()));
            let session = session.map(|sid| Exact::Session(sid.into()));
            let mut named = token.into_iter().chain(session);
            if named.any(|it| self.exact.contains_key(&(iss(), it))) {
                return true;
            }
        }
        // When it was issued is unknown: it may have been before.
        let is_until = |moment: Timestamp| claims.issued_at.is_none_or(|it| it <= moment);
        if !self.subjects.is_empty() {
            let subject = self.subjects.get(&(iss(), claims.sub.as_str().into()));
            if let Some(Revoked::Subject { before, .. }) = subject.map(|it| &it.what)
                && is_until(*before)
            {
                return true;
            }
        }
        let restored = self.restored.as_ref().filter(|it| it.revoke_before);
        restored.is_some_and(|restored| is_until(restored.time))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.exact.size() + self.subjects.size()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every one, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Revocation> {
        self.exact.values().chain(self.subjects.values())
    }

    /// Adds one; of two about the same, what holds longer stays.
    pub(super) fn add(&mut self, revocation: Revocation) {
        let now = revocation.time;
        let iss: Box<str> = revocation.issuer.as_str().into();
        let exact = match &revocation.what {
            Revoked::Token(jti) => Exact::Token(jti.as_str().into()),
            Revoked::Session(sid) => Exact::Session(sid.as_str().into()),
            Revoked::Subject { subject, before } => {
                let key = (iss, subject.as_str().into());
                let held = self.subjects.get(&key).map(|held| &held.what);
                if !matches!(held, Some(Revoked::Subject { before: held, .. }) if held >= before) {
                    self.subjects.insert_mut(key, revocation);
                }
                return self.prune(now);
            }
        };
        let key = (iss, exact);
        if self
            .exact
            .get(&key)
            .is_none_or(|held| held.until < revocation.until)
        {
            self.exact.insert_mut(key, revocation);
        }
        self.prune(now);
    }

    /// Takes a restore into account.
    pub(super) fn restore(&mut self, restored: Restored) {
        let held = self.restored.as_ref();
        let keep = held.is_some_and(|it| it.revoke_before && !restored.revoke_before);
        if !keep {
            self.restored = Some(restored);
        }
    }

    /// Forgets what no longer matters as of `now`, whenever twice as many were added.
    fn prune(&mut self, now: Timestamp) {
        if self.len() < 2 * self.pruned.max(512) {
            return;
        }
        let is_over = |it: &Revocation| it.until < now;
        let exact = self.exact.iter().filter(|(_, it)| is_over(it));
        for key in exact.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.exact.remove_mut(&key);
        }
        let subjects = self.subjects.iter().filter(|(_, it)| is_over(it));
        for key in subjects.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.subjects.remove_mut(&key);
        }
        let over = |it: &Restored| {
            let until = it.time.checked_add(it.longest);
            until.is_ok_and(|until| until < now)
        };
        self.restored = self.restored.take().filter(|it| !over(it));
        self.pruned = self.len();
    }
}

/// Until when a token that an issuer may give out until `last` could be accepted.
pub(super) fn kept_until(last: Timestamp, longest: SignedDuration) -> Timestamp {
    last.checked_add(longest).unwrap_or(Timestamp::MAX)
}
