//! Marks of recorded load: its clients' names start with `replay`.

use std::collections::BTreeSet;

use super::{Mark, follow};
use crate::fact::Phase;
use crate::{Fact, FactKind, Record};

const CLIENTS_AND_PHASES: &[FactKind] = &[FactKind::Request, FactKind::Answer, FactKind::Phase];

pub fn marks() -> Vec<Box<dyn Mark>> {
    vec![follow(
        "replay:finished",
        "The load was over, and every request of a recording had been answered.",
        CLIENTS_AND_PHASES,
        finished,
    )]
}

#[derive(Default)]
struct Replay {
    asked: bool,
    load_over: bool,
    open: BTreeSet<(String, String)>,
}

fn finished(replay: &mut Replay, record: &Record<'_>) -> bool {
    match record.fact {
        Fact::Request(request) if request.client.starts_with("replay") => {
            replay.asked = true;
            replay.open.insert((request.client.clone(), request.idempotency_key.clone()));
        }
        Fact::Answer(answer) if answer.client.starts_with("replay") => {
            replay.open.remove(&(answer.client.clone(), answer.idempotency_key.clone()));
        }
        Fact::Phase(phase) => replay.load_over = *phase != Phase::Load,
        _ => {}
    }
    replay.asked && replay.load_over && replay.open.is_empty()
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;
    use crate::testing::{accepted, asked, asks_trade, history};

    #[test]
    fn a_replay_finishes_when_all_is_answered() {
        let ask = || asked("replay-1", "k", 1, asks_trade());
        let heal = || Fact::Phase(Phase::Heal);
        check("replay:finished", history![ask(), accepted("replay-1", "k", "T-1")], false);
        check("replay:finished", history![ask(), heal()], false);
        check("replay:finished", history![ask(), heal(), accepted("replay-1", "k", "T-1")], true);
        check("replay:finished", history![heal()], false);
    }
}
