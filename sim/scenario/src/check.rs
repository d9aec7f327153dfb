//! Checks that need several values of a scenario: days, windows, names that must differ, numbers of nodes.
//!
//! They run only when every value could be read.

use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::calendar::Calendar;
use crate::fault::{FaultSpec, Occurs, Target, TargetSpec};
use crate::guarantee::refusals;
use crate::read::{Context, OneTarget, Text};
use crate::run::Run;
use crate::scenario::{Day, Expect, Invariants, Scenario};
use crate::sides::{self, Unfit};
use crate::text::diagnostics::Draft;
use crate::text::tree::Node;
use crate::values::TimeSpan;
use crate::when::{TimeError, When, weekday_name};

/// Reports what does not fit together.
pub(crate) fn check(scenario: &Scenario, calendar: &Calendar, root: &Node, context: &Context<'_>) {
    let checker = Checker { scenario, calendar, root, context };
    checker.load_names();
    checker.sabotage();
    checker.expectation();
    if !checker.start() {
        return;
    }
    let Some(run) = checker.run() else { return };
    checker.trading(&run);
    checker.loads(&run);
    for (index, fault) in scenario.faults.iter().enumerate() {
        checker.fault(&format!("fault[{index}]"), fault, &run);
    }
    checker.guarantees();
}

/// More occurrences of one fault than this are a mistake: nobody could read their plan.
const TIMES_MAX: u128 = 20_000;

struct Checker<'a> {
    scenario: &'a Scenario,
    calendar: &'a Calendar,
    root: &'a Node,
    context: &'a Context<'a>,
}

impl Checker<'_> {
    fn refuse(&self, path: &str, message: impl Into<String>, hint: Option<String>) {
        let draft = Draft::new(self.root.place_of(path), path.to_owned(), message);
        self.context.report(Draft { hint, ..draft });
    }

    fn refuse_time(&self, path: &str, error: &TimeError) {
        let hint = match error {
            TimeError::Repeated(local, before, after) => {
                let [before, after] = [before, after].map(|offset| When::At(*local, Some(*offset)));
                Some(format!("write which: {before} or {after}"))
            }
            _ => None,
        };
        self.refuse(path, error.to_string(), hint);
    }

    /// A scenario may not ask to pass where an invariant that it watches need not hold.
    fn guarantees(&self) {
        let Some(doubts) = self.context.catalogue().and_then(|catalogue| catalogue.doubts) else { return };
        for refusal in refusals(self.scenario, doubts) {
            self.refuse(&refusal.path, refusal.message, Some(refusal.hint));
        }
    }

    fn load_names(&self) {
        let mut seen = BTreeSet::new();
        for (index, load) in self.scenario.loads.iter().enumerate() {
            if !seen.insert(&load.name) {
                let message = format!("another load is called `{}`", load.name);
                self.refuse(&format!("load[{index}].name"), message, None);
            }
        }
    }

    fn sabotage(&self) {
        if self.scenario.expect == Expect::Pass && !self.scenario.sabotage.is_empty() {
            let hint = r#"name the invariant that finds it: expect = "violation:<invariant>""#.to_owned();
            self.refuse("sabotage", "a platform with a wrong habit is not expected to pass", Some(hint));
        }
    }

    /// What is not watched is never found.
    fn expectation(&self) {
        let (Expect::Violation(invariant), Invariants::Named(watched)) =
            (&self.scenario.expect, &self.scenario.check.invariants)
        else {
            return;
        };
        if !watched.contains(invariant) {
            let hint = format!("add \"{invariant}\" to check.invariants, or watch \"all\"");
            self.refuse("expect", format!("`{invariant}` is expected to break, and not watched"), Some(hint));
        }
    }

    fn start(&self) -> bool {
        let start = self.scenario.market.start;
        let mistakes = self.context.mistakes();
        if let Err(error) = self.calendar.instant(start, None) {
            self.refuse_time("market.start", &error);
        } else if !self.calendar.is_session(start.date()) {
            let message =
                format!("{} is not a session of {}", day_name(start.date()), self.scenario.market.venue);
            let next = self.calendar.next_session(start.date());
            self.refuse(
                "market.start",
                message,
                next.map(|next| format!("the next one is {}", day_name(next))),
            );
        }
        self.context.mistakes() == mistakes
    }

    fn run(&self) -> Option<Run> {
        match self.scenario.run(self.calendar) {
            Ok(run) if run.end <= run.start => {
                self.refuse("market.until", "the run ends before it starts", None);
                None
            }
            Ok(run) => Some(run),
            Err(error) => {
                self.refuse_time("market.until", &error);
                None
            }
        }
    }

    fn trading(&self, run: &Run) {
        for (index, day) in self.scenario.market.trading.iter().enumerate() {
            let path = format!("market.trading[{index}]");
            let dates = run.dates_of(*day, self.calendar, self.scenario.market.until);
            if dates.is_empty() {
                self.refuse(&path, format!("{} is not in the run", written_day(*day)), None);
            }
            for date in dates.into_iter().filter(|date| !self.calendar.is_session(*date)) {
                let venue = &self.scenario.market.venue;
                self.refuse(&path, format!("{} is not a session of {venue}", day_name(date)), None);
            }
        }
    }

    fn loads(&self, run: &Run) {
        for (index, load) in self.scenario.loads.iter().enumerate() {
            let path = format!("load[{index}]");
            for (number, day) in load.days.iter().enumerate() {
                if !run.trading.iter().any(|date| day.is(*date)) {
                    let message = format!("{} is not a trading day of the run", written_day(*day));
                    self.refuse(&format!("{path}.days[{number}]"), message, None);
                }
            }
            if let Err((key, error)) = load.windows(run, self.calendar) {
                self.refuse_time(&format!("{path}.{key}"), &error);
            }
        }
    }

    fn fault(&self, path: &str, fault: &FaultSpec, run: &Run) {
        let moments: Vec<(&str, When)> = match fault.occurs {
            Occurs::At { at } => vec![("at", at)],
            Occurs::Every { from, to, .. } | Occurs::Window { from, to } => vec![("from", from), ("to", to)],
        };
        for (key, when) in moments {
            let path = format!("{path}.{key}");
            match when.resolve(self.calendar, run.start, run.end) {
                Ok(instants) if instants.is_empty() => {
                    self.refuse(&path, format!("{when} never comes in this run"), None);
                }
                Ok(_) => {}
                Err(error) => self.refuse_time(&path, &error),
            }
        }
        if let Occurs::Every { from, to, .. } | Occurs::Window { from, to } = fault.occurs
            && let Err(error) = run.windows(from, to, &run.sessions(self.calendar), self.calendar)
        {
            self.refuse_time(&format!("{path}.{}", error.0), &error.1);
        }
        self.lengths(path, fault, run);
        let inside = match &fault.target {
            Some(TargetSpec::One(_)) => format!("{path}.target"),
            Some(TargetSpec::Shaped { .. }) => format!("{path}.target.of"),
            None => path.to_owned(),
        };
        if let Some(spec) = &fault.target {
            self.target(&inside, spec.target());
        }
        self.hits(&inside, fault);
        self.sides(path, fault);
        self.participant(path, fault);
    }

    /// Whether a participant that a fault names is one of the market's.
    fn participant(&self, path: &str, fault: &FaultSpec) {
        let Some(name) = fault.params.key("participant", Text) else { return };
        let count = self.scenario.market.participants;
        let number = name.strip_prefix('P').and_then(|number| number.parse::<u32>().ok());
        let is_one =
            number.is_some_and(|number| (1..=count).contains(&number) && name == format!("P{number:02}"));
        if !is_one {
            let hint = format!("there are {count} participants, `P01` to `P{count:02}`");
            self.refuse(
                &format!("{path}.participant"),
                format!("there is no participant {name}"),
                Some(hint),
            );
        }
    }

    /// Whether it lasts, and happens as often as somebody can have meant.
    fn lengths(&self, path: &str, fault: &FaultSpec, run: &Run) {
        if fault.lasts.is_some_and(|lasts| lasts.max() == TimeSpan::default()) {
            let hint = "leave it out for the action's own default".to_owned();
            self.refuse(&format!("{path}.for"), "lasts for no time at all", Some(hint));
        }
        let Occurs::Every { every, from, to, .. } = fault.occurs else { return };
        let Ok(windows) = run.windows(from, to, &run.sessions(self.calendar), self.calendar) else { return };
        let lengths = windows.iter().map(|(from, to)| to.duration_since(*from).unsigned_abs().as_nanos());
        let times = lengths.sum::<u128>() / every.0.as_nanos().max(1);
        if times > TIMES_MAX {
            let message = format!("happens {times} times in this run, more than {TIMES_MAX}");
            self.refuse(&format!("{path}.every"), message, None);
        }
    }

    /// Whether there are nodes enough for a shape, and links between the sides.
    fn sides(&self, path: &str, fault: &FaultSpec) {
        let action = self.context.catalogue().and_then(|all| all.fault_action(&fault.action));
        let (Some(action), Some(spec)) = (action, &fault.target) else { return };
        let with = fault.params.key("with", OneTarget);
        if let Some(with) = &with {
            self.target(&format!("{path}.with"), with);
        }
        if let Err(Unfit { key, message, hint }) =
            sides::judge(self.scenario, spec, with.as_ref(), action.divides)
        {
            self.refuse(&format!("{path}.{key}"), message, Some(hint));
        }
    }

    /// Whether the action can hit its target.
    fn hits(&self, path: &str, fault: &FaultSpec) {
        let Some(action) = self.context.catalogue().and_then(|all| all.fault_action(&fault.action)) else {
            return;
        };
        let target = fault.target.as_ref().map(TargetSpec::target);
        let kinds: Vec<String> = action.hits.iter().map(ToString::to_string).collect();
        let (does, hint) = match action.only {
            [] => (kinds.join(", "), "`bellwether list targets` prints them".to_owned()),
            only => (only.join(", "), format!("target = \"{}\"", only[0])),
        };
        match target {
            None if action.hits.is_empty() => {}
            None => {
                self.refuse(path, format!("`{}` needs a target: it hits {does}", action.name), Some(hint))
            }
            Some(_) if action.hits.is_empty() => {
                self.refuse(path, format!("`{}` takes no target", action.name), None);
            }
            Some(target) => {
                let named = action.only.is_empty() || action.only.contains(&target.to_string().as_str());
                if !named || !action.hits.contains(&target.kind()) {
                    self.refuse(
                        path,
                        format!("`{}` does not hit {target}, but {does}", action.name),
                        Some(hint),
                    );
                }
            }
        }
    }

    fn target(&self, path: &str, target: &Target) {
        let topology = &self.scenario.topology;
        let (number, count) = match target {
            Target::Service { name, instance: Some(number) } => {
                (*number, topology.instances.get(name).copied())
            }
            Target::Broker { number: Some(number) } => (*number, Some(topology.kafka.brokers)),
            _ => return,
        };
        let count = count.unwrap_or(0);
        if number > count {
            self.refuse(path, format!("there is no {target}"), Some(format!("there are {count}, from 1")));
        }
    }
}

fn day_name(date: Date) -> String {
    format!("{} {date}", weekday_name(date.weekday()))
}

fn written_day(day: Day) -> String {
    match day {
        Day::Weekday(weekday) => weekday_name(weekday).to_owned(),
        Day::Date(date) => day_name(date),
    }
}
