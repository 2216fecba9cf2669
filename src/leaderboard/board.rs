//! A leaderboard as the store knows it: its settings, their version, and the names of its keys.

use super::order_key;
use super::settings::{Order, Settings};
use super::submission::OPEN_PERIOD;
use crate::db::Keyspace;
pub(super) use crate::db::Version;
use crate::types::{IdempotencyKey, LeaderboardName, Member, Timestamp, WindowName};

/// The kind in the hash tag of all keys of a leaderboard.
const TAG: &str = "lb";

/// A leaderboard.
#[derive(Debug, Clone)]
pub struct Board {
    /// Its name.
    pub name: LeaderboardName,
    /// Its settings.
    pub settings: Settings,
    /// When it was created.
    pub created_at: Timestamp,
    /// Changes with every change of the settings; the scripts refuse a call that was made under another one.
    pub(super) version: Version,
    pub(super) width: usize,
    pub(super) sub_width: usize,
    /// One letter for each subscore: `d` or `a`.
    pub(super) directions: String,
    pub(super) key: String,
    pub(super) label: AnswerLabel,
    pub(super) rankings: Vec<RankingKeys>,
    keyspace: Keyspace,
}

/// How to read the values of a submission's answer: stored with it, since settings may have changed when it is given again.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AnswerLabel {
    pub(super) order: Order,
    /// Each window and its period, in the order of the values.
    pub(super) windows: Vec<(WindowName, String)>,
}

impl AnswerLabel {
    pub(super) fn text(&self) -> String {
        let windows = self.windows.iter().map(|(window, period)| format!("|{window}={period}"));
        order_letter(self.order).to_string() + &windows.collect::<String>()
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('|');
        let order = match parts.next()? {
            "d" => Order::Descending,
            "a" => Order::Ascending,
            _ => return None,
        };
        let window = |part: &str| {
            let (name, period) = part.split_once('=')?;
            Some((WindowName::try_from(name.to_owned()).ok()?, period.to_owned()))
        };
        Some(Self { order, windows: parts.map(window).collect::<Option<_>>()? })
    }
}

fn order_letter(order: Order) -> char {
    if order == Order::Descending { 'd' } else { 'a' }
}

/// The keys of one ranking: a window's period, whole or of a segment.
#[derive(Debug, Clone)]
pub(super) struct RankingKeys {
    pub(super) window: WindowName,
    pub(super) period: String,
    pub(super) rank: String,
    pub(super) ids: String,
    pub(super) meta: String,
    pub(super) distinct: String,
}

impl RankingKeys {
    pub(super) fn all(&self) -> [&str; 4] {
        [&self.rank, &self.ids, &self.meta, &self.distinct]
    }
}

pub(super) fn board_key(keyspace: &Keyspace, name: &LeaderboardName) -> String {
    keyspace.tagged(TAG, name.as_str(), "board")
}

impl Board {
    pub(super) fn new(
        keyspace: &Keyspace,
        name: LeaderboardName,
        version: Version,
        settings: Settings,
        created_at: Timestamp,
    ) -> Self {
        let key_of = |kind: &str, window: &WindowName| {
            let epoch = &version.epoch;
            keyspace.tagged(TAG, name.as_str(), &format!("{kind}:{epoch}:{window}:{OPEN_PERIOD}:"))
        };
        let rankings: Vec<RankingKeys> = settings
            .windows
            .iter()
            .map(|window| RankingKeys {
                window: window.name.clone(),
                period: OPEN_PERIOD.to_owned(),
                rank: key_of("rank", &window.name),
                ids: key_of("ids", &window.name),
                meta: key_of("meta", &window.name),
                distinct: key_of("distinct", &window.name),
            })
            .collect();
        let windows = rankings.iter().map(|ranking| (ranking.window.clone(), ranking.period.clone())).collect();
        Self {
            key: board_key(keyspace, &name),
            width: order_key::width(&settings),
            sub_width: order_key::sub_width(&settings),
            directions: settings.subscores.iter().map(|column| order_letter(column.order)).collect(),
            label: AnswerLabel { order: settings.order, windows },
            rankings,
            keyspace: keyspace.clone(),
            name,
            settings,
            created_at,
            version,
        }
    }

    /// Whether both are the same leaderboard with the same settings.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.version == other.version && self.key == other.key
    }

    /// The idempotency record of a key; `part` tells the calls of one request apart.
    pub(super) fn record_key(&self, key: &IdempotencyKey, part: &str) -> String {
        let epoch = &self.version.epoch;
        self.keyspace.tagged(TAG, self.name.as_str(), &format!("idem:{epoch}:{part}:{key}"))
    }

    /// The log of a member's latest submissions.
    pub(super) fn limit_key(&self, member: &Member) -> String {
        let epoch = &self.version.epoch;
        self.keyspace.tagged(TAG, self.name.as_str(), &format!("limit:{epoch}:{member}"))
    }

    /// What cursors of one of its rankings are bound to.
    pub(super) fn cursor_context(&self, ranking: &RankingKeys) -> String {
        // An emptied leaderboard may sort another way than the one that the cursor was given for.
        format!("{} {}", ranking.rank, self.settings.fixed_part())
    }

    /// The keys of the rankings that `other`, an older or newer self, does not have.
    pub(super) fn rankings_missing_in<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a RankingKeys> {
        self.rankings.iter().filter(|mine| !other.rankings.iter().any(|theirs| theirs.rank == mine.rank))
    }
}
