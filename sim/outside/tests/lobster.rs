//! The plan of the committed replay scenario, from the real file.
//!
//! The file may not be copied into the repository: where it is absent, these tests are reported as ignored.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use outside::plan::{Ask, Operation, Plan, PlanError, TradeForm, Workloads};
use outside::{Draw, Streams};
use scenario::{Calendar, Catalogue, Scenario};

fn main() -> ExitCode {
    let file = repository().join("../shared/data/lobster_AAPL_0930-0950_messages.csv");
    let absent = !file.exists();
    if absent {
        eprintln!("ignored: {} is not there", file.display());
    }
    let trial =
        |name: &str, test: fn() -> Result<(), Failed>| Trial::test(name, test).with_ignored_flag(absent);
    let trials = vec![
        trial("every_execution_of_the_file_is_a_trade", every_execution_of_the_file_is_a_trade),
        trial("the_seed_decides_who_trades_and_nothing_else", the_seed_decides_who_trades_and_nothing_else),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Counts up, which is random enough for accounts.
struct Counter(u64);

impl Draw for Counter {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn replay() -> Scenario {
    let file = repository().join("scenarios/market/lobster_replay.toml");
    let check_of_names_elsewhere =
        ["trade:settled", "trade:rejected_by_tick", "settlement:batch_closed", "replay:finished"];
    let catalogue = Catalogue::standard([], check_of_names_elsewhere);
    scenario::load(&file, &catalogue, &[]).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn draw(seed: u64) -> Result<Plan, PlanError> {
    let files =
        |path: &str| std::fs::read_to_string(repository().join(path)).map_err(|error| error.to_string());
    let streams: &mut Streams<'_> = &mut |_: &str| Box::new(Counter(seed << 60));
    Plan::draw(&replay(), &Calendar::xnys(), &Workloads::standard(), &files, streams)
}

fn trades(plan: &Plan) -> Vec<(String, &TradeForm)> {
    let trade = |operation: &'_ Operation| operation.at.to_string();
    let trades = plan.operations.iter().filter_map(|operation| match &operation.ask {
        Ask::Trade(form) => Some((trade(operation), form)),
        _ => None,
    });
    trades.collect()
}

fn every_execution_of_the_file_is_a_trade() -> Result<(), Failed> {
    let plan = draw(1)?;
    let trades = trades(&plan);
    assert_eq!(trades.len(), 2_390);
    let off_the_cent = trades.iter().filter(|(_, trade)| !trade.price.ends_with("00")).count();
    assert_eq!(off_the_cent, 5);
    let (at, first) = &trades[0];
    assert_eq!(at, "2026-03-03T14:30:00.275016159Z");
    assert_eq!((first.quantity.as_str(), first.price.as_str()), ("40", "585.7400"));
    assert!(trades.iter().all(|(_, trade)| trade.buyer != trade.seller && trade.instrument == "I01"));
    Ok(())
}

fn the_seed_decides_who_trades_and_nothing_else() -> Result<(), Failed> {
    let (one, other) = (draw(1)?, draw(2)?);
    assert!(one != other);
    let market = |plan: &Plan| -> Vec<String> {
        let told = |(at, trade): (String, &TradeForm)| format!("{at} {} {}", trade.quantity, trade.price);
        trades(plan).into_iter().map(told).collect()
    };
    assert_eq!(market(&one), market(&other));
    Ok(())
}
