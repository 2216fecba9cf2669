//! Redis servers of one's own in the forms that ranq runs on: a single one, with Sentinels, and as a Cluster.
//!
//! They listen on loopback alone, keep their files in a temporary directory, and end with the value.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{Connection, FromRedisValue, RedisResult, Value};
use tempfile::TempDir;

/// How long a state may take to come about.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// What Sentinels call the master.
pub const MASTER: &str = "mymaster";
const SLOTS: usize = 16384;
/// A Cluster's nodes speak to each other on their port and this many more.
const BUS: u16 = 10_000;

/// Looks again and again until `look` gives something.
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < give_up, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A redis-server on a port of its own.
pub struct Server {
    child: Child,
    port: u16,
    directory: PathBuf,
    arguments: Vec<String>,
}

impl Server {
    /// Starts it on a free port, with its files in a directory of that name.
    pub fn start(directory: &Path, arguments: &[&str]) -> Self {
        let port = free_port();
        let directory = directory.join(port.to_string());
        std::fs::create_dir_all(&directory).expect("a directory");
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { child: launch(port, &directory, &arguments), port, directory, arguments }.ready()
    }

    fn ready(self) -> Self {
        until("redis-server answers", || self.ask::<String>(&["PING"]).ok());
        self
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id")
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn connect(&self) -> RedisResult<Connection> {
        redis::Client::open(format!("redis://127.0.0.1:{}", self.port))?
            .get_connection_with_timeout(Duration::from_secs(1))
    }

    /// Runs one command.
    pub fn ask<T: FromRedisValue>(&self, command: &[&str]) -> RedisResult<T> {
        redis::cmd(command[0]).arg(&command[1..]).query(&mut self.connect()?)
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// Starts it again on the same port and files after [`Server::kill`].
    pub fn start_again(&mut self) {
        self.child = launch(self.port, &self.directory, &self.arguments);
        until("redis-server answers again", || {
            assert!(self.child.try_wait().expect("our own child").is_none(), "redis-server ended while it started");
            self.ask::<String>(&["PING"]).ok()
        });
    }

    /// `master` or `slave`, as it says itself.
    pub fn role(&self) -> Option<String> {
        match self.ask::<Vec<Value>>(&["ROLE"]).ok()?.first()? {
            Value::BulkString(role) => String::from_utf8(role.clone()).ok(),
            _ => None,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(port: u16, directory: &Path, arguments: &Vec<String>) -> Child {
    let mut command = Command::new("redis-server");
    // A file of settings, since Sentinels want one; it is theirs to write.
    let settings = directory.join("redis.conf");
    if settings.exists() {
        command.arg(&settings);
    }
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(directory);
    command.args(["--save", ""]).args(arguments).arg("--logfile").arg(directory.join("log"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("redis-server runs")
}

/// A port that nothing listens on, and whose port of a Cluster's bus is free, too.
fn free_port() -> u16 {
    until("a free port", || {
        let listener = TcpListener::bind("127.0.0.1:0").ok()?;
        let port = listener.local_addr().ok()?.port();
        let bus = port.checked_add(BUS)?;
        TcpListener::bind(("127.0.0.1", bus)).ok().map(|_| port)
    })
}

/// A master, its replicas, and Sentinels that watch over them.
pub struct SentinelSet {
    pub servers: Vec<Server>,
    pub sentinels: Vec<Server>,
    _directory: TempDir,
}

impl SentinelSet {
    /// One master and `replicas`, watched by `sentinels`; `arguments` are those of the servers.
    pub fn start(replicas: usize, sentinels: usize, arguments: &[&str]) -> Self {
        let directory = TempDir::new().expect("a directory");
        let arguments = [arguments, &["--repl-diskless-sync-delay", "0"]].concat();
        let master = Server::start(directory.path(), &arguments);
        let port = master.port.to_string();
        let of_replica = [&arguments[..], &["--replicaof", "127.0.0.1", &port]].concat();
        let mut servers = vec![master];
        servers.extend((0..replicas).map(|_| Server::start(directory.path(), &of_replica)));
        until("the replicas are up to date", || {
            let link = |server: &Server| server.ask::<String>(&["INFO", "replication"]).unwrap_or_default();
            servers[1..].iter().all(|server| link(server).contains("master_link_status:up")).then_some(())
        });
        let quorum = sentinels / 2 + 1;
        let watch = |_| {
            let own = free_port();
            let its = directory.path().join(own.to_string());
            std::fs::create_dir_all(&its).expect("a directory");
            let settings = format!(
                "sentinel monitor {MASTER} 127.0.0.1 {port} {quorum}\nsentinel down-after-milliseconds {MASTER} 1000\n\
                 sentinel failover-timeout {MASTER} 3000\nsentinel parallel-syncs {MASTER} 4\n"
            );
            std::fs::write(its.join("redis.conf"), settings).expect("written");
            let arguments = vec!["--sentinel".to_owned()];
            Server { child: launch(own, &its, &arguments), port: own, directory: its, arguments }.ready()
        };
        let set = Self { servers, sentinels: (0..sentinels).map(watch).collect(), _directory: directory };
        set.is_whole();
        set
    }

    pub fn url(&self) -> String {
        let sentinels: Vec<String> =
            self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        format!("redis+sentinel://{}/{MASTER}", sentinels.join(","))
    }

    /// Waits until every Sentinel knows the others and the replicas.
    pub fn is_whole(&self) {
        until("the Sentinels know each other and the replicas", || {
            let counts = |sentinel: &Server| {
                let fields: Vec<String> = sentinel.ask(&["SENTINEL", "MASTER", MASTER]).ok()?;
                let field = |name: &str| {
                    fields.chunks_exact(2).find(|pair| pair[0] == name).and_then(|pair| pair[1].parse::<usize>().ok())
                };
                Some((field("num-other-sentinels")?, field("num-slaves")?))
            };
            let wanted = Some((self.sentinels.len() - 1, self.servers.len() - 1));
            self.sentinels.iter().all(|sentinel| counts(sentinel) == wanted).then_some(())
        });
    }

    /// The place in `servers` of the one that most Sentinels call the master.
    pub fn master(&self) -> usize {
        until("the Sentinels agree on a master", || {
            let named = |sentinel: &Server| -> Option<u16> {
                let address: Vec<String> = sentinel.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER]).ok()?;
                address.get(1)?.parse().ok()
            };
            let ports: Vec<u16> = self.sentinels.iter().filter_map(named).collect();
            let first = *ports.first()?;
            let agreed = ports.iter().all(|port| *port == first);
            self.servers.iter().position(|server| server.port == first).filter(|_| agreed)
        })
    }

    /// Asks the Sentinels for a fail-over, and waits for it.
    pub fn fail_over(&self) -> usize {
        let old = self.master();
        until("a fail-over begins", || self.sentinels[0].ask::<String>(&["SENTINEL", "FAILOVER", MASTER]).ok());
        self.replaced(old)
    }

    /// Waits until another server than `old` is the master, and says so itself.
    pub fn replaced(&self, old: usize) -> usize {
        until("another master", || {
            let now = self.master();
            (now != old && self.servers[now].role().as_deref() == Some("master")).then_some(now)
        })
    }
}

/// A Redis Cluster.
pub struct ClusterSet {
    pub nodes: Vec<Server>,
    _directory: TempDir,
}

impl ClusterSet {
    /// So many masters with an even share of the slots, and so many replicas of each.
    pub fn start(masters: usize, replicas: usize, arguments: &[&str]) -> Self {
        let directory = TempDir::new().expect("a directory");
        let arguments = [
            arguments,
            &["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0"],
            &["--cluster-replica-validity-factor", "0"],
        ]
        .concat();
        let nodes: Vec<Server> =
            (0..masters * (1 + replicas)).map(|_| Server::start(directory.path(), &arguments)).collect();
        for (place, node) in nodes[..masters].iter().enumerate() {
            let (first, last) = (place * SLOTS / masters, (place + 1) * SLOTS / masters - 1);
            let () = node
                .ask(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()])
                .expect("the slots are free");
            let () = node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(place + 1).to_string()]).expect("it is new");
        }
        let set = Self { nodes, _directory: directory };
        for node in &set.nodes[1..] {
            set.meet(node);
        }
        set.knows_everyone();
        for (place, node) in set.nodes[masters..].iter().enumerate() {
            let master = set.id(&set.nodes[place % masters]);
            until("a replica knows its master", || node.ask::<()>(&["CLUSTER", "REPLICATE", &master]).ok());
        }
        set.is_whole();
        set
    }

    fn meet(&self, node: &Server) {
        let () = self.nodes[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string()]).expect("it answers");
    }

    fn knows_everyone(&self) {
        until("every node knows every other", || {
            let known = |node: &Server| node.ask::<String>(&["CLUSTER", "NODES"]).unwrap_or_default();
            let whole = |text: &str| text.lines().count() == self.nodes.len() && !text.contains("handshake");
            self.nodes.iter().all(|node| whole(&known(node))).then_some(())
        });
    }

    /// Another master, without slots.
    pub fn add(&mut self) -> usize {
        let arguments: Vec<String> = self.nodes[0].arguments.clone();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let node = Server::start(self._directory.path(), &arguments);
        self.meet(&node);
        self.nodes.push(node);
        self.knows_everyone();
        self.is_whole();
        self.nodes.len() - 1
    }

    /// By the first of its nodes.
    pub fn url(&self) -> String {
        let nodes: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("redis+cluster://{}", nodes.join(","))
    }

    /// Waits until all nodes that run call the Cluster whole, and the replicas follow their masters.
    pub fn is_whole(&self) {
        until("the Cluster is whole", || {
            let state = |node: &Server| node.ask::<String>(&["CLUSTER", "INFO"]).unwrap_or_default();
            let link = |node: &Server| node.ask::<String>(&["INFO", "replication"]).unwrap_or_default();
            let whole = |node: &Server| {
                state(node).contains("cluster_state:ok") && !link(node).contains("master_link_status:down")
            };
            self.nodes.iter().all(whole).then_some(())
        });
    }

    pub fn id(&self, node: &Server) -> String {
        node.ask(&["CLUSTER", "MYID"]).expect("it answers")
    }

    /// The place in `nodes` of the one that has a slot.
    pub fn owner(&self, slot: u16) -> usize {
        until("a slot has an owner", || {
            // What most of the nodes say is so.
            let views: Vec<Vec<Vec<Value>>> =
                self.nodes.iter().filter_map(|node| node.ask(&["CLUSTER", "SLOTS"]).ok()).collect();
            let named: Vec<usize> = views.iter().filter_map(|ranges| self.owner_in(ranges, slot)).collect();
            let most = |place: &usize| named.iter().filter(|named| *named == place).count() * 2 > self.nodes.len();
            named.iter().copied().find(most)
        })
    }

    /// The place in `nodes` of a slot's master, in the answer of one of them.
    fn owner_in(&self, ranges: &[Vec<Value>], slot: u16) -> Option<usize> {
        ranges.iter().find_map(|range| {
            let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = range.as_slice() else {
                return None;
            };
            let port = master.get(1).filter(|_| (*first..=*last).contains(&i64::from(slot)))?;
            self.nodes.iter().position(|node| *port == Value::Int(i64::from(node.port)))
        })
    }

    /// The slot of a key.
    pub fn slot(&self, key: &str) -> u16 {
        self.nodes[0].ask(&["CLUSTER", "KEYSLOT", key]).expect("it answers")
    }

    /// Moves a slot with its keys to another master, as `redis-cli --cluster reshard` does; `step` keys at a time, with
    /// `between` called after each.
    pub fn move_slot(&self, slot: u16, to: usize, step: usize, between: impl FnMut()) {
        let from = self.owner(slot);
        if from == to {
            return;
        }
        self.move_keys(slot, (from, to), step, between);
        let (source, target) = (&self.nodes[from], &self.nodes[to]);
        let masters = self.nodes.iter().filter(|node| node.role().as_deref() == Some("master"));
        for node in [target, source].into_iter().chain(masters) {
            let () =
                node.ask(&["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &self.id(target)]).expect("it is a master");
        }
    }

    /// Moves the keys of a slot, which is not the other's yet: the one says of each call where it is to be sent.
    pub fn move_keys(&self, slot: u16, (from, to): (usize, usize), step: usize, mut between: impl FnMut()) {
        let (source, target, number) = (&self.nodes[from], &self.nodes[to], slot.to_string());
        let (source_id, target_id, port) = (self.id(source), self.id(target), target.port.to_string());
        let () = target.ask(&["CLUSTER", "SETSLOT", &number, "IMPORTING", &source_id]).expect("it is free");
        let () = source.ask(&["CLUSTER", "SETSLOT", &number, "MIGRATING", &target_id]).expect("it is its own");
        loop {
            let keys: Vec<String> =
                source.ask(&["CLUSTER", "GETKEYSINSLOT", &number, &step.to_string()]).expect("it answers");
            if keys.is_empty() {
                break;
            }
            let mut command = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            command.extend(keys.iter().map(String::as_str));
            let () = source.ask(&command).expect("the keys move");
            between();
        }
    }

    /// Waits until another node than `old` has a slot, and the Cluster works.
    pub fn replaced(&self, slot: u16, old: usize) -> usize {
        until("another master of the slot", || {
            let now = self.owner(slot);
            let works = self.nodes[now].ask::<String>(&["CLUSTER", "INFO"]).ok()?.contains("cluster_state:ok");
            (now != old && works).then_some(now)
        })
    }

    /// Makes the replica at this place the master of its slots, in agreement with the old one.
    pub fn fail_over_to(&self, replica: usize) {
        let node = &self.nodes[replica];
        until("a fail-over begins", || node.ask::<String>(&["CLUSTER", "FAILOVER"]).ok());
        until("the replica is the master", || (node.role().as_deref() == Some("master")).then_some(()));
    }
}
