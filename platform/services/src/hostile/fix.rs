//! FIX: every error is a Reject (35=3) with the tag and the reason, and nothing is forwarded.

use super::*;
use crate::market_integration_gateway::MarketIntegrationGateway;
use crate::support::body::BODY_LEN_MAX;
use crate::testing::request;

/// A good report without its frame; `|` stands for SOH.
pub const REPORT: &str = "35=AE|49=BROKER|56=BELLWETHER|34=7|52=20260306-14:30:00.000|571=R-1|570=N|55=IBM|32=100|31=10.00|\
    75=20260306|60=20260306-14:29:59|552=2|54=1|37=O-1|1=A-1|54=2|37=O-2|1=A-2|";

/// Frames a text, whatever it is: with the right length and sum.
pub fn framed(body: &str) -> Vec<u8> {
    framed_bytes(body.replace('|', "\u{1}").as_bytes())
}

fn framed_bytes(body: &[u8]) -> Vec<u8> {
    let head = format!("8=FIX.4.4\u{1}9={}\u{1}", body.len());
    summed([head.as_bytes(), body].concat())
}

fn summed(message: Vec<u8>) -> Vec<u8> {
    let sum = message.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    [message, format!("10={sum:03}\u{1}").into_bytes()].concat()
}

pub fn message(bytes: &[u8]) -> Request<Bytes> {
    let request = request(Method::POST, "/api/v1/fix", &[("content-type", "application/fix")], "");
    request.map(|_| Bytes::copy_from_slice(bytes))
}

/// `371=32 373=6`, or `forwarded`.
pub fn told(bytes: &[u8]) -> String {
    match ask(&MarketIntegrationGateway, message(bytes)) {
        Ok(_) => "forwarded".to_owned(),
        Err(response) => {
            assert_eq!(
                (response.status().as_u16(), &response.headers()["content-type"]),
                (400, &"application/fix".parse().expect("a value"))
            );
            let text = String::from_utf8(response.into_body().to_vec()).expect("ASCII");
            assert!(text.bytes().all(|byte| byte == 1 || (b' '..=b'~').contains(&byte)), "{text:?}");
            let value = |tag: &str| {
                let prefix = format!("{tag}=");
                text.split('\u{1}').find_map(|field| field.strip_prefix(&prefix)).map(str::to_owned)
            };
            assert_eq!(
                (value("8").as_deref(), value("49").as_deref()),
                (Some("FIX.4.4"), Some("BELLWETHER"))
            );
            let tag = value("371").map(|tag| format!("371={tag} ")).unwrap_or_default();
            format!("{tag}373={}", value("373").expect("a reason"))
        }
    }
}

#[test]
fn a_frame_that_is_wrong_is_rejected_with_its_tag() {
    let good = framed(REPORT);
    assert_eq!(told(&good), "forwarded");
    let body = REPORT.replace('|', "\u{1}");
    let length = body.len();
    let with_head = |head: String| summed([head.as_bytes(), body.as_bytes()].concat());
    for (what, bytes, expected) in [
        ("nothing", Vec::new(), "371=8 373=1"),
        ("no SOH", b"8=FIX.4.4".to_vec(), "371=10 373=6"),
        (
            "another separator",
            good.iter().map(|byte| if *byte == 1 { b'|' } else { *byte }).collect(),
            "371=10 373=6",
        ),
        ("only SOH", vec![1; 100], "373=0"),
        ("a line end behind it", [&good[..], b"\r\n"].concat(), "371=10 373=6"),
        ("a message behind it", [&good[..], &good[..]].concat(), "371=9 373=5"),
        ("a NUL before it", [b"\0", &good[..]].concat(), "373=0"),
        ("no BeginString", summed(format!("9={length}\u{1}{body}").into_bytes()), "371=8 373=14"),
        ("FIX 4.2", with_head(format!("8=FIX.4.2\u{1}9={length}\u{1}")), "371=8 373=5"),
        ("no BodyLength", with_head("8=FIX.4.4\u{1}".into()), "371=9 373=14"),
        ("BodyLength one short", with_head(format!("8=FIX.4.4\u{1}9={}\u{1}", length - 1)), "371=9 373=5"),
        ("BodyLength negative", with_head(format!("8=FIX.4.4\u{1}9=-{length}\u{1}")), "371=9 373=6"),
        ("BodyLength absurd", with_head(format!("8=FIX.4.4\u{1}9={}\u{1}", "9".repeat(400))), "371=9 373=6"),
        (
            "BodyLength twice",
            with_head(format!("8=FIX.4.4\u{1}9={length}\u{1}9={length}\u{1}")),
            "371=9 373=5",
        ),
        (
            "MsgType not third",
            framed(&REPORT.replacen("35=AE|49=BROKER|", "49=BROKER|35=AE|", 1)),
            "371=35 373=14",
        ),
    ] {
        assert_eq!(told(&bytes), expected, "{what}");
    }
    let sum_at = good.len() - 4;
    for sum in ["000", "999", "  1", "-01", "abc"] {
        let broken = [&good[..sum_at], sum.as_bytes(), b"\x01"].concat();
        assert_eq!(told(&broken), "371=10 373=5", "{sum}");
    }
    for sum in ["1", "0001", "00000000000000000001"] {
        let broken = [&good[..sum_at], sum.as_bytes(), b"\x01"].concat();
        assert_eq!(told(&broken), "371=10 373=5", "{sum}");
    }
}

#[test]
fn a_field_that_is_wrong_is_rejected_with_its_tag() {
    for (from, to, expected) in [
        ("35=AE", "35=D", "371=35 373=11"),
        ("35=AE", "35=A", "371=35 373=11"),
        ("35=AE", "35=ae", "371=35 373=11"),
        ("35=AE|", "35=AE|35=AE|", "371=35 373=13"),
        ("49=BROKER|", "49=BROKER|49=OTHER|", "371=49 373=13"),
        ("56=BELLWETHER", "56=OTHERHOUSE", "371=56 373=9"),
        ("34=7", "34=-7", "371=34 373=6"),
        ("34=7", "34=99999999999999999999", "371=34 373=6"),
        ("34=7|", "34=7|43=X|", "371=43 373=6"),
        ("34=7|", "34=7|43=Y|", "371=122 373=1"),
        ("34=7|", "34=7|43=Y|122=yesterday|", "371=122 373=6"),
        ("34=7|", "34=7|115=OTHER|", "371=115 373=2"),
        ("34=7|", "34=7|90=4|91=abcd|", "371=90 373=2"),
        ("570=N|", "570=N|56=BELLWETHER|", "371=56 373=14"),
        ("570=N|", "570=N|52=20260306-14:30:00|", "371=52 373=14"),
        ("570=N|", "570=N|15=EUR|", "371=15 373=2"),
        ("570=N|", "570=N|64=20300101|", "371=64 373=2"),
        ("570=N|", "570=N|5001=x|", "371=5001 373=3"),
        ("570=N|", "570=N|4294967295=x|", "371=4294967295 373=3"),
        ("570=N|", "570=N|4294967296=x|", "373=0"),
        ("570=N|", "570=N|0=x|", "373=0"),
        ("570=N|", "570=N|-1=x|", "373=0"),
        ("570=N|", "570=N|+55=x|", "373=0"),
        ("570=N|", "570=N| 55=x|", "373=0"),
        ("570=N|", "570=N|828=1|", "371=828 373=5"),
        ("570=N|", "570=N|487=2|", "371=487 373=5"),
        ("570=N|", "570=N|58=a|58=b|", "371=58 373=13"),
        ("55=IBM|", "55=IBM|55=IBM|", "371=55 373=13"),
        ("55=IBM", "55=I\u{410}M", "371=55 373=6"),
        ("55=IBM", "55=IBM\0", "371=55 373=6"),
        ("55=IBM", "55=\u{202e}MBI", "371=55 373=6"),
        ("55=IBM", "55=../IBM", "371=55 373=5"),
        ("55=IBM", "55=", "371=55 373=4"),
        ("55=IBM|", "55|", "373=0"),
        ("32=100", "32=-100", "371=32 373=6"),
        ("32=100", "32=1e9", "371=32 373=6"),
        ("32=100", "32=NaN", "371=32 373=6"),
        ("32=100", "32=0x64", "371=32 373=6"),
        ("32=100", "32=1,000", "371=32 373=6"),
        ("32=100", "32=18446744073709551616", "371=32 373=6"),
        ("32=100", "32=100.5", "371=32 373=5"),
        ("32=100", "32=.", "371=32 373=6"),
        ("31=10.00", "31=1e3", "371=31 373=6"),
        ("31=10.00", "31=+10", "371=31 373=6"),
        ("31=10.00", "31=10.00.00", "371=31 373=6"),
        ("31=10.00", "31=99999999999999999999999999999999", "371=31 373=6"),
        ("75=20260306", "75=20260229", "371=75 373=6"),
        ("75=20260306", "75=00000000", "371=75 373=6"),
        ("75=20260306", "75=2026-3-6", "371=75 373=6"),
        ("75=20260306", "75=-2026036", "371=75 373=6"),
        ("60=20260306-14:29:59", "60=20260306", "371=60 373=6"),
        ("60=20260306-14:29:59", "60=20260306-14:60:59", "371=60 373=6"),
        ("60=20260306-14:29:59", "60=20260306-14:29:59.1234567", "371=60 373=6"),
        ("52=20260306-14:30:00.000", "52=0", "371=52 373=6"),
        ("552=2", "552=-1", "371=552 373=5"),
        ("552=2", "552=4294967295", "371=552 373=5"),
        ("552=2|", "552=2|552=2|", "371=552 373=13"),
        ("54=2|37=O-2|1=A-2|", "54=2|37=O-2|1=A-2|54=2|37=O-3|1=A-3|", "371=552 373=16"),
        ("1=A-2|", "1=A-2|1=A-3|", "371=1 373=13"),
        ("1=A-2|", "1=A-2|11=x|11=y|", "371=11 373=13"),
        ("1=A-2", "1=A-\u{ff12}", "371=1 373=6"),
    ] {
        assert!(REPORT.contains(from), "{from}");
        assert_eq!(told(&framed(&REPORT.replacen(from, to, 1))), expected, "{from} -> {to}");
    }
    let long = |tag: &str, len: usize| {
        REPORT.replacen(&format!("|{tag}="), &format!("|{tag}={}", "0".repeat(len)), 1)
    };
    for tag in ["49", "34", "571", "55", "32", "31", "1"] {
        assert!(told(&framed(&long(tag, 60_000))).starts_with(&format!("371={tag} 373=")), "{tag}");
    }
    let bytes = REPORT.replace('|', "\u{1}").replace("55=IBM", "55=I\u{fffd}M").into_bytes();
    let invalid: Vec<u8> = String::from_utf8(bytes).expect("text").replace('\u{fffd}', "\u{7f}").into_bytes();
    assert_eq!(told(&framed_bytes(&invalid)), "371=55 373=6");
    let not_utf8: Vec<u8> = invalid.iter().map(|byte| if *byte == 0x7f { 0xff } else { *byte }).collect();
    assert_eq!(told(&framed_bytes(&not_utf8)), "373=0");
}

#[test]
fn no_beginning_of_a_report_is_one() {
    let good = framed(REPORT);
    for end in 0..good.len() {
        assert_ne!(told(&good[..end]), "forwarded", "the first {end} bytes");
    }
    for start in 1..good.len() {
        assert_ne!(told(&good[start..]), "forwarded", "without the first {start} bytes");
    }
}

#[test]
fn a_flood_in_one_message_is_refused() {
    let large = message(&framed(&format!("{REPORT}58={}|", "x".repeat(BODY_LEN_MAX))));
    assert_eq!(outcome(&MarketIntegrationGateway, large), "413 body-too-large");
    let sides: String = (0..2_000).map(|at| format!("54=1|37=O-{at}|1=A-1|")).collect();
    assert_eq!(told(&framed(&format!("{REPORT}{sides}"))), "371=552 373=16");
    let repeated: String = "58=x|".repeat(10_000);
    assert_eq!(told(&framed(&REPORT.replacen("570=N|", &format!("570=N|{repeated}"), 1))), "371=58 373=13");
}
