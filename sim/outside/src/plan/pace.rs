//! When the operations of a load start: instants of a window, by an exact count or by a rate.

use jiff::{SignedDuration, Timestamp};
use scenario::{Drawn, Load, Pace, Rate, Window};

use crate::draw::Draw;

/// Instants are whole microseconds after the start of the window: fine enough to collide rarely.
const GRAIN_NS: i128 = 1_000;
const SECOND_NS: i128 = 1_000_000_000;

/// The instants at which the operations of one window start, ascending.
pub(super) fn instants(load: &Load, window: Window, draw: &mut dyn Draw) -> Vec<Timestamp> {
    match load.pace {
        Pace::Own => Vec::new(),
        Pace::Count(count) => {
            let count = resolve(count, draw);
            spread(count, window, draw)
        }
        Pace::Rate(rate) => at_rate(rate, window, draw),
    }
}

/// A value of the scenario, drawn where it is a range.
pub(super) fn resolve<T: scenario::Draw>(value: Drawn<T>, draw: &mut dyn Draw) -> T {
    value.resolve(&mut |n| draw.below(n))
}

/// So many instants of a window, each equally likely to be any.
fn spread(count: u64, (from, to): Window, draw: &mut dyn Draw) -> Vec<Timestamp> {
    let grains = (to.as_nanosecond() - from.as_nanosecond()) / GRAIN_NS;
    let grains = u64::try_from(grains).expect("windows end after they begin").max(1);
    let mut instants: Vec<Timestamp> = (0..count)
        .map(|_| {
            let micros = i64::try_from(draw.below(grains)).expect("windows last days, not ages");
            from + SignedDuration::from_micros(micros)
        })
        .collect();
    instants.sort_unstable();
    instants
}

/// Second by second as many as the rate gives, to the nearest whole one over the window as a whole.
fn at_rate(rate: Rate, window: Window, draw: &mut dyn Draw) -> Vec<Timestamp> {
    let first = resolve(rate.per_second, draw);
    let last = rate.ramp_to.map_or(first, |last| resolve(last, draw));
    let length_ns = window.1.as_nanosecond() - window.0.as_nanosecond();
    let mut instants = Vec::new();
    let mut begin_ns = 0;
    while begin_ns < length_ns {
        let end_ns = (begin_ns + SECOND_NS).min(length_ns);
        let until = |ns| started(first, last, ns, length_ns);
        let count = u64::try_from(until(end_ns) - until(begin_ns)).expect("it never decreases");
        let nanos = |ns: i128| i64::try_from(ns).expect("windows last days, not ages");
        let at = |ns: i128| window.0 + SignedDuration::from_nanos(nanos(ns));
        instants.extend(spread(count, (at(begin_ns), at(end_ns)), draw));
        begin_ns = end_ns;
    }
    instants
}

/// How many have started by `ns` of a window, while the rate goes evenly from `first` to `last` per second.
///
/// The integral of the rate, `first·t + (last - first)·t² / 2·length`, rounded down.
fn started(first: u64, last: u64, ns: i128, length_ns: i128) -> i128 {
    let (first, last) = (i128::from(first), i128::from(last));
    let twice = first * ns * 2 * length_ns + (last - first) * ns * ns;
    twice.div_euclid(2 * length_ns * SECOND_NS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests_support::SplitMix;

    fn window(seconds: i64) -> Window {
        let from: Timestamp = "2026-03-06T14:30:00Z".parse().expect("an instant");
        (from, from + SignedDuration::from_secs(seconds))
    }

    fn load(pace: Pace) -> Load {
        Load { pace, ..Load::default() }
    }

    fn counts_per_second(load: &Load, seconds: i64) -> Vec<usize> {
        let window = window(seconds);
        let instants = instants(load, window, &mut SplitMix(1));
        assert!(instants.is_sorted() && instants.iter().all(|at| window.0 <= *at && *at < window.1));
        let of = |second: i64| {
            let begin = window.0 + SignedDuration::from_secs(second);
            let inside = |at: &&Timestamp| **at >= begin && **at < begin + SignedDuration::from_secs(1);
            instants.iter().filter(inside).count()
        };
        (0..seconds).map(of).collect()
    }

    #[test]
    fn a_count_is_exact() {
        for count in [0, 1, 500, 10_000] {
            let load = load(Pace::Count(Drawn::Fixed(count)));
            let counted = counts_per_second(&load, 60).iter().sum::<usize>();
            assert_eq!(u64::try_from(counted), Ok(count));
        }
    }

    #[test]
    fn a_rate_gives_as_many_each_second() {
        let rate = Rate { per_second: Drawn::Fixed(7), ramp_to: None };
        assert_eq!(counts_per_second(&load(Pace::Rate(rate)), 3), [7, 7, 7]);
    }

    #[test]
    fn a_ramp_changes_evenly_and_gives_its_average() {
        for (first, last) in [(0, 40), (40, 0), (20, 60)] {
            let rate = Rate { per_second: Drawn::Fixed(first), ramp_to: Some(Drawn::Fixed(last)) };
            let counts = counts_per_second(&load(Pace::Rate(rate)), 10);
            assert_eq!(
                counts.iter().sum::<usize>() * 2,
                usize::try_from((first + last) * 10).expect("small")
            );
            let evenly = counts.windows(2).all(|pair| pair[0].abs_diff(pair[1]) <= 5);
            assert!(evenly, "{counts:?}");
        }
    }
}
