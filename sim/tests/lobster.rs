//! Real order flow: what settles is what the exchange's file says, computed here from the file alone.
//!
//! Ignored where the file is not there: it may not be part of the repository.

mod support;

use std::collections::BTreeMap;

use libtest_mimic::{Arguments, Failed, Trial};
use model::Decimal;
use outside::plan::{Ask, Plan};

use sim::runner::pool;
use sim::runner::subject::{Subject, catalogue};

const FILE: &str = "../shared/data/lobster_AAPL_0930-0950_messages.csv";
const SCENARIO: &str = "scenarios/market/lobster_replay.toml";
const SEED: u64 = 1;

fn main() {
    let arguments = Arguments::from_args();
    std::env::set_current_dir(support::root()).expect("the workspace is there");
    let file = std::fs::read_to_string(FILE);
    let ignored = file.is_err();
    let trial = Trial::test("the_file_s_executions_settle_to_the_cent", move || {
        settle(&file.expect("the trial is ignored without the file"))
    });
    libtest_mimic::run(&arguments, vec![trial.with_ignored_flag(ignored)]).exit();
}

/// An execution of the file: shares, and the price in ten-thousandths of a dollar.
struct Execution {
    size: i64,
    price: i64,
}

/// Rows of type 4 (of a visible order) and 5 (of a hidden one).
fn executions(file: &str) -> Vec<Execution> {
    let rows = file.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let executed = rows.filter(|row| matches!(row[1], "4" | "5"));
    let number = |text: &str| text.parse().expect("the file holds whole numbers");
    executed.map(|row| Execution { size: number(row[3]), price: number(row[4]) }).collect()
}

fn settle(file: &str) -> Result<(), Failed> {
    let executions = executions(file);
    let off_the_cent = executions.iter().filter(|execution| execution.price % 100 != 0).count();
    assert_eq!((executions.len(), off_the_cent), (2_390, 5), "what the file is known to hold");

    let subject = Subject::load(SCENARIO.as_ref(), &catalogue(), &[]).map_err(|error| error.to_string())?;
    let plan = subject.plan(SEED).map_err(|error| error.to_string())?;
    let finished = pool::alone(move || subject.run(SEED, Vec::new()));
    let pool::Ended::Returned(end) = finished.ended else { return Err("the run did not end".into()) };
    let end = end.map_err(|error| error.to_string())?;
    assert_eq!(end.violations.len() + end.pending.len(), 0, "{:?} {:?}", end.violations, end.pending);
    assert_eq!((end.counts.trades, end.counts.rejected, end.counts.settled), (2_385, 5, 2_385));

    let expected = expected(&plan, &executions);
    let cents = |text: &str| -> Decimal { text.parse().expect("the bank's books hold decimals") };
    let mut moved = Decimal::ZERO;
    for account in &plan.world.accounts {
        let cash = cents(&end.outcome.cash[&account.id]) - account.cash;
        let instrument = &plan.world.instruments[0];
        let opened = i64::try_from(account.shares[instrument]).expect("openings are small");
        let shares = end.outcome.shares[&account.id][instrument] - opened;
        let (wanted_cash, wanted_shares) = expected.get(&account.id).copied().unwrap_or_default();
        assert_eq!((cash, shares), (wanted_cash, wanted_shares), "account {}", account.id);
        moved += cash.abs();
    }
    assert!(moved > Decimal::ZERO, "something has moved");
    assert_eq!(cents(&end.outcome.cash["CCP"]), Decimal::ZERO, "the central counterparty keeps nothing");
    Ok(())
}

/// Cash and shares that each account should have gained: sizes and prices from the file, accounts from the plan.
fn expected(plan: &Plan, executions: &[Execution]) -> BTreeMap<String, (Decimal, i64)> {
    let mut gained: BTreeMap<String, (Decimal, i64)> = BTreeMap::new();
    let trades = plan.operations.iter().filter_map(|operation| match &operation.ask {
        Ask::Trade(trade) if operation.client.starts_with("replay-") => Some(trade),
        _ => None,
    });
    let mut submitted = 0;
    for (trade, execution) in trades.zip(executions) {
        submitted += 1;
        if execution.price % 100 != 0 {
            continue;
        }
        let cash = Decimal::new(execution.price * execution.size, 4);
        let buyer = gained.entry(trade.buyer.clone()).or_default();
        buyer.0 -= cash;
        buyer.1 += execution.size;
        let seller = gained.entry(trade.seller.clone()).or_default();
        seller.0 += cash;
        seller.1 -= execution.size;
    }
    assert_eq!(submitted, executions.len(), "every execution is submitted once");
    gained
}
