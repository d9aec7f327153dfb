//! What brokers and the controller of one cluster say to each other.

use std::sync::Arc;

use crate::image::Image;
use crate::protocol::Response;

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    Broker(i32),
    Controller,
}

/// An answer of a broker or of the controller. It never leaves the cluster, so it may carry what Kafka has no API for.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerAnswer {
    pub response: Response,
    /// The cluster as it is now, for a broker whose own image is older.
    pub image: Option<Arc<Image>>,
}

impl From<Response> for PeerAnswer {
    fn from(response: Response) -> PeerAnswer {
        PeerAnswer { response, image: None }
    }
}
