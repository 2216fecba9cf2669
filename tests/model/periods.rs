//! Windows that reset, against a plain model that reckons their periods by itself: what counts where, and what stays of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner, contextualize_config};
use ranq::db::{Db, Keyspace};
use ranq::error::Error;
use ranq::leaderboard::{
    Act, Leaderboards, Operator, Order, PeriodState, Roll, Settings, Severity, Start, Submission, View,
};
use ranq::task::Task as _;
use ranq::types::{Clock, LeaderboardName, Limit, Score, Timestamp};

use super::run::{Checked, unexpected};
use super::server::{self, Server};
use super::steps;
use super::windows::{self, BEGINNINGS, DAY_MS, Step, natural};

const COUNTRIES: [&str; 2] = ["K", "KR"];

struct Row {
    score: i32,
    /// Grows from change to change.
    reached: usize,
    hidden: bool,
}

struct Period {
    start_ms: i64,
    end_ms: i64,
    rows: BTreeMap<usize, Row>,
    /// Something counted in it, or it was closed by hand.
    noted: bool,
}

/// A leaderboard, which two instances serve in turns, and its model.
struct Pair {
    boards: [Leaderboards; 2],
    name: LeaderboardName,
    clock: Clock,
    settings: Settings,
    /// Of each window, its kind and its periods; the last one is open.
    windows: Vec<(usize, Vec<Period>)>,
    /// Closings by hand may be ahead of the clock, by 1 ms each.
    floor_ms: i64,
    closed_ms: i64,
    banned: BTreeSet<usize>,
    changes: usize,
    act: Act,
}

impl Pair {
    async fn begin(db: &Db, beginning: &str, kinds: Vec<usize>, settings: Settings) -> Result<Self, TestCaseError> {
        let begin_ms = beginning.parse::<jiff::Timestamp>().expect("a time").as_millisecond();
        let (name, clock) = (server::new_name(), Clock::fixed(begin_ms));
        // `Roll` walks over all that has the prefix.
        let keyspace = Keyspace::new(&format!("periods{name}"));
        let boards = [0, 1].map(|_| Leaderboards::new(db.clone(), keyspace.clone(), clock.clone(), false));
        boards[0].put(&name, settings.clone()).await.map_err(unexpected)?;
        let windows = kinds.into_iter().map(|kind| (kind, Vec::new())).collect();
        let act = Act { by: "model".to_owned(), reason: None };
        let (banned, floor_ms) = (BTreeSet::new(), begin_ms);
        let mut pair = Self { boards, name, clock, settings, windows, floor_ms, closed_ms: 0, banned, changes: 0, act };
        pair.turn();
        Ok(pair)
    }

    fn now_ms(&self) -> i64 {
        self.floor_ms.max(self.clock.estimate_us() / 1000)
    }

    /// Begins the periods of now.
    fn turn(&mut self) {
        let now_ms = self.now_ms();
        for (kind, periods) in &mut self.windows {
            let ended_ms = periods.last().map_or(i64::MIN, |last| last.end_ms);
            if periods.is_empty() || ended_ms <= now_ms {
                let (start_ms, end_ms) = natural(*kind, now_ms);
                // What never resets began with the leaderboard.
                let began_ms = if *kind == 0 && periods.is_empty() { now_ms } else { start_ms };
                let start_ms = began_ms.max(ended_ms);
                periods.push(Period { start_ms, end_ms, rows: BTreeMap::new(), noted: false });
            }
        }
    }

    fn open(&self, window: usize) -> &Period {
        self.windows[window].1.last().expect("one is open")
    }

    fn open_name(&self, window: usize) -> String {
        if self.windows[window].0 == 0 { "open".to_owned() } else { period_name(self.open(window)) }
    }

    /// Closes what has ended.
    fn close_until(&mut self, until_ms: i64) {
        let noted = self.windows.iter().flat_map(|(_, periods)| periods).filter(|period| period.noted);
        let ended = noted.map(|period| period.end_ms).filter(|end_ms| *end_ms <= until_ms);
        self.closed_ms = ended.fold(self.closed_ms, i64::max);
        self.floor_ms = self.floor_ms.max(self.closed_ms);
    }

    async fn step(&mut self, step: &Step) -> Checked {
        self.boards.swap(0, 1);
        let count = self.windows.len();
        let (boards, name) = (self.boards[0].clone(), self.name.clone());
        match *step {
            Step::Submit { member, score, if_period } => self.submit(member, score, if_period).await?,
            Step::Forward(by_ms) => self.clock.advance(Duration::from_millis(by_ms)),
            Step::ToReset { window, before } => {
                let end_ms = self.open(window % count).end_ms;
                let by_ms = end_ms.saturating_sub(self.clock.estimate_us() / 1000 + i64::from(before));
                let by_ms = if end_ms == i64::MAX { 1 } else { u64::try_from(by_ms).unwrap_or(0) };
                self.clock.advance(Duration::from_millis(by_ms));
            }
            Step::Close(window) => {
                let (window, now_ms, closed_ms) = (window % count, self.now_ms(), self.closed_ms);
                let of = &self.settings.windows[window].name;
                let closed = boards.close_window(&name, of, None).await.map_err(unexpected)?;
                prop_assert_eq!(closed.period, period_name(self.open(window)));
                let open = self.windows[window].1.last_mut().expect("one is open");
                // Each period has a start of its own.
                open.end_ms = now_ms.max(open.start_ms + 1).max(closed_ms + 1);
                open.noted = true;
                let end_ms = open.end_ms;
                self.close_until(end_ms);
                if self.windows[window].0 == 0 {
                    // The service learns from Redis that it is past a reset already, but not of a clock that a test moves.
                    let ahead_ms = u64::try_from(end_ms - self.clock.estimate_us() / 1000).unwrap_or(0);
                    self.clock.advance(Duration::from_millis(ahead_ms));
                }
            }
            Step::Ban(member) => {
                let banned = boards.ban(&name, &steps::member(member), Severity::Shadow, &self.act).await;
                prop_assert_eq!(banned.map_err(unexpected)?.0, self.banned.insert(member));
                self.hide(member, true);
            }
            Step::Lift(member) => {
                let lifted = boards.lift_ban(&name, &steps::member(member), &self.act).await;
                prop_assert_eq!(lifted.is_ok(), self.banned.remove(&member), "{:?}", lifted);
                self.hide(member, false);
            }
            Step::Remove(member) => {
                let removed = boards.remove(&name, &steps::member(member), &self.act).await;
                let periods = self.windows.iter_mut().flat_map(|(_, periods)| periods);
                let had = periods.filter_map(|period| period.rows.remove(&member)).count() > 0;
                prop_assert_eq!(removed.is_ok(), had, "{:?}", removed);
            }
            Step::Roll => {
                Roll::new(boards).run_once().await.map_err(unexpected)?;
                self.close_until(self.now_ms());
            }
        }
        self.turn();
        self.look(false).await
    }

    /// Bans touch what is open alone.
    fn hide(&mut self, member: usize, hidden: bool) {
        for (_, periods) in &mut self.windows {
            if let Some(row) = periods.last_mut().and_then(|open| open.rows.get_mut(&member)) {
                row.hidden = hidden;
            }
        }
    }

    async fn submit(&mut self, member: usize, score: i32, if_period: Option<(usize, bool)>) -> Checked {
        let asked = if_period.map(|(window, right)| {
            let window = window % self.windows.len();
            let before = self.windows[window].1.iter().rev().nth(1);
            let wrong = before.map_or_else(|| "2000-01-01T00:00:00.000Z".to_owned(), period_name);
            let period = if right { self.open_name(window) } else { wrong };
            (self.settings.windows[window].name.to_string(), period)
        });
        let divided = !self.settings.segments.is_empty();
        let country = divided.then(|| ("country".to_owned(), COUNTRIES[member % 2].to_owned()));
        let submission = Submission {
            member: steps::member(member),
            score: Score::new(score.into()).expect("finite"),
            subscores: BTreeMap::new(),
            metadata: None,
            segments: country.into_iter().collect(),
            if_period: asked.into_iter().collect(),
            key: None,
        };
        let answer = self.boards[0].submit(&self.name, &submission).await;
        if matches!(if_period, Some((_, false))) {
            prop_assert!(matches!(answer, Err(Error::PeriodClosed { .. })), "{:?}", answer);
            return Ok(());
        }
        let answer = answer.map_err(unexpected)?.windows.into_iter();
        let given: Vec<_> = answer.map(|it| (it.window, it.period, it.score.value(), it.updated)).collect();
        self.changes += 1;
        let mut expected = Vec::new();
        for window in 0..self.windows.len() {
            let (name, period) = (self.settings.windows[window].name.clone(), self.open_name(window));
            let hidden = self.banned.contains(&member);
            let open = self.windows[window].1.last_mut().expect("one is open");
            open.noted = true;
            let before = open.rows.get(&member).map(|row| row.score);
            let after = before.map_or(score, |before| match (self.settings.operator, self.settings.order) {
                (Operator::Latest, _) => score,
                (Operator::Sum, _) => before + score,
                (Operator::Best, Order::Descending) => before.max(score),
                (Operator::Best, Order::Ascending) => before.min(score),
            });
            let changed = before != Some(after);
            if changed {
                open.rows.insert(member, Row { score: after, reached: self.changes, hidden });
            }
            expected.push((name, period, f64::from(after), changed));
        }
        prop_assert_eq!(given, expected);
        Ok(())
    }

    /// Compares the periods of all windows and what stands in them, in the end by segments too.
    async fn look(&self, last: bool) -> Checked {
        for (window, (kind, periods)) in self.windows.iter().enumerate() {
            let name = &self.settings.windows[window].name;
            let listed = self.boards[0].periods(&self.name, name, None, Limit::MOST).await.map_err(unexpected)?.0;
            let listed = listed.into_iter().map(|it| {
                let end_ms = it.ended_at.map(Timestamp::as_millis);
                (it.name, it.state != PeriodState::Open, it.started_at.map(Timestamp::as_millis), end_ms, it.entries)
            });
            let mut expected = Vec::new();
            for (place, period) in periods.iter().enumerate().rev() {
                let is_open = place + 1 == periods.len();
                if !is_open && !period.noted {
                    continue;
                }
                let name = if is_open { self.open_name(window) } else { period_name(period) };
                let entries = period.rows.values().filter(|row| !row.hidden).count() as u64;
                // Of the one without end it is told that it is open, and no more.
                let start_ms = (!is_open || *kind != 0).then_some(period.start_ms);
                expected.push((name.clone(), !is_open, start_ms, (!is_open).then_some(period.end_ms), entries));
                self.look_at(window, period, &name, None).await?;
                if !self.settings.segments.is_empty() && (is_open || last) {
                    for number in 0..COUNTRIES.len() {
                        self.look_at(window, period, &name, Some(number)).await?;
                    }
                }
            }
            prop_assert_eq!(listed.collect::<Vec<_>>(), expected, "periods of {}", name);
        }
        Ok(())
    }

    async fn look_at(&self, window: usize, period: &Period, name: &str, country: Option<usize>) -> Checked {
        let window = self.settings.windows[window].name.clone();
        let segment = country.map(|number| format!("country:{}", COUNTRIES[number]));
        let view = View { window: Some(window), period: Some(name.to_owned()), segment, ..View::default() };
        let page = self.boards[0].rankings(&self.name, &view, &Start::Offset(0), Limit::MOST).await;
        let page = page.map_err(unexpected)?;
        let given: Vec<_> = page.entries.iter().map(|it| (it.rank, it.member.to_string(), it.score.value())).collect();
        let seen = |(member, row): &(&usize, &Row)| !row.hidden && country.is_none_or(|it| *member % 2 == it);
        let mut rows: Vec<(&usize, &Row)> = period.rows.iter().filter(seen).collect();
        let ranked = |score: i32| if self.settings.order == Order::Descending { -score } else { score };
        rows.sort_by_key(|(_, row)| (ranked(row.score), row.reached));
        let rows = (1_u64..).zip(rows);
        let expected: Vec<_> =
            rows.map(|(rank, (member, row))| (rank, steps::member(*member).to_string(), row.score.into())).collect();
        prop_assert_eq!(given, expected, "{:?}", view);
        Ok(())
    }
}

fn period_name(period: &Period) -> String {
    Timestamp::from_millis(period.start_ms).to_string()
}

async fn case(db: &Db, beginning: &str, (kinds, settings): (Vec<usize>, Settings), steps: &[Step]) -> Checked {
    let mut pair = Pair::begin(db, beginning, kinds, settings).await?;
    for step in steps {
        pair.step(step).await?;
    }
    pair.look(true).await?;
    pair.boards[0].delete(&pair.name).await.map_err(unexpected)
}

#[test]
fn scores_count_in_the_periods_of_their_time_and_stay_there() {
    let (server, runtime) = (Server::shared(), super::runtime());
    let db = server.db();
    let config = ProptestConfig { cases: 60, failure_persistence: None, max_shrink_time: 60_000, ..Default::default() };
    let mut runner = TestRunner::new(contextualize_config(config));
    let cases = (prop::sample::select(BEGINNINGS.to_vec()), windows::settings(), vec(windows::step(), 1..40));
    let tried =
        runner.run(&cases, |(beginning, settings, steps)| runtime.block_on(case(&db, beginning, settings, &steps)));
    assert!(tried.is_ok(), "{tried:?}");
}

#[test]
fn a_period_is_kept_that_begins_by_hand_when_another_window_begins_anew() {
    let (server, kinds) = (Server::shared(), vec![1, 2]);
    let settings = Settings { windows: kinds.iter().map(windows::window).collect(), ..Settings::default() };
    let submit = || Step::Submit { member: 0, score: 1, if_period: None };
    let steps = [submit(), Step::Close(1), submit(), Step::Forward(3 * DAY_MS)];
    let done = super::runtime().block_on(case(&server.db(), BEGINNINGS[1], (kinds, settings), &steps));
    assert!(done.is_ok(), "{done:?}");
}
