//! Faults of the parties outside: the bank's and the venue's messages, the identity provider's keys, webhooks.
//! By the rails' own words; what each does is described with the parties' troubles.

use std::time::Duration;

use outside::bank::Reason;
use outside::draw::Span;
use outside::trouble::{Contradiction, Cutoff, Hits, Messages, Mismatch, Outage, Requests, Trouble};
use scenario::read::{Between, Choice, Lasting, Number, Odds, Table, number};
use scenario::{Drawn as Between_, FaultAction, FromTable, Ppm, TargetKind, TimeSpan};

use super::Kind;
use super::scene::{Drawn, Scene};

const DEFAULT: TimeSpan = TimeSpan::from_secs(600);
const OUTSIDE: &[TargetKind] = &[TargetKind::Outside];
const BANK: &[&str] = &["bank"];
const VENUE: &[&str] = &["venue"];

/// An action of one party.
fn of<P: FromTable>(
    name: &str,
    party: &'static [&'static str],
    about: &str,
    draw: fn(&mut Scene<'_>) -> Drawn,
) -> Kind {
    Kind { action: FaultAction::of::<P>(name, OUTSIDE, about).only(party), draw }
}

pub fn kinds() -> Vec<Kind> {
    vec![
        of::<Late>("ack-late", BANK, "The bank does it and answers late.", |scene| {
            let keys: Late = scene.params();
            trouble(scene, Trouble::AckLate { of: keys.of(), hits: keys.often.0, by: keys.by })
        }),
        of::<Lost>("ack-lost", BANK, "The bank does it and does not answer.", |scene| {
            let keys: Lost = scene.params();
            trouble(scene, Trouble::AckLost { of: keys.of(), hits: keys.often.0 })
        }),
        of::<Late>("ack-duplicate", BANK, "The rail delivers the instruction again.", |scene| {
            let keys: Late = scene.params();
            trouble(scene, Trouble::AckDuplicate { of: keys.of(), hits: keys.often.0, after: keys.by })
        }),
        of::<Late>("request-late", BANK, "The instruction reaches the bank late.", |scene| {
            let keys: Late = scene.params();
            trouble(scene, Trouble::RequestLate { of: keys.of(), hits: keys.often.0, by: keys.by })
        }),
        of::<Lost>("request-lost", BANK, "The instruction never reaches the bank.", |scene| {
            let keys: Lost = scene.params();
            trouble(scene, Trouble::RequestLost { of: keys.of(), hits: keys.often.0 })
        }),
        of::<Often>("reject", BANK, "The bank refuses what it would have done.", |scene| {
            let keys: Often = scene.params();
            trouble(scene, Trouble::Reject { hits: keys.0, reason: Reason::NotSpecified })
        }),
        of::<Late>("pending", BANK, "The bank says that it will see.", |scene| {
            let keys: Late = scene.params();
            trouble(scene, Trouble::Pending { hits: keys.often.0, lasts: keys.by })
        }),
        of::<Contradict>("contradict", BANK, "The bank says one thing, and its books another.", contradict),
        of::<Misstate>("statement-mismatch", BANK, "A line of a statement is wrong.", misstate),
        of::<CutoffMissed>(
            "cutoff-missed",
            BANK,
            "The bank's day is over before the orders come.",
            cutoff_missed,
        ),
        of::<Late>("notice-late", BANK, "Credit notices come late.", |scene| {
            let keys: Late = scene.params();
            trouble(scene, Trouble::MessageLate { of: Messages::Notices, hits: keys.often.0, by: keys.by })
        }),
        of::<Often>("notice-lost", BANK, "Credit notices never come.", |scene| {
            let keys: Often = scene.params();
            trouble(scene, Trouble::MessageLost { of: Messages::Notices, hits: keys.0 })
        }),
        of::<Late>("notice-duplicate", BANK, "Credit notices come twice, under two keys.", |scene| {
            let keys: Late = scene.params();
            let (of, hits, after) = (Messages::Notices, keys.often.0, keys.by);
            trouble(scene, Trouble::MessageDoubled { of, hits, after, new_key: true })
        }),
        of::<Down>("bank-down", BANK, "Nothing reaches the bank.", down),
        of::<Often>("dedup-expired", BANK, "The bank has forgotten a UETR that it executed.", |scene| {
            let keys: Often = scene.params();
            trouble(scene, Trouble::DedupExpired { hits: keys.0 })
        }),
        of::<Down>("venue-down", VENUE, "Nothing reaches the venue, and it says nothing.", down),
        of::<EndOfDay>(
            "end-of-day",
            VENUE,
            "The venue ends its day early, late, twice, or unheard.",
            end_of_day,
        ),
        of::<Keys>(
            "keys-rotated",
            &["identity"],
            "The identity provider signs with a new key.",
            keys_rotated,
        ),
        of::<Down>("identity-down", &["identity"], "Nothing reaches the identity provider.", down),
        of::<ReceiversDown>(
            "webhook-down",
            &["webhooks"],
            "Nothing reaches the receivers, or one of them.",
            receivers_down,
        ),
        of::<WebhookError>("webhook-error", &["webhooks"], "Receivers answer with an error.", webhook_error),
    ]
}

/// `every = 10`, or odds.
struct Often(Hits);

impl FromTable for Often {
    fn read(table: &mut Table<'_>) -> Self {
        let field: Number<u64> = number(1..=1_000_000);
        let every = table.optional("every_nth", "Every so-manieth.", field);
        let ppm = table.or("ppm", "Odds, where `every_nth` is not given.", Odds, Ppm(Ppm::MILLION));
        let every = every.and_then(|every| u32::try_from(every).ok());
        Self(every.map_or(Hits::Ppm(ppm.0), Hits::Every))
    }
}

/// What an action of the bank is about.
const ABOUT: &[(&str, &str)] =
    &[("instructions", "instructions"), ("queries", "queries"), ("statements", "statements"), ("all", "all")];

fn requests(word: &str) -> Requests {
    match word {
        "queries" => Requests::Queries,
        "statements" => Requests::Statements,
        "all" => Requests::All,
        _ => Requests::Instructions,
    }
}

struct Lost {
    often: Often,
    of: &'static str,
}

impl Lost {
    fn of(&self) -> Requests {
        requests(self.of)
    }
}

impl FromTable for Lost {
    fn read(table: &mut Table<'_>) -> Self {
        let often = Often::read(table);
        Self { often, of: table.or("of", "Which requests.", Choice(ABOUT), "instructions") }
    }
}

struct Late {
    often: Often,
    of: &'static str,
    by: Span,
}

impl Late {
    fn of(&self) -> Requests {
        requests(self.of)
    }
}

impl FromTable for Late {
    fn read(table: &mut Table<'_>) -> Self {
        let often = Often::read(table);
        let of = table.or("of", "Which requests, where it is about requests.", Choice(ABOUT), "instructions");
        let seconds = |seconds| TimeSpan::from_secs(seconds);
        let default = Between_::Between { min: seconds(1), max: seconds(120) };
        let by = table.or("by", "How much later, drawn each time.", Between(Lasting), default);
        Self { often, of, by: span(by) }
    }
}

fn span(drawn: Between_<TimeSpan>) -> Span {
    Span { min: drawn.min().0, max: drawn.max().0 }
}

struct Contradict {
    often: Often,
    how: &'static str,
}

impl FromTable for Contradict {
    fn read(table: &mut Table<'_>) -> Self {
        const HOW: &[(&str, &str)] = &[
            ("refused-but-executed", "refused-but-executed"),
            ("unknown-but-taken", "unknown-but-taken"),
            ("refusal-after-execution", "refusal-after-execution"),
            ("executed-but-refused", "executed-but-refused"),
            ("credit-after-refusal", "credit-after-refusal"),
        ];
        let often = Often::read(table);
        Self { often, how: table.or("how", "What it says.", Choice(HOW), "refused-but-executed") }
    }
}

struct Misstate {
    often: Often,
    how: &'static str,
}

impl FromTable for Misstate {
    fn read(table: &mut Table<'_>) -> Self {
        const HOW: &[(&str, &str)] = &[("missing", "missing"), ("doubled", "doubled"), ("amount", "amount")];
        let often = Often::read(table);
        Self { often, how: table.or("how", "What is wrong with the line.", Choice(HOW), "missing") }
    }
}

struct CutoffMissed {
    how: &'static str,
}

impl FromTable for CutoffMissed {
    fn read(table: &mut Table<'_>) -> Self {
        const HOW: &[(&str, &str)] = &[("refused", "refused"), ("pending", "pending")];
        let about = "Orders are refused with TM01, or pending until the end.";
        Self { how: table.or("how", about, Choice(HOW), "refused") }
    }
}

struct Down {
    how: &'static str,
}

impl FromTable for Down {
    fn read(table: &mut Table<'_>) -> Self {
        const HOW: &[(&str, &str)] = &[("silent", "silent"), ("unavailable", "unavailable")];
        Self { how: table.or("how", "Whether it is silent or answers 503.", Choice(HOW), "silent") }
    }
}

struct ReceiversDown {
    down: Down,
    participant: Option<String>,
}

impl FromTable for ReceiversDown {
    fn read(table: &mut Table<'_>) -> Self {
        let down = Down::read(table);
        let about = "The participant whose receiver it is, such as `P01`; without it all.";
        Self { down, participant: table.optional("participant", about, scenario::read::Text) }
    }
}

struct EndOfDay {
    how: &'static str,
    by: TimeSpan,
}

impl FromTable for EndOfDay {
    fn read(table: &mut Table<'_>) -> Self {
        const HOW: &[(&str, &str)] =
            &[("early", "early"), ("late", "late"), ("twice", "twice"), ("lost", "lost")];
        Self {
            how: table.required("how", "What becomes of the message.", Choice(HOW)),
            by: table.or("by", "How much earlier, or later.", Lasting, TimeSpan::from_secs(1_200)),
        }
    }
}

struct Keys {
    old_for: TimeSpan,
}

impl FromTable for Keys {
    fn read(table: &mut Table<'_>) -> Self {
        let about = "How long the old key is published still.";
        Self { old_for: table.or("old_for", about, Lasting, TimeSpan::from_secs(3_600)) }
    }
}

struct WebhookError {
    often: Often,
    status: u64,
    done: bool,
}

impl FromTable for WebhookError {
    fn read(table: &mut Table<'_>) -> Self {
        let often = Often::read(table);
        let field: Number<u64> = number(400..=599);
        let done = "Whether the receiver took the notice all the same.";
        Self {
            often,
            status: table.or("status", "The HTTP status.", field, 500),
            done: table.or("done", done, scenario::read::Flag, false),
        }
    }
}

fn contradict(scene: &mut Scene<'_>) -> Drawn {
    let keys: Contradict = scene.params();
    let (min, max) = (Duration::from_secs(1), Duration::from_secs(300));
    let after = Span { min, max };
    let how = match keys.how {
        "executed-but-refused" => Contradiction::ExecutedButRefused,
        "credit-after-refusal" => Contradiction::CreditAfterRefusal { after },
        "unknown-but-taken" => Contradiction::UnknownButTaken,
        "refusal-after-execution" => Contradiction::RefusalAfterExecution { after },
        _ => Contradiction::RefusedButExecuted,
    };
    trouble(scene, Trouble::Contradict { hits: keys.often.0, how })
}

fn misstate(scene: &mut Scene<'_>) -> Drawn {
    let keys: Misstate = scene.params();
    let how = match keys.how {
        "doubled" => Mismatch::Doubled,
        "amount" => Mismatch::Amount,
        _ => Mismatch::Missing,
    };
    trouble(scene, Trouble::StatementMismatch { hits: keys.often.0, how })
}

fn cutoff_missed(scene: &mut Scene<'_>) -> Drawn {
    let keys: CutoffMissed = scene.params();
    let how = match keys.how {
        "pending" => Cutoff::Pending { reopens: scene.until_or(DEFAULT) },
        _ => Cutoff::Refused,
    };
    trouble(scene, Trouble::CutoffMissed { how })
}

fn down(scene: &mut Scene<'_>) -> Drawn {
    let keys: Down = scene.params();
    let how = if keys.how == "unavailable" { Outage::Unavailable } else { Outage::Silent };
    trouble(scene, Trouble::Down { how })
}

fn receivers_down(scene: &mut Scene<'_>) -> Drawn {
    let ReceiversDown { down: Down { how }, participant } = scene.params();
    let Some(participant) = participant else { return down(scene) };
    let of = Requests::Under(outside::webhooks::path(&participant));
    let hits = Hits::ALL;
    trouble(
        scene,
        match how {
            "unavailable" => Trouble::Error { of, hits, status: 503, done: false },
            _ => Trouble::RequestLost { of, hits },
        },
    )
}

fn end_of_day(scene: &mut Scene<'_>) -> Drawn {
    let keys: EndOfDay = scene.params();
    let by = Span { min: keys.by.0, max: keys.by.0 };
    let of = Messages::EndOfDay;
    let trouble_ = match keys.how {
        "early" => Trouble::EndOfDayEarly { before_close: keys.by.0 },
        "late" => Trouble::MessageLate { of, hits: Hits::ALL, by },
        "twice" => Trouble::MessageDoubled { of, hits: Hits::ALL, after: by, new_key: false },
        _ => Trouble::MessageLost { of, hits: Hits::ALL },
    };
    trouble(scene, trouble_)
}

fn keys_rotated(scene: &mut Scene<'_>) -> Drawn {
    let keys: Keys = scene.params();
    trouble(scene, Trouble::KeysRotated { old_for: keys.old_for.0 })
}

fn webhook_error(scene: &mut Scene<'_>) -> Drawn {
    let keys: WebhookError = scene.params();
    let status = u16::try_from(keys.status).unwrap_or(500);
    trouble(scene, Trouble::Error { of: Requests::All, hits: keys.often.0, status, done: keys.done })
}

/// The party suffers the trouble until the end.
fn trouble(scene: &mut Scene<'_>, trouble: Trouble) -> Drawn {
    let victims = scene.victims();
    let party = scene.names(&victims);
    let (begins, ends) = (party.clone(), party.clone());
    Drawn::new(party.clone())
        .step(scene.from(), format!("{party}: {trouble:?}"), move |stage, fault| {
            stage.platform.troubles[begins.as_str()].begin(fault, trouble.clone());
        })
        .step(scene.until_or(DEFAULT), format!("{party} as before"), move |stage, fault| {
            stage.platform.troubles[ends.as_str()].end(fault);
        })
}
