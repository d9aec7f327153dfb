//! One enum over the stored events of all services: what a row of an `events` table decodes to.

use bytes::Bytes;
use prost::Message as _;

use crate::events::*;
use crate::message::DecodeError;

/// A service's stored event: the protobuf envelope of one kind of service, with a name per variant.
macro_rules! stored {
    ($($variant:ident($envelope:ident, $module:ident) = $service:literal),* $(,)?) => {
        /// A stored event, by service.
        #[derive(Clone, Debug, PartialEq, Hash)]
        pub enum StoredEvent {
            $($variant($module::Event)),*
        }

        impl StoredEvent {
            /// Reads the payload of an event that `service` stored.
            pub fn decode(service: &str, payload: Bytes) -> Result<Self, DecodeError> {
                match service {
                    $($service => $envelope::decode(payload)?
                        .event
                        .map(Self::$variant)
                        .ok_or(DecodeError::Incomplete("its event")),)*
                    other => Err(DecodeError::Unknown(other.to_owned())),
                }
            }
        }

        $(impl Payload for $module::Event {
            fn encode(&self) -> Bytes {
                $envelope { event: Some(self.clone()) }.encode_to_vec().into()
            }

            fn decode(payload: Bytes) -> Result<Self, DecodeError> {
                $envelope::decode(payload)?.event.ok_or(DecodeError::Incomplete("its event"))
            }
        })*
    };
}

/// What a host needs of a service's event type: bytes and back.
pub trait Payload: Sized + Clone {
    fn encode(&self) -> Bytes;
    fn decode(payload: Bytes) -> Result<Self, DecodeError>;
}

stored! {
    Reference(ReferenceStored, reference_stored) = "reference-data",
    Trade(TradeStored, trade_stored) = "trade",
    Position(PositionStored, position_stored) = "position",
    Clearing(ClearingStored, clearing_stored) = "clearing",
    Settlement(SettlementStored, settlement_stored) = "settlement",
    Ledger(LedgerStored, ledger_stored) = "ledger",
    Payment(PaymentStored, payment_stored) = "payment",
    Notification(NotificationStored, notification_stored) = "notification",
}
