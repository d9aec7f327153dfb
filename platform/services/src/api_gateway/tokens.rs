//! Bearer tokens: JWT (RFC 7519) signed with EdDSA (RFC 8037) by a key of the identity provider's set
//! (RFC 7517). Times are judged by the arrival's clock; the library's own checks of time are off.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use model::{AccountId, Timestamp};
use serde::Deserialize;

use super::Settings;
use crate::support::request::is_key;

/// The longest token that is looked at.
const TOKEN_LEN_MAX: usize = 4_096;

/// The longest key set that is looked at.
const KEY_SET_LEN_MAX: usize = 64 * 1024;

/// Whom a verified token names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub client: String,
    pub role: Role,
    /// A participant's accounts.
    pub accounts: BTreeSet<AccountId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Participant,
    Operator,
}

/// Why a token does not let its bearer in.
#[derive(Debug, PartialEq, Eq)]
pub enum Denied {
    /// The key set is to be fetched first.
    KeysNeeded,
    /// It was tried a moment ago, and failed.
    KeysUnavailable,
    /// 401
    Token(&'static str),
}

/// Keys and verified tokens of one instance.
pub struct Tokens {
    settings: Settings,
    validation: Validation,
    keys: BTreeMap<String, DecodingKey>,
    fetched_at: Option<Timestamp>,
    tried_at: Option<Timestamp>,
    verified: BTreeMap<String, Verified>,
}

#[derive(Clone)]
struct Verified {
    caller: Arc<Caller>,
    /// Seconds since the Unix epoch.
    not_before: i64,
    expires: i64,
}

/// The claims that count. `roles` has `participant` or `operator`; `accounts` are a participant's.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    sub: String,
    exp: i64,
    #[serde(default)]
    nbf: i64,
    roles: Vec<String>,
    #[serde(default)]
    accounts: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Tokens {
    pub fn new(settings: Settings) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        Self {
            settings,
            validation,
            keys: BTreeMap::new(),
            fetched_at: None,
            tried_at: None,
            verified: BTreeMap::new(),
        }
    }

    /// Takes in a key set, or that there was none. What was verified with the old keys is verified anew.
    pub fn fetched(&mut self, document: Option<Bytes>, now: Timestamp) {
        self.tried_at = Some(now);
        let Some(keys) = document.and_then(|document| read_keys(&document)) else { return };
        self.keys = keys;
        self.fetched_at = Some(now);
        self.verified.clear();
    }

    pub fn verify(&mut self, token: &str, now: Timestamp) -> Result<Arc<Caller>, Denied> {
        if self.keys_are_old(now) && self.may_fetch(now) {
            return Err(Denied::KeysNeeded);
        }
        if let Some(verified) = self.verified.get(token) {
            return self.in_time(verified, now);
        }
        let verified = self.verify_anew(token, now)?;
        let caller = self.in_time(&verified, now)?;
        self.remember(token, verified, now);
        Ok(caller)
    }

    fn verify_anew(&self, token: &str, now: Timestamp) -> Result<Verified, Denied> {
        if token.len() > TOKEN_LEN_MAX {
            return Err(Denied::Token("the token is too long"));
        }
        let header = decode_header(token).map_err(|_| Denied::Token("the token cannot be read"))?;
        // Before any key is looked at: neither `none` nor a shared secret ever verifies here.
        if header.alg != Algorithm::EdDSA {
            return Err(Denied::Token("the token is not signed with EdDSA"));
        }
        // RFC 7515, section 4.1.11: an extension that must be understood, and is not.
        if header.crit.is_some() {
            return Err(Denied::Token("the token has extensions that are not known here"));
        }
        let kid = header.kid.ok_or(Denied::Token("the token names no key"))?;
        let Some(key) = self.keys.get(&kid) else {
            return Err(match (self.may_fetch(now), self.fetched_at) {
                (true, _) => Denied::KeysNeeded,
                (false, None) => Denied::KeysUnavailable,
                (false, Some(_)) => Denied::Token("the token's key is not known"),
            });
        };
        let claims = decode::<Claims>(token, key, &self.validation);
        let claims = claims.map_err(|_| Denied::Token("the token is not valid"))?.claims;
        self.accept(claims)
    }

    fn accept(&self, claims: Claims) -> Result<Verified, Denied> {
        if claims.iss != self.settings.issuer {
            return Err(Denied::Token("the token is of another issuer"));
        }
        let is_ours = match &claims.aud {
            Audience::One(audience) => *audience == self.settings.audience,
            Audience::Many(audiences) => audiences.contains(&self.settings.audience),
        };
        if !is_ours {
            return Err(Denied::Token("the token is for another audience"));
        }
        if !is_key(&claims.sub) {
            return Err(Denied::Token("the token names no client"));
        }
        let has = |role: &str| claims.roles.iter().any(|named| named == role);
        let role = match (has("operator"), has("participant")) {
            (true, _) => Role::Operator,
            (false, true) => Role::Participant,
            (false, false) => return Err(Denied::Token("the token names no role")),
        };
        let accounts = claims.accounts.iter().map(|account| account.parse()).collect::<Result<_, _>>();
        let accounts = accounts.map_err(|_| Denied::Token("the token names an account that is no id"))?;
        let caller = Arc::new(Caller { client: claims.sub, role, accounts });
        Ok(Verified { caller, not_before: claims.nbf, expires: claims.exp })
    }

    fn in_time(&self, verified: &Verified, now: Timestamp) -> Result<Arc<Caller>, Denied> {
        let leeway = i64::try_from(self.settings.leeway.as_secs()).expect("a leeway of seconds");
        let now = now.as_second();
        if now >= verified.expires.saturating_add(leeway) {
            return Err(Denied::Token("the token has expired"));
        }
        if now.saturating_add(leeway) < verified.not_before {
            return Err(Denied::Token("the token is not valid yet"));
        }
        Ok(verified.caller.clone())
    }

    /// Where there is no room, expired tokens make it, else the one that expires first.
    fn remember(&mut self, token: &str, verified: Verified, now: Timestamp) {
        if self.verified.len() >= self.settings.verified_tokens_max {
            self.verified.retain(|_, verified| verified.expires > now.as_second());
        }
        if self.verified.len() >= self.settings.verified_tokens_max {
            let first = self.verified.iter().min_by_key(|(token, verified)| (verified.expires, *token));
            let first = first.map(|(token, _)| token.clone());
            first.map(|token| self.verified.remove(&token));
        }
        self.verified.insert(token.to_owned(), verified);
    }

    #[cfg(test)]
    pub fn remembered(&self) -> usize {
        self.verified.len()
    }

    fn keys_are_old(&self, now: Timestamp) -> bool {
        self.fetched_at.is_some_and(|at| now > at + self.settings.keys_max_age)
    }

    fn may_fetch(&self, now: Timestamp) -> bool {
        self.tried_at.is_none_or(|at| now >= at + self.settings.keys_retry || now < at)
    }
}

/// The keys of a set. Only EdDSA keys ever verify anything: the algorithm is fixed before a key is looked up.
fn read_keys(document: &[u8]) -> Option<BTreeMap<String, DecodingKey>> {
    if document.len() > KEY_SET_LEN_MAX {
        return None;
    }
    let set: JwkSet = serde_json::from_slice(document).ok()?;
    let key = |jwk: &Jwk| Some((jwk.common.key_id.clone()?, DecodingKey::from_jwk(jwk).ok()?));
    Some(set.keys.iter().filter_map(key).collect())
}
