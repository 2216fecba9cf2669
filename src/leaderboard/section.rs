//! Sections: spans of time in which no window of a leaderboard resets, and the rankings that are open in each.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::board::AnswerLabel;
use super::calendar::{Calendar, Span};
use super::settings::Window;
use super::starts::Starts;
use super::submission::OPEN_PERIOD;
use crate::cron::CronFault;
use crate::db::Keyspace;
use crate::types::{LeaderboardName, Timestamp, WindowName};

/// The kind in the hash tag of all keys of a leaderboard.
pub(super) const TAG: &str = "lb";
/// How far the time of this process may be from the Redis server's before a call at a reset is made twice.
const MARGIN_US: i64 = 2_000_000;
/// Keys of a ranking.
pub(super) const RANKING_KEYS: usize = 7;
/// Keys that are freed with a ranking: those, and its snapshots.
pub(super) const FREED_KEYS: usize = RANKING_KEYS + 1;
/// Sections kept at hand: the one of now, and its neighbours around a reset.
const AT_HAND: usize = 4;

/// The keys of one ranking: a window's period, whole or of a segment.
#[derive(Debug, Clone)]
pub(super) struct RankingKeys {
    pub(super) window: WindowName,
    pub(super) period: String,
    /// When the period runs; none where the window does not reset.
    pub(super) span: Option<Span>,
    pub(super) rank: String,
    pub(super) ids: String,
    pub(super) meta: String,
    pub(super) distinct: String,
    /// Entries of the banned.
    pub(super) hidden: String,
    /// The entries by what describes their members.
    pub(super) segments: String,
    /// What describes the members of its entries.
    pub(super) values: String,
    /// Who stood where at a time; no script that submits needs it.
    pub(super) snapshots: String,
}

impl RankingKeys {
    /// The keys that scripts take together, in the order of `_ranking.lua`.
    pub(super) fn all(&self) -> [&str; RANKING_KEYS] {
        [&self.rank, &self.ids, &self.meta, &self.distinct, &self.hidden, &self.segments, &self.values]
    }
}

/// A span of time in which no window resets.
#[derive(Debug)]
pub(super) struct Section {
    from_us: i64,
    until_us: i64,
    /// The open rankings, in the order of the windows.
    pub(super) rankings: Vec<Arc<RankingKeys>>,
    pub(super) label: AnswerLabel,
}

impl Section {
    /// Its line in a call of `submit.lua`, but for the items that it refuses.
    pub(super) fn line(&self, number: usize, refused: &str) -> String {
        let count = self.rankings.len() * RANKING_KEYS;
        let periods = self.rankings.iter().filter_map(|ranking| {
            let span = ranking.span?;
            Some(format!("{},{}", ranking.period, span.end_ms))
        });
        let periods = periods.collect::<Vec<_>>().join(";");
        let (from, until, label) = (self.from_us, self.until_us, self.label.text());
        format!("{from} {until} {refused} {} {count} {periods} {label}", number * count)
    }

    /// The span as an argument of scripts that look at the clock.
    pub(super) fn bounds(&self) -> (i64, i64) {
        (self.from_us, self.until_us)
    }
}

/// The windows of a leaderboard, with what they need to tell the section of a time.
#[derive(Debug, Clone)]
pub(super) struct Sections {
    keyspace: Keyspace,
    name: LeaderboardName,
    epoch: String,
    order: super::settings::Order,
    windows: Vec<(WindowName, Option<Calendar>)>,
    starts: Starts,
    /// No section is from before what was closed by hand, in µs.
    earliest_us: i64,
    at_hand: Arc<Mutex<Vec<Arc<Section>>>>,
    /// The only one, where no window resets.
    steady: Option<Arc<Section>>,
}

impl Sections {
    pub(super) fn new(
        keyspace: &Keyspace,
        name: &LeaderboardName,
        epoch: &str,
        order: super::settings::Order,
        windows: &[Window],
        starts: &Starts,
    ) -> Result<Self, CronFault> {
        let by_hand =
            windows.iter().filter(|window| window.reset.is_some()).filter_map(|window| starts.of(&window.name));
        let earliest_us = by_hand.max().map_or(i64::MIN, |start_ms| start_ms.saturating_mul(1000));
        let calendars = windows.iter().map(|window| Ok((window.name.clone(), Calendar::of(window)?)));
        let mut sections = Self {
            keyspace: keyspace.clone(),
            name: name.clone(),
            epoch: epoch.to_owned(),
            order,
            windows: calendars.collect::<Result<_, CronFault>>()?,
            starts: starts.clone(),
            earliest_us,
            at_hand: Arc::default(),
            steady: None,
        };
        if sections.windows.iter().all(|(_, calendar)| calendar.is_none()) {
            sections.steady = Some(Arc::new(sections.make(0)));
        }
        Ok(sections)
    }

    /// Whether any window resets.
    pub(super) fn change(&self) -> bool {
        self.steady.is_none()
    }

    /// The section of a time.
    pub(super) fn at(&self, now_us: i64) -> Arc<Section> {
        if let Some(steady) = &self.steady {
            return Arc::clone(steady);
        }
        let now_us = now_us.max(self.earliest_us);
        let holds = |section: &&Arc<Section>| section.from_us <= now_us && now_us < section.until_us;
        if let Some(section) = self.at_hand().iter().find(holds) {
            return Arc::clone(section);
        }
        let section = Arc::new(self.make(now_us));
        let mut at_hand = self.at_hand();
        if at_hand.len() == AT_HAND {
            at_hand.remove(0);
        }
        at_hand.push(Arc::clone(&section));
        section
    }

    /// The sections that the server may be in where this process thinks that it is `now_us`, in their order.
    pub(super) fn around(&self, now_us: i64) -> Vec<Arc<Section>> {
        let section = self.at(now_us);
        if self.steady.is_some() {
            return vec![section];
        }
        let (from, until) = section.bounds();
        let before = (now_us - from < MARGIN_US && from > self.earliest_us).then(|| self.at(from - 1));
        let after = (until - now_us <= MARGIN_US).then(|| self.at(until));
        before.into_iter().chain([section]).chain(after).collect()
    }

    /// The keys of the ranking of a window in a period.
    pub(super) fn ranking(&self, window: &WindowName, period: &str, span: Option<Span>) -> RankingKeys {
        let stem = self.stem(window);
        let key_of = |kind: &str| ranking_key(&self.keyspace, &self.name, kind, &format!("{stem}{period}"));
        RankingKeys {
            window: window.clone(),
            period: period.to_owned(),
            span,
            rank: key_of("rank"),
            ids: key_of("ids"),
            meta: key_of("meta"),
            distinct: key_of("distinct"),
            hidden: key_of("hidden"),
            segments: key_of("segments"),
            values: key_of("values"),
            snapshots: key_of("snapshots"),
        }
    }

    /// What the names of a window's periods follow in keys and in the list of what is to be freed.
    pub(super) fn stem(&self, window: &WindowName) -> String {
        format!("{}:{window}:", self.epoch)
    }

    fn at_hand(&self) -> MutexGuard<'_, Vec<Arc<Section>>> {
        self.at_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&self, now_us: i64) -> Section {
        let (mut from_us, mut until_us) = (i64::MIN, i64::MAX);
        let rankings: Vec<Arc<RankingKeys>> = self
            .windows
            .iter()
            .map(|(window, calendar)| {
                let span = calendar.as_ref().map(|calendar| calendar.period_at(now_us.div_euclid(1000)));
                let Some(Span { start_ms, end_ms }) = span else {
                    return Arc::new(self.ranking(window, OPEN_PERIOD, None));
                };
                let start_ms = self.starts.of(window).map_or(start_ms, |by_hand| by_hand.max(start_ms));
                let span = Some(Span { start_ms, end_ms });
                from_us = from_us.max(start_ms.saturating_mul(1000));
                until_us = until_us.min(end_ms.saturating_mul(1000));
                Arc::new(self.ranking(window, &Timestamp::from_millis(start_ms).to_string(), span))
            })
            .collect();
        let windows = rankings.iter().map(|ranking| (ranking.window.clone(), ranking.period.clone())).collect();
        Section { from_us, until_us, rankings, label: AnswerLabel { order: self.order, windows } }
    }
}

/// A key of a ranking, by what kind it is and by `EPOCH:WINDOW:PERIOD`.
fn ranking_key(keyspace: &Keyspace, name: &LeaderboardName, kind: &str, of: &str) -> String {
    keyspace.spread(TAG, name.as_str(), &format!("{kind}:{of}:"))
}

/// All keys of a ranking, by its `EPOCH:WINDOW:PERIOD`.
pub(super) fn ranking_keys(keyspace: &Keyspace, name: &LeaderboardName, of: &str) -> [String; FREED_KEYS] {
    ["rank", "ids", "meta", "distinct", "hidden", "segments", "values", "snapshots"]
        .map(|kind| ranking_key(keyspace, name, kind, of))
}
