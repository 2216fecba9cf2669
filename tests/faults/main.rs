//! What is lost when something dies: clients at work on two instances, a fault at a random moment, and then what stands, held
//! against what each client was told.
//!
//! `ROUNDS` is how many rounds there are, `SEED` the first one's number, `FAULT` the only fault (`scripts/faults.sh`).

mod client;
mod deployment;
#[path = "../deployments/mod.rs"]
mod deployments;
mod fault;
mod history;
mod load;
mod onlookers;
mod proxy;
mod report;
mod verify;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use self::client::Client;
use self::deployment::Deployment;
use self::fault::Fault;
use self::history::{History, Outcome, Violation};
use self::load::Load;
use self::onlookers::Onlookers;
use self::report::Figures;

/// Rounds where nobody says how many: a few of another kind at each run.
const ROUNDS: u64 = 3;
/// How much of the log a failure shows.
const SHOWN: usize = 60;
/// While Redis is away a request is answered within `redis_timeout_ms`, a second; the rest is for a busy machine.
const MOST_FOR_AN_ANSWER: Duration = Duration::from_millis(3500);
const MOST_TO_RECOVER: Duration = Duration::from_secs(8);
const MOST_MEMORY_GROWN: u64 = 64_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_every_fault() {
    let rounds = setting("ROUNDS").map_or(ROUNDS, |text| text.parse().expect("ROUNDS is a number"));
    let seed = setting("SEED").map_or_else(|| fastrand::u64(..1 << 32), |text| text.parse().expect("SEED is a number"));
    let only = setting("FAULT");
    let mut faults: Vec<Fault> = Fault::ALL.to_vec();
    faults.retain(|fault| only.as_ref().is_none_or(|only| format!("{fault:?}") == *only));
    assert!(!faults.is_empty(), "FAULT is one of {:?}", Fault::ALL);
    println!("{rounds} rounds, SEED={seed}");
    let mut all: BTreeMap<Fault, Figures> = BTreeMap::new();
    let mut failed = Vec::new();
    for round in 0..rounds {
        let seed = seed + round;
        let fault = faults[usize::try_from(seed % faults.len() as u64).expect("a few")];
        let (figures, violations) = run(fault, seed).await;
        println!(
            "round {} of {rounds}: SEED={seed} {fault:?}: {} answered, {} unavailable, {} without an answer, again after {:.2} s, {} lost, {}",
            round + 1,
            figures.answered,
            figures.unavailable,
            figures.unanswered,
            figures.every_success.as_secs_f64(),
            figures.lost,
            if violations == 0 { "all well".to_owned() } else { format!("{violations} VIOLATIONS") }
        );
        all.entry(fault).or_default().join(&figures);
        if violations > 0 {
            failed.push(seed);
        }
    }
    println!("\n{}", report::table(&all));
    assert!(failed.is_empty(), "something that was promised is not so in the rounds with SEED={failed:?}");
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// A round: its figures, and how much was wrong.
async fn run(fault: Fault, seed: u64) -> (Figures, usize) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut deployment = Deployment::start(fault.plan()).await;
    let urls = deployment.urls();
    let history = Arc::new(History::new());
    let mut client = Client::new(80, &urls, &history, seed);
    load::set_up(&mut client).await;
    let onlookers = Onlookers::start(&urls, &history, seed).await;
    let load = Load::start(&urls, &history, seed);

    tokio::time::sleep(Duration::from_millis(random.u64(500..1200))).await;
    let memory_before: u64 = deployment.instances.iter().map(deployment::Instance::memory).max().unwrap_or(0);
    let closing = tokio::spawn(load::close_season(Client::new(81, &urls, &history, seed)));
    tokio::time::sleep(Duration::from_millis(random.u64(0..20))).await;
    let struck = fault.strike(&mut deployment, &history, &mut random).await;
    let memory_after: u64 = deployment.instances.iter().map(deployment::Instance::memory).max().unwrap_or(0);

    tokio::time::sleep(Duration::from_millis(1000)).await;
    let readiness = onlookers.end(&urls, struck.during.end, seed).await;
    history.stop();
    load.end().await;
    closing.await.expect("no panic");
    let operations = history.operations();
    let lost = verify::verify(&client, &struck.may_be_lost).await;
    if let Err(report) = deployment.check() {
        history.violated("", format!("`ranq check`: {report}"), None);
    }

    let mut figures = Figures::of(&operations, struck.during.end);
    figures.lost = lost;
    figures.grown = memory_after.saturating_sub(memory_before);
    let expect = |holds: bool, text: String| {
        if !holds {
            history.violated("", text, None);
        }
    };
    if fault == Fault::RedisFull {
        let during = |what: &str, status: u16| {
            operations.iter().any(|operation| {
                operation.what == what
                    && operation.outcome == Outcome::Status(status)
                    && struck.during.start < operation.sent
                    && operation.ended < struck.during.end
            })
        };
        for (what, status) in [("score", 503), ("enqueue", 503), ("dequeue", 200), ("ack", 200)] {
            expect(during(what, status), format!("while Redis was full no {what} was answered with {status}"));
        }
    }
    expect(!fault.is_noticed() || readiness.was_down, "/health/ready never said that Redis was away".to_owned());
    expect(
        fault.is_slow() || figures.slowest < MOST_FOR_AN_ANSWER,
        format!("an answer took {:?}, at the longest", figures.slowest),
    );
    expect(
        figures.every_success < MOST_TO_RECOVER,
        format!("a client was well only {:?} after the end", figures.every_success),
    );
    expect(figures.grown < MOST_MEMORY_GROWN, format!("the memory grew by {} bytes", figures.grown));
    let violations = history.violations();
    if !violations.is_empty() {
        tell(&history, &violations, &deployment, &struck);
    }
    (figures, violations.len())
}

/// Prints what is wrong and the part of the log that is about it; the rest goes to files.
fn tell(history: &History, violations: &[Violation], deployment: &Deployment, struck: &fault::Struck) {
    let operations = history.operations();
    println!("the fault lasted from {:?} to {:?}", struck.during.start, struck.during.end);
    for violation in violations.iter().take(SHOWN) {
        println!("VIOLATION {}: {} {:?}", violation.key, violation.text, violation.acked);
    }
    let keys: Vec<&str> =
        violations.iter().map(|violation| violation.key.as_str()).filter(|key| !key.is_empty()).take(3).collect();
    let about = operations.iter().filter(|operation| keys.contains(&operation.key.as_str()));
    // What is about no key is about answers that were late, or never came.
    let late = operations.iter().filter(|operation| operation.took() > MOST_FOR_AN_ANSWER);
    for operation in about.take(SHOWN).chain(late.take(SHOWN)) {
        println!("    {operation}");
    }
    let directory = std::env::temp_dir();
    let whole: String = operations.iter().map(|operation| format!("{operation}\n")).collect();
    for (name, text) in [("operations", whole), ("processes", deployment.logs())] {
        let path = directory.join(format!("ranq-faults-{}-{name}.log", std::process::id()));
        if std::fs::write(&path, text).is_ok() {
            println!("all of it: {}", path.display());
        }
    }
}
