//! Wrong habits at the ports: of speaking with the store, the log, and other parties.
//!
//! | file | holds |
//! |---|---|
//! | `store` | how the statements of a session are edited |
//! | `transactions` | commits, locks, positions |
//! | `inbox` | what came before |
//! | `failed` | what is taken for failed |
//! | `replica` | where states are read |
//! | `outbox` | what is told to others, and when |
//! | `calls` | requests and answers |

mod calls;
mod failed;
mod inbox;
mod outbox;
mod replica;
mod store;
mod transactions;

use std::rc::Rc;

use host::Ports;
use host::ports::store::{Session, Statement};
use scenario::Sabotage;

use self::failed::{Failed, Pessimistic};
use self::outbox::{ByLog, ByNotice, Cursor, Hasty, LastRead};
use self::store::{Edit, sessions};
use self::transactions::{Edited, Optimistic, PositionFirst, Unheard};
use super::Odds;

/// The ports with a habit around them; as they were, where the habit is a business rule.
pub fn planted(habit: &Sabotage, odds: &Odds, ports: Ports) -> Ports {
    match habit.habit.as_str() {
        "answer-before-commit" => sessions(ports, |inner| Box::new(Unheard::new(inner))),
        "unknown-taken-for-committed" => sessions(ports, |inner| Box::new(Optimistic { inner })),
        "unknown-taken-for-failed" => {
            let failed = Rc::new(Failed::default());
            sessions(ports, move |inner| Box::new(Pessimistic { inner, failed: failed.clone() }))
        }
        "commit-swallowed" => {
            let odds = odds.of(habit);
            edited(ports, move |statements| transactions::commit_swallowed(odds, statements))
        }
        "stream-by-stream" => edited(ports, transactions::stream_by_stream),
        "position-first" => sessions(ports, |inner| Box::new(PositionFirst { inner })),
        "position-unwritten" => edited(ports, transactions::position_unwritten),
        "claim-ignored" => edited(ports, transactions::claim_ignored),
        "last-writer-wins" => edited(ports, transactions::last_writer_wins),
        "reads-unlocked" => edited(ports, transactions::reads_unlocked),
        "inbox-forgotten" => edited(ports, inbox::forgotten),
        "scope-without-client" => edited(ports, inbox::without_client),
        "outbox-cursor" => {
            let read = LastRead::default();
            sessions(ports, move |inner| Box::new(Cursor { inner, read: read.clone() }))
        }
        "outbox-reversed" => outbox::reversed(ports),
        "published-before-commit" => {
            let (log, service) = (ports.log.clone(), habit.of.clone());
            let tell = move || ByLog { service: service.clone(), producer: log.producer() };
            sessions(ports, move |inner| Box::new(Hasty { inner, tell: tell() }))
        }
        "notice-before-commit" => {
            let http = ports.http.clone();
            sessions(ports, move |inner| Box::new(Hasty { inner, tell: ByNotice { http: http.clone() } }))
        }
        "replica-read" => replica::read(ports),
        "any-answer-is-paid" => calls::through(ports, calls::AnyAnswerIsPaid),
        "ordered-twice" => calls::through(ports, calls::OrderedTwice(odds.of(habit))),
        "uetr-per-try" => calls::through(ports, calls::UetrPerTry::default()),
        "lines-are-news" => calls::through(ports, calls::LinesAreNews),
        "key-per-try" => calls::through(ports, calls::KeyPerTry::default()),
        "key-cut" => calls::through(ports, calls::KeyCut),
        _ => ports,
    }
}

/// The ports, with each pipeline of the store edited.
fn edited(ports: Ports, edit: impl Fn(Vec<Statement>) -> Vec<Edit> + Clone + 'static) -> Ports {
    sessions(ports, move |inner| Box::new(Edited { inner, edit: edit.clone() }) as Box<dyn Session>)
}
