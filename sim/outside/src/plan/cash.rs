//! Cash that participants pay in at the bank, and cash that they ask the platform to pay out.

use rust_decimal::Decimal;
use scenario::profiles::{Deposits, Withdrawals};
use scenario::{Drawn, Selection};

use super::operation::{Ask, Intent, Operation};
use super::pace::{instants, resolve};
use super::workload::{Brief, PlanError};
use super::world::{Account, cents};
use crate::draw::{Streams, pick};

/// Profile `deposits`.
pub(super) fn deposits(brief: &Brief<'_>, streams: &mut Streams<'_>) -> Result<Vec<Operation>, PlanError> {
    let params: Deposits = brief.load.params();
    let ask = |account: &Account, amount: Decimal| Ask::Deposit {
        account: account.id.clone(),
        amount: cents(amount).to_string(),
    };
    Ok(operations(brief, &params.accounts, params.amounts, ask, streams))
}

/// Profile `withdrawals`.
pub(super) fn withdrawals(brief: &Brief<'_>, streams: &mut Streams<'_>) -> Result<Vec<Operation>, PlanError> {
    let params: Withdrawals = brief.load.params();
    let mut overdraws = brief.stream("overdraws", streams);
    let ask = |account: &Account, amount: Decimal| Ask::Withdrawal {
        account: account.id.clone(),
        amount: cents(amount).to_string(),
    };
    let mut operations = operations(brief, &params.accounts, params.amounts, ask, streams);
    // Twice all the cash that there was: no sale and no deposit makes up for it.
    let too_much = brief.world.cash() * Decimal::TWO;
    for operation in &mut operations {
        let overdraws = overdraws.odds_ppm(params.overdraw_ppm.0);
        if let (true, Ask::Withdrawal { amount, .. }) = (overdraws, &mut operation.ask) {
            let asked: Decimal = amount.parse().unwrap_or(Decimal::ONE);
            *amount = cents(too_much + asked).to_string();
            operation.intent = Intent::Overdraw;
        }
    }
    Ok(brief.with_duplicates(operations, params.retry_ppm.0, streams))
}

fn operations(
    brief: &Brief<'_>,
    accounts: &Selection,
    amounts: Drawn<Decimal>,
    ask: impl Fn(&Account, Decimal) -> Ask,
    streams: &mut Streams<'_>,
) -> Vec<Operation> {
    let count = u32::try_from(brief.world.accounts.len()).expect("the loader bounds the number of accounts");
    let accounts = accounts.numbers(count);
    let [mut times, mut parties, mut amounts_draw] =
        ["times", "parties", "amounts"].map(|purpose| brief.stream(purpose, streams));
    let windows = brief.windows.iter();
    let starts: Vec<_> = windows.flat_map(|window| instants(brief.load, *window, &mut times)).collect();
    let operation = |(at, number)| {
        let account = brief.world.account(*pick(&mut parties, &accounts));
        Operation {
            at,
            client: account.participant.clone(),
            key: brief.key(number),
            intent: Intent::Ordinary,
            ask: ask(account, resolve(amounts, &mut amounts_draw)),
        }
    };
    starts.into_iter().zip(1..).map(operation).collect()
}
