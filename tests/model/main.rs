//! Leaderboards against a plain model of them: the same verbs, the same answers.
//!
//! `PROPTEST_CASES` raises how many cases are tried.

mod bans;
mod limits;
mod model;
mod periods;
mod reads;
mod run;
mod segments;
mod server;
mod steps;
mod stored;
mod windows;

use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner, contextualize_config};
use ranq::leaderboard::{Order, Ranking, Settings, Start, Subscore, View, WantedRanks};
use ranq::types::Limit;
use redis::aio::MultiplexedConnection;
use tokio::runtime::Runtime;

use self::run::Run;
use self::server::Server;
use self::steps::{Case, Look, Offer, Step};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn try_cases(cases: u32, strategy: impl Strategy<Value = Case>) {
    let server = Server::shared();
    let runtime = runtime();
    let db = server.db();
    let connection = runtime.block_on(server.connect());
    // A failing case is printed in full and in its smallest form, so no seed is kept.
    let config = ProptestConfig { cases, failure_persistence: None, max_shrink_time: 60_000, ..Default::default() };
    let mut runner = TestRunner::new(contextualize_config(config));
    let tried = runner.run(&strategy, |case| runtime.block_on(run::case(&db, &connection, case)));
    if let Err(TestError::Fail(reason, case)) = &tried {
        println!("{reason}\nthe smallest case that fails: {case:?}");
    }
    assert!(tried.is_ok());
}

#[test]
fn leaderboards_of_few_members_do_what_their_model_does() {
    try_cases(120, steps::few_members());
}

#[test]
fn leaderboards_of_many_members_do_what_their_model_does() {
    try_cases(10, steps::many_members());
}

#[test]
fn leaderboards_of_several_shards_do_what_their_model_does() {
    try_cases(60, steps::spread());
}

/// A case of plain steps.
fn do_steps(settings: Settings, steps: Vec<Step>) {
    let server = Server::shared();
    runtime().block_on(async {
        let case = Case { settings, steps, last: Look::default() };
        let done = run::case(&server.db(), &server.connect().await, case).await;
        assert!(done.is_ok(), "{}", done.expect_err("checked"));
    });
}

#[test]
fn an_answer_given_again_names_the_windows_that_it_was_given_for() {
    let submit = || Step::Submit(Offer { key: Some(0), ..Offer::default() });
    let only = |number| Step::Put { max_entries: None, windows: vec![steps::window(number)], segments: Vec::new() };
    for (first, then) in [(0, 1), (1, 0)] {
        do_steps(Settings::default(), vec![only(first), submit(), only(then), submit()]);
    }
}

#[test]
fn an_answer_given_again_keeps_its_score_when_the_order_has_changed() {
    let submit = || Step::Submit(Offer { score: 5.0, key: Some(0), ..Offer::default() });
    let turned = Settings { order: Order::Ascending, ..Settings::default() };
    do_steps(Settings::default(), vec![submit(), Step::Remove(0), Step::PutAnew(turned), submit()]);
}

/// So many members with few scores among them, in batches.
fn fill(members: usize) -> impl Iterator<Item = Step> {
    let offers: Vec<Offer> = (0..members)
        .map(|member| Offer {
            member,
            score: (member * 7919 % 1000) as f64 / 8.0,
            subscores: [(member % 3) as f64, 0.0],
            metadata: (member % 5 == 0).then_some(1),
            ..Offer::default()
        })
        .collect();
    let batches: Vec<_> = offers.chunks(1000).map(<[Offer]>::to_vec).collect();
    batches.into_iter().map(|offers| Step::SubmitMany { offers, ranks: WantedRanks::New, key: None })
}

#[test]
fn five_thousand_entries_come_and_go_and_none_is_lost() {
    let columns = [Order::Ascending].map(|order| Subscore { name: steps::window_name("column"), order });
    let settings = Settings { subscores: columns.to_vec(), ..Settings::default() };
    let mut steps: Vec<Step> = fill(5000).collect();
    // Every third goes, some of them come back, some of those who stayed move.
    steps.extend((0..5000).step_by(3).map(Step::Remove));
    let moving = |member| Offer { member, score: 1000.0, ..Offer::default() };
    let offers = (0..5000).step_by(7).map(moving).collect();
    steps.push(Step::SubmitMany { offers, ranks: WantedRanks::NewAndPrevious, key: None });
    do_steps(settings, steps);
}

#[test]
fn dense_ranks_are_right_though_scores_come_while_their_rows_are_collected() {
    let server = Server::shared();
    runtime().block_on(async {
        let connection = server.connect().await;
        for round in 0..2 {
            let done = collect_while_scores_come(&server, &connection, round).await;
            assert!(done.is_ok(), "{}", done.expect_err("checked"));
        }
    });
}

async fn collect_while_scores_come(server: &Server, connection: &MultiplexedConnection, round: usize) -> run::Checked {
    let mut run = Run::begin(&server.db(), connection, Settings::default()).await?;
    for step in fill(2000) {
        run.step(step).await?;
    }
    let (reader, name) = (run.boards.clone(), run.name.clone());
    let view = View { ranking: Ranking::Dense, ..View::default() };
    let collected = reader.rankings(&name, &view, &Start::Offset(0), Limit::default());
    let writes = async {
        for member in (round..2000).step_by(31) {
            run.remove(member).await?;
            let score = (member * 31 % 4000) as f64 / 16.0;
            run.step(Step::Submit(Offer { member: member + 1, score, ..Offer::default() })).await?;
        }
        run::Checked::Ok(())
    };
    let (collected, written) = tokio::join!(collected, writes);
    written?;
    collected.map_err(run::unexpected)?;
    run.look(&Look::default()).await?;
    run.end().await
}

#[test]
fn an_instance_knows_the_settings_that_another_has_changed() {
    let column = Subscore { name: steps::window_name("first"), order: Order::Descending };
    let two_windows = vec![steps::window(0), steps::window(1)];
    let settings = Settings { subscores: vec![column], windows: two_windows, ..Settings::default() };
    do_steps(Settings::default(), vec![Step::PutAnew(settings.clone()), Step::Submit(Offer::default())]);
    let look = Look { window: Some(1), ..Look::default() };
    do_steps(Settings::default(), vec![Step::PutAnew(settings), Step::Look(look)]);
}
