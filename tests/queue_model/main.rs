//! Queues against a plain model of them: the same verbs over HTTP, the same answers.
//!
//! Each test has two instances of the service on one Redis, which take turns, and moves their clock.
//! `PROPTEST_CASES` sets how many cases are tried.

mod drain;
mod look;
mod model;
mod operators;
mod random;
mod requests;
mod run;
mod service;
mod steps;
mod wire;
mod workers;

use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner, contextualize_config};

use self::random::Kind;
use self::service::Service;

fn try_cases(cases: u32, kind: Kind, most_steps: usize) {
    let service = Service::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // A failing case is printed in its smallest form with all requests and answers, so no seed is kept.
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_time: 60_000,
        max_shrink_iters: u32::MAX,
        ..Default::default()
    };
    let mut runner = TestRunner::new(contextualize_config(config));
    let tried = runner.run(&random::case(kind, most_steps), |case| {
        runtime.block_on(run::case(&service, &case)).map_err(TestCaseError::fail)
    });
    if let Err(TestError::Fail(reason, case)) = &tried {
        println!("{}\nthe smallest case that fails: {case:?}", reason.message());
    }
    assert!(tried.is_ok(), "a queue does not do what its model does");
}

#[test]
fn queues_do_what_their_model_does() {
    try_cases(60, Kind::Plain, 90);
}

#[test]
fn queues_with_keys_do_what_their_model_does() {
    try_cases(40, Kind::Keyed, 90);
}

#[test]
fn queues_whose_limits_change_lease_every_job() {
    try_cases(30, Kind::Changing, 90);
}

#[test]
fn queues_that_forget_do_what_their_model_does() {
    try_cases(20, Kind::Forgetful, 70);
}
