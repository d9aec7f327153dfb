//! What a service reads from a request besides its body: path, query, and the headers that gateways set.

use bytes::Bytes;
use host::{HttpAction, HttpCommand, Problem};
use http::Request;

/// Who asks, as the gateway has authenticated it.
pub const CLIENT: &str = "x-client";
/// The name of the request across hops.
pub const REQUEST_ID: &str = "x-request-id";
/// Names a command for seven days: the same key again is the same command.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The longest client or idempotency key, in characters.
pub const KEY_LEN_MAX: usize = 128;

/// Method and path segments, to match on: `("POST", ["api", "v1", "trades"])`.
pub struct Path<'a> {
    pub method: &'a str,
    pub segments: Vec<&'a str>,
}

impl<'a> Path<'a> {
    pub fn of(request: &'a Request<Bytes>) -> Self {
        // An empty segment is one: `//api` and `/api/` are not `/api`.
        let path = request.uri().path();
        let segments = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        Self { method: request.method().as_str(), segments }
    }

    /// To match on.
    pub fn parts(&self) -> (&'a str, &[&'a str]) {
        (self.method, &self.segments)
    }
}

/// Turns the outcome of reading a request into an action: a problem is answered at once.
pub fn action<C>(outcome: Result<HttpAction<C>, Problem>) -> HttpAction<C> {
    outcome.unwrap_or_else(|problem| HttpAction::Answer(problem.response()))
}

/// A command with the client and the idempotency key that the request carries. `route` and client are its
/// scope.
///
/// # Errors
/// 400 where the client's or the idempotency header is missing or not readable.
pub fn command<C>(request: &Request<Bytes>, route: &str, command: C) -> Result<HttpAction<C>, Problem> {
    let scope = format!("{} {route}", client(request)?);
    let idempotency_key = idempotency_key(request)?.to_owned();
    Ok(HttpAction::Command(HttpCommand { scope, idempotency_key, command }))
}

/// The client of a request.
///
/// # Errors
/// 400 where the header is missing or not readable.
pub fn client(request: &Request<Bytes>) -> Result<&str, Problem> {
    key_header(request, CLIENT, "client-required")
}

/// The idempotency key of a request.
///
/// # Errors
/// 400 where the header is missing or not readable.
pub fn idempotency_key(request: &Request<Bytes>) -> Result<&str, Problem> {
    key_header(request, IDEMPOTENCY_KEY, "idempotency-key-required")
}

/// A header as text, where it is there once and readable.
pub fn header<'a, B>(request: &'a Request<B>, name: &str) -> Option<&'a str> {
    let mut values = request.headers().get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

/// 1 to [`KEY_LEN_MAX`] visible ASCII characters.
pub fn is_key(text: &str) -> bool {
    (1..=KEY_LEN_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn key_header<'a>(request: &'a Request<Bytes>, name: &str, code: &str) -> Result<&'a str, Problem> {
    header(request, name).filter(|text| is_key(text)).ok_or_else(|| {
        Problem::bad_request(code, format!("header {name}: 1 to {KEY_LEN_MAX} visible ASCII characters"))
    })
}

/// A parameter of the query, percent-decoded. The first one where it is repeated.
pub fn query(request: &Request<Bytes>, name: &str) -> Option<String> {
    let pairs = request.uri().query()?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| percent_decoded(value)).next()
}

/// A parameter of the query that must be there.
///
/// # Errors
/// 400 naming it.
pub fn required_query(request: &Request<Bytes>, name: &str) -> Result<String, Problem> {
    query(request, name)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| Problem::bad_request("query-parameter-required", format!("query parameter {name}")))
}

/// Whether all escapes of a query's value are escapes, and what they make is text without control characters.
pub fn is_escaped_text(value: &str) -> bool {
    let escapes = value.split('%').skip(1);
    let is_escape = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    let decoded = percent_decoded(value);
    escapes.into_iter().all(is_escape) && !decoded.contains(|c: char| c.is_control() || c == '\u{fffd}')
}

/// The answer to a path or a method that a service does not have.
pub fn no_route(request: &Request<Bytes>) -> Problem {
    Problem::not_found(format!("{} {}", request.method(), request.uri().path()))
}

/// `%41` to `A`, `+` to a space; what is no escape stays as it is. Bytes that are no UTF-8 are replaced.
fn percent_decoded(text: &str) -> String {
    let hex = |digit: Option<&u8>| digit.and_then(|&digit| char::from(digit).to_digit(16));
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escape = match byte {
            b'%' => hex(bytes.get(at + 1)).zip(hex(bytes.get(at + 2))),
            _ => None,
        };
        match (byte, escape) {
            (_, Some((high, low))) => {
                decoded.push(u8::try_from(high * 16 + low).expect("two hex digits make a byte"));
                at += 3;
            }
            (b'+', None) => {
                decoded.push(b' ');
                at += 1;
            }
            (byte, None) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request<Bytes> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Bytes::new()).expect("a valid request")
    }

    #[test]
    fn query_parameters_are_found_and_decoded() {
        let request = request("/api/v1/trades?account=A%2D1&date=2026-03-06&note=a+b%zz&account=other", &[]);
        assert_eq!(query(&request, "account").as_deref(), Some("A-1"));
        assert_eq!(query(&request, "note").as_deref(), Some("a b%zz"));
        assert_eq!(query(&request, "dat"), None);
        assert_eq!(required_query(&request, "dat").expect_err("there is none").status, 400);
    }

    #[test]
    fn the_path_is_its_segments() {
        let request = request("/api/v1/trades/abc?x=1", &[]);
        let path = Path::of(&request);
        assert_eq!(path.parts(), ("GET", ["api", "v1", "trades", "abc"].as_slice()));
    }

    #[test]
    fn a_command_needs_a_client_and_a_key() {
        for (headers, problem) in [
            (vec![("idempotency-key", "k")], "client-required"),
            (vec![("x-client", "c")], "idempotency-key-required"),
            (vec![("x-client", "c"), ("idempotency-key", "")], "idempotency-key-required"),
            (vec![("x-client", "c"), ("idempotency-key", "a b")], "idempotency-key-required"),
        ] {
            let refused = command(&request("/", &headers), "POST /trades", ()).expect_err("incomplete");
            assert_eq!((refused.status, refused.code.as_str()), (400, problem), "{headers:?}");
        }
        let long = "k".repeat(KEY_LEN_MAX + 1);
        let request = request("/", &[("x-client", "c"), ("idempotency-key", &long)]);
        assert!(command(&request, "POST /trades", ()).is_err());
    }

    #[test]
    fn the_scope_of_a_command_is_client_and_route() {
        let request = request("/", &[("x-client", "c-1"), ("idempotency-key", "k-1")]);
        let Ok(HttpAction::Command(command)) = command(&request, "POST /trades", 7) else {
            panic!("a complete command was refused");
        };
        assert_eq!(
            (command.scope.as_str(), command.idempotency_key.as_str(), command.command),
            ("c-1 POST /trades", "k-1", 7)
        );
    }
}
