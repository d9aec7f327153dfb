//! Whom a fault concerns: the services whose work meets what the fault hits, by the names in its target.
//!
//! A service is concerned by faults of its own instances, of its database, of any broker, and of the parties outside that
//! it speaks with.

/// Who speaks with whom: parties and gateways, with the services behind them.
const SPEAK_WITH: &[(&str, &[&str])] = &[
    ("bank", &["payment"]),
    ("webhooks", &["notification"]),
    ("venue", &["trade", "clearing", "settlement"]),
    ("identity", CALLED),
    ("client", CALLED),
    ("api-gateway", CALLED),
    ("market-integration-gateway", &["trade"]),
];

/// The services that clients call, through the gateways.
const CALLED: &[&str] = &["trade", "payment", "reference-data"];

/// The services that decide.
const SERVICES: &[&str] =
    &["reference-data", "trade", "position", "clearing", "settlement", "ledger", "payment", "notification"];

/// The services that a fault of this target is about: `position/1 | the rest`, `postgres/trade/primary`, `kafka/2`.
pub fn concerned(target: &str) -> Vec<&'static str> {
    SERVICES.iter().copied().filter(|service| concerns(target, service)).collect()
}

fn concerns(target: &str, service: &str) -> bool {
    let mut names = target.split([' ', ',', '|', ':', '(', ')']).filter(|name| !name.is_empty());
    names.any(|name| {
        let mut parts = name.split('/');
        match (parts.next(), parts.next()) {
            (Some("kafka"), _) => true,
            (Some("postgres"), database) => database.is_none_or(|database| database == service),
            (Some(first), _) => {
                let behind = SPEAK_WITH.iter().find(|(party, _)| *party == first);
                first == service || behind.is_some_and(|(_, services)| services.contains(&service))
            }
            (None, _) => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_concerned_by_what_it_is_and_speaks_with() {
        for target in
            ["position/1, position/2", "postgres/position/primary", "position/1 | the rest", "kafka/2"]
        {
            assert!(concerns(target, "position"), "{target}");
        }
        for target in ["trade/1 one way: all from it", "postgres/trade", "bank", "webhooks", "client/P01"] {
            assert!(!concerns(target, "position"), "{target}");
        }
        assert!(concerns("bank", "payment") && concerns("bank | the rest", "payment"));
        assert!(concerns("api-gateway/1", "trade") && concerns("identity", "trade"));
        assert!(concerns("trade/2 | postgres/clearing", "clearing"));
        assert!(!concerns("bank", "settlement"));
    }
}
