//! What the coordinators are asked for, one step at a time, and what their answers change.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic,
};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, ApiVersionsRequest, ApiVersionsResponse, EndTxnRequest, GroupId,
    InitProducerIdRequest, ProducerId, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::classify::{Verdict, abortable, classify, fatal};
use super::{Offsets, State, Transaction};
use crate::client::coordinator::CoordinatorOf;
use crate::client::producer::{Done, Identity, Producer, Slot};
use crate::client::{Caller, Link, LinkError};
use crate::cluster::TopicPartition;
use crate::protocol::{RequestKind, Response, check};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepKind {
    /// Which transaction version the cluster has.
    Features,
    Init,
    AddPartitions,
    AddOffsets,
    CommitOffsets,
    End {
        commit: bool,
    },
}

/// A request to a coordinator, which may have to be found first.
struct Step {
    kind: StepKind,
    version: i16,
    request: RequestKind,
    of: CoordinatorOf,
    key: String,
    known: Option<i32>,
    delay_ms: i64,
    timeout_ms: i64,
}

/// The end of a step.
pub(in crate::client::producer) struct StepAnswer {
    kind: StepKind,
    /// Who was asked.
    coordinator: Option<i32>,
    result: Result<Result<Response, ResponseError>, LinkError>,
}

impl<L: Link + ?Sized> Caller<L> {
    async fn ask_coordinator(&self, servers: &[i32], step: Step) -> StepAnswer {
        let Step { kind, version, request, of, key, known, delay_ms, timeout_ms } = step;
        if delay_ms > 0 {
            self.link.sleep_ms(delay_ms).await;
        }
        if kind == StepKind::Features {
            let answer = self.call_any::<ApiVersionsResponse>(servers, request, timeout_ms).await;
            return StepAnswer { kind, coordinator: None, result: answer.map(|answer| Ok(answer.into())) };
        }
        let found = match known {
            Some(broker) => Ok(Ok(broker)),
            None => self.find_coordinator(servers, of, &key, timeout_ms).await,
        };
        let coordinator = match found {
            Ok(Ok(broker)) => broker,
            Ok(Err(error)) => return StepAnswer { kind, coordinator: None, result: Ok(Err(error)) },
            Err(error) => return StepAnswer { kind, coordinator: None, result: Err(error) },
        };
        let result = self.exchange(coordinator, version, request, timeout_ms).await;
        StepAnswer { kind, coordinator: Some(coordinator), result: result.map(Ok) }
    }
}

impl<L: Link + ?Sized + 'static> Producer<L> {
    /// Takes the transaction's next step, if there is one and none is under way.
    pub(in crate::client::producer) fn advance_transaction(&mut self) {
        if self.tasks.is_running(Slot::Coordinator) {
            return;
        }
        let Some((kind, version, request)) = self.next_step() else { return };
        let Some(transaction) = &mut self.transaction else { return };
        let (of, key, known) = match (kind, &transaction.offsets) {
            (StepKind::CommitOffsets, Some(Offsets { group, .. })) => {
                (CoordinatorOf::Group, group.group_id.clone(), transaction.group_coordinator)
            }
            _ => (CoordinatorOf::Transaction, transaction.id.0.to_string(), transaction.coordinator),
        };
        let delay_ms = std::mem::take(&mut transaction.delay_ms);
        let timeout_ms = self.config.request_timeout_ms;
        let step = Step { kind, version, request, of, key, known, delay_ms, timeout_ms };
        let (caller, config) = (self.caller.clone(), self.config.clone());
        self.tasks.start(Slot::Coordinator, async move {
            Done::Coordinator(Box::new(caller.ask_coordinator(&config.bootstrap_servers, step).await))
        });
    }

    fn next_step(&mut self) -> Option<(StepKind, i16, RequestKind)> {
        let (wants_v2, is_quiet) = (self.wants_v2(), self.queued == 0);
        let timeout_ms = self.config.transaction_timeout_ms;
        let pending = self.pending_partitions();
        let identity = self.identity;
        let transaction = self.transaction.as_mut()?;
        match transaction.state {
            State::WaitPid if wants_v2 && transaction.is_v2.is_none() => {
                let request = ApiVersionsRequest::default();
                Some((StepKind::Features, 3, request.into()))
            }
            State::WaitPid => Some((StepKind::Init, 4, transaction.init_request(None, timeout_ms))),
            State::InTransaction | State::BeginCommit if !pending.is_empty() => {
                Some((StepKind::AddPartitions, 3, transaction.add_partitions(identity?, pending)))
            }
            State::InTransaction => transaction.offsets_step(identity?),
            State::BeginCommit if !is_quiet => None,
            State::BeginCommit if !transaction.is_registered => {
                transaction.state = State::CommitNotAcked;
                None
            }
            State::BeginCommit | State::Committing => {
                transaction.state = State::Committing;
                Some(transaction.end(identity?, true))
            }
            State::BeginAbort | State::Aborting if !is_quiet => None,
            // The coordinator aborts what is open and hands out the next epoch (KIP-360).
            State::BeginAbort | State::Aborting if transaction.needs_bump && !transaction.is_v2() => {
                transaction.state = State::Aborting;
                Some((StepKind::Init, 4, transaction.init_request(identity, timeout_ms)))
            }
            State::BeginAbort if !transaction.is_registered => {
                transaction.state = State::AbortNotAcked;
                None
            }
            State::BeginAbort | State::Aborting => {
                transaction.state = State::Aborting;
                Some(transaction.end(identity?, false))
            }
            _ => None,
        }
    }

    /// Partitions with records that the coordinator has to be told of first.
    fn pending_partitions(&self) -> Vec<TopicPartition> {
        let Some(transaction) = self.transaction.as_ref().filter(|transaction| !transaction.is_v2()) else {
            return Vec::new();
        };
        let names = self.lanes.iter().filter(|(_, lane)| !lane.is_empty()).map(|(name, _)| name);
        names.filter(|name| !transaction.added.contains(*name)).cloned().collect()
    }

    pub(in crate::client::producer) fn coordinator_answered(&mut self, answer: StepAnswer) {
        let StepAnswer { kind, coordinator, result } = answer;
        let Some(transaction) = &mut self.transaction else { return };
        match kind {
            StepKind::Features => {}
            StepKind::CommitOffsets => transaction.group_coordinator = coordinator,
            _ => transaction.coordinator = coordinator,
        }
        let refusal = match result {
            // Nothing is known of what it did: the same again, wherever the coordinator is now.
            Err(_) => ResponseError::NetworkException,
            Ok(Err(error)) => error,
            Ok(Ok(response)) => match outcome_of(&response) {
                Ok(()) => {
                    transaction.backoff.reset();
                    return self.step_done(kind, response);
                }
                Err(error) => error,
            },
        };
        self.step_refused(kind, refusal);
    }

    fn step_done(&mut self, kind: StepKind, response: Response) {
        let Some(transaction) = &mut self.transaction else { return };
        match (kind, response) {
            (StepKind::Features, Response::ApiVersions(response)) => {
                let version = response
                    .finalized_features
                    .iter()
                    .find(|feature| feature.name.as_str() == "transaction.version");
                transaction.is_v2 = Some(version.is_some_and(|feature| feature.max_version_level >= 2));
            }
            (StepKind::Init, Response::InitProducerId(response)) => {
                transaction.state = match transaction.state {
                    State::WaitPid => State::ReadyNotAcked,
                    _ => State::AbortNotAcked,
                };
                self.identify(response.producer_id.0, response.producer_epoch);
            }
            (StepKind::AddPartitions, Response::AddPartitionsToTxn(response)) => {
                for topic in response.results_by_topic_v3_and_below {
                    let added = topic.results_by_partition.iter().map(|partition| TopicPartition {
                        topic: topic.name.clone(),
                        partition: partition.partition_index,
                    });
                    transaction.added.extend(added);
                }
                transaction.is_registered = true;
            }
            (StepKind::AddOffsets, _) => {
                transaction.is_registered = true;
                if let Some(offsets) = &mut transaction.offsets {
                    offsets.is_added = true;
                }
            }
            (StepKind::CommitOffsets, _) => {
                if let Some(offsets) = &mut transaction.offsets {
                    offsets.is_done = true;
                }
            }
            (StepKind::End { commit }, Response::EndTxn(response)) => {
                transaction.state = if commit { State::CommitNotAcked } else { State::AbortNotAcked };
                // Version 2 gives every transaction its own epoch.
                if transaction.is_v2() && response.producer_id.0 >= 0 {
                    self.identify(response.producer_id.0, response.producer_epoch);
                }
            }
            _ => {}
        }
    }

    fn step_refused(&mut self, kind: StepKind, error: ResponseError) {
        let Some(transaction) = &mut self.transaction else { return };
        match classify(kind, error) {
            Verdict::TryAgain { lost } => {
                if lost {
                    transaction.coordinator =
                        transaction.coordinator.filter(|_| kind == StepKind::CommitOffsets);
                    transaction.group_coordinator = None;
                }
                transaction.delay_ms = transaction.backoff.next();
            }
            // An abort that is refused is made once more, with a new epoch.
            Verdict::Abort { .. } if kind == (StepKind::End { commit: false }) => {
                transaction.needs_bump = true;
                transaction.state = State::AbortableError;
                transaction.error = Some(abortable(error));
            }
            Verdict::Abort { bump } => {
                transaction.needs_bump |= bump;
                self.set_abortable(abortable(error));
            }
            Verdict::Fatal => self.set_fatal(fatal(error)),
        }
    }
}

/// The first refusal in an answer.
fn outcome_of(response: &Response) -> Result<(), ResponseError> {
    let codes: Vec<i16> = match response {
        Response::InitProducerId(response) => vec![response.error_code],
        Response::AddPartitionsToTxn(response) => {
            let results = response.results_by_topic_v3_and_below.iter();
            let partitions = results.flat_map(|topic| &topic.results_by_partition);
            partitions.map(|partition| partition.partition_error_code).collect()
        }
        Response::AddOffsetsToTxn(response) => vec![response.error_code],
        Response::TxnOffsetCommit(response) => {
            let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            partitions.map(|partition| partition.error_code).collect()
        }
        Response::EndTxn(response) => vec![response.error_code],
        _ => Vec::new(),
    };
    // The others were only not attempted because of it.
    let refusals = codes.into_iter().filter_map(|code| check(code).err());
    let told = refusals.reduce(|first, other| match first {
        ResponseError::OperationNotAttempted => other,
        first => first,
    });
    told.map_or(Ok(()), Err)
}

impl Transaction {
    fn init_request(&self, identity: Option<Identity>, timeout_ms: i32) -> RequestKind {
        let identity = identity.unwrap_or(Identity { producer_id: -1, producer_epoch: -1 });
        InitProducerIdRequest::default()
            .with_transactional_id(Some(self.id.clone()))
            .with_transaction_timeout_ms(timeout_ms)
            .with_producer_id(ProducerId(identity.producer_id))
            .with_producer_epoch(identity.producer_epoch)
            .into()
    }

    fn add_partitions(&self, identity: Identity, pending: Vec<TopicPartition>) -> RequestKind {
        let mut topics: BTreeMap<TopicName, Vec<i32>> = BTreeMap::new();
        pending.into_iter().for_each(|name| topics.entry(name.topic).or_default().push(name.partition));
        let topics = topics.into_iter().map(|(name, partitions)| {
            AddPartitionsToTxnTopic::default().with_name(name).with_partitions(partitions)
        });
        AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.id.clone())
            .with_v3_and_below_producer_id(ProducerId(identity.producer_id))
            .with_v3_and_below_producer_epoch(identity.producer_epoch)
            .with_v3_and_below_topics(topics.collect())
            .into()
    }

    fn offsets_step(&mut self, identity: Identity) -> Option<(StepKind, i16, RequestKind)> {
        let is_v2 = self.is_v2();
        let offsets = self.offsets.as_mut().filter(|offsets| !offsets.is_done)?;
        let group_id = GroupId(StrBytes::from_string(offsets.group.group_id.clone()));
        if !offsets.is_added && !is_v2 {
            let request = AddOffsetsToTxnRequest::default()
                .with_transactional_id(self.id.clone())
                .with_producer_id(ProducerId(identity.producer_id))
                .with_producer_epoch(identity.producer_epoch)
                .with_group_id(group_id);
            return Some((StepKind::AddOffsets, 3, request.into()));
        }
        // Version 5 adds the group to the transaction by itself.
        self.is_registered = true;
        let mut topics: BTreeMap<&TopicName, Vec<TxnOffsetCommitRequestPartition>> = BTreeMap::new();
        for (partition, offset) in &offsets.offsets {
            let wanted = TxnOffsetCommitRequestPartition::default()
                .with_partition_index(partition.partition)
                .with_committed_offset(*offset)
                .with_committed_leader_epoch(-1);
            topics.entry(&partition.topic).or_default().push(wanted);
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            TxnOffsetCommitRequestTopic::default().with_name(name.clone()).with_partitions(partitions)
        });
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(self.id.clone())
            .with_group_id(group_id)
            .with_producer_id(ProducerId(identity.producer_id))
            .with_producer_epoch(identity.producer_epoch)
            .with_generation_id(offsets.group.generation_id)
            .with_member_id(offsets.group.member_id.clone())
            .with_group_instance_id(offsets.group.group_instance_id.clone().map(StrBytes::from_string))
            .with_topics(topics.collect());
        Some((StepKind::CommitOffsets, if is_v2 { 5 } else { 3 }, request.into()))
    }

    fn end(&self, identity: Identity, commit: bool) -> (StepKind, i16, RequestKind) {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.id.clone())
            .with_producer_id(ProducerId(identity.producer_id))
            .with_producer_epoch(identity.producer_epoch)
            .with_committed(commit);
        (StepKind::End { commit }, if self.is_v2() { 5 } else { 4 }, request.into())
    }
}
