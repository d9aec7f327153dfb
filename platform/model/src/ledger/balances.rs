//! Balances per account and asset: a fold of legs.

use std::collections::BTreeMap;

use super::amount::{Amount, Asset, Leg};
use crate::arithmetic::ArithmeticError;
use crate::ids::AccountId;

/// What every account holds of every asset it ever held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Balances {
    accounts: BTreeMap<AccountId, BTreeMap<Asset, Amount>>,
}

impl Balances {
    /// What an account holds of an asset.
    pub fn of(&self, account: &AccountId, asset: &Asset) -> Amount {
        let held = self.accounts.get(account).and_then(|assets| assets.get(asset));
        held.cloned().unwrap_or_else(|| Amount::zero(asset))
    }

    /// Every balance, by account, then asset. An account that fell back to zero stays listed.
    pub fn iter(&self) -> impl Iterator<Item = (&AccountId, &Amount)> {
        self.accounts
            .iter()
            .flat_map(|(account, assets)| assets.values().map(move |amount| (account, amount)))
    }

    /// The sum over all accounts per asset, in minor units or shares.
    pub fn totals(&self) -> BTreeMap<Asset, i128> {
        let mut totals: BTreeMap<Asset, i128> = BTreeMap::new();
        for (_, amount) in self.iter() {
            let total = totals.entry(amount.asset()).or_default();
            *total =
                total.checked_add(amount.units()).expect("no memory holds 2^31 accounts at 96 bits each");
        }
        totals
    }

    /// Books all legs, or none of them.
    ///
    /// # Errors
    /// `Overflow` if a balance becomes too large; nothing has changed then.
    pub fn book(&mut self, legs: &[Leg]) -> Result<(), ArithmeticError> {
        let after = self.after(legs)?;
        self.replace(after);
        Ok(())
    }

    /// The balances that legs would leave in the accounts they touch.
    pub(super) fn after<'a>(
        &self,
        legs: impl IntoIterator<Item = &'a Leg>,
    ) -> Result<BTreeMap<(AccountId, Asset), Amount>, ArithmeticError> {
        let mut after = BTreeMap::new();
        for Leg { account, amount } in legs {
            let key = (account.clone(), amount.asset());
            let before = after.remove(&key).unwrap_or_else(|| self.of(&key.0, &key.1));
            after.insert(key, before.checked_add(amount)?);
        }
        Ok(after)
    }

    pub(super) fn replace(&mut self, after: BTreeMap<(AccountId, Asset), Amount>) {
        for ((account, asset), amount) in after {
            self.accounts.entry(account).or_default().insert(asset, amount);
        }
    }
}
