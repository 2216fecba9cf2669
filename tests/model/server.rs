//! The Redis that all tests of this process share, each with leaderboards of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use ranq::db::{Db, EmbeddedRedis, Keyspace};
use ranq::leaderboard::Leaderboards;
use ranq::metrics::Metrics;
use ranq::types::{Clock, LeaderboardName};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionInfo};
use tempfile::TempDir;

/// Enough for a machine that is busy with other things.
const TIMEOUT: Duration = Duration::from_secs(20);
pub const PREFIX: &str = "t";

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
static BOARDS: AtomicU64 = AtomicU64::new(1);

/// A redis-server that ends with the last test that holds it.
pub struct Server {
    info: ConnectionInfo,
    redis: Mutex<Option<EmbeddedRedis>>,
    _directory: TempDir,
}

impl Server {
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().expect("no test panics here");
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let directory = TempDir::new().expect("a directory");
        let redis = EmbeddedRedis::start(directory.path(), ranq::config::Durability::Everysec, Metrics::default())
            .expect("redis-server starts");
        let info = redis.connection_info().expect("a socket");
        let server = Arc::new(Self { info, redis: Mutex::new(Some(redis)), _directory: directory });
        *shared = Arc::downgrade(&server);
        server
    }

    pub fn db(&self) -> Db {
        Db::open(self.info.clone(), TIMEOUT, Metrics::default()).expect("a handle")
    }

    /// A plain connection, to look behind the service.
    pub async fn connect(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.info.clone()).expect("a client");
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(TIMEOUT));
        client.get_multiplexed_async_connection_with_config(&config).await.expect("a connection")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The directory goes after the server has written its files.
        if let Some(redis) = self.redis.get_mut().expect("no test panics here").take() {
            redis.stop();
        }
    }
}

pub fn leaderboards(db: &Db, clock: &Clock) -> Leaderboards {
    Leaderboards::new(db.clone(), Keyspace::new(PREFIX), clock.clone(), true)
}

/// A name that no other test has.
pub fn new_name() -> LeaderboardName {
    let number = BOARDS.fetch_add(1, Ordering::Relaxed);
    LeaderboardName::try_from(format!("board{number}")).expect("a name")
}
