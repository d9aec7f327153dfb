//! One operation of a client: what it sends, when, and why it is in the plan.

use invariants::fact::RequestBody;
use model::{Date, Timestamp};
use serde::{Deserialize, Serialize};

/// An operation. It is self-contained: taking it out of a plan changes none of the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    pub at: Timestamp,
    pub client: String,
    /// Of this client; a duplicate has that of the first.
    pub key: String,
    pub intent: Intent,
    #[serde(flatten)]
    pub ask: Ask,
}

/// What is asked for, and of whom. Texts are sent as they are, also where they are nonsense.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// As JSON, through the API gateway.
    Trade(TradeForm),
    /// As a FIX 4.4 TradeCaptureReport.
    FixTrade(FixTrade),
    /// At the settlement bank.
    Deposit {
        account: String,
        amount: String,
    },
    Withdrawal {
        account: String,
        amount: String,
    },
    Instrument {
        instrument: String,
        currency: String,
        tick: String,
    },
    Account {
        account: String,
        participant: String,
    },
    Get {
        path: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TradeForm {
    pub instrument: String,
    pub buyer: String,
    pub seller: String,
    pub quantity: String,
    pub price: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixTrade {
    /// MsgSeqNum, of this client's messages.
    pub sequence: u32,
    /// TransactTime; of a duplicate that of the first.
    pub transacted: Timestamp,
    pub trade_date: Date,
    #[serde(flatten)]
    pub trade: TradeForm,
}

/// Why an operation is there. What the texts of [`Ask`] cannot show, the client does when it writes the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// Reference data at the start.
    Setup,
    Ordinary,
    /// The same again under the same key; over FIX with PossDupFlag.
    Duplicate,
    /// More shares than anybody has.
    Oversell,
    /// More cash than anybody has.
    Overdraw,
    UnknownInstrument,
    UnknownAccount,
    ZeroQuantity,
    NegativeQuantity,
    OffTick,
    /// The body ends in the middle.
    MalformedBody,
    /// No Idempotency-Key.
    MissingKey,
    /// A client that owns neither account.
    ForeignAccount,
    /// A token that nobody signed.
    BadToken,
    /// A token of the client from long ago.
    ExpiredToken,
    /// A required tag is left out.
    MissingTag,
    WrongBodyLength,
    WrongCheckSum,
}

impl TradeForm {
    fn body(&self) -> RequestBody {
        RequestBody::Trade {
            instrument: self.instrument.clone(),
            buyer: self.buyer.clone(),
            seller: self.seller.clone(),
            quantity: self.quantity.clone(),
            price: self.price.clone(),
        }
    }
}

impl Ask {
    /// The trade, however it is sent.
    pub fn trade(&self) -> Option<&TradeForm> {
        match self {
            Self::Trade(trade) | Self::FixTrade(FixTrade { trade, .. }) => Some(trade),
            _ => None,
        }
    }

    /// As a fact tells it.
    pub fn body(&self) -> RequestBody {
        match self.clone() {
            Self::Trade(trade) | Self::FixTrade(FixTrade { trade, .. }) => trade.body(),
            Self::Deposit { account, amount } => RequestBody::Deposit { account, amount },
            Self::Withdrawal { account, amount } => RequestBody::Withdrawal { account, amount },
            Self::Instrument { instrument, tick, .. } => RequestBody::Instrument { instrument, tick },
            Self::Account { account, participant } => RequestBody::Account { account, participant },
            Self::Get { path } => RequestBody::Get { path },
        }
    }
}
