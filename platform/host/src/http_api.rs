//! The HTTP face of a service: which requests are commands, which are reads, and how refusals look.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::service::Lookup;

/// The longest detail of a problem, in characters. Details name what was sent, and that can be anything.
const DETAIL_LEN_MAX: usize = 400;

/// Most header fields of a request.
pub const HEADERS_MAX: usize = 64;
/// Names and values of all header fields together, in bytes.
pub const HEADERS_LEN_MAX: usize = 16 * 1024;

/// The role of whoever asks, as the gateway has read it from a token. Only operators' requests have it.
pub const ROLE: &str = "x-role";
/// The only value of [`ROLE`].
pub const OPERATOR: &str = "operator";

/// What every door asks of the headers of a request before it looks at anything else.
///
/// # Errors
/// 431.
pub fn check_headers(headers: &HeaderMap) -> Result<(), Problem> {
    let len: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() <= HEADERS_MAX && len <= HEADERS_LEN_MAX {
        return Ok(());
    }
    let detail = format!("at most {HEADERS_MAX} header fields with {HEADERS_LEN_MAX} bytes in all");
    Err(Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large", detail))
}

/// A problem detail (RFC 9457), served as `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A stable, kebab-case code; `type` is `https://bellwether.invalid/problems/<code>`.
    #[serde(skip)]
    pub code: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub detail: String,
    /// The business object that was refused (a trade id), where there is one.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub instance: String,
}

impl Problem {
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            kind: format!("https://bellwether.invalid/problems/{code}"),
            title: code.replace('-', " "),
            status: status.as_u16(),
            detail: printable(detail.into()),
            instance: String::new(),
        }
    }

    pub fn bad_request(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    pub fn unprocessable(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    pub fn of(mut self, instance: impl Into<String>) -> Self {
        self.instance = instance.into();
        self
    }

    pub fn response(&self) -> Response<Bytes> {
        json_response(self.status, "application/problem+json", self)
    }
}

/// Not now, and nothing is said about what became of it: the same request again after so many seconds.
pub fn unavailable(code: &str, detail: &str, retry_after_s: u32) -> Response<Bytes> {
    let mut response = Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).response();
    response.headers_mut().insert(header::RETRY_AFTER, retry_after_s.into());
    response
}

/// The beginning of a text, without what would move a terminal's cursor.
fn printable(text: String) -> String {
    let is_plain = text.len() <= DETAIL_LEN_MAX && !text.contains(char::is_control);
    if is_plain {
        return text;
    }
    let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let cut = if text.chars().nth(DETAIL_LEN_MAX).is_some() { "…" } else { "" };
    text.chars().map(shown).take(DETAIL_LEN_MAX).collect::<String>() + cut
}

/// A JSON response.
pub fn json(status: u16, body: &impl Serialize) -> Response<Bytes> {
    json_response(status, "application/json", body)
}

fn json_response(status: u16, content_type: &'static str, body: &impl Serialize) -> Response<Bytes> {
    let body = serde_json::to_vec(body).expect("answers are plain data, which always serialises");
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, content_type)
        .body(Bytes::from(body))
        .expect("a status and a constant header make a response")
}

/// What a request means to a service.
#[derive(Debug)]
pub enum HttpAction<C> {
    /// Decide it once per idempotency key.
    Command(HttpCommand<C>),
    /// Read these rows and render them.
    Read(Vec<Lookup>),
    /// Nothing to decide or read.
    Answer(Response<Bytes>),
}

/// A command over HTTP. Scope and key together identify it for seven days.
#[derive(Debug)]
pub struct HttpCommand<C> {
    /// Client and route.
    pub scope: String,
    pub idempotency_key: String,
    pub command: C,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_short_and_printable_whatever_was_sent() {
        let detail = |text: &str| Problem::bad_request("bad-field", text).detail;
        assert_eq!(detail("price: is missing"), "price: is missing");
        assert_eq!(detail("a\0b\x1b[2Jc\r\nd"), "a\u{fffd}b\u{fffd}[2Jc\u{fffd}\u{fffd}d");
        assert_eq!(detail(&"é".repeat(DETAIL_LEN_MAX)).chars().count(), DETAIL_LEN_MAX);
        let long = detail(&"é".repeat(1_000_000));
        assert_eq!((long.chars().count(), long.ends_with('…')), (DETAIL_LEN_MAX + 1, true));
    }
}
