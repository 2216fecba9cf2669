//! The kind of Redis that the tests run on: each service's private one, or, with `RANQ_TEST_REDIS`, Sentinels or a Cluster.

use std::sync::{Arc, Mutex, Weak};

use redis::cluster::{ClusterClient, ClusterConnection};
use redis::{Connection, ConnectionLike, RedisResult, Value};

use super::deployments::{ClusterSet, SentinelSet, Server};

/// `sentinel` or `cluster`; embedded without it.
const KIND: &str = "RANQ_TEST_REDIS";

static POOL: Mutex<Weak<Pool>> = Mutex::new(Weak::new());

/// What runs and is used by no test at the moment. It ends with the last test that holds it.
#[derive(Default)]
struct Pool(Mutex<Vec<Deployment>>);

enum Deployment {
    Sentinel(SentinelSet),
    Cluster(ClusterSet),
}

impl Deployment {
    fn start(kind: &str) -> Self {
        match kind {
            "sentinel" => Self::Sentinel(SentinelSet::start(1, 1, &[])),
            "cluster" => Self::Cluster(ClusterSet::start(3, 0, &[])),
            other => panic!("{KIND} is {other}: it must be sentinel or cluster"),
        }
    }
}

/// A deployment that one test has for itself, empty at its beginning.
pub struct Lease {
    deployment: Option<Deployment>,
    pool: Arc<Pool>,
}

impl Lease {
    /// One of the kind that the environment asks for; none where the private Redis does.
    pub fn take() -> Option<Arc<Self>> {
        let kind = std::env::var(KIND).ok().filter(|kind| !kind.is_empty())?;
        let pool = {
            let mut known = POOL.lock().expect("no panic");
            let pool = known.upgrade().unwrap_or_default();
            *known = Arc::downgrade(&pool);
            pool
        };
        let waiting = pool.0.lock().expect("no panic").pop();
        let deployment = waiting.unwrap_or_else(|| Deployment::start(&kind));
        Some(Arc::new(Self { deployment: Some(deployment), pool }))
    }

    fn deployment(&self) -> &Deployment {
        self.deployment.as_ref().expect("it is there until the end")
    }

    pub fn url(&self) -> String {
        match self.deployment() {
            Deployment::Sentinel(set) => set.url(),
            Deployment::Cluster(set) => set.url(),
        }
    }

    /// The processes that have the data.
    pub fn pids(&self) -> Vec<i32> {
        match self.deployment() {
            Deployment::Sentinel(set) => vec![set.servers[set.master()].pid()],
            Deployment::Cluster(set) => set.nodes.iter().map(Server::pid).collect(),
        }
    }

    /// A connection to the master, or to all masters of the Cluster.
    pub fn connect(&self) -> TestRedis {
        match self.deployment() {
            Deployment::Sentinel(set) => {
                TestRedis::Single(set.servers[set.master()].connect().expect("the master answers"))
            }
            Deployment::Cluster(set) => {
                let nodes = set.nodes.iter().map(|node| format!("redis://127.0.0.1:{}", node.port()));
                let client = ClusterClient::new(nodes).expect("addresses");
                TestRedis::Cluster(Box::new(client.get_connection().expect("the Cluster answers")))
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // What a failed test leaves behind may be in any state.
        let Some(deployment) = self.deployment.take().filter(|_| !std::thread::panicking()) else { return };
        let servers = match &deployment {
            Deployment::Sentinel(set) => &set.servers[set.master()..=set.master()],
            Deployment::Cluster(set) => &set.nodes,
        };
        for server in servers {
            let () = server.ask(&["FLUSHALL"]).expect("it answers");
            let () = server.ask(&["CONFIG", "SET", "maxmemory", "0"]).expect("it answers");
        }
        self.pool.0.lock().expect("no panic").push(deployment);
    }
}

/// A connection to the Redis behind a service, to look and to do harm.
pub enum TestRedis {
    Single(Connection),
    Cluster(Box<ClusterConnection>),
}

impl TestRedis {
    fn inner(&mut self) -> &mut dyn ConnectionLike {
        match self {
            Self::Single(connection) => connection,
            Self::Cluster(connection) => &mut **connection,
        }
    }
}

impl ConnectionLike for TestRedis {
    fn req_packed_command(&mut self, command: &[u8]) -> RedisResult<Value> {
        self.inner().req_packed_command(command)
    }

    fn req_packed_commands(&mut self, commands: &[u8], offset: usize, count: usize) -> RedisResult<Vec<Value>> {
        self.inner().req_packed_commands(commands, offset, count)
    }

    fn req_command(&mut self, command: &redis::Cmd) -> RedisResult<Value> {
        self.inner().req_command(command)
    }

    fn get_db(&self) -> i64 {
        0
    }

    fn check_connection(&mut self) -> bool {
        self.inner().check_connection()
    }

    fn is_open(&self) -> bool {
        match self {
            Self::Single(connection) => connection.is_open(),
            Self::Cluster(connection) => connection.is_open(),
        }
    }
}
