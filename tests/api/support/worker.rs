//! Workers as processes of their own.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::Signal;

use super::process::wait;
use super::{Process, TestApp, eventually};

/// A worker as a process. It is killed with the value.
pub struct WorkerProcess {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl WorkerProcess {
    /// `ranq worker` for a service.
    pub fn spawn(app: &TestApp, arguments: &[&str]) -> Self {
        Self::spawn_for(&format!("http://{}", app.address()), arguments)
    }

    pub fn spawn_for(url: &str, arguments: &[&str]) -> Self {
        let mut command = Process::command("worker", &["--url", url]);
        command.args(arguments);
        Self::start(command)
    }

    /// Any program that finds the service by `RANQ_URL`.
    pub fn program(app: &TestApp, program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).env("RANQ_URL", format!("http://{}", app.address())).env_remove("RANQ_TOKEN");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
        let log = Arc::new(Mutex::new(String::new()));
        let written = Arc::clone(&log);
        let mut stderr = child.stderr.take().expect("piped");
        // Ends with the pipe, which the child holds.
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut chunk) {
                written.lock().expect("no panic").push_str(&String::from_utf8_lossy(&chunk[..count]));
            }
        });
        Self { child, log }
    }

    pub fn log(&self) -> String {
        self.log.lock().expect("no panic").clone()
    }

    /// Waits until its log has these words; what it wrote last may be read after its end.
    pub async fn says(&self, words: &str) {
        eventually(&format!("the log has `{words}`"), async || self.log().contains(words).then_some(())).await;
    }

    pub fn signal(&self, signal: Signal) {
        super::signal(i32::try_from(self.child.id()).expect("a process id"), signal);
    }

    /// Waits for the end.
    pub async fn ended(&mut self) -> ExitStatus {
        wait(&mut self.child).await
    }

    /// Tells it to stop, and asserts that it does so in good order.
    pub async fn stop(&mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.ended().await.code(), Some(0), "{}", self.log());
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the worker's log:\n{}", self.log());
        }
    }
}

/// The path of an example.
pub fn example(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "examples", name].iter().collect();
    path.to_str().expect("a UTF-8 path").to_owned()
}
