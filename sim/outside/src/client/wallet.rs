//! The token of a client: fetched when it is needed, kept until shortly before it expires.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use model::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::party::{JSON, encode, later};

/// How long before its end a token counts as expired: clocks differ.
const MARGIN: Duration = Duration::from_secs(60);
/// How long one call's fetch keeps the others waiting, should it never come back.
const FETCH_MAX: Duration = Duration::from_secs(10);

/// What one client needs in order to be let in; shared by its calls.
#[derive(Clone, Debug)]
pub struct Wallet {
    client: String,
    secret: String,
    token: Option<Token>,
    /// A token of this client that has expired, for calls that mean to be refused.
    expired: Option<String>,
    fetching_until: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Token {
    text: String,
    good_until: Timestamp,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: u64,
}

impl Wallet {
    /// `expired`: a token that the provider would have issued long ago.
    pub fn new(client: &str, secret: &str, expired: Option<String>) -> Self {
        let (client, secret) = (client.to_owned(), secret.to_owned());
        Self { client, secret, token: None, expired, fetching_until: None }
    }

    pub(super) fn token(&self, now: Timestamp) -> Option<&str> {
        self.token.as_ref().filter(|token| now < token.good_until).map(|token| token.text.as_str())
    }

    pub(super) fn expired(&self) -> &str {
        self.expired.as_deref().unwrap_or("expired")
    }

    /// Until when another call is fetching a token.
    pub(super) fn fetching(&self, now: Timestamp) -> Option<Timestamp> {
        self.fetching_until.filter(|until| now < *until)
    }

    /// The request that fetches one.
    pub(super) fn fetch(&mut self, now: Timestamp) -> Request<Bytes> {
        self.fetching_until = Some(later(now, FETCH_MAX));
        let body = json!({ "client_id": self.client, "client_secret": self.secret });
        Request::post("/token")
            .header(header::CONTENT_TYPE, JSON)
            .body(encode(&body))
            .expect("a constant path and header make a request")
    }

    /// Takes in the answer to a fetch; `false` where it holds no token.
    pub(super) fn fetched(&mut self, now: Timestamp, body: Option<&[u8]>) -> bool {
        self.fetching_until = None;
        let answer: Option<TokenAnswer> = body.and_then(|body| serde_json::from_slice(body).ok());
        let Some(answer) = answer else { return false };
        let lifetime = Duration::from_secs(answer.expires_in).saturating_sub(MARGIN);
        self.token = Some(Token { text: answer.access_token, good_until: later(now, lifetime) });
        true
    }

    /// Forgets a token that was refused, unless another call has replaced it already.
    pub(super) fn refused(&mut self, refused: &str) {
        self.token.take_if(|token| token.text == refused);
    }
}
