//! Marks of the venue's own books.

use super::{Mark, when};
use crate::fact::VenueMessage;
use crate::{Fact, FactKind, Record};

const VENUE: &[FactKind] = &[FactKind::Venue];

pub fn marks() -> Vec<Box<dyn Mark>> {
    vec![
        when!("venue:closed", "The venue closed.", VENUE, |record| says(record, VenueMessage::Close)),
        when!("venue:end_of_day", "The venue ended a trade date.", VENUE, |record| says(
            record,
            VenueMessage::EndOfDay
        )),
        when!("venue:opened", "The venue opened.", VENUE, |record| says(record, VenueMessage::Open)),
    ]
}

fn says(record: &Record<'_>, what: VenueMessage) -> bool {
    matches!(record.fact, Fact::Venue { message, .. } if *message == what)
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;
    use crate::testing::history;

    #[test]
    fn the_venue_says_what_it_does() {
        for (mark, message, other) in [
            ("venue:opened", VenueMessage::Open, VenueMessage::Close),
            ("venue:closed", VenueMessage::Close, VenueMessage::EndOfDay),
            ("venue:end_of_day", VenueMessage::EndOfDay, VenueMessage::Open),
        ] {
            let told = |message| Fact::Venue { venue: "XNYS".to_owned(), trade_date: String::new(), message };
            check(mark, history![told(message)], true);
            check(mark, history![told(other)], false);
        }
    }
}
