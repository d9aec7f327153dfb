//! What an answer means to a client: done, refused for good, or to be tried again.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::Value;

use crate::fix;

/// Fields in which an answer may name what was made, in this order.
const IDS: [&str; 6] = ["tradeId", "withdrawalId", "instrumentId", "accountId", "participantId", "reference"];
/// TradeReportID and the ids that an acknowledgement over FIX may carry instead (TradeID, SecondaryTradeReportID).
const FIX_IDS: [u32; 3] = [1003, 818, 571];

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
    let body = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
    if status.is_success() {
        return Meaning::Accepted { id: id(&body, response.body()) };
    }
    let code = code(&body);
    let in_flight = status == StatusCode::CONFLICT && code.contains("flight");
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

fn id(body: &Value, bytes: &Bytes) -> String {
    let named = IDS.iter().find_map(|name| body[name].as_str());
    let message = std::str::from_utf8(bytes).unwrap_or_default();
    let named = named.or_else(|| FIX_IDS.iter().find_map(|tag| fix::value(message, *tag)));
    named.unwrap_or_default().to_owned()
}

/// The code of a problem (RFC 9457): the last part of its type. The bank and the identity provider say it plainly.
pub(super) fn code(body: &Value) -> String {
    let kind = body["type"].as_str().and_then(|kind| kind.rsplit('/').next());
    let plain = || ["code", "reason", "error"].iter().find_map(|name| body[name].as_str());
    kind.or_else(plain).unwrap_or_default().to_owned()
}

/// In seconds; dates are for browsers.
fn retry_after(response: &Response<Bytes>) -> Duration {
    let text = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    Duration::from_secs(text.and_then(|text| text.parse().ok()).unwrap_or(0))
}
