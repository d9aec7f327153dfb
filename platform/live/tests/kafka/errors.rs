//! librdkafka's errors in the suite's words.

use kafka::ResponseError;
use kafka_suite::{ClientError, Code};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// A code with no class told.
pub fn of_code(code: RDKafkaErrorCode) -> ClientError {
    let number = code as i32;
    let code = match i16::try_from(number).ok().filter(|number| *number > 0) {
        Some(broker) => Code::Broker(ResponseError::try_from_code(broker).expect("not 0")),
        None if number == -1 => Code::Broker(ResponseError::UnknownServerError),
        None => Code::Local(local_name(code)),
    };
    ClientError { code, fatal: false, abortable: false, retriable: false }
}

/// librdkafka's name, as in `_MSG_TIMED_OUT`.
fn local_name(code: RDKafkaErrorCode) -> String {
    match code {
        RDKafkaErrorCode::MessageTimedOut => "_MSG_TIMED_OUT".into(),
        RDKafkaErrorCode::OperationTimedOut => "_TIMED_OUT".into(),
        RDKafkaErrorCode::InvalidArgument => "_INVALID_ARG".into(),
        RDKafkaErrorCode::PollExceeded => "_MAX_POLL_EXCEEDED".into(),
        other => snake(&format!("{other:?}")),
    }
}

/// `AutoOffsetReset` as `_AUTO_OFFSET_RESET`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_uppercase());
    }
    snake
}

pub fn of(error: &KafkaError) -> ClientError {
    match error {
        KafkaError::Transaction(error) => ClientError {
            fatal: error.is_fatal(),
            abortable: error.txn_requires_abort(),
            retriable: error.is_retriable(),
            ..of_code(error.code())
        },
        KafkaError::MessageConsumptionFatal(code) => ClientError { fatal: true, ..of_code(*code) },
        // It tells no code here: both are refusals of settings.
        KafkaError::ClientCreation(_) | KafkaError::ClientConfig(..) => {
            of_code(RDKafkaErrorCode::InvalidArgument)
        }
        other => match other.rdkafka_error_code() {
            Some(code) => of_code(code),
            None => {
                let code = Code::Local(other.to_string());
                ClientError { code, fatal: false, abortable: false, retriable: false }
            }
        },
    }
}
