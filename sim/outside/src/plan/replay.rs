//! Real order flow: each execution of a LOBSTER message file becomes a trade at its time of day.
//!
//! Columns: seconds after midnight with a fraction, type, order id, size, price in 1e-4 USD, direction. Types 4
//! (execution of a visible order) and 5 (of a hidden one) are executions. Accounts are drawn from the seed;
//! times, sizes and prices are the file's, also where a price is finer than the tick. Format: LOBSTER's "output
//! structure", <https://lobsterdata.com/info/DataStructure.php>.

use jiff::civil::Time;
use jiff::{SignedDuration, Timestamp};
use model::Date;
use rust_decimal::Decimal;
use scenario::profiles::Replay;

use super::operation::{Ask, Intent, Operation, TradeForm};
use super::trades::Matcher;
use super::workload::{Brief, PlanError};
use super::world::REPLAY_PREFIX;
use crate::draw::Streams;

/// Profile `replay`.
pub(super) fn draw(brief: &Brief<'_>, streams: &mut Streams<'_>) -> Result<Vec<Operation>, PlanError> {
    let params: Replay = brief.load.params();
    let file = &params.file;
    let text = (brief.files)(file).map_err(|why| PlanError::File { file: file.clone(), why })?;
    let executions = executions(&text).map_err(|(line, why)| PlanError::Row {
        file: file.clone(),
        line,
        why: why.to_owned(),
    })?;
    let mut matcher = Matcher::new(brief, &params.buyers, &params.sellers, streams);
    let instrument = brief.world.instrument(params.instrument);
    let mut operations = Vec::new();
    for window in &brief.windows {
        let midnight = midnight(brief, brief.date(window.0))?;
        for execution in &executions {
            let at = midnight + execution.after_midnight;
            if at < window.0 || at >= window.1 {
                continue;
            }
            let pair = matcher.pair(brief)?;
            let trade = TradeForm {
                instrument: instrument.to_owned(),
                buyer: pair.buyer.id.clone(),
                seller: pair.seller.id.clone(),
                quantity: execution.size.to_string(),
                price: execution.price.to_string(),
            };
            operations.push(Operation {
                at,
                client: format!("{REPLAY_PREFIX}{}", pair.submitter.participant),
                key: brief.key(operations.len() + 1),
                intent: Intent::Ordinary,
                ask: Ask::Trade(trade),
            });
        }
    }
    Ok(brief.with_duplicates(operations, params.retry_ppm.0, streams))
}

/// The instant from which the file counts its seconds. No session day changes its clocks after midnight.
fn midnight(brief: &Brief<'_>, date: Date) -> Result<Timestamp, PlanError> {
    let midnight = brief.calendar.zone().to_timestamp(date.to_datetime(Time::midnight()));
    midnight.map_err(|error| PlanError::Times(format!("{date}: {error}")))
}

#[derive(Debug, PartialEq, Eq)]
struct Execution {
    after_midnight: SignedDuration,
    size: u64,
    /// Four decimals, as in the file.
    price: Decimal,
}

/// The executions of a file, or the line that is wrong and why.
fn executions(text: &str) -> Result<Vec<Execution>, (usize, &'static str)> {
    let rows = text.lines().zip(1..).filter(|(row, _)| !row.is_empty());
    let read = |(row, line)| read_row(row).map_err(|why| (line, why)).transpose();
    rows.filter_map(read).collect()
}

fn read_row(row: &str) -> Result<Option<Execution>, &'static str> {
    let columns: Vec<&str> = row.split(',').map(str::trim).collect();
    let [time, kind, _, size, price, _] = columns.as_slice() else {
        return Err("a row has six columns");
    };
    if !matches!(*kind, "4" | "5") {
        return Ok(None);
    }
    let price: i64 = price.parse().map_err(|_| "the price is a whole number of 1e-4 USD")?;
    Ok(Some(Execution {
        after_midnight: seconds(time).ok_or("the time is seconds after midnight")?,
        size: size.parse().map_err(|_| "the size is a whole number")?,
        price: Decimal::new(price, 4),
    }))
}

/// Seconds with up to nine decimals, exactly.
fn seconds(text: &str) -> Option<SignedDuration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    Some(SignedDuration::new(whole.parse().ok()?, format!("{fraction:0<9}").parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_keep_time_size_and_price_exactly() {
        let text = "34200.004241176,1,16113575,18,5853300,1\n\
                    34200.00426064,4,16113584,18,5853201,1\n\
                    34201,5,0,100,900,-1\n";
        let expected = [
            (SignedDuration::new(34_200, 4_260_640), 18, "585.3201"),
            (SignedDuration::new(34_201, 0), 100, "0.0900"),
        ]
        .map(|(after_midnight, size, price)| Execution {
            after_midnight,
            size,
            price: price.parse().expect("a decimal"),
        });
        assert_eq!(executions(text), Ok(expected.into()));
    }

    #[test]
    fn a_row_that_does_not_read_is_named() {
        for (row, why) in [
            ("34200.1,4,1,18,5853300", "a row has six columns"),
            ("34200.1,4,1,18,585.33,1", "the price is a whole number of 1e-4 USD"),
            ("34200.1,4,1,-18,5853300,1", "the size is a whole number"),
            ("34200.0000000001,4,1,18,5853300,1", "the time is seconds after midnight"),
            (".5,4,1,18,5853300,1", "the time is seconds after midnight"),
        ] {
            assert_eq!(executions(&format!("34200.1,1,1,1,1,1\n{row}\n")), Err((2, why)));
        }
    }
}
