//! `DescribeTransactions` and `ListTransactions`: how to find transactions that hang (KIP-664).

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_transactions_request::DescribeTransactionsRequest;
use kafka_protocol::messages::describe_transactions_response::{
    DescribeTransactionsResponse, TopicData, TransactionState as Described,
};
use kafka_protocol::messages::list_transactions_request::ListTransactionsRequest;
use kafka_protocol::messages::list_transactions_response::{
    ListTransactionsResponse, TransactionState as Listed,
};
use kafka_protocol::messages::{ProducerId, TopicName, TransactionalId};
use kafka_protocol::protocol::StrBytes;

use super::TransactionCoordinator;
use super::metadata::{Metadata, Transaction};
use super::state::TransactionState;
use crate::cluster::TimestampMs;

impl TransactionCoordinator {
    pub fn describe(&mut self, request: DescribeTransactionsRequest) -> DescribeTransactionsResponse {
        let ids = request.transactional_ids.into_iter();
        let states = ids.map(|id| match self.described(&id.0) {
            Ok(metadata) => describe(metadata).with_transactional_id(id),
            Err(error) => Described::default().with_error_code(error.code()).with_transactional_id(id),
        });
        DescribeTransactionsResponse::default().with_transaction_states(states.collect())
    }

    fn described(&mut self, id: &StrBytes) -> Result<&Metadata, ResponseError> {
        if id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        let transaction = self.transaction(id)?.filter(|transaction| !transaction.is_dying());
        transaction.map(|transaction| &transaction.metadata).ok_or(ResponseError::TransactionalIdNotFound)
    }

    /// `clock` is what transactions' ages are counted to.
    pub fn list(&self, clock: TimestampMs, request: &ListTransactionsRequest) -> ListTransactionsResponse {
        if self.led.values().any(|partition| partition.is_loading) {
            let error = ResponseError::CoordinatorLoadInProgress;
            return ListTransactionsResponse::default().with_error_code(error.code());
        }
        let (mut wanted, mut unknown) = (Vec::new(), Vec::new());
        for name in &request.state_filters {
            match TransactionState::of_name(name) {
                Some(state) => wanted.push(state),
                None => unknown.push(name.clone()),
            }
        }
        let is_listed = |transaction: &Transaction| {
            let metadata = &transaction.metadata;
            let age_ms = clock - metadata.start_timestamp;
            let producers = &request.producer_id_filters;
            !transaction.is_dying()
                && (request.duration_filter < 0 || age_ms > request.duration_filter)
                && (producers.is_empty() || producers.contains(&ProducerId(metadata.producer_id)))
                && (request.state_filters.is_empty() || wanted.contains(&metadata.state))
        };
        let known = self.led.values().flat_map(|partition| &partition.transactions);
        let listed = known.filter(|(_, transaction)| is_listed(transaction)).map(|(id, transaction)| {
            Listed::default()
                .with_transactional_id(TransactionalId(id.clone()))
                .with_producer_id(ProducerId(transaction.metadata.producer_id))
                .with_transaction_state(name(transaction.metadata.state))
        });
        ListTransactionsResponse::default()
            .with_transaction_states(listed.collect())
            .with_unknown_state_filters(unknown)
    }
}

impl Transaction {
    fn is_dying(&self) -> bool {
        self.pending == Some(TransactionState::Dead)
    }
}

fn describe(metadata: &Metadata) -> Described {
    let mut topics: BTreeMap<&TopicName, Vec<i32>> = BTreeMap::new();
    for at in &metadata.partitions {
        topics.entry(&at.topic).or_default().push(at.partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        TopicData::default().with_topic(topic.clone()).with_partitions(partitions)
    });
    Described::default()
        .with_transaction_state(name(metadata.state))
        .with_transaction_timeout_ms(metadata.timeout_ms)
        .with_transaction_start_time_ms(metadata.start_timestamp)
        .with_producer_id(ProducerId(metadata.producer_id))
        .with_producer_epoch(metadata.producer_epoch)
        .with_topics(topics.collect())
}

fn name(state: TransactionState) -> StrBytes {
    StrBytes::from_static_str(state.name())
}
