//! A job as a process: the payload goes in, the result comes out.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{FusedFuture as _, join3};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde_json::value::RawValue;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::output::{Stdout, Tail};
use super::watcher::{Watcher, group_of};
use crate::worker::{Job, JobError};

/// How long a command may take to end after SIGTERM.
pub(super) const STOP_WAIT: Duration = Duration::from_secs(2);
/// How long what is left in the pipes is read after the end of a command; a process outside of its group may hold them.
const DRAIN: Duration = Duration::from_millis(500);
/// `EX_DATAERR` of sysexits: no other attempt would fare better.
const DEAD: i32 = 65;

/// Runs a command for each job.
#[derive(Debug)]
pub(super) struct Exec {
    program: PathBuf,
    arguments: Vec<OsString>,
    worker: String,
    watcher: Watcher,
}

impl Exec {
    pub(super) fn new(program: PathBuf, arguments: Vec<OsString>, worker: &str) -> io::Result<Self> {
        Ok(Self { program, arguments, worker: worker.to_owned(), watcher: Watcher::start()? })
    }

    /// Runs it to its end. Dropped before, it kills the command.
    pub(super) async fn run(&self, job: Job) -> Result<Option<Box<RawValue>>, JobError> {
        let cannot_run = |error| JobError::new(format!("{} cannot be run: {error}", self.program.display()));
        let mut child = self.spawn(&job).map_err(cannot_run)?;
        // Dropped before the child, so while its process id is still its own.
        let mut group = Group::of(&child, &self.watcher).map_err(cannot_run)?;
        let (mut stdout, mut stderr) = (Stdout::default(), Tail::default());
        let told_to_stop = {
            let stdin = child.stdin.take();
            let pipes = join3(
                feed(stdin, job.payload.get()),
                stdout.read(child.stdout.take()),
                stderr.read(child.stderr.take(), io::stderr()),
            );
            let mut pipes = pin!(pipes.fuse());
            let told_to_stop = {
                let mut ending = pin!(group.ended_or_stopped(job.stop_requested()));
                loop {
                    tokio::select! {
                        told = &mut ending => break told.map_err(cannot_run)?,
                        _ = &mut pipes => {}
                    }
                }
            };
            group.kill();
            if !pipes.is_terminated() {
                // What is read until then is what there is.
                let _ = timeout(DRAIN, pipes).await;
            }
            told_to_stop
        };
        drop(group);
        let status = child.wait().await.map_err(cannot_run)?;
        if told_to_stop {
            return Err(JobError::new(stderr.text()));
        }
        match status.code() {
            Some(0) => stdout.into_result(),
            Some(DEAD) => Err(JobError::new(words(&stderr.text(), status)).dead()),
            Some(_) | None => Err(JobError::new(words(&stderr.text(), status))),
        }
    }

    fn spawn(&self, job: &Job) -> io::Result<Child> {
        let headers = serde_json::to_string(&job.headers)?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("RANQ_JOB_ID", &job.id).env("RANQ_QUEUE", &job.queue).env("RANQ_WORKER", &self.worker);
        command.env("RANQ_ATTEMPT", job.attempt.to_string()).env("RANQ_MAX_ATTEMPTS", job.max_attempts.to_string());
        command.env("RANQ_ENQUEUED_AT", &job.enqueued_at).env("RANQ_PRIORITY", job.priority.to_string());
        command.env("RANQ_HEADERS", headers);
        match &job.key {
            Some(key) => command.env("RANQ_KEY", key),
            None => command.env_remove("RANQ_KEY"),
        };
        self.watcher.spawn(&mut command)
    }
}

/// The process group of a command. It is killed with the value.
struct Group<'a> {
    leader: Pid,
    watcher: &'a Watcher,
    killed: bool,
}

impl<'a> Group<'a> {
    fn of(child: &Child, watcher: &'a Watcher) -> io::Result<Self> {
        let leader = group_of(child).ok_or_else(|| io::Error::other("it has no process id"))?;
        Ok(Self { leader, watcher, killed: false })
    }

    /// Waits for the end of the leader, which is left unreaped. Gives whether it was told to end.
    async fn ended_or_stopped(&self, stop: impl Future<Output = ()>) -> io::Result<bool> {
        tokio::select! {
            ended = self.leader_ended() => return ended.map(|()| false),
            () = stop => {}
        }
        self.signal(Signal::TERM);
        if timeout(STOP_WAIT, self.leader_ended()).await.is_err() {
            self.signal(Signal::KILL);
            self.leader_ended().await?;
        }
        Ok(true)
    }

    async fn leader_ended(&self) -> io::Result<()> {
        // Registered before the look: an end between the two would be missed otherwise.
        let mut changes = signal(SignalKind::child())?;
        let unreaped = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        while waitid(WaitId::Pid(self.leader), unreaped)?.is_none() {
            changes.recv().await;
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        // It fails only where all of the group have ended.
        let _ = kill_process_group(self.leader, signal);
    }

    fn kill(&mut self) {
        if !std::mem::replace(&mut self.killed, true) {
            self.signal(Signal::KILL);
            self.watcher.ended(self.leader);
        }
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn feed(stdin: Option<ChildStdin>, payload: &str) {
    if let Some(mut stdin) = stdin {
        // A command need not read its payload.
        let _ = stdin.write_all(payload.as_bytes()).await;
    }
}

/// What a command says about its failure, or else how it ended.
fn words(stderr: &str, status: ExitStatus) -> String {
    match (stderr, status.code(), status.signal()) {
        ("", Some(code), _) => format!("exit code {code}"),
        ("", None, Some(signal)) => format!("killed by signal {signal}"),
        ("", None, None) => status.to_string(),
        (text, _, _) => text.to_owned(),
    }
}

/// The program that a command names, looked for as a shell would, so that a mistake is told before a job is taken.
pub(super) fn find(command: &OsStr) -> Result<PathBuf, String> {
    let is_program = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    let named = Path::new(command);
    if named.components().count() > 1 || command.as_encoded_bytes().contains(&b'/') {
        let is_there = is_program(named);
        return is_there.then(|| named.to_owned()).ok_or_else(|| format!("{} is no program", named.display()));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join(named)).find(|path| is_program(path));
    found.ok_or_else(|| format!("no program `{}` is on the PATH (one in this directory is ./{0})", named.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_the_command_said_or_how_it_ended() {
        assert_eq!(words("no route\n", ExitStatus::from_raw(3 << 8)), "no route\n");
        assert_eq!(words("", ExitStatus::from_raw(3 << 8)), "exit code 3");
        assert_eq!(words("", ExitStatus::from_raw(9)), "killed by signal 9");
    }

    #[test]
    fn a_program_is_looked_for_on_the_path_or_where_it_is_said_to_be() {
        assert!(find(OsStr::new("sh")).is_ok_and(|path| path.is_absolute()));
        assert_eq!(find(OsStr::new("/bin/sh")), Ok(PathBuf::from("/bin/sh")));
        for command in ["no-such-program", "./no-such-program", "/dev/null", "/etc", ""] {
            assert!(find(OsStr::new(command)).is_err(), "{command}");
        }
    }
}
