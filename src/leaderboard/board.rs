//! A leaderboard as the store knows it: its settings, their version, and the names of its keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::decay::Decay;
use super::order_key;
pub(super) use super::section::RankingKeys;
use super::section::{Sections, TAG};
use super::segments::{Dimensions, Part};
use super::settings::{Order, Settings, Window};
use super::starts::Starts;
use crate::cron::CronFault;
use crate::db::Keyspace;
pub(super) use crate::db::Version;
use crate::types::{IdempotencyKey, LeaderboardName, Member, Timestamp, WindowName};

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
    pub(super) dimensions: Dimensions,
    pub(super) starts: Starts,
    pub(super) sections: Sections,
    /// The further shards, each a leaderboard in itself with the same name and settings; this one is the first.
    parts: Vec<Arc<Board>>,
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

    /// Whether the periods of a submission's `if_period` are all open.
    pub(super) fn matches(&self, if_period: &BTreeMap<String, String>) -> bool {
        if_period.is_empty() || closed_among(if_period, &self.windows).is_none()
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

/// The first window and period of an `if_period` that is not among the open ones.
pub(super) fn closed_among<'a>(
    if_period: &'a BTreeMap<String, String>,
    open: &[(WindowName, String)],
) -> Option<(&'a String, &'a String)> {
    let is_open =
        |window: &str, period: &str| open.iter().any(|(name, open)| name.as_str() == window && open == period);
    if_period.iter().find(|(window, period)| !is_open(window, period))
}

fn order_letter(order: Order) -> char {
    if order == Order::Descending { 'd' } else { 'a' }
}

pub(super) fn board_key(keyspace: &Keyspace, name: &LeaderboardName) -> String {
    keyspace.spread(TAG, name.as_str(), "board")
}

/// What of a leaderboard is kept of rankings that have ended, and waits to be freed.
pub(super) fn free_key(keyspace: &Keyspace, name: &LeaderboardName) -> String {
    keyspace.spread(TAG, name.as_str(), "free")
}

impl Board {
    pub(super) fn new(
        keyspace: &Keyspace,
        name: LeaderboardName,
        version: Version,
        settings: Settings,
        numbers: &BTreeMap<String, u64>,
        created_at: Timestamp,
        starts: Starts,
    ) -> Result<Self, CronFault> {
        let further = if keyspace.shard_number() == 0 { 1..settings.shards } else { 0..0 };
        let part = |shard: u32| {
            let (name, version, settings) = (name.clone(), version.clone(), settings.clone());
            Self::alone(&keyspace.shard(shard), name, version, settings, numbers, created_at, starts.clone())
        };
        let parts = further.map(|shard| part(shard).map(Arc::new)).collect::<Result<_, CronFault>>()?;
        Ok(Self { parts, ..Self::alone(keyspace, name, version, settings, numbers, created_at, starts)? })
    }

    /// The same without its further shards.
    pub(super) fn alone(
        keyspace: &Keyspace,
        name: LeaderboardName,
        version: Version,
        settings: Settings,
        numbers: &BTreeMap<String, u64>,
        created_at: Timestamp,
        starts: Starts,
    ) -> Result<Self, CronFault> {
        Ok(Self {
            parts: Vec::new(),
            key: board_key(keyspace, &name),
            width: order_key::width(&settings),
            sub_width: order_key::sub_width(&settings),
            directions: settings.subscores.iter().map(|column| order_letter(column.order)).collect(),
            dimensions: Dimensions::of(&settings, numbers),
            sections: Sections::new(keyspace, &name, &version.epoch, settings.order, &settings.windows, &starts)?,
            starts,
            keyspace: keyspace.clone(),
            name,
            settings,
            created_at,
            version,
        })
    }

    /// Whether its entries are spread over several shards.
    pub(super) fn is_spread(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Its shards; the first one is itself.
    pub(super) fn shards(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.parts.iter().map(|part| &**part))
    }

    /// Its further shards.
    pub(super) fn parts(&self) -> &[Arc<Self>] {
        &self.parts
    }

    /// The shard of this number.
    pub(super) fn shard(&self, number: usize) -> &Self {
        number.checked_sub(1).and_then(|further| self.parts.get(further)).map_or(self, |part| part)
    }

    /// The number of the shard that has a member's entries.
    pub(super) fn shard_of(&self, member: &Member) -> usize {
        if self.is_spread() { self.shard_by(member.as_str()) } else { 0 }
    }

    /// The number of the shard that a text falls to. Other bits decide than those of the bucket in a directory.
    pub(super) fn shard_by(&self, text: &str) -> usize {
        let digest = sha1_smol::Sha1::from(text).digest().bytes();
        let hash = u32::from_be_bytes([digest[4], digest[5], digest[6], digest[7]]);
        hash as usize % (self.parts.len() + 1)
    }

    /// The keys that it is kept under.
    pub(super) fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    /// How its totals decay, if they do.
    pub(super) fn decay(&self) -> Option<Decay> {
        Decay::of(&self.settings, self.created_at)
    }

    /// Whether both are the same leaderboard with the same settings.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.version == other.version && self.key == other.key
    }

    /// The idempotency record of a key; `part` tells the calls of one request apart.
    pub(super) fn record_key(&self, key: &IdempotencyKey, part: &str) -> String {
        let epoch = &self.version.epoch;
        self.keyspace.spread(TAG, self.name.as_str(), &format!("idem:{epoch}:{part}:{key}"))
    }

    /// The log of a member's latest submissions.
    pub(super) fn limit_key(&self, member: &Member) -> String {
        let epoch = &self.version.epoch;
        self.keyspace.spread(TAG, self.name.as_str(), &format!("limit:{epoch}:{member}"))
    }

    /// What describes members, for entries to come.
    pub(super) fn described_key(&self) -> String {
        self.own_key("described")
    }

    /// Who is banned, and how.
    pub(super) fn bans_key(&self) -> String {
        self.own_key("bans")
    }

    /// The names of those banned on this leaderboard.
    pub(super) fn banned_key(&self) -> String {
        self.own_key("banned")
    }

    /// What administrators did.
    pub(super) fn audit_key(&self) -> String {
        self.own_key("audit")
    }

    /// All that is kept of bans.
    pub(super) fn ban_keys(&self) -> [String; 3] {
        [self.bans_key(), self.banned_key(), self.audit_key()]
    }

    fn own_key(&self, kind: &str) -> String {
        let epoch = &self.version.epoch;
        self.keyspace.spread(TAG, self.name.as_str(), &format!("{kind}:{epoch}"))
    }

    /// What cursors of one of its rankings are bound to.
    pub(super) fn cursor_context(&self, ranking: &RankingKeys, part: Option<&Part>) -> String {
        // An emptied leaderboard may sort another way than the one that the cursor was given for.
        format!("{} {}{}", ranking.rank, self.settings.fixed_part(), part.map_or("", Part::as_str))
    }

    /// When the open period of a window without a reset began, in ms since 1970.
    pub(super) fn began_ms(&self, window: &WindowName) -> i64 {
        self.starts.of(window).unwrap_or_else(|| self.created_at.as_millis())
    }

    /// What is closed and not paid yet.
    pub(super) fn closing_key(&self) -> String {
        let epoch = &self.version.epoch;
        self.keyspace.spread(TAG, self.name.as_str(), &format!("closing:{epoch}"))
    }

    /// Periods that are archived and being freed in its shards, one after another.
    pub(super) fn leaving_key(&self) -> String {
        self.own_key("leaving")
    }

    /// The windows that reset, in the order of the settings.
    pub(super) fn resetting(&self) -> impl Iterator<Item = &Window> {
        self.settings.windows.iter().filter(|window| window.reset.is_some())
    }

    /// The list of a window's periods.
    pub(super) fn periods_key(&self, window: &WindowName) -> String {
        let epoch = &self.version.epoch;
        self.keyspace.spread(TAG, self.name.as_str(), &format!("periods:{epoch}:{window}"))
    }

    /// The windows that `other`, an older or newer self, does not have, or has with other resets.
    pub(super) fn windows_missing_in<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a Window> {
        let stays = |mine: &Window| {
            other.settings.windows.iter().any(|theirs| theirs.name == mine.name && theirs.resets_like(mine))
        };
        self.settings.windows.iter().filter(move |mine| !stays(mine))
    }

    /// The windows without a reset that `old` does not have, a space behind each.
    pub(super) fn steady_windows_new_to(&self, old: &Self) -> String {
        let added = self.windows_missing_in(old).filter(|window| window.reset.is_none());
        added.map(|window| format!("{} ", window.name)).collect()
    }

    /// The windows that `other` has too, with other resets.
    pub(super) fn windows_changed_in<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a Window> {
        let named = |mine: &Window| other.settings.windows.iter().any(|theirs| theirs.name == mine.name);
        self.windows_missing_in(other).filter(move |mine| named(mine))
    }
}
