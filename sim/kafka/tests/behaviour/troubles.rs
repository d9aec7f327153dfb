//! Trouble on a broker: errors before and after, answers held, answers that never come.

use kafka::trouble::{Draw, error_name, error_named, errors_after, errors_before};
use kafka::{ApiKey, Moment, Output, Response, ResponseError, Trouble, api_named};
use kafka_protocol::messages::fetch_response::FetchResponse;
use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::produce_response::ProduceResponse;
use kafka_protocol::messages::{FindCoordinatorRequest, HeartbeatRequest, MetadataResponse};

use crate::bench::{Bench, CONN, TOPIC, answer, fetch_request, idempotent, plain, produce_request};
use crate::e_groups::{group, join_request, text};
use crate::e_offsets::commit_request;

pub const ALWAYS: u32 = 1_000_000;

/// Draws that count up: 0, 1, 2, … below the bound.
pub fn counting() -> Draw {
    let mut next = 0;
    Box::new(move |bound| {
        next += 1;
        (next - 1) % bound
    })
}

pub fn error(api: ApiKey, error: ResponseError, moment: Moment) -> Trouble {
    Trouble::RequestError { api, error, moment, odds_ppm: ALWAYS }
}

#[test]
fn names_are_kafkas() {
    for name in ["NOT_LEADER_OR_FOLLOWER", "UNKNOWN_SERVER_ERROR", "REQUEST_TIMED_OUT", "NOT_ENOUGH_REPLICAS"]
    {
        assert_eq!(error_named(name).map(error_name).as_deref(), Some(name));
    }
    assert_eq!(error_named("NotCoordinator"), None);
    assert_eq!(api_named("OffsetCommit"), Some(ApiKey::OffsetCommit));
    assert_eq!(api_named("ShareFetch"), None);
}

#[test]
fn only_what_a_broker_could_say_is_possible() {
    let nonsense = error(ApiKey::Heartbeat, ResponseError::NotLeaderOrFollower, Moment::Before);
    assert!(!nonsense.is_possible());
    assert!(!error(ApiKey::Produce, ResponseError::NotEnoughReplicas, Moment::After).is_possible());
    let too_often = Trouble::NoAnswer { api: ApiKey::Fetch, moment: Moment::After, odds_ppm: ALWAYS + 1 };
    assert!(!too_often.is_possible());
    let backwards = Trouble::SlowAnswer { api: ApiKey::Fetch, min_ms: 2, max_ms: 1, odds_ppm: ALWAYS };
    assert!(!backwards.is_possible());
}

#[test]
fn a7_an_error_before_leaves_the_log_alone_and_is_counted() {
    let mut bench = Bench::new();
    let trouble = error(ApiKey::Produce, ResponseError::NotLeaderOrFollower, Moment::Before);
    bench.broker.begin_trouble(3, trouble, counting());
    assert_eq!(bench.append(0, plain(&["a"])), Err(ResponseError::NotLeaderOrFollower));
    assert_eq!(bench.read(0, 0, 1_000).high_watermark, 0);
    assert_eq!(bench.broker.met(3), 1);
    bench.broker.end_trouble(3);
    assert_eq!(bench.append(0, plain(&["a"])), Ok(0));
    assert_eq!(bench.broker.met(3), 1, "the count stays");
}

#[test]
fn a9_an_error_after_is_in_the_log_and_b16_its_repetition_is_recognised() {
    let mut bench = Bench::new();
    let trouble = error(ApiKey::Produce, ResponseError::RequestTimedOut, Moment::After);
    bench.broker.begin_trouble(0, trouble, counting());
    let batch = idempotent(7, 0, 0, &["a", "b"]);
    let outputs = bench.ask(produce_request(-1, 0, batch.clone()));
    assert!(outputs.iter().any(|output| matches!(output, Output::Visible { .. })), "{outputs:?}");
    let response: ProduceResponse = answer(&outputs, bench.correlation).expect("an answer");
    let partition = &response.responses[0].partition_responses[0];
    assert_eq!((partition.error_code, partition.base_offset), (ResponseError::RequestTimedOut.code(), -1));
    bench.broker.end_trouble(0);
    assert_eq!(bench.append(0, batch), Ok(0), "the first offset, not a second copy");
    assert_eq!(bench.read(0, 0, 1_000).high_watermark, 2);
}

#[test]
fn odds_are_parts_per_million_of_the_draws() {
    let mut bench = Bench::new();
    let trouble = Trouble::RequestError {
        api: ApiKey::Produce,
        error: ResponseError::NotEnoughReplicas,
        moment: Moment::Before,
        odds_ppm: 2,
    };
    bench.broker.begin_trouble(0, trouble, counting());
    let outcomes: Vec<bool> = (0..4).map(|_| bench.append(0, plain(&["a"])).is_ok()).collect();
    assert_eq!(outcomes, [false, false, true, true]);
    assert_eq!(bench.broker.met(0), 2);
}

#[test]
fn troubles_of_one_id_end_and_are_counted_together() {
    let mut bench = Bench::new();
    let refused = error(ApiKey::Produce, ResponseError::NotEnoughReplicas, Moment::Before);
    let silent = Trouble::NoAnswer { api: ApiKey::Fetch, moment: Moment::Before, odds_ppm: ALWAYS };
    bench.broker.begin_trouble(1, refused, counting());
    bench.broker.begin_trouble(1, silent, counting());
    assert_eq!(bench.append(0, plain(&["a"])), Err(ResponseError::NotEnoughReplicas));
    assert_eq!(bench.ask(fetch_request(&[(0, 0)], 0, 1_000)), []);
    assert_eq!(bench.broker.met(1), 2);
    bench.broker.end_trouble(1);
    assert_eq!(bench.append(0, plain(&["a"])), Ok(0));
    assert_eq!(bench.read(0, 0, 1_000).high_watermark, 1);
}

#[test]
fn a_slow_answer_is_held_for_a_drawn_time_and_sent_exactly_then() {
    let mut bench = Bench::new();
    let trouble = Trouble::SlowAnswer { api: ApiKey::Produce, min_ms: 500, max_ms: 900, odds_ppm: ALWAYS };
    bench.broker.begin_trouble(0, trouble, counting());
    let outputs = bench.ask(produce_request(-1, 0, plain(&["a"])));
    assert!(matches!(outputs[..], [Output::Visible { .. }]), "the record is there: {outputs:?}");
    bench.broker.end_trouble(0);
    assert_eq!(bench.broker.next_deadline(), Some(bench.now + 501), "the second draw is 1");
    assert_eq!(bench.pass(500), []);
    let response: ProduceResponse = answer(&bench.pass(1), bench.correlation).expect("held, not lost");
    assert_eq!(response.responses[0].partition_responses[0].base_offset, 0);
    assert_eq!(bench.broker.next_deadline(), None);
}

#[test]
fn a_long_poll_is_judged_when_it_ends() {
    let mut bench = Bench::new();
    bench.ask(fetch_request(&[(0, 0)], 30_000, 1_000));
    let fetch = bench.correlation;
    let trouble = Trouble::SlowAnswer { api: ApiKey::Fetch, min_ms: 2_000, max_ms: 2_000, odds_ppm: ALWAYS };
    bench.broker.begin_trouble(0, trouble, counting());
    let outputs = bench.ask(produce_request(-1, 0, plain(&["a"])));
    assert_eq!(answer::<FetchResponse>(&outputs, fetch), None);
    assert!(answer::<FetchResponse>(&bench.pass(2_000), fetch).is_some());
    assert_eq!(bench.broker.met(0), 1);
}

#[test]
fn no_answer_comes_whether_it_was_done_or_not() {
    for (moment, end_offset) in [(Moment::Before, 0), (Moment::After, 1)] {
        let mut bench = Bench::new();
        let trouble = Trouble::NoAnswer { api: ApiKey::Produce, moment, odds_ppm: ALWAYS };
        bench.broker.begin_trouble(0, trouble, counting());
        let outputs = bench.ask(produce_request(-1, 0, plain(&["a"])));
        assert_eq!(answer::<ProduceResponse>(&outputs, bench.correlation), None);
        assert_eq!(bench.read(0, 0, 1_000).high_watermark, end_offset);
        assert_eq!(bench.broker.met(0), 1);
    }
}

#[test]
fn held_answers_go_with_their_connection_and_with_the_process() {
    let mut bench = Bench::new();
    let trouble = Trouble::SlowAnswer { api: ApiKey::Produce, min_ms: 9, max_ms: 9, odds_ppm: ALWAYS };
    bench.broker.begin_trouble(0, trouble, counting());
    bench.ask(produce_request(-1, 0, plain(&["a"])));
    bench.broker.disconnected(CONN);
    assert_eq!(bench.broker.next_deadline(), None);
    bench.ask(produce_request(-1, 0, plain(&["a"])));
    bench.broker.crash();
    assert_eq!(bench.broker.next_deadline(), None);
}

#[test]
fn a1_without_an_acknowledgement_there_is_nothing_to_spoil() {
    let mut bench = Bench::new();
    let trouble = error(ApiKey::Produce, ResponseError::NotEnoughReplicas, Moment::Before);
    bench.broker.begin_trouble(0, trouble, counting());
    assert_eq!(bench.ask(produce_request(0, 0, plain(&["a"]))), []);
}

#[test]
fn every_possible_error_is_said_in_an_answer_of_its_kind() {
    let metadata = MetadataRequestTopic::default().with_name(Some(kafka::topic_name(TOPIC)));
    let requests: Vec<kafka::RequestKind> = vec![
        produce_request(-1, 0, plain(&["a"])).into(),
        fetch_request(&[(0, 0)], 0, 1_000).into(),
        MetadataRequest::default().with_topics(Some(vec![metadata])).into(),
        FindCoordinatorRequest::default().with_coordinator_keys(vec![text("clearing")]).into(),
        join_request("").into(),
        HeartbeatRequest::default().with_group_id(group()).into(),
        commit_request("", -1, 0, 5).into(),
    ];
    for request in requests {
        let (befores, afters) = (errors_before(request.api()), errors_after(request.api()));
        let befores = befores.iter().map(|error| (*error, Moment::Before));
        for (refusal, moment) in befores.chain(afters.iter().map(|error| (*error, Moment::After))) {
            let mut bench = Bench::new();
            bench.broker.begin_trouble(0, error(request.api(), refusal, moment), counting());
            let outputs = bench.ask(request.clone());
            let said = outputs.iter().find_map(|output| match output {
                Output::Respond { response, .. } => Some(codes(response)),
                _ => None,
            });
            assert_eq!(said, Some(vec![refusal.code()]), "{} {refusal:?} {moment:?}", request.name());
        }
    }
}

fn codes(response: &Response) -> Vec<i16> {
    match response {
        Response::Produce(response) => {
            vec![response.responses[0].partition_responses[0].error_code]
        }
        Response::Fetch(response) => vec![response.responses[0].partitions[0].error_code],
        Response::Metadata(MetadataResponse { topics, .. }) => vec![topics[0].error_code],
        Response::FindCoordinator(response) => vec![response.coordinators[0].error_code],
        Response::JoinGroup(response) => vec![response.error_code],
        Response::Heartbeat(response) => vec![response.error_code],
        Response::OffsetCommit(response) => vec![response.topics[0].partitions[0].error_code],
        other => panic!("{other:?}"),
    }
}
