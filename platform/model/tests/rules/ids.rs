//! Ids: what they accept, and that they stay themselves through text and serde.

use model::ids::ID_LEN_MAX;
use model::{AccountId, IdError, TradeId, Uetr};
use proptest::prelude::*;

#[test]
fn each_reason_to_refuse_an_id() {
    assert_eq!(TradeId::new(""), Err(IdError::Empty));
    assert_eq!(TradeId::new(&"x".repeat(ID_LEN_MAX + 1)), Err(IdError::TooLong { len: 65 }));
    assert!(TradeId::new(&"x".repeat(ID_LEN_MAX)).is_ok());
    for (text, character, position) in [("a b", ' ', 1), ("a/b", '/', 1), ("é", 'é', 0), ("ab\n", '\n', 2)]
    {
        assert_eq!(TradeId::new(text), Err(IdError::Character { character, position }), "{text:?}");
    }
}

#[test]
fn a_uetr_is_a_version_4_uuid_in_lower_case() {
    let good = "eb6305c9-1f7a-49de-aed0-16487c27b42d";
    assert_eq!(good.parse::<Uetr>().expect(good).as_str(), good);
    for bad in [
        "",
        "EB6305C9-1F7A-49DE-AED0-16487C27B42D",
        "eb6305c9-1f7a-19de-aed0-16487c27b42d",
        "eb6305c9-1f7a-49de-ced0-16487c27b42d",
        "eb6305c91f7a49deaed016487c27b42d",
        "eb6305c9-1f7a-49de-aed0-16487c27b42d0",
        "gb6305c9-1f7a-49de-aed0-16487c27b42d",
    ] {
        assert_eq!(Uetr::new(bad), Err(IdError::NotAUetr { text: bad.into() }));
    }
}

#[test]
fn house_accounts_are_known_by_name_alone() {
    model::warm_up();
    for house in [AccountId::ccp(), AccountId::suspense(), AccountId::world()] {
        assert!(house.is_house());
        assert_eq!(AccountId::new(house.as_str()), Ok(house));
    }
    assert!(["ccp", "CCP1", "ACC-1"].iter().all(|text| !AccountId::new(text).expect(text).is_house()));
}

#[test]
fn serde_checks_what_it_reads() {
    assert!(serde_json::from_str::<TradeId>("\"T-1\"").is_ok());
    for bad in ["\"\"", "\"a b\"", "1"] {
        assert!(serde_json::from_str::<TradeId>(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn accepted_exactly_within_the_alphabet(text in "[A-Za-z0-9._ /é-]{0,66}") {
        let allowed = |c: char| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-');
        let expected = (1..=64).contains(&text.len()) && text.chars().all(allowed);
        prop_assert_eq!(TradeId::new(&text).is_ok(), expected);
    }

    #[test]
    fn ids_order_and_survive_as_their_text(left in "[A-Za-z0-9._-]{1,64}", right in "[A-Za-z0-9._-]{1,64}") {
        let (a, b) = (TradeId::new(&left).expect("valid"), TradeId::new(&right).expect("valid"));
        prop_assert_eq!(a.cmp(&b), left.cmp(&right));
        let stored = serde_json::to_string(&a).expect("text");
        prop_assert_eq!(&stored, &format!("\"{left}\""));
        prop_assert_eq!(serde_json::from_str::<TradeId>(&stored).expect("the same"), a);
    }
}
