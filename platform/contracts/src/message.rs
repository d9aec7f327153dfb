//! One enum over the messages of all topics: what a record's value decodes to.

use bytes::Bytes;
use prost::Message as _;

use crate::events::*;
use crate::topics;

/// Why a payload could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The topic or service is not in the catalogue.
    Unknown(String),
    /// The bytes are not the message that the topic carries.
    Malformed(String),
    /// A message without its one-of content, or with an enum value that this build does not know.
    Incomplete(&'static str),
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown(name) => write!(out, "no contract for `{name}`"),
            Self::Malformed(why) => write!(out, "payload cannot be decoded: {why}"),
            Self::Incomplete(what) => write!(out, "payload lacks {what}"),
        }
    }
}

impl std::error::Error for DecodeError {}

impl From<prost::DecodeError> for DecodeError {
    fn from(error: prost::DecodeError) -> Self {
        Self::Malformed(error.to_string())
    }
}

macro_rules! messages {
    ($($variant:ident($message:ident) = $topic:path),* $(,)?) => {
        /// A decoded message, by topic.
        #[derive(Clone, Debug, PartialEq, Hash)]
        pub enum Message {
            $($variant($message)),*
        }

        impl Message {
            /// The topic that carries this message.
            pub fn topic(&self) -> &'static str {
                match self { $(Self::$variant(_) => $topic),* }
            }

            /// The record value.
            pub fn encode(&self) -> Bytes {
                match self { $(Self::$variant(message) => message.encode_to_vec().into()),* }
            }

            /// Reads a record value of `topic`.
            pub fn decode(topic: &str, payload: Bytes) -> Result<Self, DecodeError> {
                match topic {
                    $($topic => Ok(Self::$variant($message::decode(payload)?)),)*
                    other => Err(DecodeError::Unknown(other.to_owned())),
                }
            }
        }

        $(impl From<$message> for Message {
            fn from(message: $message) -> Self { Self::$variant(message) }
        })*
    };
}

messages! {
    ReferenceData(ReferenceDataEvent) = topics::REFERENCE_DATA_EVENTS,
    TradeSubmitted(TradeSubmitted) = topics::TRADE_SUBMITTED,
    TradeValidated(TradeValidated) = topics::TRADE_VALIDATED,
    TradeRejected(TradeRejected) = topics::TRADE_REJECTED,
    TradeDateSealed(TradeDateSealed) = topics::TRADE_DATES,
    TradeNovated(TradeNovated) = topics::CLEARING_EVENTS,
    TradeDateCleared(TradeDateCleared) = topics::SETTLEMENT_DATES,
    SettlementInstruction(SettlementInstruction) = topics::SETTLEMENT_INSTRUCTIONS,
    DeliveryRequest(DeliveryRequest) = topics::DELIVERY_REQUESTS,
    PositionUpdated(PositionUpdated) = topics::POSITION_UPDATED,
    PaymentInstruction(PaymentInstruction) = topics::PAYMENT_INSTRUCTIONS,
    PaymentEvent(PaymentEvent) = topics::PAYMENT_EVENTS,
    SettlementCompleted(SettlementCompleted) = topics::SETTLEMENT_COMPLETED,
    SettlementFailed(SettlementFailed) = topics::SETTLEMENT_FAILED,
    LedgerEvent(LedgerEvent) = topics::LEDGER_EVENTS,
    NotificationEvent(NotificationEvent) = topics::NOTIFICATION_EVENTS,
    CorporateAction(CorporateActionEvent) = topics::CORPORATE_ACTION_EVENTS,
    DeadLetter(DeadLetter) = topics::TRADE_DEAD_LETTER,
}
