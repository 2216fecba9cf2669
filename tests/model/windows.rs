//! Leaderboards with windows that reset, what may happen to them at random, and when their periods begin and end.

use jiff::civil::Date;
use proptest::prelude::*;
use ranq::leaderboard::{Operator, Order, Settings, Window};

use super::steps::window_name;

pub const MEMBERS: usize = 5;
pub const DAY_MS: u64 = 86_400_000;
/// Name, reset and zone of the windows that a leaderboard may have.
const KINDS: [(&str, Option<&str>, Option<&str>); 4] = [
    ("all_time", None, None),
    ("seconds", Some("*/7 * * * * *"), None),
    ("daily", Some("daily"), Some("America/New_York")),
    ("night", Some("30 2 * * *"), Some("Australia/Lord_Howe")),
];
/// Shortly before summer time begins and ends in New York, and on Lord Howe Island; and a plain day.
pub const BEGINNINGS: [&str; 5] = [
    "2026-03-08T04:59:58.500Z",
    "2026-11-01T03:59:56Z",
    "2026-10-03T15:29:59.999Z",
    "2026-04-04T14:59:00Z",
    "2026-11-23T05:40:00.123Z",
];

#[derive(Debug, Clone)]
pub enum Step {
    /// With the period of a window, the open one or another.
    Submit {
        member: usize,
        score: i32,
        if_period: Option<(usize, bool)>,
    },
    Forward(u64),
    /// To the end of a window's open period, or 1 ms before.
    ToReset {
        window: usize,
        before: bool,
    },
    Close(usize),
    Ban(usize),
    Lift(usize),
    Remove(usize),
    Roll,
}

pub fn step() -> impl Strategy<Value = Step> {
    let if_period = prop::option::weighted(0.3, (0..3_usize, prop::bool::weighted(0.7)));
    let spans = vec![1, 2, 999, 6_999, 7_000, 60_000, 1_800_000, 3_600_000, DAY_MS - 3_600_000, DAY_MS, 3 * DAY_MS];
    prop_oneof![
        8 => (0..MEMBERS, -3..4_i32, if_period)
            .prop_map(|(member, score, if_period)| Step::Submit { member, score, if_period }),
        3 => prop::sample::select(spans).prop_map(Step::Forward),
        3 => (0..3_usize, any::<bool>()).prop_map(|(window, before)| Step::ToReset { window, before }),
        2 => (0..3_usize).prop_map(Step::Close),
        1 => (0..MEMBERS).prop_map(Step::Ban),
        1 => (0..MEMBERS).prop_map(Step::Lift),
        1 => (0..MEMBERS).prop_map(Step::Remove),
        1 => Just(Step::Roll),
    ]
}

pub fn window(kind: &usize) -> Window {
    let (name, reset, timezone) = KINDS[*kind];
    let (reset, timezone) = (reset.map(str::to_owned), timezone.map(str::to_owned));
    Window { reset, timezone, keep: Some(1000), ..Window::without_reset(window_name(name)) }
}

pub fn settings() -> impl Strategy<Value = (Vec<usize>, Settings)> {
    let kinds = prop::sample::subsequence((0..KINDS.len()).collect::<Vec<_>>(), 1..=3).prop_shuffle();
    let orders = prop::sample::select(vec![Order::Descending, Order::Ascending]);
    let operators = prop::sample::select(vec![Operator::Best, Operator::Latest, Operator::Sum]);
    (kinds, orders, operators, any::<bool>()).prop_map(|(kinds, order, operator, divided)| {
        let segments = if divided { vec!["country".to_owned()] } else { Vec::new() };
        let windows = kinds.iter().map(window).collect();
        (kinds, Settings { order, operator, windows, segments, ..Settings::default() })
    })
}

/// When a period that holds a moment starts and ends, without closings by hand.
pub fn natural(kind: usize, at_ms: i64) -> (i64, i64) {
    let daily = |zone: &str, hour: i8, minute: i8| {
        let on = |date: Date| {
            let time = date.at(hour, minute, 0, 0).in_tz(zone).expect("a time of this zone");
            time.timestamp().as_millisecond()
        };
        let now = jiff::Timestamp::from_millisecond(at_ms).expect("a time").in_tz(zone).expect("a zone");
        let today = now.date();
        let begun = on(today) <= at_ms;
        let first = if begun { today } else { today.yesterday().expect("a day") };
        (on(first), on(first.tomorrow().expect("a day")))
    };
    match kind {
        0 => (i64::MIN, i64::MAX),
        1 => {
            let minute = at_ms - at_ms % 60_000;
            let sevens = (at_ms - minute) / 7000;
            (minute + sevens * 7000, minute + (sevens * 7000 + 7000).min(60_000))
        }
        2 => daily("America/New_York", 0, 0),
        _ => daily("Australia/Lord_Howe", 2, 30),
    }
}
