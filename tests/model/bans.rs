//! Bans leave no trace: a leaderboard whose members were banned and unbanned in between ends as one where nobody ever was.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner, contextualize_config};
use ranq::db::{Db, Keyspace};
use ranq::error::Error;
use ranq::leaderboard::{
    Act, Entry, Leaderboards, Operator, Order, Ranking, Settings, Severity, Start, Subscore, Ties, View, WindowStanding,
};
use ranq::types::{Clock, ExactTimestamp, LeaderboardName, Limit};

use super::run::{Checked, unexpected};
use super::server::{self, Server};
use super::steps::{self, Offer};

const MEMBERS: usize = 5;
const SEGMENTS: [&str; 2] = ["country", "country+platform"];
const SEGMENTS_READ: [&str; 4] = ["country:K", "country:KR", "country:K,platform:KR", "country:KR,platform:KR"];

#[derive(Debug, Clone)]
enum Step {
    Submit {
        member: usize,
        score: i32,
        sub: i32,
        metadata: bool,
        segments: [Option<usize>; 2],
    },
    Adjust {
        member: usize,
        score: i32,
    },
    Remove(usize),
    /// On the leaderboard, or on all.
    Ban {
        member: usize,
        everywhere: bool,
    },
    Lift {
        member: usize,
        everywhere: bool,
    },
    /// So that distinct rows are kept from now on.
    LookDense,
}

fn step() -> impl Strategy<Value = Step> {
    let member = 0..MEMBERS;
    let values = prop::option::of(0..2_usize);
    prop_oneof![
        6 => (member.clone(), -3..4_i32, 0..2_i32, any::<bool>(), [values.clone(), values])
            .prop_map(|(member, score, sub, metadata, segments)| Step::Submit { member, score, sub, metadata, segments }),
        1 => (member.clone(), -3..4_i32).prop_map(|(member, score)| Step::Adjust { member, score }),
        1 => member.clone().prop_map(Step::Remove),
        2 => (member.clone(), any::<bool>()).prop_map(|(member, everywhere)| Step::Ban { member, everywhere }),
        2 => (member, any::<bool>()).prop_map(|(member, everywhere)| Step::Lift { member, everywhere }),
        1 => Just(Step::LookDense),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let orders = prop::sample::select(vec![Order::Descending, Order::Ascending]);
    let operators = prop::sample::select(vec![Operator::Best, Operator::Latest, Operator::Sum]);
    let ties = prop::sample::select(vec![Ties::Earliest, Ties::Latest, Ties::Member]);
    (orders, operators, ties, any::<bool>(), any::<bool>()).prop_map(|(order, operator, ties, column, divided)| {
        Settings {
            order,
            operator,
            ties,
            subscores: if column { vec![Subscore { name: steps::window_name("column"), order }] } else { Vec::new() },
            segments: if divided { SEGMENTS.map(str::to_owned).to_vec() } else { Vec::new() },
            windows: vec![steps::window(0), steps::window(1)],
            ..Settings::default()
        }
    })
}

/// Two services, of which one knows no bans.
struct Pair {
    with: Leaderboards,
    without: Leaderboards,
    name: LeaderboardName,
    clock: Clock,
    settings: Settings,
    /// On the leaderboard, and on all.
    banned: [[bool; 2]; MEMBERS],
    act: Act,
}

type Row = (String, f64, Vec<f64>, Option<u64>, Option<String>, BTreeMap<String, String>);

impl Pair {
    async fn begin(db: &Db, settings: Settings) -> Result<Self, TestCaseError> {
        let (name, clock) = (server::new_name(), Clock::fixed(1_795_412_400_000));
        // Service-wide bans are of a prefix.
        let of =
            |kind: &str| Leaderboards::new(db.clone(), Keyspace::new(&format!("{kind}{name}")), clock.clone(), true);
        let act = Act { by: "model".to_owned(), reason: None };
        let (with, without) = (of("with"), of("without"));
        for boards in [&with, &without] {
            boards.put(&name, settings.clone()).await.map_err(unexpected)?;
        }
        Ok(Self { with, without, name, clock, settings, banned: Default::default(), act })
    }

    async fn step(&mut self, step: &Step) -> Checked {
        self.clock.advance(std::time::Duration::from_millis(1));
        match *step {
            Step::Submit { member, score, sub, metadata, segments } => {
                let subscores = [f64::from(sub), 0.0];
                let metadata = metadata.then_some(1);
                let offer = Offer { member, score: score.into(), subscores, metadata, segments, key: None };
                let submission = offer.submission(&self.settings);
                let with = self.with.submit(&self.name, &submission).await.map_err(unexpected)?;
                let without = self.without.submit(&self.name, &submission).await.map_err(unexpected)?;
                for (with, without) in with.windows.iter().zip(&without.windows) {
                    let scores = |it: &WindowStanding| (it.score, it.updated, it.previous.map(|(score, _)| score));
                    prop_assert_eq!(scores(with), scores(without));
                    if self.banned.iter().enumerate().all(|(other, banned)| other == member || !banned.contains(&true))
                    {
                        prop_assert_eq!(with, without, "nobody else is banned");
                    }
                }
            }
            Step::Adjust { member, score } => {
                let offer = Offer { member, score: score.into(), ..Offer::default() };
                let submission = offer.submission(&self.settings);
                for boards in [&self.with, &self.without] {
                    boards.adjust(&self.name, &submission, None, &self.act).await.map_err(unexpected)?;
                }
            }
            Step::Remove(member) => {
                let member = steps::member(member);
                let with = self.with.remove(&self.name, &member, &self.act).await;
                let without = self.without.remove(&self.name, &member, &self.act).await;
                prop_assert_eq!(with.is_ok(), without.is_ok());
            }
            Step::Ban { member, everywhere } => self.ban(member, everywhere).await?,
            Step::Lift { member, everywhere } => self.lift(member, everywhere).await?,
            Step::LookDense => drop(rows(&self.with, self, Ranking::Dense).await?),
        }
        self.look().await
    }

    async fn ban(&mut self, number: usize, everywhere: bool) -> Checked {
        let member = &steps::member(number);
        let banned = if everywhere {
            self.with.ban_everywhere(member, Severity::Shadow, &self.act).await
        } else {
            self.with.ban(&self.name, member, Severity::Shadow, &self.act).await
        };
        let (is_new, _) = banned.map_err(unexpected)?;
        prop_assert_eq!(is_new, !std::mem::replace(&mut self.banned[number][usize::from(everywhere)], true));
        Ok(())
    }

    async fn lift(&mut self, number: usize, everywhere: bool) -> Checked {
        let member = &steps::member(number);
        let lifted = if everywhere {
            self.with.lift_ban_everywhere(member, &self.act).await
        } else {
            self.with.lift_ban(&self.name, member, &self.act).await
        };
        let was_banned = std::mem::take(&mut self.banned[number][usize::from(everywhere)]);
        prop_assert!(if was_banned { lifted.is_ok() } else { matches!(lifted, Err(Error::NoBan(_))) }, "{:?}", lifted);
        Ok(())
    }

    /// What is seen is what the other one has, without the banned.
    async fn look(&self) -> Checked {
        let hidden: Vec<String> = (0..MEMBERS)
            .filter(|number| self.banned[*number].contains(&true))
            .map(|number| steps::member(number).to_string())
            .collect();
        for ranking in [Ranking::Ordinal, Ranking::Competition] {
            let (seen, all) = (rows(&self.with, self, ranking).await?, rows(&self.without, self, ranking).await?);
            for (seen, mut all) in seen.into_iter().zip(all) {
                all.retain(|(member, ..)| !hidden.contains(member));
                prop_assert_eq!(seen, all);
            }
        }
        Ok(())
    }

    /// Lifts what is left: then nothing tells both apart.
    async fn end(mut self) -> Checked {
        for member in 0..MEMBERS {
            for everywhere in [true, false] {
                // Where there is none it is told.
                self.lift(member, everywhere).await?;
            }
        }
        self.look().await?;
        let dense = [rows(&self.with, &self, Ranking::Dense).await?, rows(&self.without, &self, Ranking::Dense).await?];
        prop_assert_eq!(&dense[0], &dense[1]);
        for boards in [&self.with, &self.without] {
            boards.delete(&self.name).await.map_err(unexpected)?;
        }
        Ok(())
    }
}

/// The rows of each window, whole and by segments, and that their ranks are right.
async fn rows(boards: &Leaderboards, pair: &Pair, ranking: Ranking) -> Result<Vec<Vec<Row>>, TestCaseError> {
    let mut windows = Vec::new();
    let divided = !pair.settings.segments.is_empty() && ranking != Ranking::Dense;
    let segments = SEGMENTS_READ.into_iter().filter(|_| divided).map(|segment| Some(segment.to_owned()));
    let segments: Vec<Option<String>> = std::iter::once(None).chain(segments).collect();
    for (window, segment) in pair.settings.windows.iter().flat_map(|window| segments.iter().map(move |it| (window, it)))
    {
        let view = View { window: Some(window.name.clone()), segment: segment.clone(), ranking, ..View::default() };
        let page = boards.rankings(&pair.name, &view, &Start::Offset(0), Limit::MOST).await.map_err(unexpected)?;
        let mut rank = 0;
        for (place, entry) in (1..).zip(&page.entries) {
            let equal = place > 1 && equal(&page.entries[place as usize - 2], entry);
            rank = match ranking {
                Ranking::Dense => rank + u64::from(!equal),
                Ranking::Competition if equal => rank,
                Ranking::Competition | Ranking::Ordinal => place,
            };
            prop_assert_eq!(entry.rank, rank);
        }
        windows.push(page.entries.into_iter().map(row).collect());
    }
    Ok(windows)
}

fn equal(a: &Entry, b: &Entry) -> bool {
    a.score == b.score && a.subscores == b.subscores
}

fn row(entry: Entry) -> Row {
    let subscores = entry.subscores.iter().map(|value| value.value()).collect();
    let time = entry.achieved_exactly.map(ExactTimestamp::as_micros);
    let metadata = entry.metadata.map(|metadata| metadata.as_str().to_owned());
    (entry.member.to_string(), entry.score.value(), subscores, time, metadata, entry.segments)
}

#[test]
fn members_that_were_banned_in_between_end_where_they_would_have_without() {
    let (server, runtime) = (Server::shared(), super::runtime());
    let db = server.db();
    let config = ProptestConfig { cases: 60, failure_persistence: None, max_shrink_time: 60_000, ..Default::default() };
    let mut runner = TestRunner::new(contextualize_config(config));
    let cases = (settings(), prop::collection::vec(step(), 1..40));
    let tried = runner.run(&cases, |(settings, steps)| {
        runtime.block_on(async {
            let mut pair = Pair::begin(&db, settings).await?;
            for step in &steps {
                pair.step(step).await?;
            }
            pair.end().await
        })
    });
    assert!(tried.is_ok(), "{tried:?}");
}
