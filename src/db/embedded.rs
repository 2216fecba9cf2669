//! The embedded default: a private redis-server child on a unix socket.
//!
//! The child holds the lock of the data directory together with this process, and ends with it, SIGKILL included.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::config::Durability;
use crate::metrics::Metrics;

/// The oldest server whose scripts know flags.
const OLDEST_MAJOR: u32 = 7;
/// Where the path of the socket stands if it is not in the data directory.
const SOCKET_NOTE: &str = "redis.sock.path";
/// A unix socket's path has room for 107 bytes (Linux) or 103 (macOS).
const MAX_SOCKET_PATH: usize = 100;
/// How long the child of a service that has just been killed may hold the lock.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// How often a state that gives no event is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long the child may take to write its files after SIGTERM.
const STOP_WAIT: Duration = Duration::from_secs(4);
/// A child that lived so long did not die of its start.
const LIVED_WELL: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
const SHOWN_LOG_BYTES: i64 = 1000;

/// Why the embedded Redis could not be started, in one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No server program on the machine.
    #[error(
        "no redis-server (or valkey-server) was found: install it (Debian, Ubuntu: apt-get install redis-server; macOS: \
         brew install redis), or set RANQ_REDIS_URL to a Redis that runs"
    )]
    NoServer,
    /// The server is too old.
    #[error("{program} is version {version}, and ranq needs Redis {OLDEST_MAJOR}.0 or later")]
    TooOld {
        /// The program found.
        program: String,
        /// Its version.
        version: String,
    },
    /// Another service has the data directory.
    #[error("the data directory {} is in use by another ranq (process {holder})", .path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Who wrote the lock.
        holder: String,
    },
    /// What was kept would not be read.
    #[error(
        "{} holds what was written under another durability, and `memory` would hide it: use another data_dir, or remove it",
        .path.display()
    )]
    Hides {
        /// The append-only file's directory.
        path: PathBuf,
    },
    /// The server ended while it started.
    #[error("redis-server ended while it started ({status}); its log ends with:\n{log}")]
    Ended {
        /// Its exit status.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// The system refused something.
    #[error("the embedded Redis cannot use {}: {source}", .path.display())]
    Io {
        /// The path in question.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The socket of a server that runs with its data in `data_dir`.
pub(super) fn socket_of(data_dir: &Path) -> io::Result<PathBuf> {
    let directory = data_dir.join("redis").canonicalize()?;
    let socket = directory.join("redis.sock");
    if socket.as_os_str().len() <= MAX_SOCKET_PATH {
        return Ok(socket);
    }
    std::fs::read_to_string(directory.join(SOCKET_NOTE)).map(PathBuf::from)
}

/// A running private redis-server. It is stopped by [`EmbeddedRedis::stop`], or when the process ends.
#[derive(Debug)]
pub struct EmbeddedRedis {
    socket: PathBuf,
    child: Arc<Mutex<Option<Pid>>>,
    stop: Sender<()>,
    ended: Receiver<()>,
    supervisor: Option<JoinHandle<()>>,
}

impl EmbeddedRedis {
    /// Starts the server with its data in `data_dir`, and returns when it takes connections (it may still be loading).
    ///
    /// # Errors
    ///
    /// [`EmbeddedError`], one line each.
    pub fn start(data_dir: &Path, durability: Durability, metrics: Metrics) -> Result<Self, EmbeddedError> {
        let program = find_server()?;
        let directory = data_dir.join("redis");
        let failed = |source| EmbeddedError::Io { path: directory.clone(), source };
        std::fs::create_dir_all(&directory).map_err(failed)?;
        std::fs::set_permissions(&directory, Permissions::from_mode(0o700)).map_err(failed)?;
        let directory = directory.canonicalize().map_err(failed)?;
        let kept = directory.join("appendonlydir");
        if durability == Durability::Memory && kept.exists() {
            return Err(EmbeddedError::Hides { path: kept });
        }
        let lock = lock(&directory)?;
        let socket = socket_path(&directory).map_err(failed)?;

        let (stop, stopped) = channel();
        let (spawned, spawn_result) = channel();
        let (ending, ended) = channel();
        let child = Arc::new(Mutex::new(None));
        let supervisor = Supervisor {
            launch: Launch { program, directory: directory.clone(), socket: socket.clone(), durability, lock },
            child: Arc::clone(&child),
            stopped,
            metrics,
        };
        // The child is told to end when the thread that forked it ends, so that thread must live as long as the process.
        let supervisor = std::thread::Builder::new()
            .name("redis-supervisor".to_owned())
            .spawn(move || {
                supervisor.run(&spawned);
                // The receiver is gone only when nobody waits.
                let _ = ending.send(());
            })
            .map_err(failed)?;
        let redis = Self { socket, child, stop, ended, supervisor: Some(supervisor) };
        redis.wait_for_socket(&directory, &spawn_result)?;
        Ok(redis)
    }

    /// How to connect to it.
    ///
    /// # Errors
    ///
    /// Never for a path that this type made.
    pub fn connection_info(&self) -> redis::RedisResult<ConnectionInfo> {
        ConnectionAddr::Unix(self.socket.clone()).into_connection_info()
    }

    /// The process id of the server, if one runs at the moment.
    pub fn pid(&self) -> Option<i32> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).map(Pid::as_raw_pid)
    }

    /// Stops the server and waits until it has written its files.
    pub fn stop(mut self) {
        self.tell_to_stop();
        if self.ended.recv_timeout(STOP_WAIT).is_err() {
            signal(&self.child, Signal::KILL);
        }
        if self.supervisor.take().is_some_and(|supervisor| supervisor.join().is_err()) {
            tracing::error!("the supervisor of the embedded Redis panicked");
        }
    }

    fn tell_to_stop(&self) {
        // A send fails only when the supervisor has ended, which is what is wanted.
        let _ = self.stop.send(());
        signal(&self.child, Signal::TERM);
    }

    fn wait_for_socket(&self, directory: &Path, spawned: &Receiver<Result<(), String>>) -> Result<(), EmbeddedError> {
        let ended = |status: String| EmbeddedError::Ended { status, log: log_tail(directory) };
        loop {
            if UnixStream::connect(&self.socket).is_ok() {
                return Ok(());
            }
            match spawned.recv_timeout(LOOK_EVERY) {
                Ok(Ok(())) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Err(status)) => return Err(ended(status)),
                Err(RecvTimeoutError::Disconnected) => return Err(ended("its supervisor ended".to_owned())),
            }
        }
    }
}

impl Drop for EmbeddedRedis {
    fn drop(&mut self) {
        if self.supervisor.is_some() {
            self.tell_to_stop();
        }
    }
}

fn signal(child: &Mutex<Option<Pid>>, signal: Signal) {
    // Under the lock the child is not reaped, so the id is still its own.
    if let Some(pid) = *child.lock().unwrap_or_else(PoisonError::into_inner)
        && let Err(error) = kill_process(pid, signal)
    {
        tracing::warn!(%error, "the embedded Redis cannot be told to stop: {error}");
    }
}

struct Supervisor {
    launch: Launch,
    child: Arc<Mutex<Option<Pid>>>,
    stopped: Receiver<()>,
    metrics: Metrics,
}

impl Supervisor {
    /// Keeps a child running until told to stop, or until the first one ends before it was ever ready.
    fn run(self, spawned: &Sender<Result<(), String>>) {
        let mut pause = Duration::ZERO;
        let mut first = true;
        loop {
            let started = Instant::now();
            let status = match self.launch.spawn() {
                Ok(child) => self.wait(child),
                Err(error) => format!("it cannot be started: {error}"),
            };
            if self.stopped.try_recv() != Err(TryRecvError::Empty) {
                return;
            }
            if first && !self.launch.socket.exists() {
                // Nobody listens only when the start was given up.
                let _ = spawned.send(Err(status));
                return;
            }
            first = false;
            tracing::error!(redis.status = %status, "the embedded Redis ended ({status}) and is started again");
            self.metrics.redis_restarted();
            pause = if started.elapsed() > LIVED_WELL {
                Duration::ZERO
            } else {
                (pause * 2).clamp(LOOK_EVERY, LONGEST_PAUSE)
            };
            if self.stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    fn wait(&self, mut child: Child) -> String {
        let pid = Pid::from_child(&child);
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(pid);
        // Wait without reaping first: see `signal`.
        let unreaped = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while waitid(WaitId::Pid(pid), unreaped).is_err_and(|error| error == rustix::io::Errno::INTR) {}
        let mut current = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        *current = None;
        match child.wait() {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }
}

struct Launch {
    program: PathBuf,
    directory: PathBuf,
    socket: PathBuf,
    durability: Durability,
    lock: File,
}

impl Launch {
    fn spawn(&self) -> io::Result<Child> {
        let mut command = command_of(&self.program);
        command.args(["--port", "0", "--unixsocketperm", "700", "--unixsocket"]).arg(&self.socket);
        command.arg("--dir").arg(&self.directory).arg("--logfile").arg(self.directory.join("redis.log"));
        let (append, sync) = match self.durability {
            Durability::Memory => ("no", "no"),
            Durability::Everysec | Durability::Replicated(_) => ("yes", "everysec"),
            Durability::Always => ("yes", "always"),
        };
        command.args(["--daemonize", "no", "--save", "", "--appendonly", append, "--appendfsync", sync]);
        // Each score writes about half a kilobyte, so that the default of 64 MB would rewrite every few seconds.
        command.args(["--auto-aof-rewrite-min-size", "256mb", "--maxmemory-policy", "noeviction"]);
        // A ZSET that is no skip list is read from its beginning for each change: the 64 leases of 64 workers cost a tenth of a job.
        // Latencies by command are told by the service's own metrics, and cost another twentieth.
        command.args(["--zset-max-listpack-entries", "16", "--latency-tracking", "no"]);
        for lazy in ["eviction", "expire", "server-del", "user-del", "user-flush"] {
            command.args([format!("--lazyfree-lazy-{lazy}"), "yes".to_owned()]);
        }
        // In a group of its own, so that Ctrl-C in a terminal reaches the service alone, which then stops it last.
        command.process_group(0).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let lock = self.lock.try_clone()?;
        let parent = rustix::process::getpid();
        let prepare = move || {
            // Shares the lock with the child: the directory stays locked until both are gone.
            rustix::io::fcntl_setfd(lock.as_fd(), rustix::io::FdFlags::empty())?;
            end_with_parent(parent)
        };
        // SAFETY: between fork and exec only fcntl, prctl and getppid are called, all async-signal-safe, on values that
        // were made before the fork.
        #[expect(unsafe_code, reason = "pre_exec is the only way to run these calls in the child")]
        unsafe {
            command.pre_exec(prepare);
        }
        let child = command.spawn()?;
        #[cfg(not(target_os = "linux"))]
        watch_parent(&child)?;
        Ok(child)
    }
}

#[cfg(target_os = "linux")]
fn end_with_parent(parent: Pid) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(io::Error::other("the service has ended")) }
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent(_parent: Pid) -> io::Result<()> {
    Ok(())
}

/// Where the kernel tells children nothing, a shell waits for the end of a pipe from this process.
#[cfg(not(target_os = "linux"))]
fn watch_parent(child: &Child) -> io::Result<()> {
    let script = format!("cat >/dev/null; kill {}", child.id());
    let mut watcher = Command::new("/bin/sh").args(["-c", &script]).process_group(0).stdin(Stdio::piped()).spawn()?;
    // The write end is closed by the end of this process, whatever ends it.
    std::mem::forget(watcher.stdin.take());
    Ok(())
}

/// A command that does not inherit what only the service needs to know, such as its token.
fn command_of(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"RANQ_")) {
        command.env_remove(name);
    }
    command
}

fn find_server() -> Result<PathBuf, EmbeddedError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = ["redis-server", "valkey-server"];
    let found = candidates
        .iter()
        .flat_map(|name| std::env::split_paths(&path).map(move |directory| directory.join(name)))
        .find(|program| program.is_file())
        .ok_or(EmbeddedError::NoServer)?;
    let failed = |source| EmbeddedError::Io { path: found.clone(), source };
    let output = command_of(&found).arg("--version").output().map_err(failed)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or("unknown").to_owned();
    let major = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    if major < OLDEST_MAJOR {
        return Err(EmbeddedError::TooOld { program: found.display().to_string(), version });
    }
    Ok(found)
}

fn lock(directory: &Path) -> Result<File, EmbeddedError> {
    let path = directory.join("lock");
    let failed = |source| EmbeddedError::Io { path: path.clone(), source };
    let mut file =
        OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(failed)?;
    let give_up = Instant::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < give_up => std::thread::sleep(LOOK_EVERY),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).map_err(failed)?;
                return Err(EmbeddedError::InUse { path: directory.to_owned(), holder: holder.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
    file.set_len(0).map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

/// The socket in the data directory, or in a private temporary one where its path would be too long.
fn socket_path(directory: &Path) -> io::Result<PathBuf> {
    let socket = directory.join("redis.sock");
    if socket.as_os_str().len() <= MAX_SOCKET_PATH {
        remove_stale(&socket)?;
        return Ok(socket);
    }
    let short = std::env::temp_dir().join(format!("ranq-{}", std::process::id()));
    std::fs::create_dir_all(&short)?;
    std::fs::set_permissions(&short, Permissions::from_mode(0o700))?;
    let socket = short.join("redis.sock");
    remove_stale(&socket)?;
    std::fs::write(directory.join(SOCKET_NOTE), socket.as_os_str().as_encoded_bytes())?;
    Ok(socket)
}

fn remove_stale(socket: &Path) -> io::Result<()> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn log_tail(directory: &Path) -> String {
    let mut text = Vec::new();
    let read = File::open(directory.join("redis.log")).and_then(|mut log| {
        let length = i64::try_from(log.metadata()?.len()).unwrap_or(i64::MAX);
        log.seek(io::SeekFrom::End(-length.min(SHOWN_LOG_BYTES)))?;
        log.read_to_end(&mut text)
    });
    match read {
        Ok(_) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) => format!("(no log: {error})"),
    }
}
