//! What a file may say: overrides, moments, drawn values, settings; and faults of a catalogue that has some.

mod support;

use scenario::read::{Between, Lasting, Odds, Table};
use scenario::{
    Calendar, Catalogue, Drawn, FaultAction, FaultSpec, FromTable, Occurs, Pace, Ppm, Scenario, Selection,
    Setting, Style, TargetKind, TimeSpan, When, profiles, resolved_instants,
};
use support::{SMALL, catalogue, changed, small};

fn instants(overrides: &[&str]) -> Vec<String> {
    let scenario = small(overrides).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let instants = resolved_instants(&scenario, &Calendar::xnys()).expect("the loader checked them");
    instants.iter().map(ToString::to_string).collect()
}

/// The mistakes, without the name of the file.
fn mistakes(overrides: &[&str]) -> String {
    small(overrides).expect_err("there is a mistake")
}

#[test]
fn defaults() {
    let scenario = small(&[]).expect("it loads");
    insta::assert_snapshot!(scenario.to_toml().expect("a scenario is a TOML file"));
}

#[test]
fn an_override_replaces_adds_and_needs_no_quotes() {
    let scenario = small(&[
        "market.accounts=7",
        "market.start=2026-03-05T08:00",
        "load[0].retry_ppm=1_000",
        "settle.within = 3h",
        "topology.kafka.session.timeout.ms=60000",
        "load[0].sizes={ min = 5, max = 6 }",
    ]);
    let scenario = scenario.expect("it loads");
    assert_eq!(scenario.market.accounts, 7);
    assert_eq!(scenario.market.start.to_string(), "2026-03-05T08:00:00");
    assert_eq!(scenario.settle.within, TimeSpan::from_secs(10_800));
    assert_eq!(scenario.topology.kafka.settings["session.timeout.ms"], Setting::Integer(60_000));
    let trades: profiles::Trades = scenario.loads[0].params();
    assert_eq!(trades.retry_ppm, Ppm(1_000));
    assert_eq!(trades.parties.sizes, Drawn::Between { min: 5, max: 6 });
}

#[test]
fn mistakes_of_overrides_point_at_the_override() {
    insta::assert_snapshot!(mistakes(&[
        "market.accounts=0",
        "market.acounts=5",
        "load[3].name=x",
        "load[0].rate.per_second=\"",
        "market.venue.name=XNYS",
        "no equals sign",
        "load[=1",
        "about=7",
    ]), @r#"
    --set market.accounts=0:1:17: market.accounts: 0 is not between 1 and 100000
    --set market.acounts=5:1:1: market.acounts: unknown key `acounts` (known keys: venue, start, until, trading, instruments, accounts, participants, opening)
    --set load[3].name=x:1:1: load[3].name: there is no [3]: the array has 1, from [0]
    --set load[0].rate.per_second=":1:26: not TOML: invalid basic string, expected `"`
    --set market.venue.name=XNYS:1:1: market.venue.name: `name` cannot be set in a string
    --set no equals sign:1:1: `no equals sign` is not an override (write path=value, for example market.accounts=50)
    --set load[=1:1:1: `load[` is not a field path (for example load[0].rate.per_second; indexes start at 0)
    --set about=7:1:7: about: expected a string, found an integer
    "#);
}

#[test]
fn all_mistakes_of_a_file_are_found_at_once() {
    let text = SMALL.replace("accounts = 20", "acounts = 20").replace("count = 100", "count = 1.5");
    let text = text.replace("sizes = {", "sizes = { step = 3,").replace("\"09:30\"", "9");
    insta::assert_snapshot!(changed(&text, &catalogue(), &[]).expect_err("it has four"), @r#"
    small.toml:9:1: market.acounts: unknown key `acounts` (did you mean `accounts`?)
    small.toml:15:8: load[0].from: expected a time, found an integer (every session day "09:30"; once "Mon 18:00:02", "T+1 18:00:02" or "2026-03-06T18:00:02")
    small.toml:17:9: load[0].count: expected an integer, found a float
    small.toml:18:11: load[0].sizes.step: unknown key `step` (known keys: min, max)
    "#);
}

#[test]
fn a_damaged_file_is_shown_and_never_a_panic() {
    let shown = |text: &str, overrides: &[String]| match scenario::load_str(
        "x.toml",
        text,
        &catalogue(),
        overrides,
    ) {
        Ok(_) => 0,
        Err(mistakes) => {
            assert!(!mistakes.mistakes().is_empty());
            mistakes.render(Style::Plain).len() + mistakes.render(Style::Terminal).len()
        }
    };
    let mut mistakes = 0;
    for at in 0..SMALL.len() {
        let (before, after) = SMALL.split_at(at);
        for text in [before.to_owned(), format!("{before}{}", &after[1..]), format!("{before}é\"{after}")] {
            mistakes += usize::from(shown(&text, &[]) > 0);
        }
    }
    assert!(mistakes > SMALL.len(), "most damage is a mistake");
    for set in [
        "",
        "=",
        "market",
        "market=",
        "market=5",
        "load=5",
        "load[0]=é",
        "[0]=1",
        "a.b.c=[1",
        "load[0].from=\"é",
    ] {
        assert!(shown(SMALL, &[set.to_owned()]) > 0, "{set}");
    }
}

#[test]
fn a_time_of_day_comes_on_every_trading_day_and_the_others_once() {
    insta::assert_snapshot!(instants(&["market.until=2026-03-09T20:00"]).join("\n"), @"
    Fri 2026-03-06 08:00:00-05:00  market.start
    Fri 2026-03-06 09:30:00-05:00  load[0].from (session)
    Fri 2026-03-06 16:00:00-05:00  load[0].to (session)
    Mon 2026-03-09 09:30:00-04:00  load[0].from (session)
    Mon 2026-03-09 16:00:00-04:00  load[0].to (session)
    Mon 2026-03-09 20:00:00-04:00  market.until
    ");
    insta::assert_snapshot!(instants(&["load[0].from=Mon 10:00", "load[0].to=T+2 10:00:00.5"]).join("\n"), @"
    Fri 2026-03-06 08:00:00-05:00  market.start
    Mon 2026-03-09 10:00:00-04:00  load[0].from (session)
    Tue 2026-03-10 10:00:00.5-04:00  load[0].to (session)
    ");
}

#[test]
fn of_an_hour_that_comes_twice_the_offset_says_which() {
    let night = |from: &str, to: &str| {
        let sets = [
            "market.start=2026-10-30T08:00".to_owned(),
            format!("load[0].from={from}"),
            format!("load[0].to={to}"),
        ];
        instants(&sets.each_ref().map(String::as_str))[1..].to_vec()
    };
    insta::assert_snapshot!(night("2026-11-01T01:30-04:00", "2026-11-01T01:30-05:00").join("\n"), @"
    Sun 2026-11-01 01:30:00-04:00  load[0].from (session)
    Sun 2026-11-01 01:30:00-05:00  load[0].to (session)
    ");
    insta::assert_snapshot!(mistakes(&["load[0].from=2026-03-06T10:00-04:00", "load[0].to=Fri 11:00"]), @"--set load[0].from=2026-03-06T10:00-04:00:1:14: load[0].from: 2026-03-06T10:00:00 is never at UTC offset -04");
}

#[test]
fn windows_that_are_none() {
    for (from, to) in
        [("09:30", "Fri 16:00"), ("Fri 07:00", "Fri 16:00"), ("09:30", "09:30"), ("07:00", "09:00")]
    {
        let sets = [format!("load[0].from={from}"), format!("load[0].to={to}")];
        let mistakes = mistakes(&sets.each_ref().map(String::as_str));
        assert_eq!(mistakes.lines().count(), 1, "{mistakes}");
        assert!(mistakes.contains("load[0].from") || mistakes.contains("load[0].to"), "{mistakes}");
    }
    insta::assert_snapshot!(mistakes(&["market.until=2027-03-09T20:00"]), @"--set market.until=2027-03-09T20:00:1:14: market.until: the run is longer than 62 days");
}

#[test]
fn days_of_trading_and_of_a_load() {
    let run = |overrides: &[&str]| {
        let scenario = small(overrides).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let run = scenario.run(&Calendar::xnys()).expect("the loader checked it");
        let windows = scenario.loads[0].windows(&run, &Calendar::xnys()).expect("the loader checked it");
        (run.trading.iter().map(ToString::to_string).collect::<Vec<_>>(), windows.len())
    };
    let fri = "2026-03-06".to_owned();
    let mon = "2026-03-09".to_owned();
    assert_eq!(run(&[]), (vec![fri.clone()], 1));
    assert_eq!(run(&["market.trading=[\"Mon\", \"Fri\"]"]), (vec![fri.clone(), mon.clone()], 2));
    assert_eq!(run(&["market.until=4d", "market.trading=[\"Mon\"]"]), (vec![mon.clone()], 1));
    assert_eq!(run(&["market.until=4d", "load[0].days=[\"2026-03-06\"]"]).1, 1);
    // Ends on Tuesday at 09:00, before that day's session.
    assert_eq!(run(&["market.until=4d"]), (vec![fri, mon], 2));
}

#[test]
fn opening_balances_of_some_accounts() {
    let set =
        r#"market.opening.override=[{ accounts = "2..4", cash = "0.50" }, { accounts = [9], shares = 0 }]"#;
    let opening = small(&[set]).expect("it loads").market.opening;
    assert_eq!(opening.overrides[0].accounts, Selection::Range(2, 4));
    assert_eq!(opening.overrides[0].cash.map(|cash| cash.to_string()).as_deref(), Some("0.50"));
    assert_eq!((opening.overrides[0].shares, opening.overrides[1].shares), (None, Some(0)));
    assert!(mistakes(&[r#"market.opening.override=[{ accounts = [21] }]"#]).contains("numbered from 1"));
}

#[test]
fn a_rate_instead_of_a_count() {
    let text = SMALL.replace("count = 100", "rate = { per_second = 20, ramp_to = { min = 40, max = 60 } }");
    let scenario = changed(&text, &catalogue(), &[]).expect("it loads");
    let Pace::Rate(rate) = scenario.loads[0].pace else { panic!("{:?}", scenario.loads[0]) };
    assert_eq!(rate.per_second, Drawn::Fixed(20));
    assert_eq!(rate.ramp_to, Some(Drawn::Between { min: 40, max: 60 }));
}

/// An action of a fault, as another crate would bring it.
#[derive(Debug, Default, PartialEq)]
struct Delay {
    latency: Drawn<TimeSpan>,
    odds: Ppm,
}

impl FromTable for Delay {
    fn read(table: &mut Table<'_>) -> Self {
        Delay {
            latency: table.required("latency", "Added to each message.", Between(Lasting)),
            odds: table.or("late_ppm", "Of a message being late.", Odds, Ppm(Ppm::MILLION)),
        }
    }
}

fn with_faults() -> Catalogue {
    const HITS: &[TargetKind] =
        &[TargetKind::Service, TargetKind::Broker, TargetKind::Database, TargetKind::Outside];
    let fault_actions = vec![FaultAction::of::<Delay>("delay", HITS, "Messages are late.")];
    Catalogue { fault_actions, ..catalogue() }
}

fn fault(keys: &str) -> Result<(Scenario, FaultSpec), String> {
    let text = format!("{SMALL}\n[[fault]]\naction = \"delay\"\nlatency = \"5ms\"\n{keys}\n");
    let scenario = changed(&text, &with_faults(), &[])?;
    let fault = scenario.faults[0].clone();
    let printed = scenario.to_toml().expect("a scenario is a TOML file");
    assert_eq!(changed(&printed, &with_faults(), &[]), Ok(scenario.clone()), "{printed}");
    let file: serde_json::Value = toml::from_str(&text).expect("it is TOML");
    assert_eq!(support::schema::validate(&scenario::schema(&with_faults()), &file), Ok(()));
    Ok((scenario, fault))
}

#[test]
fn faults_of_a_catalogue_that_has_some() {
    let (_, once) = fault("target = \"position/2\"\nat = \"T+1 18:00:02\"").expect("it loads");
    assert_eq!(once.occurs, Occurs::At { at: When::parse("T+1 18:00:02").expect("a moment") });
    assert_eq!(once.params::<Delay>().latency.max().to_string(), "5ms");

    let shaped = r#"target = { shape = "one", of = "postgres/settlement/primary" }
        every = "20m"
        jitter = "30s"
        from = "09:30"
        to = "16:00"
        for = { min = "2s", max = "90s" }"#;
    let (scenario, shaped) = fault(shaped).expect("it loads");
    assert!(matches!(shaped.occurs, Occurs::Every { .. }));
    assert_eq!(shaped.lasts.map(|lasts| lasts.max()), Some(TimeSpan::from_secs(90)));
    let instants = resolved_instants(&scenario, &Calendar::xnys()).expect("the loader checked them");
    assert_eq!(instants.iter().filter(|instant| instant.what.starts_with("fault")).count(), 4);
}

#[test]
fn every_listed_target_is_one_that_a_fault_can_name() {
    let topology = small(&[]).expect("it loads").topology;
    let targets = catalogue().targets(&topology);
    assert!(targets.len() > 50, "only {targets:?}");
    for target in targets {
        let (_, fault) = fault(&format!("target = \"{target}\"\nat = \"10:00\"")).expect("it loads");
        assert_eq!(fault.target.map(|target| serde_json::to_value(target).ok()), Some(Some(target.into())));
    }
}

#[test]
fn mistakes_of_faults() {
    let wrong = [
        "target = \"position/3\"\nat = \"10:00\"",
        "target = \"kafka/4\"\nat = \"10:00\"",
        "target = \"posiiton\"\nat = \"10:00\"",
        "target = \"postgres/api-gateway\"\nat = \"10:00\"",
        "target = \"postgres/trade/replica\"\nat = \"10:00\"",
        "target = { shape = \"hlaves\", of = \"bank\" }\nat = \"10:00\"",
        "target = { shape = \"minority\", of = \"position\" }\nat = \"10:00\"",
        "target = { shape = \"halves\", of = \"bank\" }\nat = \"10:00\"",
        "target = { shape = \"ring\", of = \"kafka\" }\nat = \"10:00\"",
        "target = \"bank\"",
        "at = \"10:00\"\nfrom = \"09:30\"",
        "from = \"16:00\"\nto = \"09:30\"",
        "at = \"2026-03-06T07:00\"",
        "at = \"10:00\"\nodd_ppm = 5",
        "at = \"10:00\"\nfor = \"5\"",
        "at = \"10:00\"\nfor = \"0s\"",
        "from = \"10:00\"",
        "every = \"1s\"\nat = \"10:00\"",
        "every = \"0s\"\nfrom = \"10:00\"\nto = \"11:00\"",
        "every = \"1ms\"\nfrom = \"10:00\"\nto = \"11:00\"",
        "every = \"1m\"\njitter = \"2m\"\nfrom = \"10:00\"\nto = \"11:00\"",
    ];
    let shown = wrong.map(|keys| fault(keys).expect_err(keys));
    insta::assert_snapshot!(shown.join("\n"));
}
