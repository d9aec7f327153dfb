//! Tokens of test clients, and a gateway that lets them in.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use host::edge::{Edge, Upstream};
use host::ports::HttpError;
use http::{Request, Response};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::{instant, request};
use crate::api_gateway::{ApiGateway, Settings};

/// RFC 8032, section 7.1, tests 1 and 2: secret and public key.
pub const KEY_1: (&str, &str) = (
    "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
);
pub const KEY_2: (&str, &str) = (
    "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
);
pub const NOW: &str = "2026-03-06T14:30:00Z";

pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().map(|c| u8::try_from(c.to_digit(16).expect("hex")).expect("a digit")).collect();
    digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect()
}

pub fn key_set(keys: &[(&str, (&str, &str))]) -> Bytes {
    let keys: Vec<Value> = keys
        .iter()
        .map(|(kid, (_, public))| {
            json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": URL_SAFE_NO_PAD.encode(hex(public)) })
        })
        .collect();
    json!({ "keys": keys }).to_string().into()
}

pub fn sign(kid: &str, key: (&str, &str), claims: &Value) -> String {
    // The fixed PKCS #8 prefix of an Ed25519 secret (RFC 8410, section 7).
    let der = [hex("302e020100300506032b657004220420"), hex(key.0)].concat();
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
    encode(&header, claims, &EncodingKey::from_ed_der(&der)).expect("a good key signs")
}

pub fn claims(role: &str) -> Value {
    let now = instant(NOW).as_second();
    json!({
        "iss": "https://identity.bellwether.invalid",
        "aud": "bellwether",
        "sub": "client-1",
        "roles": [role],
        "accounts": ["A-1", "A-2"],
        "nbf": now - 60,
        "exp": now + 600,
    })
}

pub fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

pub fn participant() -> String {
    sign("k-1", KEY_1, &claims("participant"))
}

pub fn operator() -> String {
    sign("k-1", KEY_1, &claims("operator"))
}

/// A gateway that has the key set of `k-1`.
pub fn gateway() -> ApiGateway {
    gateway_of(Settings::default())
}

pub fn gateway_of(settings: Settings) -> ApiGateway {
    let gateway = ApiGateway::new(settings);
    hand_keys(&gateway, NOW, Some(key_set(&[("k-1", KEY_1)])));
    gateway
}

pub fn hand_keys(gateway: &ApiGateway, at: &str, document: Option<Bytes>) {
    let outcome = document.map(Response::new).ok_or(HttpError::Refused);
    let request = Request::get("/.well-known/jwks.json").body(Bytes::new()).expect("a constant request");
    gateway.fetched(&Upstream { party: "identity", request }, outcome, instant(at));
}

pub fn ask(method: &str, path: &str, token: &str, body: &str) -> Request<Bytes> {
    let bearer = format!("Bearer {token}");
    let mut headers = vec![("authorization", bearer.as_str())];
    if method == "POST" {
        headers.push(("idempotency-key", "k-1"));
    }
    request(method.parse().expect("a method"), path, &headers, body)
}
