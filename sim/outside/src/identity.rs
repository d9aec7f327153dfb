//! The identity provider: it signs tokens for the clients it knows, and publishes the key to check them with.
//!
//! Fakes an OAuth 2.0 token endpoint (RFC 6749, client credentials, in JSON) and a key set (RFC 7517, with the
//! Ed25519 keys of RFC 8037). Tokens are compact JWS (RFC 7515) signed with EdDSA, which is deterministic.
//! Keys can be rotated, the old ones being published for a while. Leaves out users, consent, refresh tokens, and secrets that are stored as anything but text.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};
use http::{Request, Response, StatusCode};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::party::{Handled, Measure, Party, answer, later, no_route, refusal, route};

/// `iss` of every token.
pub const ISSUER: &str = "https://identity.bellwether.invalid";
/// `aud` of every token.
pub const AUDIENCE: &str = "bellwether";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientRole {
    Participant,
    Operator,
}

/// A client that may have tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredClient {
    /// The subject of its tokens.
    pub id: String,
    pub secret: String,
    pub role: ClientRole,
    /// What it may see and move.
    pub accounts: Vec<String>,
}

pub struct IdentityProvider {
    key: SigningKey,
    key_id: String,
    /// Keys that sign no more, and until when they are published.
    old: Vec<(SigningKey, Timestamp)>,
    token_lifetime: Duration,
    clients: BTreeMap<String, RegisteredClient>,
}

impl fmt::Debug for IdentityProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityProvider").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'static str,
    aud: &'static str,
    sub: &'a str,
    roles: [ClientRole; 1],
    accounts: &'a [String],
    iat: i64,
    nbf: i64,
    exp: i64,
}

#[derive(Deserialize)]
struct TokenRequest {
    client_id: String,
    client_secret: String,
}

impl IdentityProvider {
    pub const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

    /// A provider whose key comes from 32 bytes of the seed.
    pub fn new(
        seed: [u8; 32],
        token_lifetime: Duration,
        clients: impl IntoIterator<Item = RegisteredClient>,
    ) -> Self {
        let key = SigningKey::from_bytes(&seed);
        let key_id = key_id(&key);
        let clients = clients.into_iter().map(|client| (client.id.clone(), client)).collect();
        Self { key, key_id, old: Vec::new(), token_lifetime, clients }
    }

    /// The token that the client would get at `now`: a past instant gives one that has expired.
    pub fn issue(&self, client: &str, now: Timestamp) -> Option<String> {
        let client = self.clients.get(client)?;
        let lifetime = i64::try_from(self.token_lifetime.as_secs()).expect("tokens expire");
        let claims = Claims {
            iss: ISSUER,
            aud: AUDIENCE,
            sub: &client.id,
            roles: [client.role],
            accounts: &client.accounts,
            iat: now.as_second(),
            nbf: now.as_second(),
            exp: now.as_second() + lifetime,
        };
        let header = json!({ "alg": "EdDSA", "kid": self.key_id, "typ": "JWT" });
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()).to_bytes());
        Some(format!("{signed}.{signature}"))
    }

    /// Signs with a key that follows from the one before.
    fn rotate(&mut self, now: Timestamp, old_for: Duration) {
        let signature = self.key.sign(b"the next key");
        let next = SigningKey::from_bytes(signature.r_bytes());
        self.key_id = key_id(&next);
        let old = std::mem::replace(&mut self.key, next);
        self.old.push((old, later(now, old_for)));
    }

    fn key_set(&self, now: Timestamp) -> Response<Bytes> {
        let old = self.old.iter().filter(|(_, until)| now < *until).map(|(key, _)| key);
        let keys: Vec<Value> = std::iter::once(&self.key).chain(old).map(published).collect();
        answer(StatusCode::OK, &json!({ "keys": keys }))
    }

    fn token(&self, now: Timestamp, body: &[u8]) -> Response<Bytes> {
        let Ok(asked) = serde_json::from_slice::<TokenRequest>(body) else {
            return refusal(StatusCode::BAD_REQUEST, "invalid_request");
        };
        let known = self.clients.get(&asked.client_id).filter(|client| client.secret == asked.client_secret);
        let Some(token) = known.and_then(|client| self.issue(&client.id, now)) else {
            return refusal(StatusCode::UNAUTHORIZED, "invalid_client");
        };
        let expires_in = self.token_lifetime.as_secs();
        let body = json!({ "access_token": token, "token_type": "Bearer", "expires_in": expires_in });
        answer(StatusCode::OK, &body)
    }
}

fn key_id(key: &SigningKey) -> String {
    URL_SAFE_NO_PAD.encode(&key.verifying_key().to_bytes()[..6])
}

fn published(key: &SigningKey) -> Value {
    let x = URL_SAFE_NO_PAD.encode(key.verifying_key().to_bytes());
    json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": key_id(key), "x": x })
}

fn part(value: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(crate::party::encode(value))
}

impl Party for IdentityProvider {
    /// `GET /.well-known/jwks.json`, and `POST /token {client_id, client_secret}`.
    fn handle(&mut self, now: Timestamp, request: &Request<Bytes>) -> Handled {
        let (method, path) = route(request);
        Handled::answer(match (method, path.as_slice()) {
            ("GET", [".well-known", "jwks.json"]) => self.key_set(now),
            ("POST", ["token"]) => self.token(now, request.body()),
            _ => no_route(),
        })
    }

    fn adopt(&mut self, now: Timestamp, measure: Measure) {
        if let Measure::RotateKeys { old_for } = measure {
            self.rotate(now, old_for);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::jwk::JwkSet;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};

    const NOW: i64 = 1_772_807_400;

    fn provider() -> IdentityProvider {
        let client = RegisteredClient {
            id: "P01".to_owned(),
            secret: "hush".to_owned(),
            role: ClientRole::Participant,
            accounts: vec!["A001".to_owned(), "A011".to_owned()],
        };
        IdentityProvider::new([7; 32], IdentityProvider::TOKEN_LIFETIME, [client])
    }

    fn ask(provider: &mut IdentityProvider, request: Request<Bytes>) -> (u16, Value) {
        let now = Timestamp::from_second(NOW).expect("an instant");
        let handled = provider.handle(now, &request);
        let response = handled.response().expect("an answer");
        (response.status().as_u16(), serde_json::from_slice(response.body()).expect("JSON"))
    }

    fn token(provider: &mut IdentityProvider, secret: &str) -> (u16, Value) {
        let body = json!({ "client_id": "P01", "client_secret": secret }).to_string();
        ask(provider, Request::post("/token").body(Bytes::from(body)).expect("a request"))
    }

    /// With the library that the gateway uses: what it accepts is what counts.
    #[test]
    fn the_published_key_verifies_the_tokens() {
        let mut provider = provider();
        let keys = Request::get("/.well-known/jwks.json").body(Bytes::new()).expect("a request");
        let (_, keys) = ask(&mut provider, keys);
        let keys: JwkSet = serde_json::from_value(keys).expect("a key set");
        let (status, answer) = token(&mut provider, "hush");
        assert_eq!((status, &answer["expires_in"]), (200, &json!(3600)));
        let token = answer["access_token"].as_str().expect("a token");

        let header = decode_header(token).expect("a header");
        let key = keys.find(&header.kid.expect("a key id")).expect("the key of the token");
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.validate_exp = false;
        let key = DecodingKey::from_jwk(key).expect("a key");
        let claims = decode::<Value>(token, &key, &validation).expect("a valid token").claims;
        let expected = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "P01", "roles": ["participant"],
            "accounts": ["A001", "A011"], "iat": NOW, "nbf": NOW, "exp": NOW + 3600,
        });
        assert_eq!(claims, expected);

        let forged = token.replacen('.', ".e", 1);
        assert!(decode::<Value>(&forged, &key, &validation).is_err());
    }

    #[test]
    fn after_a_rotation_the_old_key_is_published_for_a_while() {
        let mut provider = provider();
        let key_of = |token: Value| {
            decode_header(token["access_token"].as_str().expect("a token")).expect("a header").kid
        };
        let old = key_of(token(&mut provider, "hush").1).expect("a key id");
        let at = |seconds| Timestamp::from_second(NOW + seconds).expect("an instant");
        provider.adopt(at(0), Measure::RotateKeys { old_for: Duration::from_secs(60) });
        let new = key_of(token(&mut provider, "hush").1).expect("a key id");
        let keys = |seconds| -> Vec<String> {
            let answer: Value = serde_json::from_slice(provider.key_set(at(seconds)).body()).expect("JSON");
            let keys = answer["keys"].as_array().expect("a set").iter();
            keys.map(|key| key["kid"].as_str().expect("an id").to_owned()).collect()
        };
        assert_ne!(old, new);
        assert_eq!(keys(59), [new.clone(), old]);
        assert_eq!(keys(60), [new]);
    }

    #[test]
    fn only_known_clients_with_their_secret_get_one() {
        let mut provider = provider();
        assert_eq!(token(&mut provider, "guess"), (401, json!({ "error": "invalid_client" })));
        let empty = Request::post("/token").body(Bytes::new()).expect("a request");
        assert_eq!(ask(&mut provider, empty).0, 400);
        assert_eq!(provider.issue("P02", Timestamp::UNIX_EPOCH), None);
    }

    #[test]
    fn the_same_instant_gives_the_same_token() {
        let now = Timestamp::from_second(NOW).expect("an instant");
        assert_eq!(provider().issue("P01", now), provider().issue("P01", now));
    }
}
