//! The settings of a leaderboard, and their rules.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::calendar::Calendar;
use super::profiles::ProfileSettings;
use super::reward::{self, OnClose, Reward};
use super::segments;
use crate::cron::CronFault;
use crate::error::Fault;
use crate::types::{QueueName, Score, WindowName, present, read_choice, read_object};

const MAX_SUBSCORES: usize = 4;
const MAX_SHARDS: u32 = 256;
const MAX_WINDOWS: usize = 16;
const MAX_KEEP: u32 = 1000;
const DEFAULT_KEEP: u32 = 8;
const MAX_SUBMISSION_LIMIT: u32 = 1000;
const MIN_HALF_LIFE_MS: u64 = 1000;
const MAX_HALF_LIFE_MS: u64 = 10 * 365 * 24 * 3600 * 1000;
const MAX_SNAPSHOT_TOP: u32 = 5000;
const MAX_SNAPSHOTS: u32 = 400;
const MAX_LIMIT_MS: u64 = 30 * 24 * 3600 * 1000;

/// Which scores are better.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// A higher score is better.
    #[default]
    Descending,
    /// A lower score is better.
    Ascending,
}

impl Order {
    /// The score as a ranking keeps it, where the best is always the lowest; and the other way, which is the same.
    pub(super) fn turned(self, score: Score) -> Score {
        match self {
            Self::Descending => score.negated(),
            Self::Ascending => score,
        }
    }
}

/// What a submission does to the standing score.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// Keeps the better row.
    #[default]
    Best,
    /// Replaces it.
    Latest,
    /// Adds to it, subscores included.
    Sum,
}

/// Who is ahead among equal rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ties {
    /// Who reached the row first.
    #[default]
    Earliest,
    /// Who reached the row last.
    Latest,
    /// The lower member id, byte by byte. Such entries keep no `achieved_at`, and need the least memory.
    Member,
}

read_choice!(Order { Descending = "descending", Ascending = "ascending" });
read_choice!(Operator { Best = "best", Latest = "latest", Sum = "sum" });
read_choice!(Ties { Earliest = "earliest", Latest = "latest", Member = "member" });

/// A window of a leaderboard: a ranking of its own that every submission enters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Window {
    /// The window's name.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "all_time")]
    pub name: WindowName,
    /// When it begins anew: `daily`, `weekly` (on Monday), `monthly` or `yearly` at midnight, or a cron line of five fields, or
    /// of six with seconds first. Left out, it never resets. Fixed once there are entries.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, max_length = 256, example = "weekly")]
    pub reset: Option<String>,
    /// The IANA time zone that `reset` goes by; `UTC` by default. Fixed once there are entries.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, example = "Asia/Seoul")]
    pub timezone: Option<String>,
    /// How many ended periods are kept; 8 by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false, minimum = 0, maximum = 1000, example = 8)]
    pub keep: Option<u32>,
    /// Who is told when a period of this window is closed, in the place of the leaderboard's `on_close`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub on_close: Option<OnClose>,
}

impl Window {
    /// A window that never resets.
    pub fn without_reset(name: WindowName) -> Self {
        Self { name, reset: None, timezone: None, keep: None, on_close: None }
    }

    /// Whether both begin anew at the same times.
    pub(super) fn resets_like(&self, other: &Self) -> bool {
        let zone = |window: &Self| window.timezone.clone().unwrap_or_else(|| "UTC".to_owned());
        self.reset == other.reset && zone(self) == zone(other)
    }

    /// How many ended periods are kept.
    pub(super) fn kept(&self) -> u32 {
        self.keep.unwrap_or(DEFAULT_KEEP)
    }

    /// Every rule that the window breaks; `pointer` is where it stands.
    fn faults(&self, pointer: &str) -> Vec<Fault> {
        let mut faults = Vec::new();
        match Calendar::of(self) {
            Ok(_) => {}
            Err(CronFault::Line(detail)) => faults.push(Fault::new(format!("{pointer}/reset"), detail)),
            Err(CronFault::Zone(detail)) => faults.push(Fault::new(format!("{pointer}/timezone"), detail)),
        }
        if self.reset.is_none() && self.timezone.is_some() {
            faults.push(Fault::new(format!("{pointer}/timezone"), "needs a `reset`"));
        }
        if self.keep.is_some_and(|keep| keep > MAX_KEEP) {
            faults.push(Fault::new(format!("{pointer}/keep"), format!("must be 0 to {MAX_KEEP}")));
        }
        faults
    }
}

/// A further column that decides between equal scores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Subscore {
    /// The column's name.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "time_ms")]
    pub name: WindowName,
    /// Which values of it are better.
    #[serde(default)]
    pub order: Order,
}

/// How often one member may submit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct SubmissionLimit {
    /// How many submissions count in any span of `per_ms`.
    #[schema(minimum = 1, maximum = 1000, example = 10)]
    pub limit: u32,
    /// The span in milliseconds.
    #[schema(minimum = 1, maximum = 2_592_000_000_u64, example = 60000)]
    pub per_ms: u64,
}

/// What is kept once a day of each open ranking, for `since` of its reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schema(as = SnapshotSettings)]
pub struct SnapshotSettings {
    /// How many of the best entries a snapshot holds.
    #[serde(default = "default_top")]
    #[schema(minimum = 1, maximum = 5000, default = 1000, example = 1000)]
    pub top: u32,
    /// How many snapshots of a ranking are kept: the latest ones.
    #[serde(default = "default_snapshots")]
    #[schema(minimum = 1, maximum = 400, default = 30, example = 30)]
    pub keep: u32,
}

fn default_top() -> u32 {
    1000
}

fn default_snapshots() -> u32 {
    30
}

/// The settings of a leaderboard. What is left out has its default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields, default)]
#[schema(example = json!({"order": "descending", "operator": "best", "ties": "earliest", "max_entries": 100_000}))]
pub struct Settings {
    /// Which scores are better. Fixed once there are entries.
    pub order: Order,
    /// What a submission does to the standing score. Fixed once there are entries.
    pub operator: Operator,
    /// Who is ahead among equal rows. Fixed once there are entries.
    pub ties: Ties,
    /// The windows that every submission enters at once.
    #[schema(min_items = 1, max_items = 16)]
    pub windows: Vec<Window>,
    /// Dimensions, or up to four of them with `+` between: each value of one is a ranking of its own. One that is added
    /// begins without entries.
    #[schema(max_items = 8, example = json!(["country", "platform", "country+platform"]))]
    pub segments: Vec<String>,
    /// Columns that decide between equal scores. Fixed once there are entries.
    #[schema(max_items = 4)]
    pub subscores: Vec<Subscore>,
    /// Submissions below it are refused.
    #[schema(value_type = Option<f64>)]
    pub min_score: Option<Score>,
    /// Submissions above it are refused.
    #[schema(value_type = Option<f64>)]
    pub max_score: Option<Score>,
    /// How often one member may submit; `null` for as often as it likes.
    pub submission_limit: Option<SubmissionLimit>,
    /// Only so many of the best entries are kept; `null` for all.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    pub max_entries: Option<u64>,
    /// Over how many Redis slots entries are spread; fixed at the creation. With several, ranks stay exact; there are no dense ranks, windows
    /// are not closed by hand, and `max_entries`, `half_life_ms`, `snapshots`, `rewards` and `on_close` are refused.
    #[schema(minimum = 1, maximum = 256)]
    pub shards: u32,
    /// The snapshots taken of each open ranking, once a day at 00:00 UTC, which `since` of its reads compares with; `null` for
    /// none. Absent when not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<SnapshotSettings>,
    /// After how many milliseconds a total is worth half: with the operator `sum`, and without subscores. Every read shows
    /// the totals as they are then, those of a period that has ended as they were at its end. Fixed once there are entries;
    /// `null` for totals that stay. Absent when not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1000, maximum = 315_360_000_000_u64, example = 604_800_000)]
    pub half_life_ms: Option<u64>,
    /// What the best of a closed period get. What stands here when a period is closed holds for it.
    #[schema(max_items = 100)]
    pub rewards: Vec<Reward>,
    /// Who is told when a period is closed; `null` for nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_close: Option<OnClose>,
    /// Where the profiles of members come from, which reads add to entries with `profiles=true`; `null` for nowhere. Absent when
    /// not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profiles: Option<ProfileSettings>,
}

read_object!(Window, written);
read_object!(Subscore, written);
read_object!(SubmissionLimit, written);
read_object!(SnapshotSettings, written);
read_object!(Settings, written);

impl Default for Settings {
    fn default() -> Self {
        let all_time = WindowName::try_from("all_time".to_owned()).expect("the name keeps to the pattern");
        Self {
            order: Order::default(),
            operator: Operator::default(),
            ties: Ties::default(),
            windows: vec![Window::without_reset(all_time)],
            segments: Vec::new(),
            subscores: Vec::new(),
            min_score: None,
            max_score: None,
            submission_limit: None,
            max_entries: None,
            shards: 1,
            rewards: Vec::new(),
            snapshots: None,
            half_life_ms: None,
            on_close: None,
            profiles: None,
        }
    }
}

impl Settings {
    /// The queues that closed periods make jobs in.
    pub fn queues(&self) -> impl Iterator<Item = &QueueName> {
        let told = self.windows.iter().map(|window| &window.on_close).chain([&self.on_close]).flatten();
        self.rewards.iter().map(|reward| &reward.queue).chain(told.map(|on_close| &on_close.queue))
    }

    /// Every rule that the settings break.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut check = |holds: bool, pointer: &str, detail: &str| {
            if !holds {
                faults.push(Fault::new(pointer, detail));
            }
        };
        check((1..=MAX_WINDOWS).contains(&self.windows.len()), "/windows", "must be 1 to 16 windows");
        check(distinct(self.windows.iter().map(|window| &window.name)), "/windows", "must have different names");
        check(self.subscores.len() <= MAX_SUBSCORES, "/subscores", "must be at most 4 columns");
        check(distinct(self.subscores.iter().map(|column| &column.name)), "/subscores", "must have different names");
        let ordered = !matches!((self.min_score, self.max_score), (Some(min), Some(max)) if min > max);
        check(ordered, "/min_score", "must not be above max_score");
        check((1..=MAX_SHARDS).contains(&self.shards), "/shards", "must be 1 to 256");
        // Each would need to know at once what is in all shards.
        let alone = self.shards <= 1;
        check(alone || self.max_entries.is_none(), "/max_entries", "does not go together with several shards");
        check(alone || self.half_life_ms.is_none(), "/half_life_ms", "does not go together with several shards");
        check(alone || self.snapshots.is_none(), "/snapshots", "does not go together with several shards");
        let pays = !self.rewards.is_empty() || self.on_close.is_some();
        check(alone || !pays, "/rewards", "and `on_close` do not go together with several shards");
        let entries = self.max_entries.unwrap_or(1);
        check((1..1 << 53).contains(&entries), "/max_entries", "must be 1 to 9007199254740991");
        if let Some(SubmissionLimit { limit, per_ms }) = self.submission_limit {
            check((1..=MAX_SUBMISSION_LIMIT).contains(&limit), "/submission_limit/limit", "must be 1 to 1000");
            check((1..=MAX_LIMIT_MS).contains(&per_ms), "/submission_limit/per_ms", "must be 1 to 2592000000");
        }
        if let Some(half_life_ms) = self.half_life_ms {
            let in_range = (MIN_HALF_LIFE_MS..=MAX_HALF_LIFE_MS).contains(&half_life_ms);
            check(in_range, "/half_life_ms", "must be 1000 to 315360000000");
            check(self.operator == Operator::Sum, "/half_life_ms", "needs the operator `sum`");
            check(self.subscores.is_empty(), "/half_life_ms", "does not go together with subscores");
        }
        if let Some(SnapshotSettings { top, keep }) = self.snapshots {
            check((1..=MAX_SNAPSHOT_TOP).contains(&top), "/snapshots/top", "must be 1 to 5000");
            check((1..=MAX_SNAPSHOTS).contains(&keep), "/snapshots/keep", "must be 1 to 400");
        }
        faults.extend(segments::faults(&self.segments));
        faults.extend(reward::faults(self));
        faults.extend(self.profiles.iter().flat_map(ProfileSettings::faults));
        // Their number is bounded first: each is work.
        for (number, window) in self.windows.iter().enumerate().take(MAX_WINDOWS) {
            faults.extend(window.faults(&format!("/windows/{number}")));
        }
        faults
    }

    /// What a ranking with entries cannot change, as one text to compare.
    pub(super) fn fixed_part(&self) -> String {
        let columns: Vec<String> =
            self.subscores.iter().map(|column| format!("{}:{:?}", column.name, column.order)).collect();
        // As it was before there was one, where there is none.
        let half_life = self.half_life_ms.map_or(String::new(), |half_life| format!(" {half_life}"));
        let columns = columns.join(" ");
        format!("{:?} {:?} {:?} {} [{columns}]{half_life}", self.order, self.operator, self.ties, self.shards)
    }

    /// See [`Order::turned`].
    pub(super) fn turned(&self, score: Score) -> Score {
        self.order.turned(score)
    }
}

fn distinct<'a, T: Ord + 'a>(items: impl Iterator<Item = &'a T>) -> bool {
    let mut seen = std::collections::BTreeSet::new();
    items.into_iter().all(|item| seen.insert(item))
}
