//! FIX 4.4 messages as clients write them: a TradeCaptureReport with a correct frame, or a broken one.
//!
//! Fakes the client's side of a session that is carried over HTTP: one message per request, no logon and no
//! heartbeats. The frame is that of FIX 4.4, volume 2: BodyLength (9) counts the characters after its own field
//! up to the CheckSum, and CheckSum (10) is the sum of all characters before it, modulo 256.

use model::{Date, Timestamp};

/// The delimiter of fields.
pub const SOH: char = '\u{1}';

const BEGIN_STRING: &str = "FIX.4.4";
const TARGET: &str = "BELLWETHER";
const ON_BOOK_TRADE: &str = "0";

/// A TradeCaptureReport (35=AE) of one trade between two accounts.
#[derive(Clone, Debug)]
pub struct TradeCaptureReport<'a> {
    pub sender: &'a str,
    pub sequence_number: u32,
    pub sending_time: Timestamp,
    /// When the trade was made; also when the report was sent first (OrigSendingTime).
    pub transacted: Timestamp,
    /// Sent before, and perhaps taken (PossDupFlag).
    pub possible_duplicate: bool,
    pub report_id: &'a str,
    /// Left out where it is `None`, to be refused for it.
    pub instrument: Option<&'a str>,
    pub quantity: &'a str,
    pub price: &'a str,
    pub trade_date: Date,
    pub buyer: &'a str,
    pub seller: &'a str,
}

/// What is wrong with the frame of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garbled {
    BodyLength,
    CheckSum,
}

impl TradeCaptureReport<'_> {
    /// The message, with a frame that is correct or wrong in one respect.
    pub fn encode(&self, garbled: Option<Garbled>) -> String {
        frame(&self.body(), garbled)
    }

    fn body(&self) -> String {
        let mut body = String::new();
        let mut field = |tag: u32, value: &str| body.push_str(&format!("{tag}={value}{SOH}"));
        let [sent, transacted] = [self.sending_time, self.transacted]
            .map(|instant| instant.strftime("%Y%m%d-%H:%M:%S%.3f").to_string());
        field(35, "AE");
        field(49, self.sender);
        field(56, TARGET);
        field(34, &self.sequence_number.to_string());
        if self.possible_duplicate {
            field(43, "Y");
        }
        field(52, &sent);
        if self.possible_duplicate {
            field(122, &transacted);
        }
        field(571, self.report_id);
        field(487, "0");
        field(828, ON_BOOK_TRADE);
        field(570, "N");
        if let Some(instrument) = self.instrument {
            field(55, instrument);
        }
        field(32, self.quantity);
        field(31, self.price);
        field(75, &self.trade_date.strftime("%Y%m%d").to_string());
        field(60, &transacted);
        field(552, "2");
        for (side, account) in [("1", self.buyer), ("2", self.seller)] {
            field(54, side);
            field(37, "NONE");
            field(1, account);
        }
        body
    }
}

fn frame(body: &str, garbled: Option<Garbled>) -> String {
    let off_by = |wrong: Garbled| usize::from(garbled == Some(wrong));
    let length = body.len() + off_by(Garbled::BodyLength);
    let message = format!("8={BEGIN_STRING}{SOH}9={length}{SOH}{body}");
    let sum = message.bytes().map(usize::from).sum::<usize>() + off_by(Garbled::CheckSum);
    format!("{message}10={:03}{SOH}", sum % 256)
}

/// The value of the first field with this tag in a message, such as an acknowledgement.
pub fn value(message: &str, tag: u32) -> Option<&str> {
    let prefix = format!("{tag}=");
    message.split(SOH).find_map(|field| field.strip_prefix(prefix.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> TradeCaptureReport<'static> {
        TradeCaptureReport {
            sender: "fix-P01",
            sequence_number: 7,
            sending_time: "2026-03-06T14:30:00.25Z".parse().expect("an instant"),
            transacted: "2026-03-06T14:30:00.25Z".parse().expect("an instant"),
            possible_duplicate: false,
            report_id: "open-1",
            instrument: Some("I01"),
            quantity: "100",
            price: "10.25",
            trade_date: Date::constant(2026, 3, 6),
            buyer: "A001",
            seller: "A002",
        }
    }

    /// What a receiver checks, written from the specification.
    fn frame_is_correct(message: &str) -> (bool, bool) {
        let trailer = message.rfind("10=").expect("a checksum");
        let body = message.find("\u{1}35=").expect("a body") + 1;
        let sum = message.as_bytes()[..trailer].iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        let length = value(message, 9).map(str::to_owned) == Some((trailer - body).to_string());
        (length, value(message, 10).map(str::to_owned) == Some(format!("{sum:03}")))
    }

    #[test]
    fn a_report_reads_as_the_specification_has_it() {
        let message = report().encode(None).replace(SOH, "|");
        assert_eq!(
            message,
            "8=FIX.4.4|9=196|35=AE|49=fix-P01|56=BELLWETHER|34=7|52=20260306-14:30:00.250|571=open-1|487=0|\
             828=0|570=N|55=I01|32=100|31=10.25|75=20260306|60=20260306-14:30:00.250|552=2|54=1|37=NONE|\
             1=A001|54=2|37=NONE|1=A002|10=177|"
        );
    }

    #[test]
    fn only_the_frame_that_was_garbled_is_wrong() {
        let duplicate = TradeCaptureReport { possible_duplicate: true, ..report() };
        assert_eq!(frame_is_correct(&report().encode(None)), (true, true));
        assert_eq!(frame_is_correct(&duplicate.encode(None)), (true, true));
        assert_eq!(frame_is_correct(&report().encode(Some(Garbled::BodyLength))), (false, true));
        assert_eq!(frame_is_correct(&report().encode(Some(Garbled::CheckSum))), (true, false));
    }

    #[test]
    fn a_missing_instrument_is_a_missing_tag() {
        let message = TradeCaptureReport { instrument: None, ..report() }.encode(None);
        assert_eq!((value(&message, 55), value(&message, 32)), (None, Some("100")));
        assert_eq!(frame_is_correct(&message), (true, true));
    }
}
