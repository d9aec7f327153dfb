//! What is stored: clients through the gateways, and whoever stands at a service's own door, on real hosts with the
//! simulated database behind them. A request that is refused for what it is leaves no row anywhere.

use host::http_api::HEADERS_MAX;

use super::fix::{REPORT, framed, message};
use super::*;
use crate::api_gateway::ApiGateway;
use crate::market_integration_gateway::MarketIntegrationGateway;
use crate::support::body::BODY_LEN_MAX;
use crate::testing::request;
use crate::testing::tokens::{ask as asked, gateway, operator, participant};

/// The gateways, and all services behind them.
struct Platform {
    gateway: ApiGateway,
    hosts: Vec<(&'static str, Hosted)>,
}

impl Platform {
    fn new() -> Self {
        Self { gateway: gateway(), hosts: hosts() }
    }

    fn host(&mut self, name: &str) -> &mut Hosted {
        let found = self.hosts.iter_mut().find(|(host, _)| *host == name);
        &mut found.expect("gateways name services").1
    }

    /// A client asks the API gateway.
    fn client(&mut self, request: Request<Bytes>) -> Response<Bytes> {
        match ask(&self.gateway, request) {
            Ok(sent) => {
                let answer = match sent.party {
                    "market-integration-gateway" => self.counterparty(sent.request.clone()),
                    service => self.host(service).ask(sent.request.clone()),
                };
                self.gateway.reply(&sent, Ok(answer))
            }
            Err(refusal) => refusal,
        }
    }

    /// The venue or a FIX counterparty asks the market integration gateway.
    fn counterparty(&mut self, request: Request<Bytes>) -> Response<Bytes> {
        match ask(&MarketIntegrationGateway, request) {
            Ok(sent) => {
                let answer = self.host(sent.party).ask(sent.request.clone());
                MarketIntegrationGateway.reply(&sent, Ok(answer))
            }
            Err(refusal) => refusal,
        }
    }

    /// Sends a FIX message: the answer's fields, by tag.
    fn fix(&mut self, body: &str) -> (u16, impl Fn(&str) -> Option<String> + use<>) {
        let answer = self.counterparty(message(&framed(body)));
        let text = String::from_utf8(answer.body().to_vec()).expect("ASCII");
        let value = move |tag: &str| {
            let prefix = format!("{tag}=");
            text.split('\u{1}').find_map(|field| field.strip_prefix(&prefix)).map(str::to_owned)
        };
        (answer.status().as_u16(), value)
    }

    fn rows(&self) -> usize {
        self.hosts.iter().map(|(_, host)| host.rows()).sum()
    }
}

/// Good trades, spoilt: each by one thing.
fn spoilt() -> Vec<(&'static str, Request<Bytes>)> {
    let trade = || asked("POST", "/api/v1/trades", &participant(), TRADE);
    let with_body = |body: String| trade().map(|_| Bytes::from(body));
    let with_header = |name: &'static str, value: &str| {
        let mut request = trade();
        request.headers_mut().append(name, value.parse().expect("a value"));
        request
    };
    let mut without_token = trade();
    without_token.headers_mut().remove("authorization");
    let mut without_key = trade();
    without_key.headers_mut().remove("idempotency-key");
    let mut flood = trade();
    for _ in 0..HEADERS_MAX {
        flood.headers_mut().append("x-flood", "".parse().expect("a value"));
    }
    let forged = format!("{}A", participant());
    vec![
        ("no token", without_token),
        ("a forged token", asked("POST", "/api/v1/trades", &forged, TRADE)),
        ("an operator's token", asked("POST", "/api/v1/trades", &operator(), TRADE)),
        ("no key", without_key),
        ("two keys", with_header("idempotency-key", "k-2")),
        ("a flood of headers", flood),
        ("an encoding", with_header("content-encoding", "gzip")),
        ("a body too large", with_body(" ".repeat(BODY_LEN_MAX + 1))),
        ("deep JSON", with_body("[".repeat(10_000))),
        ("no JSON", with_body("{".to_owned())),
        ("no UTF-8", trade().map(|_| Bytes::from_static(b"\"\xff\xfe\""))),
        ("a field that is not known", with_body(TRADE.replace("price", "prize"))),
        ("accounts of others", with_body(TRADE.replace("A-1", "A-8"))),
        ("dead letters", asked("GET", "/api/v1/dead-letters?service=trade", &participant(), "")),
    ]
}

#[test]
fn what_a_client_is_refused_leaves_no_row() {
    let mut platform = Platform::new();
    for (what, request) in spoilt() {
        let answer = platform.client(request);
        assert!(answer.status().is_client_error(), "{what}: {}", answer.status());
        assert_eq!(platform.rows(), 0, "{what}");
    }
    // The same trade, unspoilt, does.
    let answer = platform.client(asked("POST", "/api/v1/trades", &participant(), TRADE));
    assert_eq!((answer.status().as_u16(), platform.host("trade").rows_of("trades")), (202, 1));
}

/// Past the gateways, as from inside the network.
#[test]
fn what_a_service_refuses_at_its_own_door_leaves_no_row() {
    for (service, mut host) in hosts() {
        let mut asked = 0;
        for (_, good) in super::matrix::behind_the_gateways()
            .into_iter()
            .filter(|(of, good)| *of == Some(service) && good.method() == Method::POST)
        {
            let mut nameless = good.clone();
            nameless.headers_mut().remove("idempotency-key");
            let mut gzip = good.clone();
            gzip.headers_mut().insert("content-encoding", "gzip".parse().expect("a value"));
            let body = |body: Bytes| good.clone().map(|_| body);
            for hostile in [
                nameless,
                gzip,
                body(Bytes::new()),
                body(Bytes::from("[".repeat(10_000))),
                body(Bytes::from(" ".repeat(BODY_LEN_MAX + 1))),
                body(Bytes::from_static(b"{\"\xff\":1}")),
            ] {
                let answer = host.ask(hostile);
                assert!(answer.status().is_client_error(), "{service} {}: {}", good.uri(), answer.status());
                assert_eq!(host.rows(), 0, "{service} {}", good.uri());
                asked += 1;
            }
        }
        for unreadable in [
            request(Method::POST, "/host/v1/republications", &[], "{}"),
            request(Method::POST, "/host/v1/republications", &[], &"[".repeat(10_000)),
            request(Method::GET, "/host/v1/heads?topic=x&after=y", &[], ""),
            request(Method::POST, "/api/v1/dead-letters/x/replay", &[("x-role", "operator")], ""),
            request(Method::POST, "/nowhere", &[], TRADE),
        ] {
            let path = unreadable.uri().to_string();
            let answer = host.ask(unreadable);
            assert!(answer.status().is_client_error(), "{service} {path}: {}", answer.status());
            asked += 1;
        }
        assert_eq!(host.rows(), 0, "{service}");
        assert!(asked >= 5, "{service}");
    }
}

/// TradeReportID (571) names the trade, whatever PossDupFlag (43) says of the message that carries it.
#[test]
fn a_report_that_comes_again_is_the_same_trade() {
    let mut platform = Platform::new();
    let (status, first) = platform.fix(REPORT);
    let trade = first("1003").expect("a trade");
    assert_eq!((status, first("35").as_deref(), first("939").as_deref()), (202, Some("AR"), Some("0")));
    let resent = REPORT.replace("34=7|", "34=7|43=Y|122=20260306-14:30:00.000|");
    for again in [
        REPORT.to_owned(),
        resent.clone(),
        REPORT.replace("34=7|", "34=7|43=N|"),
        REPORT.replace("34=7|", "34=8|97=Y|"),
        resent.replace("52=20260306-14:30:00.000", "52=20260306-14:31:00.000"),
    ] {
        let (status, told) = platform.fix(&again);
        assert_eq!(
            (status, told("939").as_deref(), told("1003")),
            (202, Some("0"), Some(trade.clone())),
            "{again}"
        );
        assert_eq!(told("571").as_deref(), Some("R-1"));
    }
    assert_eq!(platform.host("trade").rows_of("trades"), 1);
}

/// Under the same TradeReportID nothing else is to be had, and the sender is told why.
#[test]
fn a_report_that_comes_again_with_another_content_is_refused() {
    let mut platform = Platform::new();
    let (_, first) = platform.fix(REPORT);
    // A stream that was named and never written to has a head with nothing in it: what is locked has to be there.
    let kept = |platform: &mut Platform| platform.rows() - platform.host("trade").rows_of("heads");
    let rows = kept(&mut platform);
    for flag in ["", "43=N|", "43=Y|122=20260306-14:30:00.000|"] {
        for (from, to) in
            [("32=100", "32=900"), ("31=10.00", "31=99.00"), ("1=A-2|", "1=A-3|"), ("55=IBM", "55=GE")]
        {
            let changed = REPORT.replace("34=7|", &format!("34=7|{flag}")).replace(from, to);
            let (status, told) = platform.fix(&changed);
            assert_eq!(
                (status, told("35").as_deref(), told("939").as_deref()),
                (422, Some("AR"), Some("1")),
                "{to}"
            );
            let text = told("58").expect("a reason");
            assert!(text.starts_with("idempotency key reused: "), "{text}");
            assert_eq!((told("571").as_deref(), told("1003")), (Some("R-1"), None), "{to}");
        }
    }
    assert_eq!((kept(&mut platform), platform.host("trade").rows_of("trades")), (rows, 1));
    // The first one is still what it was; and the same name is another's to use.
    let (_, again) = platform.fix(REPORT);
    assert_eq!(again("1003"), first("1003"));
    let (_, others) = platform.fix(&REPORT.replace("49=BROKER", "49=OTHER"));
    assert_ne!(others("1003").expect("a trade"), first("1003").expect("a trade"));
    assert_eq!(platform.host("trade").rows_of("trades"), 2);
}

/// When the host has forgotten the name, the trade itself still knows what it was made of.
#[test]
fn a_report_that_comes_after_its_name_is_forgotten_makes_no_second_trade() {
    let mut trades = Bench::new(Trades::default(), NOW);
    let mut decide = |body: &str| {
        let sent = ask(&MarketIntegrationGateway, message(&framed(body))).expect("forwarded");
        trades.request(sent.request)
    };
    let first = decide(REPORT);
    assert!(first.contains("event    trade/") && first.contains("answer   202"), "{first}");
    let again = decide(&REPORT.replace("34=7|", "34=7|43=Y|122=20260306-14:30:00.000|"));
    assert!(!again.contains("event    ") && again.contains("answer   202"), "{again}");
    let changed = decide(&REPORT.replace("32=100", "32=900"));
    assert!(!changed.contains("event    "), "{changed}");
    assert!(changed.contains("reject   422 idempotency-key-reused"), "{changed}");
}
