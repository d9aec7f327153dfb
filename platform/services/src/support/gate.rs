//! What is refused of a request before anything in it is believed: floods of headers, overlong addresses,
//! paths and queries that two readers could read in two ways, contradictory headers, encodings.
//!
//! Left to the HTTP server in front (there are no sockets here): framing, and with it request smuggling, which
//! needs two parsers of one byte stream; header names and values that are no HTTP; slow senders.

use std::collections::BTreeSet;

use bytes::Bytes;
use host::Problem;
use host::http_api::check_headers;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Response, StatusCode, Uri, header};

use super::request::{self, CLIENT, IDEMPOTENCY_KEY, REQUEST_ID};

/// The longest path with its query, in bytes.
pub const URI_LEN_MAX: usize = 2_048;
/// Most parameters of a query.
const PARAMETERS_MAX: usize = 16;

/// Headers that mean something here. Twice, they could mean two things.
const SINGLE: [HeaderName; 8] = [
    header::AUTHORIZATION,
    header::CONTENT_ENCODING,
    header::CONTENT_TYPE,
    header::HOST,
    HeaderName::from_static(IDEMPOTENCY_KEY),
    HeaderName::from_static("min-version"),
    HeaderName::from_static(CLIENT),
    HeaderName::from_static(REQUEST_ID),
];

/// JSON, as all but FIX is.
pub const JSON: &str = "application/json";

/// What a route takes besides its path.
#[derive(Clone, Copy, Debug)]
pub struct Accepts {
    /// The media type of a body, where there is one.
    pub media: &'static str,
    /// The parameters of the query.
    pub query: &'static [&'static str],
}

/// A refusal as it is answered.
#[derive(Debug)]
pub struct Refusal(Response<Bytes>);

impl Refusal {
    /// With a header more. Values are made of numbers and constants.
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        let value = value.parse().expect("headers of refusals are made of numbers and constants");
        self.0.headers_mut().insert(name, value);
        self
    }

    pub fn response(self) -> Response<Bytes> {
        self.0
    }
}

impl From<Response<Bytes>> for Refusal {
    fn from(response: Response<Bytes>) -> Self {
        Self(response)
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem.response())
    }
}

/// What every request has to pass, whatever its route.
///
/// # Errors
/// 431, 414, 400.
pub fn pass(parts: &Parts) -> Result<(), Refusal> {
    let headers = &parts.headers;
    check_headers(headers)?;
    if parts.uri.path_and_query().map_or(0, |text| text.as_str().len()) > URI_LEN_MAX {
        let detail = format!("a path with its query has at most {URI_LEN_MAX} bytes");
        return Err(Problem::new(StatusCode::URI_TOO_LONG, "uri-too-long", detail).into());
    }
    check_path(parts.uri.path())?;
    match SINGLE.iter().find(|name| headers.get_all(*name).iter().nth(1).is_some()) {
        Some(name) => Err(Problem::bad_request("repeated-header", format!("{name} stands once")).into()),
        None => Ok(()),
    }
}

/// What a request of a known route has to pass, its body read.
///
/// # Errors
/// 400, 415.
pub fn pass_route(parts: &Parts, body: &Bytes, accepts: &Accepts) -> Result<(), Refusal> {
    check_query(&parts.uri, accepts.query)?;
    if !body.is_empty() {
        // RFC 9110, section 12.5.3: the 415 of an encoding says which one would do.
        check_media(&parts.headers, accepts.media)
            .map_err(|problem| Refusal::from(problem).with(header::ACCEPT_ENCODING, "identity"))?;
    }
    Ok(())
}

/// The headers of a JSON body.
///
/// # Errors
/// 415.
pub fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    check_media(headers, JSON)
}

/// The body's media type, in UTF-8 and as it is. What is compressed is not unpacked: a small body stays small.
fn check_media(headers: &HeaderMap, media: &str) -> Result<(), Problem> {
    let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes());
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
        return Err(not_supported("encoding-not-supported", "a body is sent without Content-Encoding"));
    }
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (essence, parameters) = given.split_once(';').unwrap_or((given, ""));
    let is_utf8 = |parameter: &str| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        !name.trim().eq_ignore_ascii_case("charset")
            || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    };
    if !essence.trim().eq_ignore_ascii_case(media) || !parameters.split(';').all(is_utf8) {
        let detail = format!("the Content-Type of a body here is {media}, in UTF-8");
        return Err(not_supported("media-type-not-supported", &detail));
    }
    Ok(())
}

/// The path and query alone: what an absolute address names besides is not ours to call.
pub fn path_and_query(uri: &Uri) -> Uri {
    let text = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    text.parse().expect("a part of an address that was read")
}

/// Ids, dates and names of routes need no escapes. With none, `%2e%2e%2f` and `%2F` cannot name another path to
/// whoever decodes it, and `..` is no segment.
fn check_path(path: &str) -> Result<(), Problem> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let is_dots = |segment: &str| segment == "." || segment == "..";
    let is_good = path.starts_with('/') && path.bytes().all(is_plain) && !path.split('/').any(is_dots);
    let detail = "a path has the characters A-Z a-z 0-9 . _ - / and no segments of dots";
    if is_good { Ok(()) } else { Err(Problem::bad_request("bad-path", detail)) }
}

/// Each parameter is known, stands once, and reads as text. Unknown names are not repeated in the answer: they
/// may be a token that was put in the wrong place.
fn check_query(uri: &Uri, known: &[&str]) -> Result<(), Problem> {
    let Some(query) = uri.query().filter(|query| !query.is_empty()) else { return Ok(()) };
    let bad = |detail: String| Err(Problem::bad_request("bad-query", detail));
    let mut seen = BTreeSet::new();
    for (at, pair) in query.split('&').enumerate() {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if at >= PARAMETERS_MAX {
            return bad(format!("a query has at most {PARAMETERS_MAX} parameters"));
        }
        if !known.contains(&name) {
            return bad(format!("parameter {}: is not known here; known are: {}", at + 1, known.join(", ")));
        }
        if !seen.insert(name) {
            return bad(format!("{name} stands once"));
        }
        if !request::is_escaped_text(value) {
            return bad(format!("{name}: is not percent-encoded UTF-8 without control characters"));
        }
    }
    Ok(())
}

fn not_supported(code: &str, detail: &str) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, code, detail)
}
