//! What faults strike: a Redis, and instances of the service on it, as processes of their own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tempfile::TempDir;

use crate::deployments::{ClusterSet, SentinelSet};
use crate::proxy::{Proxy, Upstream};

const PATIENCE: Duration = Duration::from_secs(20);
const INSTANCES: usize = 2;

/// A Redis of some kind and two instances, each behind a proxy.
pub struct Deployment {
    /// The only one, where there are no others.
    pub redis: Redis,
    pub others: Others,
    /// Between the instances and Redis, where a fault needs it.
    pub redis_proxy: Proxy,
    pub instances: Vec<Instance>,
    directory: TempDir,
}

/// How a deployment is set up.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// `always` or `everysec`.
    pub fsync: &'static str,
    /// Whether the instances reach Redis through the proxy.
    pub is_proxied: bool,
    /// Whether the clock of the second instance is five minutes ahead.
    pub is_ahead: bool,
    pub kind: Kind,
    /// The setting of the instances.
    pub durability: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Single,
    Sentinel,
    Cluster,
}

/// Redis in several processes.
pub enum Others {
    None,
    /// A master, a replica and three Sentinels.
    Sentinel(SentinelSet),
    /// Three masters with a replica each.
    Cluster(ClusterSet),
}

impl Others {
    fn start(kind: Kind) -> Self {
        let file = ["--appendonly", "yes", "--appendfsync", "everysec"];
        let one_replica = ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "2"];
        match kind {
            Kind::Single => Self::None,
            Kind::Sentinel => Self::Sentinel(SentinelSet::start(1, 3, &[&file[..], &one_replica].concat())),
            Kind::Cluster => Self::Cluster(ClusterSet::start(
                3,
                1,
                &[&file[..], &["--cluster-require-full-coverage", "no"]].concat(),
            )),
        }
    }

    fn url(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Sentinel(set) => Some(set.url()),
            Self::Cluster(set) => Some(set.url()),
        }
    }
}

impl Deployment {
    pub async fn start(plan: Plan) -> Self {
        let directory = TempDir::new().expect("a directory");
        let redis = Redis::start(directory.path(), plan.fsync).await;
        let redis_proxy = Proxy::start(Upstream::Unix(redis.socket())).await;
        let others = tokio::task::block_in_place(|| Others::start(plan.kind));
        let own = if plan.is_proxied { format!("redis://{}", redis_proxy.address()) } else { redis.url() };
        let url = others.url().unwrap_or(own);
        let shim = plan.is_ahead.then(|| clock_shim(directory.path()));
        let mut instances = Vec::new();
        for number in 0..INSTANCES {
            let shim = shim.clone().filter(|_| number == 1);
            let its = directory.path().join(number.to_string());
            instances.push(Instance::start(&its, &url, shim, plan.durability).await);
        }
        Self { redis, others, redis_proxy, instances, directory }
    }

    /// Where clients find the instances.
    pub fn urls(&self) -> Vec<String> {
        self.instances.iter().map(|instance| format!("http://{}", instance.proxy.address())).collect()
    }

    /// What `ranq check` finds: nothing, or its report.
    pub fn check(&self) -> Result<(), String> {
        let url = self.others.url().unwrap_or_else(|| self.redis.url());
        let output = ranq().args(["check", "--redis-url", &url]).output().expect("the binary runs");
        let text = [output.stdout, output.stderr].concat();
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&text).into_owned()) }
    }

    /// The logs of all that ran, for whoever looks into a failure.
    pub fn logs(&self) -> String {
        let logs = self.instances.iter().map(|instance| instance.log.lock().expect("no panic").clone());
        let redis = std::fs::read_to_string(self.directory.path().join("redis.log")).unwrap_or_default();
        logs.chain([redis]).collect::<Vec<_>>().join("\n----\n")
    }
}

/// What makes the clock of a process go five minutes ahead, and whether it does.
fn clock_shim(directory: &Path) -> PathBuf {
    let (source, shim) = (directory.join("clock.c"), directory.join("clock.so"));
    std::fs::write(&source, include_str!("clock.c")).expect("it is written");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(&source).status();
    assert!(compiled.expect("there is a C compiler").success(), "clock.c is compiled");
    let seconds = |command: &mut Command| -> i64 {
        let output = command.arg("+%s").output().expect("date runs");
        String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
    };
    let ahead = seconds(Command::new("date").env("LD_PRELOAD", &shim)) - seconds(&mut Command::new("date"));
    assert!((299..=301).contains(&ahead), "the clock is {ahead} s ahead");
    shim
}

/// The binary, without settings of whoever runs the tests.
fn ranq() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ranq"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RANQ_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

pub fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).expect("our own child");
}

async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < give_up, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A redis-server with an append-only file. It is killed with the value.
pub struct Redis {
    child: Child,
    directory: PathBuf,
    fsync: &'static str,
}

impl Redis {
    async fn start(directory: &Path, fsync: &'static str) -> Self {
        let mut redis = Self { child: Self::launch(directory, fsync), directory: directory.to_owned(), fsync };
        redis.answers().await;
        redis
    }

    fn launch(directory: &Path, fsync: &str) -> Child {
        // A file that may not grow is an error of the write, as on a full disk, and no signal that kills.
        let mut command = Command::new("sh");
        command.args(["-c", r#"trap "" XFSZ; exec redis-server "$@""#, "redis-server"]);
        command.args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", fsync]);
        command.args(["--maxmemory-policy", "noeviction", "--unixsocket"]).arg(directory.join("redis.sock"));
        command.arg("--dir").arg(directory).arg("--logfile").arg(directory.join("redis.log"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("redis-server runs")
    }

    async fn answers(&mut self) {
        let url = self.url();
        until("redis-server answers", || {
            let mut connection = connect(&url, Duration::from_secs(1)).ok()?;
            redis::cmd("PING").query::<String>(&mut connection).ok()
        })
        .await;
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.join("redis.sock")
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// Starts it on the same files, after its end.
    pub async fn start_again(&mut self) {
        self.child = Self::launch(&self.directory, self.fsync);
        self.answers().await;
    }

    /// Lets no file of it grow by more than a few KB, or as it likes.
    pub fn fill_disk(&self, full: bool) {
        let files = std::fs::read_dir(self.directory.join("appendonlydir")).expect("there is a directory");
        let sizes = files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len()));
        let most = full.then(|| sizes.max().unwrap_or(0) + 4096);
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        prlimit(pid, Resource::Fsize, Rlimit { current: most, maximum: None }).expect("our own child");
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) {
        until("redis-server ends", || self.child.try_wait().expect("our own child")).await;
    }

    /// Runs a command of an administrator.
    pub fn admin(&self, command: &[&str]) -> redis::Value {
        let mut connection = connect(&self.url(), PATIENCE).expect("it runs");
        redis::cmd(command[0]).arg(&command[1..]).query(&mut connection).expect("it is done")
    }
}

fn connect(url: &str, timeout: Duration) -> redis::RedisResult<redis::Connection> {
    redis::Client::open(url)?.get_connection_with_timeout(timeout)
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended already, and it ends though it be stopped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An instance of the service, and the proxy that clients reach it by. It is killed with the value.
pub struct Instance {
    pub proxy: Proxy,
    child: Child,
    log: Arc<Mutex<String>>,
    directory: PathBuf,
    redis_url: String,
    shim: Option<PathBuf>,
    durability: &'static str,
}

impl Instance {
    async fn start(directory: &Path, redis_url: &str, shim: Option<PathBuf>, durability: &'static str) -> Self {
        let log = Arc::new(Mutex::new(String::new()));
        let (child, address) = launch(directory, redis_url, shim.as_deref(), durability, &log).await;
        let proxy = Proxy::start(Upstream::Tcp(address)).await;
        Self { proxy, child, log, directory: directory.to_owned(), redis_url: redis_url.to_owned(), shim, durability }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// Starts it, after its end, behind the same proxy.
    pub async fn start_again(&mut self) {
        let (child, address) =
            launch(&self.directory, &self.redis_url, self.shim.as_deref(), self.durability, &self.log).await;
        self.child = child;
        self.proxy.lead_to(Upstream::Tcp(address));
    }

    /// The memory that it holds, in bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
        kibibytes.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) * 1024
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn launch(
    directory: &Path,
    redis_url: &str,
    shim: Option<&Path>,
    durability: &str,
    log: &Arc<Mutex<String>>,
) -> (Child, SocketAddr) {
    let mut command = ranq();
    if let Some(shim) = shim {
        command.env("LD_PRELOAD", shim);
    }
    command.args(["serve", "--listen", "127.0.0.1:0", "--threads", "2", "--data-dir"]).arg(directory);
    command
        .env("RANQ_DURABILITY", durability)
        .env("RANQ_REDIS_URL", redis_url)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let lines = BufReader::new(child.stderr.take().expect("piped"));
    let written = Arc::clone(log);
    let before = log.lock().expect("no panic").len();
    // Ends with the pipe, which the child holds.
    std::thread::spawn(move || {
        for line in lines.lines().map_while(Result::ok) {
            let mut log = written.lock().expect("no panic");
            log.push_str(&line);
            log.push('\n');
        }
    });
    let address = until("the service says where it listens", || {
        let log = log.lock().expect("no panic");
        let (_, rest) = log[before..].split_once("serves on http://")?;
        rest.split(|end: char| !end.is_ascii_digit() && end != '.' && end != ':').next()?.parse().ok()
    })
    .await;
    (child, address)
}
