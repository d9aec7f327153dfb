//! Errors that a version does not know, as `KafkaApis` replaces them.

use kafka_protocol::ResponseError;

use crate::protocol::Response;

pub(super) fn lower(version: i16, response: &mut Response) {
    match response {
        Response::Produce(response) if version < 11 => {
            let partitions = response.responses.iter_mut().flat_map(|topic| &mut topic.partition_responses);
            partitions.for_each(|partition| abortable(&mut partition.error_code));
        }
        Response::InitProducerId(response) if version < 4 => fenced(&mut response.error_code),
        Response::AddOffsetsToTxn(response) if version < 2 => fenced(&mut response.error_code),
        Response::EndTxn(response) if version < 2 => fenced(&mut response.error_code),
        Response::AddPartitionsToTxn(response) if version < 2 => {
            let topics = response.results_by_topic_v3_and_below.iter_mut();
            let partitions = topics.flat_map(|topic| &mut topic.results_by_partition);
            partitions.for_each(|partition| fenced(&mut partition.partition_error_code));
        }
        Response::ListOffsets(response) if version < 5 => {
            let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            partitions.for_each(|partition| {
                let not_yet = ResponseError::OffsetNotAvailable;
                replace(&mut partition.error_code, not_yet, ResponseError::LeaderNotAvailable);
            });
        }
        _ => {}
    }
}

fn fenced(code: &mut i16) {
    replace(code, ResponseError::ProducerFenced, ResponseError::InvalidProducerEpoch);
}

fn abortable(code: &mut i16) {
    replace(code, ResponseError::TransactionAbortable, ResponseError::InvalidTxnState);
}

fn replace(code: &mut i16, unknown: ResponseError, known: ResponseError) {
    if *code == unknown.code() {
        *code = known.code();
    }
}
