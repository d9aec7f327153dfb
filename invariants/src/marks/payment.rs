//! Marks of payments, deposits and withdrawals, as payment stores them.

use std::collections::BTreeMap;

use contracts::events::payment_stored::Event;

use super::{Mark, follow, when};
use crate::fact::BankKind;
use crate::oracles::cash_conserved::SUSPENSE;
use crate::read::payment;
use crate::{Fact, FactKind, Record};

const COMMITS: &[FactKind] = &[FactKind::Committed];
const COMMITS_AND_BANK: &[FactKind] = &[FactKind::Committed, FactKind::Bank];

/// Longer than any answer of a healthy bank: a later confirmation came from a query, a notice or a statement.
const ANSWER_NS: i64 = 5_000_000_000;

pub fn marks() -> Vec<Box<dyn Mark>> {
    vec![
        when!("payment:confirmed", "The bank confirmed a settlement payment.", COMMITS, |record| {
            any(record, |event| matches!(event, Event::Confirmed(_)))
        }),
        when!(
            "payment:confirmed_unasked",
            "A payment was confirmed by a notice or the statement, before the bank answered.",
            COMMITS,
            |record| {
                payment(record.fact).any(|(row, event)| {
                    matches!(event, Event::Confirmed(_)) && row.cause.starts_with("timer/payment/executed/")
                })
            }
        ),
        when!(
            "payment:contradiction",
            "What payment was told contradicted a known outcome, and it opened a break.",
            COMMITS,
            |record| { any(record, |event| matches!(event, Event::BreakOpened(_))) }
        ),
        when!("payment:cutoff_missed", "A payment was refused for its cut-off (TM01).", COMMITS, |record| {
            any(record, |event| matches!(event, Event::Refused(answer) if answer.reason == "TM01"))
        }),
        when!("payment:deposit_booked", "A deposit was credited.", COMMITS, |record| {
            any(record, |event| matches!(event, Event::Deposited(_)))
        }),
        when!(
            "payment:deposit_from_statement",
            "A deposit was credited from the statement: its notice was late or lost.",
            COMMITS,
            |record| {
                payment(record.fact).any(|(row, event)| {
                    matches!(event, Event::Deposited(_)) && row.cause.starts_with("effect/payment/statement")
                })
            }
        ),
        when!(
            "payment:deposit_in_suspense",
            "A deposit was booked in suspense: nobody knew whose account it is.",
            COMMITS,
            |record| {
                any(
                    record,
                    |event| matches!(event, Event::Deposited(deposit) if deposit.account_id == SUSPENSE),
                )
            }
        ),
        when!(
            "payment:new_attempt",
            "A refused payment was tried again under a new UETR.",
            COMMITS,
            |record| {
                any(record, |event| matches!(event, Event::Instructed(payment) if payment.attempt > 1))
            }
        ),
        when!("payment:refused", "The bank refused a settlement payment.", COMMITS, |record| {
            any(record, |event| matches!(event, Event::Refused(_)))
        }),
        when!(
            "payment:seller_leg_refused",
            "The bank refused the CCP's payment to a seller.",
            COMMITS,
            |record| {
                payment(record.fact)
                    .any(|(row, event)| matches!(event, Event::Refused(_)) && row.stream.ends_with("/seller"))
            }
        ),
        follow(
            "payment:unknown_then_confirmed",
            "A payment was confirmed more than 5 s after its execution: the first answer was lost or late.",
            COMMITS_AND_BANK,
            unknown_then_confirmed,
        ),
        when!("payment:withdrawal_paid", "A withdrawal was paid out.", COMMITS, |record| {
            any(record, |event| matches!(event, Event::WithdrawalPaid(_)))
        }),
        when!("payment:withdrawal_refused", "The bank refused a withdrawal.", COMMITS, |record| {
            any(record, |event| matches!(event, Event::WithdrawalRefused(_)))
        }),
    ]
}

fn any(record: &Record<'_>, shows: fn(&Event) -> bool) -> bool {
    payment(record.fact).any(|(_, event)| shows(event))
}

/// True times of executions that nobody has confirmed, by UETR.
fn unknown_then_confirmed(executed: &mut BTreeMap<String, i64>, record: &Record<'_>) -> bool {
    if let Fact::Bank(moved) = record.fact
        && moved.kind == BankKind::Executed
    {
        executed.insert(moved.uetr.clone(), record.at_ns);
    }
    payment(record.fact).any(|(_, event)| match event {
        Event::Confirmed(answer) => {
            executed.remove(&answer.uetr).is_some_and(|at_ns| record.at_ns - at_ns > ANSWER_NS)
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use contracts::events::{Deposited, PaymentAnswered, ReconciliationBreak};

    use super::super::check;
    use super::*;
    use crate::testing::{Commit, answer, confirmed, executed, history, pays};

    fn stored(stream: &str, event: Event) -> Commit {
        Commit::by("payment").event(stream, event)
    }

    #[test]
    fn payments_are_answered() {
        check("payment:confirmed", history![pays("T-1/buyer", "B", "CCP")], false);
        check("payment:confirmed", history![confirmed("T-1/buyer", "U-1")], true);
        let refused = || stored("payment/T-1/buyer", Event::Refused(answer("U-1")));
        check("payment:refused", history![refused()], true);
        check("payment:seller_leg_refused", history![refused()], false);
        let refused = stored("payment/T-1/seller", Event::Refused(answer("U-1")));
        check("payment:seller_leg_refused", history![refused], true);
    }

    #[test]
    fn a_late_confirmation_was_unknown() {
        let mark = "payment:unknown_then_confirmed";
        let confirmed = || confirmed("T-1/buyer", "U-1");
        check(mark, history![executed("U-1", "B", "CCP"), (ANSWER_NS, confirmed())], false);
        check(mark, history![executed("U-1", "B", "CCP"), (ANSWER_NS + 1, confirmed())], true);
    }

    #[test]
    fn the_bank_tells_in_several_ways() {
        let by = |cause: &str| confirmed("T-1/buyer", "U-1").caused_by(cause);
        let mark = "payment:confirmed_unasked";
        check(mark, history![by("effect/payment/T-1/buyer/1")], false);
        check(mark, history![by("timer/payment/executed/1/payment/T-1/buyer")], true);
        let late = PaymentAnswered { reason: "TM01".to_owned(), ..answer("U-1") };
        check("payment:cutoff_missed", history![stored("payment/T-1/buyer", Event::Refused(late))], true);
        let opened = Event::BreakOpened(ReconciliationBreak::default());
        check("payment:contradiction", history![stored("payment/T-1/buyer", opened)], true);
    }

    #[test]
    fn deposits_come_in_several_ways() {
        let deposited = |account: &str, cause: &str| {
            let deposited = Deposited { account_id: account.to_owned(), ..Deposited::default() };
            stored("credit/R-1", Event::Deposited(deposited)).caused_by(cause)
        };
        let notice = || deposited("B", "request/bank POST /bank/notices/R-1");
        let line = || deposited(SUSPENSE, "effect/payment/statement/0/0");
        check("payment:deposit_from_statement", history![notice()], false);
        check("payment:deposit_from_statement", history![line()], true);
        check("payment:deposit_in_suspense", history![notice()], false);
        check("payment:deposit_in_suspense", history![line()], true);
    }

    #[test]
    fn cash_comes_and_goes() {
        let paid = stored("withdrawal/W-1", Event::WithdrawalPaid(answer("U-1")));
        check("payment:withdrawal_paid", history![paid], true);
        let refused = stored("withdrawal/W-1", Event::WithdrawalRefused(answer("U-1")));
        check("payment:withdrawal_refused", history![refused], true);
        let deposited = stored("credit/R-1", Event::Deposited(Default::default()));
        check("payment:deposit_booked", history![deposited], true);
    }
}
