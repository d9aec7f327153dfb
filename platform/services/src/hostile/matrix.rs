//! Who may ask what: every route there is, and every kind of caller.
//!
//! Only the API gateway knows roles, and tells services of operators (`x-role`). What stands between a participant and a service's own face is that the
//! gateway has no route there, and that the network of a deployment lets only gateways, services, the bank
//! (`/bank/notices`), the venue (`/api/v1/venue`) and FIX counterparties (`/api/v1/fix`) reach the doors behind it:
//! these believe the `x-client`, `x-role` or SenderCompID that they are given, and read no token. The tables below say so
//! line by line, and the last test that a gateway never lets its clients through to them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::*;
use crate::api_gateway::ApiGateway;
use crate::api_gateway::routes::{ROUTES, Verb};
use crate::market_integration_gateway::MarketIntegrationGateway;
use crate::testing::request;
use crate::testing::tokens::{KEY_1, ask as asked, claims, gateway, operator, participant, sign, with};

const WITHDRAWAL: &str = r#"{"accountId":"A-1","amount":"1.00"}"#;
const VENUE: &str = r#"{"venueId":"XNYS","tradeDate":"2026-03-06","kind":"open"}"#;

/// Status by caller: anonymous, the account's participant, another participant, operator; and tokens of the
/// identity provider with a role that the gateway does not know: venue, bank, service.
type Statuses = [u16; 7];

/// The API gateway. 200 stands for what the service behind answers.
#[rustfmt::skip]
const API_GATEWAY: &[(&str, &str, &str, Statuses)] = &[
    ("POST /api/v1/trades", "", TRADE,                                    [401, 200, 403, 403, 401, 401, 401]),
    ("GET /api/v1/trades", "?account=A-1&date=2026-03-06", "",            [401, 200, 403, 200, 401, 401, 401]),
    ("GET /api/v1/trades/{id}", "", "",                                   [401, 200, 404, 200, 401, 401, 401]),
    ("GET /api/v1/positions/{account}", "", "",                           [401, 200, 403, 200, 401, 401, 401]),
    ("GET /api/v1/settlements/{date}", "", "",                            [401, 403, 403, 200, 401, 401, 401]),
    ("GET /api/v1/ledger/trial-balance", "", "",                          [401, 403, 403, 200, 401, 401, 401]),
    ("GET /api/v1/ledger/accounts/{account}", "", "",                     [401, 200, 403, 200, 401, 401, 401]),
    ("POST /api/v1/withdrawals", "", WITHDRAWAL,                          [401, 200, 403, 403, 401, 401, 401]),
    ("GET /api/v1/breaks", "", "",                                        [401, 403, 403, 200, 401, 401, 401]),
    ("POST /api/v1/instruments", "", "{}",                                [401, 403, 403, 200, 401, 401, 401]),
    ("POST /api/v1/participants", "", "{}",                               [401, 403, 403, 200, 401, 401, 401]),
    ("GET /api/v1/dead-letters", "?service=trade", "",                    [401, 403, 403, 200, 401, 401, 401]),
    ("POST /api/v1/dead-letters/{id}/replay", "?service=trade", "",       [401, 403, 403, 200, 401, 401, 401]),
];

/// The market-integration-gateway, asked without and with the client that the API gateway would name.
#[rustfmt::skip]
const INTEGRATION: &[(&str, &str, [u16; 2])] = &[
    ("POST /api/v1/trades", TRADE,     [400, 200]),
    ("POST /api/v1/venue",  VENUE,     [200, 200]),
    ("POST /api/v1/fix",    "a report", [200, 200]),
];

/// Services, asked without and with a client and a key. Reads ask for neither; the bank's notices have a client of
/// their own. 200 stands for a command that is decided, whatever the decision.
#[rustfmt::skip]
const SERVICES: &[(&str, &str, &str, [u16; 2])] = &[
    ("reference-data", "POST /api/v1/instruments", r#"{"instrumentId":"IBM","tick":"0.01","currency":"USD"}"#, [400, 200]),
    ("reference-data", "POST /api/v1/participants",
        r#"{"participantId":"P-1","webhook":"w","accounts":[{"accountId":"A-1","bankAccount":"B-1"}]}"#,       [400, 200]),
    ("trade",          "POST /api/v1/trades", TRADE,                                                            [400, 200]),
    ("trade",          "POST /api/v1/venue", VENUE,                                                             [400, 200]),
    ("trade",          "GET /api/v1/trades", "",                                                                [400, 400]),
    ("trade",          "GET /api/v1/trades/{trade}", "",                                                        [404, 404]),
    ("position",       "GET /api/v1/positions/{account}", "",                                                   [200, 200]),
    ("settlement",     "GET /api/v1/settlements/{date}", "",                                                    [200, 200]),
    ("ledger",         "GET /api/v1/ledger/trial-balance", "",                                                  [200, 200]),
    ("ledger",         "GET /api/v1/ledger/accounts/{account}", "",                                             [200, 200]),
    ("payment",        "POST /api/v1/withdrawals", WITHDRAWAL,                                                  [400, 200]),
    ("payment",        "GET /api/v1/breaks", "",                                                                [200, 200]),
    ("payment",        "POST /bank/notices", r#"{"reference":"R","account":"B-1","amount":"1.00"}"#,            [400, 200]),
];

const WANTED: &str = r#"{"stream":"x","topic":"trade-submitted","from":1,"to":2}"#;

/// What the host of every service answers itself, asked by: nobody, a client with a key, somebody who says to be a
/// participant, an operator, somebody with two roles. There is no dead letter 7. What consumers ask for is for whoever
/// is behind the gateways.
#[rustfmt::skip]
const HOST: &[(&str, &str, &str, [u16; 5])] = &[
    ("GET /api/v1/dead-letters", "", "",                [403, 403, 403, 200, 403]),
    ("POST /api/v1/dead-letters/{id}/replay", "", "",   [403, 403, 403, 404, 403]),
    ("GET /host/v1/heads", "?topic=trade-submitted", "", [200, 200, 200, 200, 200]),
    ("POST /host/v1/republications", "", WANTED,        [200, 200, 200, 200, 200]),
];

/// A request for every route of the services, by service; and for those that every host has.
pub fn behind_the_gateways() -> Vec<(Option<&'static str>, Request<Bytes>)> {
    let of = |route, query, body| {
        let (method, path) = example(route);
        request(method.parse().expect("a method"), &format!("{path}{query}"), headers(true), body)
    };
    let services = SERVICES.iter().map(|(service, route, body, _)| (Some(*service), of(route, "", body)));
    services.chain(HOST.iter().map(|(route, query, body, _)| (None, of(route, query, body)))).collect()
}

/// A path with an example of each parameter.
fn example(route: &str) -> (&str, String) {
    let (method, path) = route.split_once(' ').expect("method and path");
    let path = path.replace("{account}", "A-1").replace("{date}", "2026-03-09").replace("{id}", "7");
    (method, path.replace("{trade}", "T-1"))
}

#[test]
fn the_api_gateway_lets_in_by_role_and_account() {
    let of = |role: &str, client: &str, accounts: Value| {
        let claims = with(with(claims(role), "sub", json!(client)), "accounts", accounts);
        sign("k-1", KEY_1, &claims)
    };
    let callers = [
        None,
        Some(participant()),
        Some(of("participant", "client-2", json!(["A-7"]))),
        Some(operator()),
        Some(of("venue", "venue", json!(["A-1"]))),
        Some(of("bank", "bank", json!(["A-1"]))),
        Some(of("service", "trade", json!(["A-1"]))),
    ];
    for (route, query, body, expected) in API_GATEWAY {
        let (method, path) = example(route);
        let path = format!("{path}{query}");
        let statuses = callers.each_ref().map(|token| {
            let mut request = asked(method, &path, token.as_deref().unwrap_or_default(), body);
            if token.is_none() {
                request.headers_mut().remove("authorization");
            }
            status(&gateway(), request)
        });
        assert_eq!(statuses, *expected, "{route}");
    }
}

/// The status that a client sees where the service behind answers 200 with a trade of account A-1.
fn status(edge: &impl Edge, request: Request<Bytes>) -> u16 {
    let answer = r#"{"buyerAccountId":"A-1","sellerAccountId":"A-9"}"#;
    match ask(edge, request) {
        Ok(sent) => edge.reply(&sent, Ok(Response::new(Bytes::from(answer)))).status().as_u16(),
        Err(response) => response.status().as_u16(),
    }
}

#[test]
fn the_integration_gateway_asks_who_only_for_json_trades() {
    for (route, body, expected) in INTEGRATION {
        let (method, path) = example(route);
        let statuses = [false, true].map(|with_client| {
            let request = match *body {
                "a report" => super::fix::message(&super::fix::framed(super::fix::REPORT)),
                body => request(method.parse().expect("a method"), &path, headers(with_client), body),
            };
            match ask(&MarketIntegrationGateway, request) {
                Ok(_) => 200,
                Err(response) => response.status().as_u16(),
            }
        });
        assert_eq!(statuses, *expected, "{route}");
    }
}

fn headers(with_client: bool) -> &'static [(&'static str, &'static str)] {
    if with_client { &[("x-client", "client-1"), ("idempotency-key", "k-1")] } else { &[] }
}

#[test]
fn services_believe_the_client_that_they_are_given() {
    for (service, route, body, expected) in SERVICES {
        let (method, path) = example(route);
        let statuses = [false, true].map(|with_client| {
            let request = request(method.parse().expect("a method"), &path, headers(with_client), body);
            let shown = face(service, request);
            match shown.strip_prefix("answer   ") {
                Some(answer) => answer[..3].parse().expect("a status"),
                None => 200,
            }
        });
        assert_eq!(statuses, *expected, "{service} {route}");
    }
}

#[test]
fn hosts_show_dead_letters_to_operators_only() {
    let callers: [&[(&str, &str)]; 5] = [
        &[],
        &[("x-client", "client-1"), ("idempotency-key", "k-1")],
        &[("x-client", "client-1"), ("x-role", "participant")],
        &[("x-client", "client-1"), ("x-role", "operator")],
        &[("x-client", "client-1"), ("x-role", "operator"), ("x-role", "operator")],
    ];
    for (service, mut host) in hosts() {
        for (route, query, body, expected) in HOST {
            let (method, path) = example(route);
            let statuses = callers.map(|headers| {
                let path = format!("{path}{query}");
                let request = request(method.parse().expect("a method"), &path, headers, body);
                host.ask(request).status().as_u16()
            });
            assert_eq!(statuses, *expected, "{service} {route}");
        }
        assert_eq!(host.rows(), 0, "{service}");
    }
}

/// A command at a service's face is not to be had with any other method, nor one segment more or less.
#[test]
fn what_is_no_route_of_a_service_is_nothing_to_it() {
    for (service, route, body, _) in SERVICES {
        let (method, path) = example(route);
        let (shorter, _) = path.rsplit_once('/').expect("a path");
        for (method, path) in [
            ("DELETE", path.clone()),
            ("PUT", path.clone()),
            ("HEAD", path.clone()),
            (method, format!("{path}/")),
            (method, format!("/{path}")),
            (method, format!("{path}/x/y")),
            (method, shorter.to_owned() + "x/y/z"),
            (method, path.to_uppercase()),
        ] {
            let request = request(method.parse().expect("a method"), &path, headers(true), body);
            let shown = face(service, request);
            assert!(shown.starts_with("answer   404 "), "{service} {method} {path}: {shown}");
        }
    }
}

/// A route that is in the code and not in these tables fails here, and so does one that is gone.
#[test]
fn every_route_is_in_the_matrix() {
    let verb = |verb: Verb| if verb == Verb::Get { "GET" } else { "POST" };
    let in_code: BTreeSet<String> =
        ROUTES.iter().map(|route| format!("{} {}", verb(route.method), route.path)).collect();
    let listed = |routes: &mut dyn Iterator<Item = &&str>| -> BTreeSet<String> {
        routes.map(|route| (*route).to_owned()).collect()
    };
    assert_eq!(in_code, listed(&mut API_GATEWAY.iter().map(|(route, ..)| route)));

    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let integration = read(&source.join("market_integration_gateway/mod.rs"));
    let posts = integration.split(".route(").skip(1).map(|rest| {
        let rest = rest.trim_start().strip_prefix('"').expect("a path in quotes");
        let (path, handler) = rest.split_once('"').expect("a path");
        assert!(handler.trim_start_matches([',', ' ', '\n']).starts_with("post("), "{handler:.20}");
        format!("POST {path}")
    });
    assert_eq!(posts.collect::<BTreeSet<_>>(), listed(&mut INTEGRATION.iter().map(|(route, ..)| route)));

    let mut faces = BTreeSet::new();
    for file in rust_files(&source) {
        faces.extend(matched_routes(&read(&file)));
    }
    assert_eq!(faces, listed(&mut SERVICES.iter().map(|(_, route, ..)| route)));

    let host = read(&source.join("../../host/src/store_host/operations.rs"));
    assert_eq!(matched_routes(&host), listed(&mut HOST.iter().map(|(route, ..)| route)));
}

fn read(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()
}

/// The files of the services: no tests, and nothing that is compiled for tests only.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
        match ["tests", "testing", "hostile"].contains(&name) {
            true => {}
            false if path.is_dir() => files.extend(rust_files(&path)),
            false => files.push(path),
        }
    }
    files.sort();
    files
}

/// Patterns such as `("GET", ["api", "v1", "trades", trade])`, as `GET /api/v1/trades/{trade}`.
fn matched_routes(source: &str) -> BTreeSet<String> {
    let code: String = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let mut routes = BTreeSet::new();
    for verb in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"] {
        for start in [format!("(\"{verb}\", ["), format!("(&Method::{verb}, [")] {
            for rest in code.split(&start).skip(1) {
                let segments = rest.split(']').next().unwrap_or_default().split(',').map(str::trim);
                let segment = |segment: &str| match segment.strip_prefix('"') {
                    Some(literal) => literal.trim_end_matches('"').to_owned(),
                    None => format!("{{{segment}}}"),
                };
                routes.insert(format!("{verb} /{}", segments.map(segment).collect::<Vec<_>>().join("/")));
            }
        }
    }
    routes
}

/// The API gateway lets nobody, with any token, through to a door that believes what it is told.
#[test]
fn no_client_of_the_api_gateway_gets_to_a_door_behind_it() {
    let gateway: ApiGateway = gateway();
    let routes =
        |route: &&str| ROUTES.iter().any(|known| known.path == route.split_once(' ').expect("a path").1);
    let behind =
        INTEGRATION.iter().map(|(route, ..)| *route).chain(SERVICES.iter().map(|(_, route, ..)| *route));
    let hidden: BTreeSet<&str> = behind
        .chain(HOST.iter().map(|(route, ..)| *route))
        .filter(|route| !routes(&route.replace("{trade}", "{id}").as_str()))
        .collect();
    let expected = [
        "GET /host/v1/heads",
        "POST /api/v1/fix",
        "POST /api/v1/venue",
        "POST /bank/notices",
        "POST /host/v1/republications",
    ];
    assert_eq!(hidden.iter().copied().collect::<Vec<_>>(), expected);
    for route in hidden {
        let (method, path) = example(route);
        for token in [participant(), operator()] {
            assert_eq!(outcome(&gateway, asked(method, &path, &token, "{}")), "404 not-found", "{route}");
            let absolute = format!("http://payment{path}");
            assert_eq!(outcome(&gateway, asked(method, &absolute, &token, "{}")), "404 not-found", "{route}");
        }
    }
    // Nor does what a service calls its caller come from a client.
    let mut request = asked("POST", "/api/v1/trades", &participant(), TRADE);
    request.headers_mut().insert("x-client", "venue/XNYS".parse().expect("a value"));
    let sent = ask(&gateway, request).expect("forwarded");
    assert_eq!(
        (sent.party, &sent.request.headers()["x-client"]),
        ("market-integration-gateway", &"client-1".parse().expect("a value"))
    );
    assert_eq!(sent.request.method(), Method::POST);
    // Nor what it calls its operators.
    for (token, expected) in [(participant(), None), (operator(), Some("operator"))] {
        let mut request = asked("GET", "/api/v1/positions/A-1", &token, "");
        request.headers_mut().insert("x-role", "operator".parse().expect("a value"));
        let sent = ask(&gateway, request).expect("forwarded");
        let role = sent.request.headers().get("x-role").map(|role| role.to_str().expect("text"));
        assert_eq!(role, expected);
    }
}
