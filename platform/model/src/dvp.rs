//! Delivery versus payment: the journal legs that settle an obligation.
//!
//! Called by the ledger, which books payment and delivery as each is confirmed. Model 1 of the three in
//! BIS/CPSS, "Delivery versus payment in securities settlement systems" (1992): shares and cash move gross,
//! trade by trade. Keeping the two together (block the shares, pay, pay on, deliver both) is settlement's
//! work and not here.

use crate::arithmetic::ArithmeticError;
use crate::clearing::Obligation;
use crate::ledger::Leg;

/// The cash side: the receiver of the shares pays their deliverer.
pub fn payment_legs(obligation: &Obligation) -> [Leg; 2] {
    [
        Leg::cash(obligation.receiver.clone(), -obligation.cash),
        Leg::cash(obligation.deliverer.clone(), obligation.cash),
    ]
}

/// The share side: out of the deliverer's account, into the receiver's.
///
/// # Errors
/// `Overflow` for more shares than a movement holds, which the obligations of a trade never have.
pub fn delivery_legs(obligation: &Obligation) -> Result<[Leg; 2], ArithmeticError> {
    let Obligation { deliverer, receiver, instrument, quantity, .. } = obligation;
    Ok([
        Leg::shares(deliverer.clone(), instrument.clone(), quantity.outgoing()?),
        Leg::shares(receiver.clone(), instrument.clone(), quantity.incoming()?),
    ])
}
