//! How the bank is to treat an order otherwise than it would by itself.
//!
//! Not on the wire: it travels as an extension of the request, which only the decorator in `trouble` sets. The
//! answer to a new order carries back as much of it as made a difference.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use model::Timestamp;

use super::Reason;
use crate::party::later;

/// By default: as any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Treatment {
    /// A new order that could be executed is refused for this.
    pub refuse: Option<Reason>,
    /// A new order is taken as pending.
    pub hold: Option<Hold>,
    /// The UETR counts as never seen.
    pub as_new: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    For(Duration),
    Until(Timestamp),
}

impl Treatment {
    /// What of it made a difference to an order.
    pub(crate) fn followed(response: &Response<Bytes>) -> Self {
        response.extensions().get().copied().unwrap_or_default()
    }

    pub(super) fn of(request: &Request<Bytes>) -> Self {
        request.extensions().get().copied().unwrap_or_default()
    }

    /// The same request, to be treated like this.
    pub(crate) fn attach(self, request: &Request<Bytes>) -> Request<Bytes> {
        let mut request = request.clone();
        request.extensions_mut().insert(self);
        request
    }
}

impl Hold {
    pub(super) fn until(self, now: Timestamp) -> Timestamp {
        match self {
            Self::For(length) => later(now, length),
            Self::Until(at) => at.max(now),
        }
    }
}
