//! Whether Redis takes writes, and how safely it keeps them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::Value;
use serde::Serialize;
use tokio::sync::Mutex;

use super::{Db, Effect, Keyspace};
use crate::error::{Error, Result};

/// How long an answer counts, so that probes cost little however many ask.
const FRESH: Duration = Duration::from_secs(1);
/// How long the probe's key lives, in seconds.
const PROBE_LIFETIME_S: u64 = 60;

/// What is known of the Redis behind the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RedisKind {
    /// Its version.
    pub version: String,
    /// How writes are kept: `aof always`, `aof everysec`, `aof no`, `rdb`, `none`, or `unknown` where Redis does not say.
    pub persistence: String,
    /// What Redis does when its memory is full; `noeviction` is the one that loses nothing.
    pub eviction_policy: String,
}

/// What Redis is, or why it takes no writes.
type Checked = std::result::Result<RedisKind, String>;

/// Probes Redis by a write, at most once a second.
#[derive(Clone)]
pub struct Health {
    db: Db,
    probe_key: String,
    latest: Arc<Mutex<Option<(Instant, Checked)>>>,
}

impl Health {
    /// A probe through this handle.
    pub fn new(db: Db, keyspace: &Keyspace) -> Self {
        Self { db, probe_key: keyspace.global("probe"), latest: Arc::default() }
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
        let mut write = redis::cmd("SET");
        write.arg(&self.probe_key).arg(1).arg("EX").arg(PROBE_LIFETIME_S);
        self.db.run(&write, "probe", Effect::Read).await?;
        let mut info = redis::cmd("INFO");
        info.arg("server");
        let info = text(&self.db.run(&info, "info", Effect::Read).await?);
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("unknown");
        let settings = self.settings().await?;
        let setting = |name: &str| settings.get(name).map_or("unknown", String::as_str);
        let persistence = match (setting("appendonly"), setting("save")) {
            ("yes", _) => format!("aof {}", setting("appendfsync")),
            ("no", "") => "none".to_owned(),
            ("no", _) => "rdb".to_owned(),
            _ => "unknown".to_owned(),
        };
        Ok(RedisKind {
            version: version.trim().to_owned(),
            persistence,
            eviction_policy: setting("maxmemory-policy").to_owned(),
        })
    }

    /// The settings that decide what is kept; none where CONFIG is forbidden, as hosted services do.
    async fn settings(&self) -> Result<HashMap<String, String>> {
        let mut config = redis::cmd("CONFIG");
        config.arg("GET").arg("appendonly").arg("appendfsync").arg("save").arg("maxmemory-policy");
        match self.db.command(&config, "config_get", Effect::Read).await {
            Ok(Value::Map(pairs)) => Ok(pairs.iter().map(|(name, value)| (text(name), text(value))).collect()),
            Ok(Value::Array(flat)) => Ok(flat.chunks_exact(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect()),
            Ok(_) => Ok(HashMap::new()),
            Err(failure) if failure.is_forbidden() => Ok(HashMap::new()),
            Err(failure) => match failure.into_error(Effect::Read) {
                Error::Internal(_) => Ok(HashMap::new()),
                error => Err(error),
            },
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.clone(),
        _ => String::new(),
    }
}
