//! Generated trades, over JSON or FIX: who trades what with whom, and by odds what is wrong with it.
//!
//! A load's count is the number of submissions with a key of their own, the broken ones among them; duplicates
//! and reads come on top. Sellers are drawn without regard to what they still have: that they run short is for
//! the platform to see.

use std::collections::BTreeMap;

use model::Timestamp;
use rust_decimal::Decimal;
use scenario::profiles::{Fix, Parties, Trades};

use super::operation::{Ask, FixTrade, Intent, Operation, TradeForm};
use super::pace::{instants, resolve};
use super::reads;
use super::workload::{Brief, PlanError};
use super::world::{Account, FIX_PREFIX};
use crate::draw::{Draw, Streams, pick};

const BAD_JSON: [Intent; 7] = [
    Intent::UnknownInstrument,
    Intent::UnknownAccount,
    Intent::ZeroQuantity,
    Intent::NegativeQuantity,
    Intent::OffTick,
    Intent::MalformedBody,
    Intent::MissingKey,
];
const UNAUTHORISED: [Intent; 3] = [Intent::ForeignAccount, Intent::BadToken, Intent::ExpiredToken];
const BAD_FIX: [Intent; 5] = [
    Intent::MissingTag,
    Intent::UnknownInstrument,
    Intent::ZeroQuantity,
    Intent::NegativeQuantity,
    Intent::OffTick,
];
const GARBLED: [Intent; 2] = [Intent::WrongBodyLength, Intent::WrongCheckSum];

/// What may be wrong with a submission, by odds; the first that hits counts.
struct Odds {
    bad_ppm: u32,
    bad: &'static [Intent],
    refused_ppm: u32,
    refused: &'static [Intent],
    oversell_ppm: u32,
}

/// Profile `trades`.
pub(super) fn json(brief: &Brief<'_>, streams: &mut Streams<'_>) -> Result<Vec<Operation>, PlanError> {
    let params: Trades = brief.load.params();
    let odds = Odds {
        bad_ppm: params.bad_ppm.0,
        bad: &BAD_JSON,
        refused_ppm: params.unauthorised_ppm.0,
        refused: &UNAUTHORISED,
        oversell_ppm: params.oversell_ppm.0,
    };
    let mut operations = Generator::new(brief, &params.parties, odds, streams).run()?;
    if params.own_keys {
        number_by_client(brief, &mut operations);
    }
    Ok(brief.with_duplicates(operations, params.retry_ppm.0, streams))
}

/// Gives each client's operations keys that are counted from one for it alone.
fn number_by_client(brief: &Brief<'_>, operations: &mut [Operation]) {
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    for operation in operations {
        let number = last.entry(operation.client.clone()).or_default();
        *number += 1;
        operation.key = brief.key(*number);
    }
}

/// Profile `fix`.
pub(super) fn fix(brief: &Brief<'_>, streams: &mut Streams<'_>) -> Result<Vec<Operation>, PlanError> {
    let params: Fix = brief.load.params();
    let odds = Odds {
        bad_ppm: params.bad_ppm.0,
        bad: &BAD_FIX,
        refused_ppm: params.garbled_ppm.0,
        refused: &GARBLED,
        oversell_ppm: params.oversell_ppm.0,
    };
    let operations = Generator::new(brief, &params.parties, odds, streams).run()?;
    let operations =
        operations.into_iter().zip(1..).map(|(operation, number)| over_fix(brief, operation, number));
    Ok(brief.with_duplicates(operations.collect(), params.retry_ppm.0, streams))
}

/// The same submission as a FIX message of the participant's FIX client. The number of the message in the load
/// stands for the sequence number of a session.
fn over_fix(brief: &Brief<'_>, operation: Operation, sequence: u32) -> Operation {
    let Ask::Trade(trade) = operation.ask else {
        return operation;
    };
    let (transacted, trade_date) = (operation.at, brief.date(operation.at));
    let ask = Ask::FixTrade(FixTrade { sequence, transacted, trade_date, trade });
    Operation { client: format!("{FIX_PREFIX}{}", operation.client), ask, ..operation }
}

/// Draws two accounts that trade, and which of their owners says so.
pub(super) struct Matcher<'a> {
    buyers: Vec<&'a Account>,
    sellers: Vec<&'a Account>,
    parties: Box<dyn Draw>,
    submitters: Box<dyn Draw>,
}

/// A pair that trades.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    pub buyer: &'a Account,
    pub seller: &'a Account,
    /// The one whose owner submits.
    pub submitter: &'a Account,
}

impl<'a> Matcher<'a> {
    pub fn new(
        brief: &Brief<'a>,
        buyers: &scenario::Selection,
        sellers: &scenario::Selection,
        streams: &mut Streams<'_>,
    ) -> Self {
        let world = brief.world;
        let count = u32::try_from(world.accounts.len()).expect("the loader bounds the number of accounts");
        let accounts = |selection: &scenario::Selection| {
            selection.numbers(count).into_iter().map(|number| world.account(number)).collect()
        };
        Self {
            buyers: accounts(buyers),
            sellers: accounts(sellers),
            parties: brief.stream("parties", streams),
            submitters: brief.stream("submitters", streams),
        }
    }

    /// A seller, and a buyer that is another account.
    pub fn pair(&mut self, brief: &Brief<'_>) -> Result<Pair<'a>, PlanError> {
        let seller = *pick(&mut self.parties, &self.sellers);
        let own = self.buyers.iter().position(|buyer| buyer.id == seller.id);
        let others = self.buyers.len() - usize::from(own.is_some());
        if others == 0 {
            let (load, account) = (brief.load.name.clone(), seller.id.clone());
            return Err(PlanError::NobodyToTradeWith { load, account });
        }
        let drawn = self.parties.below(u64::try_from(others).expect("it is a length"));
        let drawn = usize::try_from(drawn).expect("it is below a length");
        let buyer = self.buyers[drawn + usize::from(own.is_some_and(|own| drawn >= own))];
        let submitter = if self.submitters.below(2) == 0 { buyer } else { seller };
        Ok(Pair { buyer, seller, submitter })
    }
}

struct Generator<'a, 'b> {
    brief: &'b Brief<'a>,
    matcher: Matcher<'a>,
    params: &'b Parties,
    instruments: Vec<u32>,
    odds: Odds,
    times: Box<dyn Draw>,
    instruments_draw: Box<dyn Draw>,
    sizes: Box<dyn Draw>,
    prices: Box<dyn Draw>,
    bad: Box<dyn Draw>,
    refused: Box<dyn Draw>,
    oversells: Box<dyn Draw>,
    reads: Box<dyn Draw>,
}

impl<'a, 'b> Generator<'a, 'b> {
    fn new(brief: &'b Brief<'a>, params: &'b Parties, odds: Odds, streams: &mut Streams<'_>) -> Self {
        let count = u32::try_from(brief.world.instruments.len()).expect("the loader bounds their number");
        let mut stream = |purpose| brief.stream(purpose, streams);
        Self {
            params,
            instruments: params.instruments.numbers(count),
            odds,
            times: stream("times"),
            instruments_draw: stream("instruments"),
            sizes: stream("sizes"),
            prices: stream("prices"),
            bad: stream("bad"),
            refused: stream("refused"),
            oversells: stream("oversells"),
            reads: stream("reads"),
            matcher: Matcher::new(brief, &params.buyers, &params.sellers, streams),
            brief,
        }
    }

    fn run(mut self) -> Result<Vec<Operation>, PlanError> {
        let windows = &self.brief.windows;
        let starts: Vec<Timestamp> =
            windows.iter().flat_map(|window| instants(self.brief.load, *window, &mut self.times)).collect();
        let mut operations = Vec::with_capacity(starts.len());
        for (at, number) in starts.into_iter().zip(1..) {
            let pair = self.matcher.pair(self.brief)?;
            let operation = self.submission(at, number, pair);
            let date = self.brief.date(at);
            let read = reads::after(&operation, &pair.submitter.id, date, &mut self.reads);
            operations.push(operation);
            operations.extend(read);
        }
        Ok(operations)
    }

    fn submission(&mut self, at: Timestamp, number: usize, pair: Pair<'_>) -> Operation {
        let instrument = *pick(&mut self.instruments_draw, &self.instruments);
        let trade = TradeForm {
            instrument: self.brief.world.instrument(instrument).to_owned(),
            buyer: pair.buyer.id.clone(),
            seller: pair.seller.id.clone(),
            quantity: resolve(self.params.sizes, &mut self.sizes).to_string(),
            price: resolve(self.params.price, &mut self.prices).to_string(),
        };
        let mut operation = Operation {
            at,
            client: pair.submitter.participant.clone(),
            key: self.brief.key(number),
            intent: self.intent(),
            ask: Ask::Trade(trade),
        };
        self.spoil(&mut operation, pair);
        operation
    }

    /// Draws for every kind, so that other odds of one leave the others as they were.
    fn intent(&mut self) -> Intent {
        let refused = self.refused.odds_ppm(self.odds.refused_ppm);
        let how_refused = *pick(&mut self.refused, self.odds.refused);
        let bad = self.bad.odds_ppm(self.odds.bad_ppm);
        let how_bad = *pick(&mut self.bad, self.odds.bad);
        let oversell = self.oversells.odds_ppm(self.odds.oversell_ppm);
        match (refused, bad, oversell) {
            (true, _, _) => how_refused,
            (_, true, _) => how_bad,
            (_, _, true) => Intent::Oversell,
            _ => Intent::Ordinary,
        }
    }

    /// Makes the texts of a submission as wrong as its intent says.
    fn spoil(&mut self, operation: &mut Operation, pair: Pair<'_>) {
        let Ask::Trade(trade) = &mut operation.ask else { return };
        match operation.intent {
            Intent::UnknownInstrument => trade.instrument = "I-UNKNOWN".to_owned(),
            Intent::UnknownAccount => {
                // The submitter's own account stays, or the gateway would refuse it as somebody else's.
                let other =
                    if pair.submitter.id == trade.buyer { &mut trade.seller } else { &mut trade.buyer };
                *other = "A-UNKNOWN".to_owned();
            }
            Intent::ZeroQuantity => trade.quantity = "0".to_owned(),
            Intent::NegativeQuantity => trade.quantity = format!("-{}", trade.quantity),
            Intent::OffTick => trade.price = off_tick(&trade.price, &mut self.bad),
            Intent::Oversell => {
                let size: u64 = trade.quantity.parse().unwrap_or(1);
                let issued = self.brief.world.issued(&trade.instrument);
                trade.quantity = issued.saturating_add(size).to_string();
            }
            Intent::ForeignAccount => match self.stranger(pair) {
                Some(stranger) => operation.client = stranger,
                None => operation.intent = Intent::BadToken,
            },
            _ => {}
        }
    }

    /// A participant that owns neither account.
    fn stranger(&mut self, pair: Pair<'_>) -> Option<String> {
        let owners = [&pair.buyer.participant, &pair.seller.participant];
        let participants = self.brief.world.participants.iter();
        let strangers: Vec<&String> =
            participants.filter(|participant| !owners.contains(participant)).collect();
        (!strangers.is_empty()).then(|| (*pick(&mut self.refused, &strangers)).clone())
    }
}

/// A price between two ticks, above this one.
fn off_tick(price: &str, draw: &mut dyn Draw) -> String {
    let price: Decimal = price.parse().unwrap_or(Decimal::ONE);
    let tenths = i64::try_from(draw.between(1, 9)).expect("it is at most nine");
    (price.trunc_with_scale(2) + Decimal::new(tenths, 3)).to_string()
}
