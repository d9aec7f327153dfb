//! Short text of events and messages: their `Debug` text without what says nothing (default values, `Some`,
//! a type's name after a variant of that name), and a trade on one glance.

use std::fmt::Debug;

/// One line, such as `Reserved{trade=T-1 A-1<-A-2 100 IBM @ 10.00 USD}`.
pub fn compact(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    let mut reader = Reader { rest: &text };
    let node = reader.node();
    assert!(reader.rest.is_empty(), "not the Debug text of plain data: {text}");
    node.render()
}

/// A value as `Debug` writes it.
enum Node {
    /// A number, a quoted text without its quotes, a unit variant.
    Word(String),
    Fields(String, Vec<(String, Node)>),
    Tuple(String, Vec<Node>),
    List(Vec<Node>),
}

impl Node {
    fn is_default(&self) -> bool {
        match self {
            Self::Word(word) => matches!(word.as_str(), "" | "0" | "false" | "None" | "Unspecified"),
            Self::List(items) => items.is_empty(),
            Self::Fields(..) | Self::Tuple(..) => false,
        }
    }

    fn render(&self) -> String {
        match self {
            Self::Word(word) => word.clone(),
            Self::Fields(name, fields) if name == "Trade" => trade(fields),
            Self::Fields(name, fields) => {
                let shown = fields.iter().filter(|(_, value)| !value.is_default());
                let shown: Vec<String> =
                    shown.map(|(field, value)| format!("{field}={}", value.render())).collect();
                format!("{name}{{{}}}", shown.join(" "))
            }
            Self::Tuple(name, items) => match (name.as_str(), items.as_slice()) {
                ("Some", [only]) => only.render(),
                // A variant and the message in it: the variant's name is enough.
                (variant, [Self::Fields(message, fields)]) if message != "Trade" => Self::Fields(
                    variant.to_owned(),
                    fields.iter().map(|(n, v)| (n.clone(), v.copy())).collect(),
                )
                .render(),
                (variant, items) => format!("{variant}({})", render_all(items)),
            },
            Self::List(items) => format!("[{}]", render_all(items)),
        }
    }

    fn copy(&self) -> Self {
        match self {
            Self::Word(word) => Self::Word(word.clone()),
            Self::Fields(name, fields) => {
                Self::Fields(name.clone(), fields.iter().map(|(n, v)| (n.clone(), v.copy())).collect())
            }
            Self::Tuple(name, items) => Self::Tuple(name.clone(), items.iter().map(Self::copy).collect()),
            Self::List(items) => Self::List(items.iter().map(Self::copy).collect()),
        }
    }
}

fn render_all(items: &[Node]) -> String {
    items.iter().map(Node::render).collect::<Vec<_>>().join(", ")
}

/// `T-1 buyer<-seller 100 IBM @ 10.00 USD of 2026-03-06`.
fn trade(fields: &[(String, Node)]) -> String {
    let get = |name: &str| {
        let field = fields.iter().find(|(field, _)| field == name);
        field.map(|(_, value)| value.render()).unwrap_or_default()
    };
    let [id, quantity, instrument] = ["trade_id", "quantity", "instrument_id"].map(get);
    let [buyer, seller] = ["buyer_account_id", "seller_account_id"].map(get);
    let mut text = format!("{id} {buyer}<-{seller} {quantity} {instrument} @ {}", get("price"));
    for (before, field) in [(" ", "currency"), (" of ", "trade_date")] {
        match get(field) {
            missing if missing.is_empty() => {}
            value => text.extend([before, &value]),
        }
    }
    text
}

/// Reads `Debug` text of plain data.
struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn node(&mut self) -> Node {
        if self.rest.starts_with('"') {
            return Node::Word(self.quoted());
        }
        if self.skip("[") {
            return Node::List(self.until("]", Self::node));
        }
        let name = self.word();
        if self.skip(" {") || self.skip("{") {
            return Node::Fields(
                name,
                self.until("}", |reader| {
                    let field = reader.word();
                    assert!(reader.skip(":"), "a field has a value: {}", reader.rest);
                    reader.skip(" ");
                    (field, reader.node())
                }),
            );
        }
        if self.skip("(") {
            return Node::Tuple(name, self.until(")", Self::node));
        }
        Node::Word(name)
    }

    fn until<T>(&mut self, end: &str, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut items = Vec::new();
        loop {
            self.rest = self.rest.trim_start_matches([' ', ',']);
            if self.skip(end) {
                return items;
            }
            items.push(item(self));
        }
    }

    fn skip(&mut self, text: &str) -> bool {
        self.rest.strip_prefix(text).map(|rest| self.rest = rest).is_some()
    }

    fn word(&mut self) -> String {
        // A field whose name is a keyword.
        self.skip("r#");
        let is_end = |c: char| !(c.is_alphanumeric() || "_-.".contains(c));
        let end = self.rest.find(is_end).unwrap_or(self.rest.len());
        assert!(end > 0, "a name or a number: {}", self.rest);
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.to_owned()
    }

    fn quoted(&mut self) -> String {
        let mut text = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return text;
                }
                '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
                other => text.push(other),
            }
        }
        panic!("a text without its end: {}", self.rest);
    }
}

#[cfg(test)]
mod tests {
    use contracts::Message;
    use contracts::events::*;

    use super::*;

    #[test]
    fn says_what_is_there_and_nothing_else() {
        let trade = Trade {
            trade_id: "T-1".into(),
            instrument_id: "IBM".into(),
            buyer_account_id: "A-1".into(),
            seller_account_id: "A-2".into(),
            quantity: 100,
            price: "10.00".into(),
            currency: "USD".into(),
            trade_date: String::new(),
        };
        let rejected = TradeRejected {
            trade: Some(trade),
            by: "position".into(),
            reason: RejectReason::Oversell.into(),
            detail: "free 3, \"wanted\" 100".into(),
        };
        assert_eq!(
            compact(&Message::from(rejected)),
            r#"TradeRejected{trade=T-1 A-1<-A-2 100 IBM @ 10.00 USD by=position reason=Oversell detail=free 3, "wanted" 100}"#
        );
        let entry = LedgerEvent {
            legs: vec![LedgerLeg { account_id: "A-1".into(), asset: "USD".into(), amount: "-1.00".into() }],
            ..LedgerEvent::default()
        };
        assert_eq!(compact(&entry), "LedgerEvent{legs=[LedgerLeg{account_id=A-1 asset=USD amount=-1.00}]}");
    }
}
