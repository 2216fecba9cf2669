//! A queue as the store knows it: its settings, their version, and the names of its keys.

use super::outbox::Outbox;
use super::record::Values;
use super::settings::Settings;
use crate::db::{Keyspace, Version};
use crate::types::{QueueName, Timestamp};

/// The kind in the hash tag of all keys of a queue.
pub(super) const TAG: &str = "q";
/// The names of the keys, in the order in which scripts take them; the ready LISTs follow.
const KEY_NAMES: [&str; 20] = [
    "queue",
    "jobs",
    "scheduled",
    "leased",
    "completed",
    "dead",
    "cancelled",
    "unique",
    "expiring",
    "stats",
    "waiters",
    "watchers",
    "lines",
    "keyed",
    "parked",
    "rate",
    "workers",
    "schedules",
    "ticks",
    "outbox",
];

/// A queue.
#[derive(Debug, Clone)]
pub struct Queue {
    /// Its name.
    pub name: QueueName,
    /// Its settings; whether it is paused stands in its figures.
    pub settings: Settings,
    /// When it was created.
    pub created_at: Timestamp,
    pub(super) version: Version,
    pub(super) keys: Keys,
    /// What scripts need of the settings.
    pub(super) policy: Vec<u8>,
    /// Its keys on the way to the archive, where there is one.
    pub(super) archive_keys: Option<[String; 3]>,
}

/// The names of a queue's keys, as scripts take them.
#[derive(Debug, Clone)]
pub(super) struct Keys(Vec<String>);

/// The keys of what is on its way from a queue to the archive, which scripts take behind all others.
pub(super) fn archive_keys(keyspace: &Keyspace, name: &QueueName) -> [String; 3] {
    ["withdrawn", "to_archive", "unarchived"].map(|key| keyspace.tagged(TAG, name.as_str(), key))
}

impl Keys {
    pub(super) fn of(keyspace: &Keyspace, name: &QueueName) -> Self {
        let named = KEY_NAMES.iter().map(|key| keyspace.tagged(TAG, name.as_str(), key));
        let ready = (0..10).map(|priority| keyspace.tagged(TAG, name.as_str(), &format!("ready:{priority}")));
        Self(named.chain(ready).collect())
    }

    pub(super) fn all(&self) -> &[String] {
        &self.0
    }

    /// The key with this name.
    pub(super) fn named(&self, name: &str) -> &str {
        let place = KEY_NAMES.iter().position(|key| *key == name).expect("the name stands in the list above");
        &self.0[place]
    }

    /// The ready LIST of a priority.
    pub(super) fn ready(&self, priority: u8) -> &str {
        &self.0[KEY_NAMES.len() + usize::from(priority.min(9))]
    }

    /// The key of a state's ZSET: its place among the keys, counted from 1 as scripts do.
    pub(super) fn place(name: &str) -> u64 {
        KEY_NAMES.iter().position(|key| *key == name).map_or(0, |place| place as u64 + 1)
    }
}

/// Where scripts publish what has become ready or has finished.
pub(super) fn channel(keyspace: &Keyspace) -> String {
    keyspace.global("wake")
}

impl Queue {
    pub(super) fn new(
        keyspace: &Keyspace,
        name: QueueName,
        version: Version,
        (settings, outbox): (Settings, Option<Outbox>),
        created_at: Timestamp,
    ) -> Self {
        let policy = policy(keyspace, &name, &settings, outbox);
        let archive_keys = outbox.map(|_| archive_keys(keyspace, &name));
        Self { keys: Keys::of(keyspace, &name), name, settings, created_at, version, policy, archive_keys }
    }

    /// Whether nothing is limited: then the short ways may be taken.
    pub(super) fn is_plain(&self) -> bool {
        let Settings { max_concurrency, rate_limit, keys, .. } = &self.settings;
        max_concurrency.is_none() && rate_limit.is_none() && keys.is_none()
    }

    /// All keys of a call: those of every script, one of its own, and those of the way to the archive.
    pub(super) fn keys_with(&self, own: Option<String>) -> Vec<String> {
        self.keys.all().iter().cloned().chain(own).chain(self.archive_keys.iter().flatten().cloned()).collect()
    }

    /// What is known of deliveries from elsewhere.
    pub(super) fn inbox_key(&self, keyspace: &Keyspace) -> String {
        keyspace.tagged(TAG, self.name.as_str(), "inbox")
    }

    /// The key of the record of a request's first answer. A queue that was deleted and made anew has others.
    pub(super) fn idempotency_key(&self, keyspace: &Keyspace, key: &str) -> String {
        keyspace.tagged(TAG, self.name.as_str(), &format!("idem:{}:{}", self.version.epoch, key))
    }
}

/// The settings as lua/_keys.lua takes them.
fn policy(keyspace: &Keyspace, name: &QueueName, settings: &Settings, outbox: Option<Outbox>) -> Vec<u8> {
    let keys = settings.keys.as_ref();
    let key_rate = keys.and_then(|keys| keys.rate_limit);
    Values::default()
        .text(name.as_str())
        .text(channel(keyspace).as_str())
        .number(settings.retention_ms)
        .number(settings.dead_retention_ms)
        .number(settings.max_concurrency.map(u64::from))
        .number(settings.rate_limit.map(|rate| rate.limit.into()))
        .number(settings.rate_limit.map(|rate| rate.per_ms))
        // Keys that nothing holds for need no lines of their own.
        .flag(keys.is_some_and(|keys| keys.max_concurrency.is_some() || keys.rate_limit.is_some() || keys.fair))
        .number(keys.and_then(|keys| keys.max_concurrency).map(u64::from))
        .number(key_rate.map(|rate| rate.limit.into()))
        .number(key_rate.map(|rate| rate.per_ms))
        .flag(keys.is_some_and(|keys| keys.fair))
        .number(outbox.map(|outbox| outbox.most))
        .flag(outbox.is_some_and(Outbox::drops_oldest))
        .flag(!settings.is_archived())
        .bytes()
}
