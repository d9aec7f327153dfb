use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rust_decimal::Decimal;
use scenario::Catalogue;

use super::*;
use crate::draw::tests_support::streams;

fn scenario(market: &str, loads: &str) -> Scenario {
    let text = format!(
        "name = \"test\"\nabout = \"A test.\"\n[market]\nvenue = \"XNYS\"\nstart = \"2026-03-06T08:00\"\n\
         instruments = 3\naccounts = 12\nparticipants = 4\n\
         [market.opening]\ncash = \"1000.00\"\nshares = 100\n{market}\n{loads}"
    );
    let catalogue = Catalogue::standard([], []);
    scenario::load_str("test.toml", &text, &catalogue, &[]).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn trades(more: &str) -> Scenario {
    let load = "[[load]]\nname = \"open\"\nprofile = \"trades\"\nfrom = \"09:30\"\nto = \"10:00\"\ncount = 400\n\
                sizes = { min = 1, max = 50 }\nprice = { min = \"10.00\", max = \"12.00\" }\n";
    scenario("", &format!("{load}{more}"))
}

fn draw(scenario: &Scenario, seed: u64) -> Plan {
    let none = |file: &str| Err(format!("{file} is not there"));
    let plan = Plan::draw(scenario, &Calendar::xnys(), &Workloads::standard(), &none, &mut streams(seed));
    plan.unwrap_or_else(|error| panic!("{error}"))
}

fn trade(operation: &Operation) -> &TradeForm {
    operation.ask.trade().expect("a trade")
}

fn submissions(plan: &Plan) -> Vec<&Operation> {
    plan.operations.iter().filter(|operation| operation.ask.trade().is_some()).collect()
}

fn by_intent(plan: &Plan) -> BTreeMap<Intent, usize> {
    let mut counts = BTreeMap::new();
    for operation in submissions(plan) {
        *counts.entry(operation.intent).or_default() += 1;
    }
    counts
}

#[test]
fn the_world_is_named_and_dealt_out() {
    let market = "[[market.opening.override]]\naccounts = [2]\ninstruments = [3]\ncash = \"7\"\nshares = 0";
    let world = draw(&scenario(market, ""), 1).world;
    assert_eq!(world.instruments, ["I01", "I02", "I03"]);
    assert_eq!(world.participants, ["P01", "P02", "P03", "P04"]);
    let owners: Vec<&str> = world.accounts.iter().map(|account| account.participant.as_str()).collect();
    assert_eq!(&owners[..5], ["P01", "P02", "P03", "P04", "P01"]);
    let other = world.account(2);
    assert_eq!((other.id.as_str(), other.cash.to_string().as_str()), ("A002", "7.00"));
    assert_eq!(other.shares.values().collect::<Vec<_>>(), [&100, &100, &0]);
    assert_eq!((world.issued("I01"), world.issued("I03")), (1_200, 1_100));
    assert_eq!(world.cash(), Decimal::from(11_007));
    assert_eq!(world.bank_accounts().len(), 13);
    assert_eq!(world.opening_facts().len(), 12 * 2 + (12 * 3 - 1) * 2);

    let clients = world.clients();
    assert_eq!(clients.len(), 13);
    let of = |id: &str| clients.iter().find(|client| client.id == id).expect("a client").accounts.clone();
    assert_eq!(of("P02"), ["A002", "A006", "A010"]);
    assert_eq!([of("fix-P02"), of("replay-P02")], [of("P02"), of("P02")]);
}

#[test]
fn the_operator_comes_first_and_below_the_rate_limit() {
    let plan = draw(&scenario("[platform]\nrate_limit_per_second = 10", ""), 1);
    assert_eq!(plan.operations.len(), 3 + 12);
    assert!(plan.operations.iter().all(|operation| operation.client == OPERATOR));
    let pace = plan.operations[1].at.duration_since(plan.operations[0].at);
    assert_eq!(pace.as_millis(), 200);
}

#[test]
fn a_count_is_the_number_of_submissions_with_a_key_of_their_own() {
    for more in [
        "",
        "bad_ppm = 300_000\n",
        "oversell_ppm = 200_000\nretry_ppm = 500_000\nunauthorised_ppm = 100_000\n",
    ] {
        let plan = draw(&trades(more), 7);
        let submissions = submissions(&plan);
        let keys: BTreeSet<(&str, &str)> =
            submissions.iter().map(|operation| (operation.client.as_str(), operation.key.as_str())).collect();
        let duplicates = by_intent(&plan).get(&Intent::Duplicate).copied().unwrap_or(0);
        assert_eq!((keys.len(), submissions.len()), (400, 400 + duplicates));
        assert!(plan.operations.is_sorted_by_key(|operation| operation.at));
    }
}

#[test]
fn ordinary_trades_are_between_two_accounts_and_sent_by_an_owner() {
    let plan = draw(&trades(""), 3);
    let owner = |account: &str| {
        let account = plan.world.accounts.iter().find(|known| known.id == account).expect("an account");
        account.participant.as_str()
    };
    for operation in submissions(&plan) {
        let trade = trade(operation);
        assert_ne!(trade.buyer, trade.seller);
        assert!([owner(&trade.buyer), owner(&trade.seller)].contains(&operation.client.as_str()));
        let price: Decimal = trade.price.parse().expect("a decimal");
        assert!(price.scale() <= 2 && price >= Decimal::TEN && price <= Decimal::from(12));
        let size: u64 = trade.quantity.parse().expect("a number");
        assert!((1..=50).contains(&size));
        let (open, end) = ("2026-03-06T14:30:00Z".parse(), "2026-03-06T15:00:00Z".parse());
        assert!(operation.at >= open.expect("an instant") && operation.at < end.expect("an instant"));
    }
}

#[test]
fn duplicates_repeat_client_key_and_content() {
    let plan = draw(&trades("retry_ppm = 500_000\n"), 3);
    let submissions = submissions(&plan);
    let duplicates: Vec<_> =
        submissions.iter().filter(|operation| operation.intent == Intent::Duplicate).collect();
    assert!((150..250).contains(&duplicates.len()), "{}", duplicates.len());
    for duplicate in duplicates {
        let first = submissions.iter().find(|operation| operation.key == duplicate.key).expect("the first");
        assert_eq!((&first.client, &first.ask), (&duplicate.client, &duplicate.ask));
        assert!(first.at < duplicate.at && first.intent == Intent::Ordinary);
    }
}

#[test]
fn every_kind_of_broken_request_comes_up() {
    let load = "bad_ppm = 500_000\nunauthorised_ppm = 300_000\noversell_ppm = 500_000\n";
    let plan = draw(&trades(load), 5);
    let kinds: BTreeSet<Intent> = by_intent(&plan).into_keys().collect();
    use Intent::*;
    let expected = [
        Ordinary,
        Oversell,
        UnknownInstrument,
        UnknownAccount,
        ZeroQuantity,
        NegativeQuantity,
        OffTick,
        MalformedBody,
        MissingKey,
        ForeignAccount,
        BadToken,
        ExpiredToken,
    ];
    assert_eq!(kinds, BTreeSet::from(expected));
    for operation in submissions(&plan) {
        let trade = trade(operation);
        let quantity: i64 = trade.quantity.parse().expect("a number");
        let price: Decimal = trade.price.parse().expect("a decimal");
        let as_intended = match operation.intent {
            Oversell => quantity > 1_200,
            ZeroQuantity => quantity == 0,
            NegativeQuantity => quantity < 0,
            OffTick => price.normalize().scale() == 3,
            UnknownInstrument => !plan.world.instruments.contains(&trade.instrument),
            UnknownAccount => [&trade.buyer, &trade.seller].iter().any(|account| *account == "A-UNKNOWN"),
            ForeignAccount => {
                let accounts = plan.world.accounts.iter();
                let mut owned = accounts.filter(|account| account.participant == operation.client);
                owned.all(|account| account.id != trade.buyer && account.id != trade.seller)
            }
            _ => quantity > 0 && price.scale() <= 2,
        };
        assert!(as_intended, "{operation:?}");
    }
}

#[test]
fn fix_trades_come_from_fix_clients() {
    let load = "[[load]]\nname = \"ae\"\nprofile = \"fix\"\nfrom = \"09:30\"\nto = \"10:00\"\ncount = 300\n\
                sizes = 10\nprice = \"10.25\"\nretry_ppm = 100_000\nbad_ppm = 200_000\ngarbled_ppm = 200_000\n";
    let plan = draw(&scenario("", load), 5);
    let mut kinds = BTreeSet::new();
    for operation in submissions(&plan) {
        let Ask::FixTrade(report) = &operation.ask else { panic!("{operation:?}") };
        assert!(operation.client.starts_with(FIX_PREFIX));
        assert_eq!(report.trade_date.to_string(), "2026-03-06");
        assert!(operation.intent == Intent::Duplicate || report.transacted == operation.at);
        kinds.insert(operation.intent);
    }
    for kind in [Intent::Duplicate, Intent::MissingTag, Intent::WrongBodyLength, Intent::WrongCheckSum] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
}

#[test]
fn cash_goes_in_and_out_and_sometimes_there_is_not_enough() {
    let load = |name: &str, profile: &str, more: &str| {
        format!(
            "[[load]]\nname = \"{name}\"\nprofile = \"{profile}\"\nfrom = \"09:30\"\nto = \"10:00\"\ncount = 50\n\
             amounts = {{ min = \"0.01\", max = \"20.00\" }}\n{more}"
        )
    };
    let more = "overdraw_ppm = 300_000\nretry_ppm = 300_000\n";
    let loads = [load("in", "deposits", ""), load("out", "withdrawals", more)].concat();
    let plan = draw(&scenario("", &loads), 9);
    let (mut deposits, mut keys, mut overdraws) = (0, BTreeSet::new(), 0);
    for operation in &plan.operations {
        match &operation.ask {
            Ask::Deposit { amount, .. } => {
                assert!(amount.parse::<Decimal>().expect("an amount") <= Decimal::from(20));
                deposits += 1;
            }
            Ask::Withdrawal { amount, .. } => {
                keys.insert(&operation.key);
                let too_much = amount.parse::<Decimal>().expect("an amount") > plan.world.cash();
                assert_eq!(
                    too_much,
                    operation.intent == Intent::Overdraw
                        || (too_much && operation.intent == Intent::Duplicate)
                );
                overdraws += u32::from(operation.intent == Intent::Overdraw);
            }
            _ => {}
        }
    }
    assert_eq!((deposits, keys.len()), (50, 50));
    assert!((5..25).contains(&overdraws), "{overdraws}");
}

#[test]
fn reads_come_now_and_then() {
    let plan = draw(&scenario("", &trades_with(5_000)), 2);
    let reads = plan.operations.iter().filter(|operation| matches!(operation.ask, Ask::Get { .. })).count();
    assert!((20..100).contains(&reads), "{reads}");
}

fn trades_with(count: u32) -> String {
    format!(
        "[[load]]\nname = \"day\"\nprofile = \"trades\"\nfrom = \"09:30\"\nto = \"16:00\"\ncount = {count}\n\
         sizes = 1\nprice = \"10.00\"\n"
    )
}

/// More duplicates, or one more load, change nothing else.
#[test]
fn a_new_draw_does_not_reshuffle_the_others() {
    let drawn = |scenario: &Scenario| {
        let plan = draw(scenario, 11);
        let kept = plan
            .operations
            .into_iter()
            .filter(|operation| operation.key.starts_with("open-") && operation.intent == Intent::Ordinary);
        kept.collect::<Vec<_>>()
    };
    let plain = drawn(&trades(""));
    assert_eq!(plain, drawn(&trades("retry_ppm = 900_000\n")));
    assert_eq!(plain, drawn(&trades(&trades_with(5))));
    let some_bad = drawn(&trades("bad_ppm = 200_000\n"));
    assert!(some_bad.len() < plain.len() && some_bad.iter().all(|operation| plain.contains(operation)));
}

#[test]
fn an_account_alone_has_nobody_to_trade_with() {
    let scenario = trades("buyers = [4]\nsellers = [4]\n");
    let none = |_: &str| Err(String::new());
    let plan = Plan::draw(&scenario, &Calendar::xnys(), &Workloads::standard(), &none, &mut streams(1));
    let (load, account) = ("open".to_owned(), "A004".to_owned());
    assert_eq!(plan, Err(PlanError::NobodyToTradeWith { load, account }));
}

#[test]
fn a_plan_reads_back_from_its_text() {
    let load = "bad_ppm = 100_000\nretry_ppm = 100_000\n[[load]]\nname = \"ae\"\nprofile = \"fix\"\nfrom = \"11:00\"\n\
                to = \"11:30\"\ncount = 20\nsizes = 10\nprice = \"10.25\"\n";
    let plan = draw(&trades(load), 4);
    let text = plan.to_toml().expect("a plan is TOML");
    assert_eq!(Plan::from_toml(&text).as_ref(), Ok(&plan));
    let json = serde_json::to_string(&plan).expect("a plan is JSON");
    assert_eq!(serde_json::from_str::<Plan>(&json).expect("a plan"), plan);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_plan_is_a_function_of_scenario_and_seed(seed: u64) {
        let scenario = trades("retry_ppm = 100_000\nbad_ppm = 100_000\n");
        let plan = draw(&scenario, seed);
        prop_assert!(plan == draw(&scenario, seed));
        prop_assert!(plan.operations != draw(&scenario, seed.wrapping_add(1)).operations);
    }
}
