//! What comes from outside, at random: no panic, no 5xx, no hang; what is taken obeys its rule and comes back as it was, and what
//! is refused is refused in words.
//!
//! `PROPTEST_CASES` raises how many cases are tried; with `FUZZ_SECONDS` each property is tried for so long
//! (`scripts/fuzz.sh MINUTES`).

#[path = "../api/support/mod.rs"]
#[expect(dead_code, unused_imports, clippy::panic, reason = "the tests of the API use the rest, and fail by panics")]
mod support;

mod documents;
mod exchange;
mod requests;
mod service;
mod settings;
mod texts;
mod transfers;

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner, contextualize_config};

/// Tries a property, with so many cases unless the environment asks for more or for a time.
fn hold<S: Strategy>(name: &str, cases: u32, strategy: &S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let lasts = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let (started, mut tried) = (Instant::now(), 0);
    loop {
        // A failing case is printed in its smallest form, so no seed is kept.
        let config = ProptestConfig { cases, failure_persistence: None, max_shrink_time: 60_000, ..Default::default() };
        let config = contextualize_config(config);
        tried += config.cases;
        if let Err(TestError::Fail(reason, case)) = TestRunner::new(config).run(strategy, &property) {
            println!("{name}: {reason}\nthe smallest case that fails: {case:?}");
            unreachable!("{name} does not hold");
        }
        if lasts.is_none_or(|lasts| started.elapsed() >= lasts) {
            break;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{name}: {tried} cases in {seconds:.1} s, {:.0}/s", f64::from(tried) / seconds);
}
