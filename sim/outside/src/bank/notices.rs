//! Credit notices: what the bank tells the platform about cash that came in, until it has been heard.
//!
//! Shaped after the bank-to-customer notification of ISO 20022 (camt.054), as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Money, Timestamp};
use serde_json::json;

use crate::party::{Post, later};

/// Who takes the notices.
pub const PAYMENT: &str = "payment";
/// Where they are taken.
pub const NOTICES: &str = "/bank/notices";

#[derive(Debug)]
struct Notice {
    account: String,
    amount: Money,
    /// When it is sent next.
    next: Timestamp,
}

/// Notices that nobody has acknowledged, by the bank's reference.
#[derive(Debug, Default)]
pub struct Notices(BTreeMap<String, Notice>);

impl Notices {
    pub fn add(&mut self, reference: &str, account: &str, amount: Money, first: Timestamp) {
        let notice = Notice { account: account.to_owned(), amount, next: first };
        self.0.insert(reference.to_owned(), notice);
    }

    pub fn next_due(&self) -> Option<Timestamp> {
        self.0.values().map(|notice| notice.next).min()
    }

    pub fn due(&mut self, now: Timestamp, repeat_after: Duration) -> Vec<Post> {
        let due = self.0.iter_mut().filter(|(_, notice)| notice.next <= now);
        due.map(|(reference, notice)| {
            notice.next = later(now, repeat_after);
            let body = json!({
                "reference": reference,
                "account": notice.account,
                "amount": notice.amount.amount().to_string(),
                "currency": notice.amount.currency().code(),
            });
            Post::json(PAYMENT, NOTICES, reference.clone(), &body)
        })
        .collect()
    }

    pub fn acknowledged(&mut self, reference: &str) {
        self.0.remove(reference);
    }
}
