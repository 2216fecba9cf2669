//! A PostgreSQL server of a test's own, on a socket in a directory of its own.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{eventually, signal};

/// Who runs it where the tests run as root, as which it refuses to: `nobody`.
const NOBODY: u32 = 65534;

/// The server. It ends with the value.
pub struct Postgres {
    directory: TempDir,
    child: Option<Child>,
}

impl Postgres {
    /// Makes the server and waits until it answers.
    pub async fn spawn() -> Self {
        let directory = TempDir::new().expect("a directory");
        if rustix::process::geteuid().is_root() {
            chown(directory.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
        }
        let made = Self::command("initdb", directory.path())
            .args(["--username", "ranq", "--auth", "trust", "--encoding", "UTF8", "--no-sync", "--pgdata"])
            .arg(directory.path().join("data"))
            .status();
        assert!(made.expect("initdb runs").success(), "initdb fails");
        let mut server = Self { directory, child: None };
        server.start().await;
        server
    }

    /// Starts it again after [`Postgres::stop`].
    pub async fn start(&mut self) {
        let child = Self::command("postgres", self.directory.path())
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c"])
            .arg(format!("unix_socket_directories={}", self.directory.path().display()))
            .arg("-D")
            .arg(self.directory.path().join("data"))
            .spawn();
        self.child = Some(child.expect("postgres runs"));
        eventually("postgres answers", async || self.pool().await.acquire().await.ok()).await;
    }

    /// Ends it at once; what was committed is kept.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // What PostgreSQL calls an immediate shutdown, which its children do not outlive.
        signal(i32::try_from(child.id()).expect("a process id"), Signal::QUIT);
        child.wait().expect("our own child");
    }

    pub fn url(&self) -> String {
        format!("postgres://ranq@localhost/postgres?host={}", self.directory.path().display())
    }

    /// Connections for what a test asks of it.
    pub async fn pool(&self) -> sqlx::PgPool {
        sqlx::postgres::PgPoolOptions::new().max_connections(1).connect_lazy(&self.url()).expect("a URL")
    }

    fn command(name: &str, directory: &Path) -> Command {
        let mut command = Command::new(binary(name));
        command.current_dir(directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Where Debian keeps the programs of a server, the newest version first; else they are on the PATH.
fn binary(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin").join(name)).collect();
    found.retain(|path| path.exists());
    found.sort();
    found.pop().unwrap_or_else(|| PathBuf::from(name))
}
