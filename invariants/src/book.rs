//! Amounts per account and asset: what oracles fold their facts into.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

/// Reads an amount as the contracts write it; `None` where it is no decimal.
pub fn amount(text: &str) -> Option<Decimal> {
    Decimal::from_str_exact(text).ok()
}

/// What payments look like that only their ids tell apart: debtor, creditor, amount.
pub fn likeness(debtor: &str, creditor: &str, text: &str) -> String {
    match amount(text) {
        Some(amount) => format!("{debtor} {creditor} {}", amount.normalize()),
        None => format!("{debtor} {creditor} {text}"),
    }
}

/// The value of a key, made where it is new; the key is copied only then.
pub fn entry<'m, V: Default>(map: &'m mut BTreeMap<String, V>, key: &str) -> &'m mut V {
    if !map.contains_key(key) {
        map.insert(key.to_owned(), V::default());
    }
    map.get_mut(key).expect("it was there or has just been inserted")
}

/// Balances by account and asset; what was never touched is zero.
#[derive(Clone, Default)]
pub struct Balances {
    accounts: BTreeMap<String, BTreeMap<String, Decimal>>,
}

impl Balances {
    /// Changes a balance and returns what it is then.
    pub fn add(&mut self, account: &str, asset: &str, change: Decimal) -> Decimal {
        let balance = entry(entry(&mut self.accounts, account), asset);
        *balance = balance.checked_add(change).expect("balances of a run stay far below 96 bits");
        *balance
    }

    pub fn of(&self, account: &str, asset: &str) -> Decimal {
        self.accounts.get(account).and_then(|assets| assets.get(asset)).copied().unwrap_or_default()
    }

    /// Every (account, asset) that was touched, in order.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &str)> {
        self.accounts
            .iter()
            .flat_map(|(account, assets)| assets.keys().map(|asset| (account.as_str(), asset.as_str())))
    }
}
