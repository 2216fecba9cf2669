//! Ends the commands of a worker that was killed.

use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal};
use tracing::warn;

/// Keeps a list of process groups, and kills those on it when its input ends. A group is on it already while its command
/// is `starting`, which is one at a time.
const SCRIPT: &str = r#"
groups= starting=
while read -r word group; do
    case $word in
        starting) starting=$group ;;
        started) groups="$groups $group" starting= ;;
        failed) starting= ;;
        ended)
            rest=
            for other in $groups; do [ "$other" = "$group" ] || rest="$rest $other"; done
            groups=$rest
            ;;
    esac
done
for group in $groups $starting; do kill -s KILL -- "-$group"; done
"#;
/// A word and a process id.
const MAX_LINE_BYTES: usize = 32;

/// A small shell that is told which process groups there are. The system closes its input when this process ends,
/// whatever ends it; it then kills the groups that are left.
#[derive(Debug)]
pub(super) struct Watcher {
    shell: Child,
    input: Option<Arc<OwnedFd>>,
    /// Held by the one command that starts.
    starting: Mutex<()>,
    broken: AtomicBool,
}

impl Watcher {
    pub(super) fn start() -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        // In a group of its own, so that Ctrl-C in a terminal does not reach it.
        command.args(["-c", SCRIPT]).process_group(0);
        let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let input = shell.stdin.take().map(|input| Arc::new(input.into()));
        Ok(Self { shell, input, starting: Mutex::new(()), broken: AtomicBool::new(false) })
    }

    /// Starts a command that does not outlive this process: its first process is killed by the kernel where there is
    /// such a one, and all of its group by the shell.
    pub(super) fn spawn(&self, command: &mut tokio::process::Command) -> io::Result<tokio::process::Child> {
        let _one_at_a_time = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        let parent = rustix::process::getpid();
        // Finds out whether the shell still listens: a child that tells a closed pipe something is killed by SIGPIPE.
        self.tell("failed", parent);
        let input = self.input.clone().filter(|_| !self.broken.load(Ordering::Relaxed));
        let prepare = move || {
            // Said by the child itself before its program runs: said by this process, it could come too late.
            if let Some(input) = &input {
                tell(input, "starting", rustix::process::getpid())?;
            }
            end_with_parent(parent)
        };
        command.process_group(0).kill_on_drop(true);
        // SAFETY: between fork and exec only getpid, write, prctl and getppid are called, all async-signal-safe, on values
        // that were made before the fork; a line is put together on the stack.
        #[expect(unsafe_code, reason = "pre_exec is the only way to run these calls in the child")]
        unsafe {
            command.pre_exec(prepare);
        }
        let child = command.spawn();
        match child.as_ref().ok().and_then(group_of) {
            Some(group) => self.tell("started", group),
            None => self.tell("failed", parent),
        }
        child
    }

    /// All of the group have ended.
    pub(super) fn ended(&self, group: Pid) {
        self.tell("ended", group);
    }

    fn tell(&self, word: &str, group: Pid) {
        let Some(input) = &self.input else { return };
        // A pipe takes 64 KiB, and the shell reads on: a line never blocks for long.
        if let Err(error) = tell(input, word, group)
            && !self.broken.swap(true, Ordering::Relaxed)
        {
            warn!("if this worker is killed, its commands may be left behind: {error}");
        }
    }
}

/// The process group of a command, which its first process leads.
pub(super) fn group_of(child: &tokio::process::Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()?).ok()?)
}

/// Writes a line at once, and without the heap.
fn tell(input: &OwnedFd, word: &str, group: Pid) -> io::Result<()> {
    let mut line = io::Cursor::new([0; MAX_LINE_BYTES]);
    writeln!(line, "{word} {}", group.as_raw_nonzero())?;
    let length = usize::try_from(line.position()).unwrap_or(MAX_LINE_BYTES);
    rustix::io::write(input, &line.get_ref()[..length])?;
    Ok(())
}

#[cfg(target_os = "linux")]
fn end_with_parent(parent: Pid) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(io::Error::other("the worker has ended")) }
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent(_parent: Pid) -> io::Result<()> {
    Ok(())
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.input = None;
        // It has nothing left to do but to end.
        let _ = self.shell.wait();
    }
}
