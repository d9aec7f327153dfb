//! What an answer means to a client: done, refused for good, or to be tried again.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::Value;

use crate::fix;

/// Fields in which an answer may name what was made, in this order.
const IDS: [&str; 4] = ["tradeId", "withdrawalId", "instrumentId", "reference"];
/// TradeID of an acknowledgement over FIX.
const FIX_TRADE_ID: u32 = 1003;

/// Part of the codes of a 409 that only says that the first request is not decided yet.
const IN_FLIGHT: &str = "in-flight";

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Accepted {
        id: String,
    },
    Rejected {
        status: u16,
        code: String,
    },
    /// Not decided, and perhaps never seen by whoever decides: wait at least so long.
    Again {
        at_least: Duration,
        status: u16,
        code: String,
    },
    Unauthorised,
}

pub(super) fn meaning(response: &Response<Bytes>) -> Meaning {
    let status = response.status();
    let body = Body::of(response.body());
    if status.is_success() {
        return Meaning::Accepted { id: body.id() };
    }
    let code = body.code();
    let in_flight = status == StatusCode::CONFLICT && code.contains(IN_FLIGHT);
    match status {
        StatusCode::UNAUTHORIZED => Meaning::Unauthorised,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Meaning::Again { at_least: retry_after(response), status: status.as_u16(), code }
        }
        _ if in_flight || status.is_server_error() => {
            Meaning::Again { at_least: retry_after(response), status: status.as_u16(), code }
        }
        _ => Meaning::Rejected { status: status.as_u16(), code },
    }
}

/// The body of an answer.
enum Body<'a> {
    Json(Value),
    Fix(&'a str),
}

impl<'a> Body<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(message) if message.starts_with("8=FIX") => Self::Fix(message),
            _ => Self::Json(serde_json::from_slice(bytes).unwrap_or(Value::Null)),
        }
    }

    fn id(&self) -> String {
        let id = match self {
            Self::Json(body) => IDS.iter().find_map(|name| body[name].as_str()),
            Self::Fix(message) => fix::value(message, FIX_TRADE_ID),
        };
        id.unwrap_or_default().to_owned()
    }

    /// Of JSON the code of the problem (RFC 9457), which is the last part of its type; the bank and the identity
    /// provider say it plainly. Of FIX the tag at fault, or the title that the text begins with.
    fn code(&self) -> String {
        match self {
            Self::Json(body) => {
                let kind = body["type"].as_str().and_then(|kind| kind.rsplit('/').next());
                let plain = || ["reason", "error"].iter().find_map(|name| body[name].as_str());
                kind.or_else(plain).unwrap_or_default().to_owned()
            }
            Self::Fix(message) => match (fix::value(message, 35), fix::value(message, 371)) {
                (Some("j"), _) => format!("not-available-or-{IN_FLIGHT}"),
                (_, Some(tag)) => format!("tag-{tag}"),
                _ => {
                    let text = fix::value(message, 58).unwrap_or_default();
                    text.split(':').next().unwrap_or_default().replace(' ', "-")
                }
            },
        }
    }
}

/// In seconds; dates are for browsers.
fn retry_after(response: &Response<Bytes>) -> Duration {
    let text = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    Duration::from_secs(text.and_then(|text| text.parse().ok()).unwrap_or(0))
}
