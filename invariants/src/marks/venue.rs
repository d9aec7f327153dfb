//! Marks of the venue's own books, and of how trade came to seal a date.

use std::collections::{BTreeMap, BTreeSet};

use contracts::events::trade_stored::Event;

use super::{Mark, follow, when};
use crate::fact::VenueMessage;
use crate::read::trade;
use crate::{Fact, FactKind, Record};

const COMMITS: &[FactKind] = &[FactKind::Committed];
const VENUE: &[FactKind] = &[FactKind::Venue];
const VENUE_AND_COMMITS: &[FactKind] = &[FactKind::Venue, FactKind::Committed];

/// Longer than a message of the venue takes where nothing is wrong.
const MESSAGE_NS: i64 = 60_000_000_000;

pub fn marks() -> Vec<Box<dyn Mark>> {
    vec![
        when!("venue:closed", "The venue closed.", VENUE, |record| says(record, VenueMessage::Close)),
        when!("venue:end_of_day", "The venue ended a trade date.", VENUE, |record| says(
            record,
            VenueMessage::EndOfDay
        )),
        when!("venue:opened", "The venue opened.", VENUE, |record| says(record, VenueMessage::Open)),
        follow(
            "venue:sealed_early",
            "Trade sealed a date on the venue's word before the venue had closed.",
            VENUE_AND_COMMITS,
            sealed_early,
        ),
        follow(
            "venue:sealed_late",
            "Trade sealed a date on the venue's word more than a minute after the venue had ended it.",
            VENUE_AND_COMMITS,
            sealed_late,
        ),
        when!(
            "venue:sealed_on_asking",
            "Trade sealed a date because it asked the venue, which had told nothing.",
            COMMITS,
            |record| seals(record, "effect/trade/venue_query/").next().is_some()
        ),
    ]
}

/// Dates that trade seals for this cause.
fn seals<'a>(record: &Record<'a>, cause: &'static str) -> impl Iterator<Item = &'a str> {
    trade(record.fact).filter_map(move |(row, event)| match event {
        Event::VenueSealed(sealed) if row.cause.starts_with(cause) => Some(sealed.trade_date.as_str()),
        _ => None,
    })
}

/// A message of the venue.
const TOLD: &str = "request/venue/";

fn sealed_early(closed: &mut BTreeSet<String>, record: &Record<'_>) -> bool {
    if let Fact::Venue { trade_date, message: VenueMessage::Close, .. } = record.fact {
        closed.insert(trade_date.clone());
    }
    seals(record, TOLD).any(|date| !closed.contains(date))
}

/// When each date was ended.
fn sealed_late(ended: &mut BTreeMap<String, i64>, record: &Record<'_>) -> bool {
    if let Fact::Venue { trade_date, message: VenueMessage::EndOfDay, .. } = record.fact {
        ended.insert(trade_date.clone(), record.at_ns);
    }
    let is_late = |date| ended.get(date).is_some_and(|at| record.at_ns - at > MESSAGE_NS);
    seals(record, TOLD).any(is_late)
}

fn says(record: &Record<'_>, what: VenueMessage) -> bool {
    matches!(record.fact, Fact::Venue { message, .. } if *message == what)
}

#[cfg(test)]
mod tests {
    use contracts::events::VenueSealed;

    use super::super::check;
    use super::*;
    use crate::testing::{Commit, history};

    fn told(message: VenueMessage) -> Fact {
        Fact::Venue { venue: "XNYS".to_owned(), trade_date: "2026-03-03".to_owned(), message }
    }

    fn sealed(cause: &str) -> Commit {
        let sealed = VenueSealed { trade_date: "2026-03-03".to_owned(), ..VenueSealed::default() };
        Commit::by("trade").event("venue/XNYS", Event::VenueSealed(sealed)).caused_by(cause)
    }

    #[test]
    fn a_date_is_sealed_early_late_or_on_asking() {
        let told_so = || sealed("request/venue/XNYS POST /venue/XNYS/2026-03-03/endOfDay");
        let asked = || sealed("effect/trade/venue_query/XNYS/2026-03-03");
        let (close, end) = (|| told(VenueMessage::Close), || told(VenueMessage::EndOfDay));
        check("venue:sealed_early", history![end(), told_so(), close()], true);
        check("venue:sealed_early", history![close(), end(), told_so()], false);
        check("venue:sealed_early", history![asked()], false);
        check("venue:sealed_late", history![end(), (MESSAGE_NS, told_so())], false);
        check("venue:sealed_late", history![end(), (MESSAGE_NS + 1, told_so())], true);
        check("venue:sealed_late", history![end(), (MESSAGE_NS + 1, asked())], false);
        check("venue:sealed_on_asking", history![end(), told_so()], false);
        check("venue:sealed_on_asking", history![end(), asked()], true);
    }

    #[test]
    fn the_venue_says_what_it_does() {
        for (mark, message, other) in [
            ("venue:opened", VenueMessage::Open, VenueMessage::Close),
            ("venue:closed", VenueMessage::Close, VenueMessage::EndOfDay),
            ("venue:end_of_day", VenueMessage::EndOfDay, VenueMessage::Open),
        ] {
            check(mark, history![told(message)], true);
            check(mark, history![told(other)], false);
        }
    }
}
