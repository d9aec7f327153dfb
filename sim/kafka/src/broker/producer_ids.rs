//! `InitProducerId` without a transaction, and the blocks of ids that the controller hands out.
//!
//! Real: `RPCProducerIdManager`. What is left of a block when a process ends is never used.

use std::collections::VecDeque;
use std::ops::Range;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, BrokerId, InitProducerIdRequest,
    InitProducerIdResponse, ProducerId,
};

use super::peers::Purpose;
use super::{Broker, ConnectionId, Output, ReplyTo};
use crate::cluster::{BrokerConfig, TimestampMs};
use crate::peer::Peer;
use crate::protocol::Response;

/// `producer.id.block.size`.
const BLOCK_SIZE: i64 = 1_000;
const TIMEOUT_MS: i64 = 30_000;

pub(super) struct ProducerIds {
    block: Range<i64>,
    /// Without peers a broker is its own controller here.
    alone: bool,
    asked: bool,
    waiting: VecDeque<ReplyTo>,
}

impl ProducerIds {
    /// Every broker begins with a block of its own.
    pub fn first(config: &BrokerConfig) -> ProducerIds {
        let brokers = &config.cluster.brokers;
        let place = brokers.iter().position(|id| *id == config.id).expect("BrokerConfig::new checks this");
        let start = i64::try_from(place).expect("a cluster has a handful of brokers") * BLOCK_SIZE;
        ProducerIds {
            block: start..start + BLOCK_SIZE,
            alone: brokers.len() == 1,
            asked: false,
            waiting: VecDeque::new(),
        }
    }

    pub fn crash(&mut self) {
        self.block.start = self.block.end;
        self.asked = false;
        self.waiting.clear();
    }

    pub fn drop_connection(&mut self, conn: ConnectionId) {
        self.waiting.retain(|reply| reply.conn != conn);
    }

    /// Where the next block begins, unless the controller says it.
    #[cfg(feature = "tcp")]
    pub fn next_block(&self) -> i64 {
        self.block.end
    }

    #[cfg(feature = "tcp")]
    pub fn restore(&mut self, next_block: i64) {
        self.block = next_block..next_block;
    }

    fn is_used_up(&self) -> bool {
        self.block.is_empty() && !self.alone
    }

    /// The next id; `None` until the controller has given a block.
    pub fn next(&mut self) -> Option<i64> {
        if self.block.is_empty() && self.alone {
            self.block = self.block.end..self.block.end + BLOCK_SIZE;
        }
        self.block.next()
    }
}

impl Broker {
    /// Without a transactional id always a fresh id at epoch 0: the epoch bump of KIP-360 for a given id is what idempotent
    /// clients do locally.
    pub(super) fn init_producer_id(
        &mut self,
        now: TimestampMs,
        reply: ReplyTo,
        request: InitProducerIdRequest,
        outputs: &mut Vec<Output>,
    ) {
        if request.transactional_id.is_some() {
            self.with_transactions(now, outputs, |coordinator, env| {
                coordinator.init_producer_id(env, reply, request);
            });
            if self.producer_ids.is_used_up() {
                self.ask_for_producer_ids(outputs);
            }
            return;
        }
        self.producer_ids.waiting.push_back(reply);
        self.give_producer_ids(outputs);
    }

    fn give_producer_ids(&mut self, outputs: &mut Vec<Output>) {
        while let Some(reply) = self.producer_ids.waiting.front().copied() {
            let Some(id) = self.producer_ids.next() else { return self.ask_for_producer_ids(outputs) };
            self.producer_ids.waiting.pop_front();
            let response = InitProducerIdResponse::default().with_producer_id(ProducerId(id));
            outputs.push(reply.respond(response.with_producer_epoch(0)));
        }
    }

    fn ask_for_producer_ids(&mut self, outputs: &mut Vec<Output>) {
        if !std::mem::replace(&mut self.producer_ids.asked, true) {
            let request = AllocateProducerIdsRequest::default()
                .with_broker_id(BrokerId(self.config.id))
                .with_broker_epoch(self.session.epoch());
            self.call(Peer::Controller, request.into(), TIMEOUT_MS, Purpose::ProducerIds, outputs);
        }
    }

    pub(super) fn producer_ids_answered(&mut self, response: Option<Response>, outputs: &mut Vec<Output>) {
        self.producer_ids.asked = false;
        let response = response.and_then(|response| AllocateProducerIdsResponse::try_from(response).ok());
        match response.filter(|response| response.error_code == 0) {
            Some(response) => {
                let start = response.producer_id_start.0;
                self.producer_ids.block = start..start + i64::from(response.producer_id_len);
                self.give_producer_ids(outputs);
            }
            None => {
                // Clients ask again.
                for reply in std::mem::take(&mut self.producer_ids.waiting) {
                    let error = ResponseError::CoordinatorLoadInProgress.code();
                    let response = InitProducerIdResponse::default().with_error_code(error);
                    let response = response.with_producer_id(ProducerId(-1)).with_producer_epoch(-1);
                    outputs.push(reply.respond(response));
                }
            }
        }
    }
}
