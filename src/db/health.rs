//! Whether Redis takes writes, and how safely it keeps them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis::Value;
use tokio::sync::Mutex;

use super::cluster::slot_of_key;
use super::connection::Way;
use super::reply::text_of;
use super::{Db, Effect, Keyspace};
use crate::error::{Error, Result};

/// How long an answer counts, so that probes cost little however many ask.
const FRESH: Duration = Duration::from_secs(1);
/// How long the probe's key lives, in seconds.
const PROBE_LIFETIME_S: u64 = 60;
/// Keys that are tried to find one of each master of a Cluster: enough for one that has only a few slots.
const MOST_TRIES: u32 = 50_000;

/// What is known of the Redis behind the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisKind {
    /// Its version.
    pub version: String,
    /// How it is found: `single`, `sentinel` or `cluster`.
    pub deployment: &'static str,
    /// How writes are kept: `aof always`, `aof everysec`, `aof no`, `rdb`, `none`, or `unknown` where Redis does not say.
    pub persistence: String,
    /// What Redis does when its memory is full; `noeviction` is the one that loses nothing.
    pub eviction_policy: String,
    /// Replicas of the server that was asked, where it says.
    pub replicas: Option<u32>,
    /// How many of them a write waits for.
    pub waits_for: u32,
    /// Masters of a Cluster: how many take writes, and how many there are.
    pub masters: Option<(u32, u32)>,
}

impl RedisKind {
    /// What a crash of Redis or of its machine may lose of what was acknowledged.
    pub fn loss_on_crash(&self) -> &'static str {
        match self.persistence.as_str() {
            "aof always" => "nothing",
            "aof everysec" => "nothing if redis-server is killed and its disk keeps up; else up to 2 seconds",
            "aof no" => "nothing if redis-server is killed; else what the system has not written, often 30 seconds",
            "rdb" => "everything since the last snapshot",
            "none" => "everything",
            _ => "unknown: Redis does not say how it keeps what is written",
        }
    }

    /// What a fail-over may lose of it; nothing to tell where no other server takes over.
    pub fn loss_on_failover(&self) -> Option<&'static str> {
        match (self.deployment, self.waits_for) {
            ("single", _) => None,
            (_, 0) => Some("what the replica that takes over had not yet received"),
            (_, _) => Some("nothing, if one of the replicas that a write waits for takes over"),
        }
    }
}

/// What Redis is, or why it takes no writes.
type Checked = std::result::Result<RedisKind, String>;

/// Probes Redis by a write, at most once a second.
#[derive(Clone)]
pub struct Health {
    db: Db,
    keyspace: Keyspace,
    latest: Arc<Mutex<Option<(Instant, Checked)>>>,
}

impl Health {
    /// A probe through this handle.
    pub fn new(db: Db, keyspace: &Keyspace) -> Self {
        Self { db, keyspace: keyspace.clone(), latest: Arc::default() }
    }

    /// What Redis is, or why it takes no writes now.
    ///
    /// # Errors
    ///
    /// The reason as text for operators.
    pub async fn check(&self) -> Checked {
        let mut latest = self.latest.lock().await;
        if let Some((at, known)) = latest.as_ref()
            && at.elapsed() < FRESH
        {
            return known.clone();
        }
        let now = self.probe().await.map_err(|error| error.to_string());
        *latest = Some((Instant::now(), now.clone()));
        now
    }

    async fn probe(&self) -> Result<RedisKind> {
        let written = join_all(self.probe_keys().await.iter().map(|key| self.write(key))).await;
        let (all, reached) = (written.len(), written.iter().filter(|written| written.is_ok()).count());
        // With a part of a Cluster away, the rest is served.
        if let (0, Some(Err(error))) = (reached, written.into_iter().next()) {
            return Err(error);
        }
        let shared = self.db.shared();
        let info = self.info("server").await?;
        let version = line_of(&info, "redis_version").unwrap_or("unknown").to_owned();
        let replication = self.info("replication").await?;
        let settings = self.settings().await?;
        let setting = |name: &str| settings.get(name).map_or("unknown", String::as_str);
        let persistence = match (setting("appendonly"), setting("save")) {
            ("yes", _) => format!("aof {}", setting("appendfsync")),
            ("no", "") => "none".to_owned(),
            ("no", _) => "rdb".to_owned(),
            _ => "unknown".to_owned(),
        };
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(RedisKind {
            version,
            deployment: match shared.way {
                Way::Server(_) => "single",
                Way::Sentinel(_) => "sentinel",
                Way::Cluster(_) => "cluster",
            },
            persistence,
            eviction_policy: setting("maxmemory-policy").to_owned(),
            replicas: line_of(&replication, "connected_slaves").and_then(|replicas| replicas.parse().ok()),
            waits_for: self.db.replicas(),
            masters: matches!(shared.way, Way::Cluster(_)).then(|| (count(reached), count(all))),
        })
    }

    /// The key that is written; in a Cluster one for each master.
    async fn probe_keys(&self) -> Vec<String> {
        let Way::Cluster(cluster) = &self.db.shared().way else { return vec![self.keyspace.global("probe")] };
        cluster.look().await;
        let masters = cluster.masters();
        let mut keys: HashMap<String, String> = HashMap::new();
        for number in 0..MOST_TRIES {
            let key = self.keyspace.tagged("probe", &number.to_string(), "probe");
            if let Some(master) = cluster.master_of(Some(slot_of_key(key.as_bytes()))) {
                keys.entry(master.name.clone()).or_insert(key);
            }
            if keys.len() == masters.len() {
                break;
            }
        }
        if keys.is_empty() { vec![self.keyspace.global("probe")] } else { keys.into_values().collect() }
    }

    async fn write(&self, key: &str) -> Result<()> {
        let mut write = redis::cmd("SET");
        write.arg(key).arg(1).arg("EX").arg(PROBE_LIFETIME_S);
        self.db.run(&write, "probe", Effect::Read).await.map(drop)
    }

    async fn info(&self, section: &str) -> Result<String> {
        let mut info = redis::cmd("INFO");
        info.arg(section);
        Ok(text_of(&self.db.run(&info, "info", Effect::Read).await?))
    }

    /// The settings that decide what is kept; none where CONFIG is forbidden, as hosted services do.
    async fn settings(&self) -> Result<HashMap<String, String>> {
        let mut config = redis::cmd("CONFIG");
        config.arg("GET").arg("appendonly").arg("appendfsync").arg("save").arg("maxmemory-policy");
        match self.db.command(&config, "config_get", Effect::Read).await {
            Ok(Value::Map(pairs)) => Ok(pairs.iter().map(|(name, value)| (text_of(name), text_of(value))).collect()),
            Ok(Value::Array(flat)) => {
                Ok(flat.chunks_exact(2).map(|pair| (text_of(&pair[0]), text_of(&pair[1]))).collect())
            }
            Ok(_) => Ok(HashMap::new()),
            Err(failure) if failure.is_forbidden() => Ok(HashMap::new()),
            Err(failure) => match failure.into_error(Effect::Read) {
                Error::Internal(_) => Ok(HashMap::new()),
                error => Err(error),
            },
        }
    }
}

/// The value of a line of INFO.
fn line_of<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
