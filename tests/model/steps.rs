//! What may happen to a leaderboard, at random.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use ranq::leaderboard::{Operator, Order, Settings, Submission, SubmissionLimit, Subscore, Ties, WantedRanks, Window};
use ranq::types::{IdempotencyKey, Member, Score, WindowName};

/// Ids that are prefixes of one another, sort in other ways than they look, or have bytes that mean something elsewhere.
const ODD_MEMBERS: [&str; 12] =
    ["a", "ab", "b", "é", "a:b", "\u{10FFFF}", "A", "{a}", " ", "a*", "%00", "\u{a0}\u{2028}"];
const COLUMNS: [&str; 2] = ["first", "second"];
const WINDOWS: [&str; 2] = ["all_time", "other"];

/// Calls at once that tokio lets begin in the order in which they are made; of more, some give way.
const MOST_AT_ONCE: usize = 40;

/// A leaderboard and what happens to it.
#[derive(Debug, Clone)]
pub struct Case {
    pub settings: Settings,
    pub steps: Vec<Step>,
    pub last: Look,
}

#[derive(Debug, Clone)]
pub enum Step {
    Submit(Offer),
    /// Each in a call of its own, which the service merges.
    SubmitAtOnce(Vec<Offer>),
    SubmitMany {
        offers: Vec<Offer>,
        ranks: WantedRanks,
        key: Option<u8>,
    },
    Remove(usize),
    Advance {
        by_ms: u64,
    },
    Put {
        max_entries: Option<u64>,
        windows: Vec<Window>,
        segments: Vec<String>,
    },
    /// Also changes what entries forbid.
    PutAnew(Settings),
    Look(Look),
}

/// A submission in short.
#[derive(Debug, Clone, Default)]
pub struct Offer {
    pub member: usize,
    pub score: f64,
    pub subscores: [f64; 2],
    pub metadata: Option<u8>,
    pub key: Option<u8>,
    /// Of the country and of the platform.
    pub segments: [Option<usize>; 2],
}

/// One round of all reads.
#[derive(Debug, Clone)]
pub struct Look {
    pub window: Option<usize>,
    pub offset: usize,
    pub limit: u64,
    pub radius: u64,
    pub score: f64,
    pub members: Vec<usize>,
    pub buckets: u32,
    /// From the first dense read on, every write keeps the distinct rows.
    pub dense: bool,
}

pub fn member(number: usize) -> Member {
    let id = match ODD_MEMBERS.get(number) {
        Some(id) => (*id).to_owned(),
        None if number == ODD_MEMBERS.len() => "x".repeat(128),
        None => format!("m{number}"),
    };
    Member::try_from(id).expect("a member")
}

pub fn key(number: u8) -> IdempotencyKey {
    IdempotencyKey::try_from(format!("key{number}")).expect("a key")
}

pub fn window_name(name: &str) -> WindowName {
    WindowName::try_from(name.to_owned()).expect("a name")
}

pub fn window(number: usize) -> Window {
    Window::without_reset(window_name(WINDOWS[number]))
}

impl Default for Look {
    fn default() -> Self {
        Self {
            window: None,
            offset: 0,
            limit: 1000,
            radius: 5,
            score: 0.0,
            members: (0..4).collect(),
            buckets: 20,
            dense: true,
        }
    }
}

impl Offer {
    pub fn submission(&self, settings: &Settings) -> Submission {
        let score = |value| Score::new(value).expect("finite");
        let columns = settings.subscores.iter().zip(self.subscores);
        let metadata = self.metadata.map(|number| serde_json::from_str(&format!("{{\"n\": {number}}}")));
        Submission {
            member: member(self.member),
            score: score(self.score),
            subscores: columns.map(|(column, value)| (column.name.to_string(), score(value))).collect(),
            metadata: metadata.transpose().expect("JSON"),
            segments: self.segments(settings),
            if_period: Default::default(),
            key: self.key.map(key),
        }
    }
}

const DIMENSIONS: [&str; 2] = ["country", "platform"];
/// Values that begin like one another, or have signs that mean something elsewhere.
const VALUES: [&str; 4] = ["K", "KR", "K+:", "\u{e9} \u{10FFFF}"];

impl Offer {
    /// The values of those dimensions that are declared in any way.
    fn segments(&self, settings: &Settings) -> BTreeMap<String, String> {
        let declared = |name: &str| settings.segments.iter().any(|segment| segment.split('+').any(|it| it == name));
        let values = DIMENSIONS.into_iter().zip(self.segments).filter(|(name, _)| declared(name));
        values.filter_map(|(name, value)| Some((name.to_owned(), VALUES[value?].to_owned()))).collect()
    }
}

/// A text that reads a segment, by its dimensions; the values are those of a row or any.
pub fn segment_query(names: &[String], values: &[String]) -> String {
    let pairs = names.iter().zip(values).map(|(name, value)| format!("{name}:{value}"));
    pairs.collect::<Vec<_>>().join(",")
}

/// A value for each dimension, by a number.
pub fn any_values(names: &[String], number: usize) -> Vec<String> {
    (0..names.len()).map(|place| VALUES[(number + place) % VALUES.len()].to_owned()).collect()
}

fn segments() -> impl Strategy<Value = Vec<String>> {
    let declared: Vec<&[&str]> = vec![
        &[],
        &["country"],
        &["platform", "country"],
        &["platform", "country", "platform+country"],
        &["country+platform"],
        &["country", "country+platform"],
    ];
    prop::sample::select(declared).prop_map(|segments| segments.iter().map(|&segment| segment.to_owned()).collect())
}

/// Scores of which many are equal, some are extreme, and a few are anything.
fn score() -> impl Strategy<Value = f64> {
    let extremes = vec![
        0.0,
        -0.0,
        1e308,
        -1e308,
        f64::MAX,
        f64::MIN,
        5e-324,
        -5e-324,
        f64::MIN_POSITIVE,
        0.1,
        0.3,
        0.1 + 0.2,
        -3.99,
        1e300,
        1e300_f64.next_up(),
        1e17,
        1e17_f64.next_up(),
        9_007_199_254_740_991.0,
        9_007_199_254_740_992.0,
        -9_007_199_254_740_992.0,
    ];
    prop_oneof![
        6 => prop::sample::select(vec![0.0, 1.0, 2.0, 3.0, -1.0]),
        3 => prop::sample::select(extremes),
        1 => proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO,
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let order = || prop::sample::select(vec![Order::Descending, Order::Ascending]);
    let operator = prop::sample::select(vec![Operator::Best, Operator::Latest, Operator::Sum]);
    let ties = prop::sample::select(vec![Ties::Earliest, Ties::Latest, Ties::Member]);
    let limit = (1..4_u32).prop_map(|limit| SubmissionLimit { limit, per_ms: 60_000 });
    (
        order(),
        operator,
        ties,
        vec(order(), 0..=2),
        max_entries(),
        prop::option::weighted(0.1, limit),
        windows(),
        segments(),
    )
        .prop_map(|(order, operator, ties, columns, max_entries, submission_limit, windows, segments)| Settings {
            segments,
            order,
            operator,
            ties,
            subscores: columns
                .into_iter()
                .zip(COLUMNS)
                .map(|(order, name)| Subscore { name: window_name(name), order })
                .collect(),
            max_entries,
            submission_limit,
            windows,
            ..Settings::default()
        })
}

fn max_entries() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![3 => Just(None), 1 => (1..8_u64).prop_map(Some), 1 => (8..300_u64).prop_map(Some)]
}

fn windows() -> impl Strategy<Value = Vec<Window>> {
    prop_oneof![5 => Just(vec![0]), 1 => Just(vec![1]), 1 => Just(vec![0, 1]), 1 => Just(vec![1, 0])]
        .prop_map(|numbers| numbers.into_iter().map(window).collect())
}

fn offer(members: usize) -> impl Strategy<Value = Offer> {
    let metadata = prop_oneof![3 => Just(None), 1 => (0..3_u8).prop_map(Some)];
    let key = prop_oneof![7 => Just(None), 1 => (0..3_u8).prop_map(Some)];
    let value = || prop::option::weighted(0.3, 0..VALUES.len());
    let all = (0..members, score(), [score(), score()], metadata, key, [value(), value()]);
    all.prop_map(|(member, score, subscores, metadata, key, segments)| Offer {
        member,
        score,
        subscores,
        metadata,
        key,
        segments,
    })
}

fn ranks() -> impl Strategy<Value = WantedRanks> {
    prop::sample::select(vec![WantedRanks::None, WantedRanks::New, WantedRanks::NewAndPrevious])
}

fn look(members: usize) -> impl Strategy<Value = Look> {
    let limit = prop_oneof![3 => 1..6_u64, 1 => 6..=1000_u64];
    let radius = prop_oneof![1 => Just(0), 3 => 1..5_u64, 1 => 5..=100_u64];
    let buckets = prop_oneof![1 => Just(1), 3 => 2..21_u32, 1 => 21..=200_u32];
    let offset = prop_oneof![1 => Just(0), 9 => 0..2 * members, 1 => Just(1 << 52)];
    let window = prop::option::of(0..2_usize);
    (window, offset, limit, radius, score(), vec(0..members + 2, 1..5), buckets, any::<bool>()).prop_map(
        |(window, offset, limit, radius, score, members, buckets, dense)| Look {
            window,
            offset,
            limit,
            radius,
            score,
            members,
            buckets,
            dense,
        },
    )
}

fn step(members: usize, most_in_batch: usize) -> impl Strategy<Value = Step> {
    let advance = prop::sample::select(vec![0, 1, 1, 7, 1000, 30_000]);
    let key = prop_oneof![9 => Just(None), 1 => (0..2_u8).prop_map(Some)];
    prop_oneof![
        12 => offer(members).prop_map(Step::Submit),
        4 => (vec(offer(members), 0..most_in_batch), ranks(), key)
            .prop_map(|(offers, ranks, key)| Step::SubmitMany { offers, ranks, key }),
        2 => vec(offer(members), 0..MOST_AT_ONCE).prop_map(Step::SubmitAtOnce),
        5 => (0..members + 2).prop_map(Step::Remove),
        4 => advance.prop_map(|by_ms| Step::Advance { by_ms }),
        2 => (max_entries(), windows(), segments())
            .prop_map(|(max_entries, windows, segments)| Step::Put { max_entries, windows, segments }),
        1 => settings().prop_map(Step::PutAnew),
        3 => look(members).prop_map(Step::Look),
    ]
}

fn case_of(members: usize, first: impl Strategy<Value = Vec<Step>>, most_steps: usize) -> impl Strategy<Value = Case> {
    let steps = vec(step(members, members.min(150)), 1..most_steps);
    (settings(), first, steps, look(members)).prop_map(|(settings, mut first, steps, mut last)| {
        first.extend(steps);
        last.dense = true;
        Case { settings, steps: first, last }
    })
}

/// Few members, so that each meets all the others.
pub fn few_members() -> impl Strategy<Value = Case> {
    prop_oneof![case_of(5, Just(Vec::new()), 40), case_of(16, Just(Vec::new()), 60)]
}

/// Leaderboards of several shards, and only what these take.
pub fn spread() -> impl Strategy<Value = Case> {
    let cases = prop_oneof![case_of(5, Just(Vec::new()), 40), case_of(40, Just(Vec::new()), 60)];
    (cases, 2..9_u32).prop_map(|(case, shards)| case.over(shards))
}

impl Case {
    /// The same over several shards: no dense ranks and no bound on entries. Ranks of batches and of what is answered again
    /// are those of another moment, so nobody asks for them. Time goes on between the steps: which of two instances was
    /// first within a millisecond, their clocks say and nobody else.
    fn over(self, shards: u32) -> Self {
        let over = |settings: Settings| Settings { shards, max_entries: None, ..settings };
        let plain = |offer: Offer| Offer { key: None, ..offer };
        let step = |step: Step| match step {
            Step::Submit(offer) => Step::Submit(plain(offer)),
            Step::SubmitAtOnce(offers) => Step::SubmitAtOnce(offers.into_iter().map(plain).collect()),
            Step::SubmitMany { offers, ranks: _, key: _ } => {
                let offers = offers.into_iter().map(plain).collect();
                Step::SubmitMany { offers, ranks: WantedRanks::None, key: None }
            }
            Step::Put { max_entries: _, windows, segments } => Step::Put { max_entries: None, windows, segments },
            Step::PutAnew(settings) => Step::PutAnew(over(settings)),
            Step::Look(look) => Step::Look(Look { dense: false, ..look }),
            Step::Remove(_) | Step::Advance { .. } => step,
        };
        Self {
            settings: over(self.settings),
            steps: self.steps.into_iter().flat_map(|it| [Step::Advance { by_ms: 1 }, step(it)]).collect(),
            last: Look { dense: false, ..self.last },
        }
    }
}

/// So many members that the directory splits again and again.
pub fn many_members() -> impl Strategy<Value = Case> {
    let members = 600;
    let batch = (vec(offer(members), 300..900), ranks());
    let first = batch.prop_map(|(offers, ranks)| vec![Step::SubmitMany { offers, ranks, key: None }]);
    case_of(members, first, 30)
}
