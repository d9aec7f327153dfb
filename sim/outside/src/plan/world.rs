//! What is there when a run starts: instruments, participants, accounts, and what each account holds.
//!
//! Names are numbers with a letter (`I01`, `P01`, `A001`), so that a selection of a scenario reads like them.

use std::collections::BTreeMap;

use invariants::Fact;
use invariants::fact::{Book, Opening};
use jiff::SignedDuration;
use model::{AccountId, Currency, Money, Timestamp};
use rust_decimal::Decimal;
use scenario::{Market, Scenario};
use serde::{Deserialize, Serialize};

use super::operation::{Ask, Intent, Operation};
use crate::identity::{ClientRole, RegisteredClient};

/// The client that lists instruments and opens accounts.
pub const OPERATOR: &str = "operator";
/// What the client of a participant that speaks FIX is called: this and the participant.
pub const FIX_PREFIX: &str = "fix-";
/// What the client of a participant that replays a recording is called.
pub const REPLAY_PREFIX: &str = "replay-";
/// Everything is priced in cents.
pub const TICK: &str = "0.01";

/// The settlement bank's currency, and everybody's.
const CURRENCY: Currency = Currency::USD;
/// What one gateway instance admits in this time is what the operator asks for at the start: half its limit.
const SETUP_PACE_MS: i64 = 2_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    pub venue: String,
    /// When the run starts.
    pub start: Timestamp,
    pub instruments: Vec<String>,
    pub participants: Vec<String>,
    pub accounts: Vec<Account>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub id: String,
    /// Its owner.
    pub participant: String,
    #[serde(with = "rust_decimal::serde::str")]
    pub cash: Decimal,
    /// By instrument; all of them.
    pub shares: BTreeMap<String, u64>,
}

impl World {
    pub(crate) fn of(scenario: &Scenario, start: Timestamp) -> Self {
        let market = &scenario.market;
        let instruments: Vec<String> = (1..=market.instruments).map(instrument).collect();
        let participants: Vec<String> =
            (1..=market.participants).map(|number| format!("P{number:02}")).collect();
        let accounts = participants.iter().cycle().zip(1..=market.accounts);
        let accounts = accounts.map(|(owner, number)| open(number, owner, &instruments, market));
        let mut world = Self {
            venue: market.venue.clone(),
            start,
            accounts: accounts.collect(),
            instruments,
            participants,
        };
        world.override_opening(market);
        world
    }

    fn override_opening(&mut self, market: &Market) {
        for other in &market.opening.overrides {
            let instruments: Vec<String> =
                other.instruments.numbers(market.instruments).into_iter().map(instrument).collect();
            for number in other.accounts.numbers(market.accounts) {
                let account = &mut self.accounts[index(number)];
                account.cash = other.cash.map_or(account.cash, cents);
                for instrument in &instruments {
                    other.shares.and_then(|shares| account.shares.insert(instrument.clone(), shares));
                }
            }
        }
    }

    /// An account by its number, from 1.
    pub fn account(&self, number: u32) -> &Account {
        &self.accounts[index(number)]
    }

    /// An instrument by its number, from 1.
    pub fn instrument(&self, number: u32) -> &str {
        &self.instruments[index(number)]
    }

    /// The shares of an instrument that there are.
    pub fn issued(&self, instrument: &str) -> u64 {
        let held = self.accounts.iter().filter_map(|account| account.shares.get(instrument));
        held.fold(0, |sum, shares| sum.saturating_add(*shares))
    }

    /// The cash that there is.
    pub fn cash(&self) -> Decimal {
        self.accounts.iter().map(|account| account.cash).sum()
    }

    /// Every client of the platform: the operator, and each participant over JSON, over FIX and with a recording.
    pub fn clients(&self) -> Vec<RegisteredClient> {
        let client = |id: String, role, accounts| {
            let secret = format!("secret-of-{id}");
            RegisteredClient { id, secret, role, accounts }
        };
        let owned = |participant: &str| -> Vec<String> {
            let owned = self.accounts.iter().filter(|account| account.participant == *participant);
            owned.map(|account| account.id.clone()).collect()
        };
        let mut clients = vec![client(OPERATOR.to_owned(), ClientRole::Operator, Vec::new())];
        for participant in &self.participants {
            for prefix in ["", FIX_PREFIX, REPLAY_PREFIX] {
                let id = format!("{prefix}{participant}");
                clients.push(client(id, ClientRole::Participant, owned(participant)));
            }
        }
        clients
    }

    /// What the settlement bank opens with: one account each, and the central counterparty's.
    pub fn bank_accounts(&self) -> Vec<(String, Money)> {
        let accounts = self.accounts.iter().map(|account| (account.id.clone(), money(account.cash)));
        accounts.chain([(AccountId::ccp().to_string(), Money::zero(CURRENCY))]).collect()
    }

    /// The seeded balances above zero, as facts: cash at the bank, shares in the positions, both in the ledger.
    pub fn opening_facts(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        let mut tell = |book, account: &Account, asset: &str, amount: String| {
            let (account, asset) = (account.id.clone(), asset.to_owned());
            facts.push(Fact::Opening(Opening { book, account, asset, amount }));
        };
        for account in &self.accounts {
            if !account.cash.is_zero() {
                for book in [Book::Bank, Book::Ledger] {
                    tell(book, account, CURRENCY.code(), account.cash.to_string());
                }
            }
            for (instrument, shares) in account.shares.iter().filter(|(_, shares)| **shares > 0) {
                for book in [Book::Position, Book::Ledger] {
                    tell(book, account, instrument, shares.to_string());
                }
            }
        }
        facts
    }

    /// The operator lists every instrument and opens every account, one after another from the start.
    pub(crate) fn setup(&self, rate_limit_per_second: u32) -> Vec<Operation> {
        let every = SignedDuration::from_millis(SETUP_PACE_MS / i64::from(rate_limit_per_second.max(1)));
        let instruments = self.instruments.iter().map(|instrument| {
            let (currency, tick) = (CURRENCY.code().to_owned(), TICK.to_owned());
            (instrument, Ask::Instrument { instrument: instrument.clone(), currency, tick })
        });
        let accounts = self.accounts.iter().map(|account| {
            let (id, participant) = (account.id.clone(), account.participant.clone());
            (&account.id, Ask::Account { account: id, participant })
        });
        let mut at = self.start;
        let operation = |(name, ask): (&String, Ask)| {
            at += every;
            let key = format!("setup-{name}");
            Operation { at, client: OPERATOR.to_owned(), key, intent: Intent::Setup, ask }
        };
        instruments.chain(accounts).map(operation).collect()
    }
}

fn open(number: u32, owner: &str, instruments: &[String], market: &Market) -> Account {
    let shares = instruments.iter().map(|instrument| (instrument.clone(), market.opening.shares));
    Account {
        id: format!("A{number:03}"),
        participant: owner.to_owned(),
        cash: cents(market.opening.cash),
        shares: shares.collect(),
    }
}

fn instrument(number: u32) -> String {
    format!("I{number:02}")
}

/// Money as it is written: always with the decimals of the minor unit.
pub(crate) fn cents(amount: Decimal) -> Decimal {
    money(amount).amount()
}

fn money(amount: Decimal) -> Money {
    Money::new(amount, CURRENCY).expect("the loader takes amounts of money in cents, and none near the limit")
}

fn index(number: u32) -> usize {
    usize::try_from(number).expect("numbers of accounts and instruments are small") - 1
}
