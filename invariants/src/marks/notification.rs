//! Marks of notices.

use std::collections::BTreeSet;

use super::{Mark, follow, when};
use crate::{Fact, FactKind};

const NOTICES: &[FactKind] = &[FactKind::Notified];

pub fn marks() -> Vec<Box<dyn Mark>> {
    vec![
        when!("notification:delivered", "A webhook receiver took a notice.", NOTICES, |record| {
            matches!(record.fact, Fact::Notified { .. })
        }),
        follow::<BTreeSet<(String, String)>>(
            "notification:delivered_again",
            "A webhook receiver took the same notice twice.",
            NOTICES,
            |taken, record| match record.fact {
                Fact::Notified { event_id, channel, .. } => {
                    !taken.insert((event_id.clone(), channel.clone()))
                }
                _ => false,
            },
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;
    use crate::testing::history;

    #[test]
    fn notices_arrive() {
        let heard = |event: &str| {
            let (receiver, channel) = ("B".to_owned(), "hook".to_owned());
            Fact::Notified { receiver, event_id: event.to_owned(), channel }
        };
        check("notification:delivered", history![heard("a")], true);
        check("notification:delivered_again", history![heard("a"), heard("b")], false);
        check("notification:delivered_again", history![heard("a"), heard("a")], true);
    }
}
