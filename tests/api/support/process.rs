//! The built binary, and Redis servers, as processes of their own.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{client_builder, eventually};

const ANY_PORT: &str = "127.0.0.1:0";

/// `ranq serve` as a process. It is killed with the value.
pub struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    address: SocketAddr,
    client: reqwest::Client,
}

impl Process {
    pub fn command(verb: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ranq"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RANQ_") {
                command.env_remove(name);
            }
        }
        command.arg(verb).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Starts the service on any free port and waits until it says where it listens.
    pub async fn spawn(data_dir: &Path) -> Self {
        Self::start(data_dir, ANY_PORT, &[]).await
    }

    /// Starts the service on this address.
    pub async fn spawn_on(data_dir: &Path, listen: &str) -> Self {
        Self::start(data_dir, listen, &[]).await
    }

    /// Starts the service on any free port with further arguments.
    pub async fn spawn_with(data_dir: &Path, arguments: &[&str]) -> Self {
        Self::start(data_dir, ANY_PORT, arguments).await
    }

    async fn start(data_dir: &Path, listen: &str, arguments: &[&str]) -> Self {
        let directory = data_dir.to_str().expect("a UTF-8 path");
        let arguments = [&["--listen", listen, "--data-dir", directory, "--threads", "2"], arguments].concat();
        Self::start_command(Self::command("serve", &arguments)).await
    }

    /// Starts the service by this command.
    pub async fn start_command(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the binary runs");
        let log = Arc::new(Mutex::new(String::new()));
        let written = Arc::clone(&log);
        let lines = BufReader::new(child.stderr.take().expect("piped"));
        // Ends with the pipe, which the child holds.
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut log = written.lock().expect("no panic");
                log.push_str(&line);
                log.push('\n');
            }
        });
        let address = eventually("the service says where it listens", async || {
            let log = log.lock().expect("no panic");
            let (_, rest) = log.split_once("serves on http")?;
            let (_, rest) = rest.split_once("://")?;
            rest.split(|end: char| !end.is_ascii_digit() && end != '.' && end != ':').next()?.parse().ok()
        })
        .await;
        Self { child, log, address, client: client_builder().build().expect("a client") }
    }

    /// Runs the binary to its end: its exit code, and what it wrote to standard error.
    pub async fn run(verb: &str, arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String) {
        let mut command = Self::command(verb, arguments);
        command.envs(environment.iter().copied());
        let mut child = command.spawn().expect("the binary runs");
        let mut stderr = child.stderr.take().expect("piped");
        let status = wait(&mut child).await;
        let mut text = String::new();
        stderr.read_to_string(&mut text).expect("UTF-8");
        (status.code().expect("it ended by itself"), text)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn log(&self) -> String {
        self.log.lock().expect("no panic").clone()
    }

    pub async fn submit(&self, board: &str, member: &str, score: i64) -> Value {
        let body = serde_json::json!({"member": member, "score": score});
        let url = format!("http://{}/v1/leaderboards/{board}/scores", self.address);
        let response = self.client.post(url).json(&body).send().await.expect("the service answers");
        assert_eq!(response.status(), 200);
        response.json().await.expect("JSON")
    }

    pub async fn get(&self, path: &str) -> Value {
        let response = self.client.get(format!("http://{}{path}", self.address)).send().await;
        let response = response.expect("the service answers");
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.expect("JSON")
    }

    pub fn signal(&self, signal: Signal) {
        self::signal(self.pid(), signal);
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id")
    }

    /// Waits for the end.
    pub async fn ended(&mut self) -> ExitStatus {
        wait(&mut self.child).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) async fn wait(child: &mut Child) -> ExitStatus {
    let child = Mutex::new(child);
    eventually("the process ends", async || child.lock().expect("no panic").try_wait().expect("our own child")).await
}

/// A redis-server that is not the service's own. It is killed with the value.
pub struct OwnRedis {
    child: Child,
    directory: TempDir,
    arguments: Vec<String>,
}

impl OwnRedis {
    pub async fn spawn() -> Self {
        Self::spawn_with(Vec::new()).await
    }

    /// Starts it with further arguments.
    pub async fn spawn_with(arguments: Vec<String>) -> Self {
        let directory = TempDir::new().expect("a directory");
        let redis = Self { child: Self::launch(directory.path(), &arguments), directory, arguments };
        redis.answers().await;
        redis
    }

    fn launch(directory: &Path, arguments: &[String]) -> Child {
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]);
        command.arg(directory.join("redis.sock")).arg("--dir").arg(directory).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("redis-server runs")
    }

    async fn answers(&self) {
        eventually("redis-server answers", async || self.connect().ok()).await;
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.directory.path().join("redis.sock").display())
    }

    pub fn connect(&self) -> redis::RedisResult<redis::Connection> {
        redis::Client::open(self.url())?.get_connection_with_timeout(Duration::from_secs(1))
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// Runs a command of an administrator.
    pub fn admin(&self, command: &[&str]) {
        let mut connection = self.connect().expect("it runs");
        let () = redis::cmd(command[0]).arg(&command[1..]).query(&mut connection).expect("it is done");
    }

    /// Starts it again after [`OwnRedis::kill`], empty.
    pub async fn start_again(&mut self) {
        self.child = Self::launch(self.directory.path(), &self.arguments);
        self.answers().await;
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process that a test started.
pub fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).expect("a process id"), signal).expect("the process runs");
}

pub fn is_alive(pid: i32) -> bool {
    test_kill_process(Pid::from_raw(pid).expect("a process id")).is_ok()
}
