//! TradeCaptureReport (35=AE) in, TradeCaptureReportAck (35=AR), Reject (35=3) and BusinessMessageReject
//! (35=j) out (FIX 4.4, volume 5; TradeID 1003 is FIX 5.0's).
//!
//! A report has two sides (552=2): side 1 names the buyer's account, side 2 the seller's. Only new trades are
//! read: a report that cancels or replaces another (487 not 0) is refused, never taken for a new one.

use bytes::Bytes;
use model::{AccountId, Date, InstrumentId, Price, Time, Timestamp};
use serde_json::json;

use super::fix::{self, Fault, Message, Reason, fault};
use super::tags::{
    self, ACCOUNT, MSG_TYPE, NO_SIDES, ORDER_ID, ORIG_SENDING_TIME, POSS_DUP, SIDE, SIDE_FIELDS,
};
use crate::support::request::is_key;

/// The platform's TargetCompID.
const COMP_ID: &str = "BELLWETHER";
/// The longest number that is read, in characters: none that means something is longer.
const NUMBER_LEN_MAX: usize = 40;

/// A report that can be a trade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// TradeReportID
    pub id: String,
    symbol: InstrumentId,
    buyer: AccountId,
    seller: AccountId,
    quantity: u64,
    price: String,
    trade_date: Date,
}

/// Whom an answer goes to, and what it refers to. Carried by a forwarded request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counterparty {
    pub sender: String,
    sequence: String,
    msg_type: String,
    report: String,
    symbol: String,
    /// When the message arrived: the answer's SendingTime.
    at: Timestamp,
}

/// A message that could not be read.
#[derive(Clone, Debug)]
pub struct Rejected {
    counterparty: Counterparty,
    fault: Fault,
}

/// Reads a report.
///
/// # Errors
/// The first fault, with whom to tell.
pub fn read(bytes: &[u8], at: Timestamp) -> Result<(Report, Counterparty), Rejected> {
    let echo = |tag| fix::salvage(bytes, tag).unwrap_or_default();
    let counterparty = Counterparty {
        sender: echo(49),
        sequence: echo(34),
        msg_type: echo(MSG_TYPE),
        report: echo(571),
        symbol: echo(55),
        at,
    };
    let report = fix::decode(bytes).and_then(|message| report(&message));
    match report {
        Ok(report) => Ok((report, counterparty)),
        Err(fault) => Err(Rejected { counterparty, fault }),
    }
}

impl Report {
    /// As the trade service reads it.
    pub fn to_json(&self) -> Bytes {
        let body = json!({
            "instrumentId": self.symbol.as_str(),
            "buyerAccountId": self.buyer.as_str(),
            "sellerAccountId": self.seller.as_str(),
            "quantity": self.quantity,
            "price": self.price,
            "tradeDate": self.trade_date.to_string(),
        });
        body.to_string().into()
    }
}

impl Rejected {
    /// 35=3
    pub fn render(&self) -> Bytes {
        let Fault { tag, reason, text } = &self.fault;
        let reference = if self.counterparty.sequence.is_empty() { "0" } else { &self.counterparty.sequence };
        let mut fields = answers::head(&self.counterparty, "3");
        fields.push((45, reference.to_owned()));
        if *tag != 0 {
            fields.push((371, tag.to_string()));
        }
        if !self.counterparty.msg_type.is_empty() {
            fields.push((372, self.counterparty.msg_type.clone()));
        }
        fields.push((373, (*reason as u32).to_string()));
        fields.push((58, text.clone()));
        fix::encode(&fields)
    }
}

fn report(message: &Message) -> Result<Report, Fault> {
    if message.fields.first().is_none_or(|(tag, value)| (*tag, value.as_str()) != (MSG_TYPE, "AE")) {
        return Err(fault(MSG_TYPE, Reason::InvalidMsgType, "only TradeCaptureReport (AE) is taken here"));
    }
    tags::check(message)?;
    let (body, sides) = split_sides(message)?;
    check_header(&body)?;
    let one = |tag: u32, name: &str| single(&body, tag, name);
    let id = one(571, "TradeReportID")?;
    if !is_key(id) {
        return Err(fault(571, Reason::ValueIncorrect, "TradeReportID is not 1 to 128 plain characters"));
    }
    if !["Y", "N"].contains(&one(570, "PreviouslyReported")?) {
        return Err(fault(570, Reason::IncorrectDataFormat, "PreviouslyReported is Y or N"));
    }
    only_new_trades(&body)?;
    utc_timestamp(one(60, "TransactTime")?, 60)?;
    let (buyer, seller) = accounts(&sides)?;
    tags::check_once(&body)?;
    Ok(Report {
        id: id.to_owned(),
        symbol: parsed(one(55, "Symbol")?, 55)?,
        buyer,
        seller,
        quantity: quantity(one(32, "LastQty")?)?,
        price: price(one(31, "LastPx")?)?,
        trade_date: local_date(one(75, "TradeDate")?)?,
    })
}

/// Who sends what to whom, and when. Whether it is a duplicate is TradeReportID's to tell: the flag has to be one.
fn check_header(body: &Body<'_>) -> Result<(), Fault> {
    let one = |tag: u32, name: &str| single(body, tag, name);
    if !is_key(one(49, "SenderCompID")?) {
        return Err(fault(49, Reason::ValueIncorrect, "SenderCompID is not a plain name"));
    }
    if one(56, "TargetCompID")? != COMP_ID {
        return Err(fault(56, Reason::CompIdProblem, format!("TargetCompID is {COMP_ID}")));
    }
    whole_number(one(34, "MsgSeqNum")?, 34)?;
    utc_timestamp(one(52, "SendingTime")?, 52)?;
    match body.iter().find(|(tag, _)| *tag == POSS_DUP) {
        Some((_, "Y")) => utc_timestamp(one(ORIG_SENDING_TIME, "OrigSendingTime")?, ORIG_SENDING_TIME),
        None | Some((_, "N")) => Ok(()),
        Some(_) => Err(fault(POSS_DUP, Reason::IncorrectDataFormat, "PossDupFlag is Y or N")),
    }
}

type Body<'a> = Vec<(u32, &'a str)>;

/// The fields outside the group of sides, and each side's fields.
fn split_sides(message: &Message) -> Result<(Body<'_>, Vec<Body<'_>>), Fault> {
    let (mut body, mut sides): (Body<'_>, Vec<Body<'_>>) = (Vec::new(), Vec::new());
    let mut in_group = false;
    for (tag, value) in &message.fields {
        in_group = *tag == NO_SIDES || (in_group && SIDE_FIELDS.contains(tag));
        match (*tag, sides.last_mut()) {
            (NO_SIDES, _) => body.push((NO_SIDES, value)),
            (SIDE, _) if in_group => sides.push(vec![(SIDE, value)]),
            (tag, Some(side)) if in_group => side.push((tag, value)),
            (tag @ (SIDE | ORDER_ID | ACCOUNT), _) => {
                return Err(fault(
                    tag,
                    Reason::TagOutOfOrder,
                    "a side's field outside the group of NoSides, or before Side",
                ));
            }
            (tag, _) => body.push((tag, value)),
        }
    }
    let stated = single(&body, NO_SIDES, "NoSides")?;
    if stated != "2" {
        return Err(fault(NO_SIDES, Reason::ValueIncorrect, "NoSides is 2: a buyer and a seller"));
    }
    if sides.len() != 2 {
        let text = format!("{} sides follow NoSides=2", sides.len());
        return Err(fault(NO_SIDES, Reason::IncorrectNumInGroup, text));
    }
    Ok((body, sides))
}

/// The value of a required field that stands once.
fn single<'a>(fields: &[(u32, &'a str)], tag: u32, name: &str) -> Result<&'a str, Fault> {
    let mut values = fields.iter().filter(|(field, _)| *field == tag).map(|(_, value)| *value);
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(fault(tag, Reason::RequiredTagMissing, format!("{name} is required"))),
        (Some(_), Some(_)) => Err(fault(tag, Reason::TagAppearsTwice, format!("{name} appears twice"))),
    }
}

/// TradeReportTransType (487), ExecType (150) and TrdType (828) may be left out, and mean a new, regular trade
/// where they stand.
fn only_new_trades(body: &Body<'_>) -> Result<(), Fault> {
    for (tag, only, name) in
        [(487, "0", "TradeReportTransType"), (150, "F", "ExecType"), (828, "0", "TrdType")]
    {
        if body.iter().any(|(field, value)| *field == tag && *value != only) {
            return Err(fault(tag, Reason::ValueIncorrect, format!("{name} is {only}: only new trades")));
        }
    }
    Ok(())
}

/// Account of side 1 (buy) and of side 2 (sell).
fn accounts(sides: &[Body<'_>]) -> Result<(AccountId, AccountId), Fault> {
    let (mut buyer, mut seller) = (None, None);
    for side in sides {
        single(side, ORDER_ID, "OrderID")?;
        let account = parsed::<AccountId>(single(side, ACCOUNT, "Account")?, ACCOUNT)?;
        match single(side, SIDE, "Side")? {
            "1" => buyer = Some(account),
            "2" => seller = Some(account),
            _ => return Err(fault(SIDE, Reason::ValueIncorrect, "Side is 1 (buy) or 2 (sell)")),
        }
        tags::check_once(side)?;
    }
    buyer.zip(seller).ok_or_else(|| fault(SIDE, Reason::ValueIncorrect, "one side buys and one sells"))
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str, tag: u32) -> Result<T, Fault> {
    text.parse().map_err(|error: T::Err| fault(tag, Reason::ValueIncorrect, error.to_string()))
}

fn whole_number(text: &str, tag: u32) -> Result<u64, Fault> {
    let digits = text.len() <= NUMBER_LEN_MAX && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or_else(|| fault(tag, Reason::IncorrectDataFormat, format!("`{text}` is not a whole number")))
}

/// FIX writes quantities as decimals: `100` and `100.00` are whole.
fn quantity(text: &str) -> Result<u64, Fault> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte == b'0') {
        return Err(fault(32, Reason::ValueIncorrect, "LastQty is not a whole number of shares"));
    }
    whole_number(whole, 32)
}

/// Readable as a price. Whether it is a good one is the trade service's to say.
fn price(text: &str) -> Result<String, Fault> {
    use model::AmountError::{NotPositive, TooManyDecimals};
    if text.len() > NUMBER_LEN_MAX {
        return Err(fault(31, Reason::IncorrectDataFormat, "LastPx has too many digits"));
    }
    match text.parse::<Price>() {
        Ok(_) | Err(NotPositive | TooManyDecimals { .. }) => Ok(text.to_owned()),
        Err(error) => Err(fault(31, Reason::IncorrectDataFormat, error.to_string())),
    }
}

/// LocalMktDate: YYYYMMDD.
fn local_date(text: &str) -> Result<Date, Fault> {
    date(text).ok_or_else(|| fault(75, Reason::IncorrectDataFormat, "TradeDate is not YYYYMMDD"))
}

/// UTCTimestamp: YYYYMMDD-HH:MM:SS, with or without milliseconds.
fn utc_timestamp(text: &str, tag: u32) -> Result<(), Fault> {
    let is_one = text.split_once('-').is_some_and(|(day, time)| {
        let (seconds, millis) = time.split_once('.').unwrap_or((time, "000"));
        let digits = millis.len() == 3 && millis.bytes().all(|byte| byte.is_ascii_digit());
        date(day).is_some() && seconds.len() == 8 && seconds.parse::<Time>().is_ok() && digits
    });
    let text = || format!("`{text}` is not YYYYMMDD-HH:MM:SS[.sss]");
    if is_one { Ok(()) } else { Err(fault(tag, Reason::IncorrectDataFormat, text())) }
}

fn date(text: &str) -> Option<Date> {
    let is_digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits.then(|| format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..]).parse().ok())?
}

/// What is sent back.
pub mod answers {
    use super::{Bytes, COMP_ID, Counterparty, fix};

    /// 35=AR, accepted.
    pub fn accepted(to: &Counterparty, trade: &str) -> Bytes {
        let mut fields = acknowledgement(to);
        fields.extend([(939, "0".to_owned()), (1003, trade.to_owned())]);
        fix::encode(&fields)
    }

    /// 35=AR, rejected. `trade` is empty where none was made of it.
    pub fn refused(to: &Counterparty, trade: &str, reason: &str) -> Bytes {
        let mut fields = acknowledgement(to);
        // TradeReportRejectReason 99: other, as Text says.
        fields.extend([(939, "1".to_owned()), (751, "99".to_owned()), (58, reason.to_owned())]);
        if !trade.is_empty() {
            fields.push((1003, trade.to_owned()));
        }
        fix::encode(&fields)
    }

    /// 35=j, BusinessRejectReason 4: the application is not available.
    pub fn come_again(to: &Counterparty, detail: &str) -> Bytes {
        let mut fields = head(to, "j");
        fields.extend([(45, to.sequence.clone()), (372, to.msg_type.clone()), (379, to.report.clone())]);
        let detail = if detail.is_empty() { "not available" } else { detail };
        fields.extend([(380, "4".to_owned()), (58, detail.to_owned())]);
        fix::encode(&fields)
    }

    /// The standard header, to whom the message came from.
    pub fn head(to: &Counterparty, msg_type: &str) -> Vec<(u32, String)> {
        let sender = if to.sender.is_empty() { "UNKNOWN".to_owned() } else { to.sender.clone() };
        let sequence = if to.sequence.is_empty() { "0".to_owned() } else { to.sequence.clone() };
        vec![
            (35, msg_type.to_owned()),
            (49, COMP_ID.to_owned()),
            (56, sender),
            (34, sequence),
            (52, to.at.strftime("%Y%m%d-%H:%M:%S%.3f").to_string()),
        ]
    }

    fn acknowledgement(to: &Counterparty) -> Vec<(u32, String)> {
        let mut fields = head(to, "AR");
        fields.extend([
            (571, to.report.clone()),
            (487, "0".to_owned()),
            (150, "F".to_owned()),
            (55, to.symbol.clone()),
        ]);
        fields
    }
}
