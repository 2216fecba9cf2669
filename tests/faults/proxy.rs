//! A TCP proxy that cuts, delays, and swallows answers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const CHUNK_BYTES: usize = 64 * 1024;

/// What becomes of what goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Pass,
    /// Every connection is closed at once, new ones as well.
    Cut,
    /// Requests arrive, answers do not; such connections are closed when this ends.
    Swallow,
    /// Each piece waits so long, in both directions.
    Delay(Duration),
}

/// Where connections go on to.
#[derive(Debug, Clone)]
pub enum Upstream {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A proxy on a port of its own. It ends with the value.
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    upstream: Arc<Mutex<Upstream>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub async fn start(upstream: Upstream) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let upstream = Arc::new(Mutex::new(upstream));
        let (mode, changes) = watch::channel(Mode::Pass);
        let goes_to = Arc::clone(&upstream);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let upstream = goes_to.lock().expect("no panic").clone();
                // Ends with either of its ends, or with the proxy, whose mode is then gone.
                tokio::spawn(carry(client, upstream, changes.clone()));
            }
        });
        Self { address, mode, upstream, accepting }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    pub fn lead_to(&self, upstream: Upstream) {
        *self.upstream.lock().expect("no panic") = upstream;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(client: TcpStream, upstream: Upstream, mode: watch::Receiver<Mode>) {
    if *mode.borrow() == Mode::Cut {
        return;
    }
    let _ = client.set_nodelay(true);
    let (from, to) = client.into_split();
    match upstream {
        Upstream::Tcp(address) => {
            let Ok(server) = TcpStream::connect(address).await else { return };
            let _ = server.set_nodelay(true);
            let (answers, requests) = server.into_split();
            both(from, requests, answers, to, mode).await;
        }
        Upstream::Unix(path) => {
            let Ok(server) = UnixStream::connect(path).await else { return };
            let (answers, requests) = server.into_split();
            both(from, requests, answers, to, mode).await;
        }
    }
}

async fn both(
    from: impl AsyncRead + Unpin,
    requests: impl AsyncWrite + Unpin,
    answers: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    mode: watch::Receiver<Mode>,
) {
    tokio::select! {
        () = pump(from, requests, mode.clone(), false) => {}
        () = pump(answers, to, mode, true) => {}
    }
}

/// Carries one direction until it ends or is cut.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut mode: watch::Receiver<Mode>,
    is_answers: bool,
) {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut swallowed = false;
    loop {
        let now = *mode.borrow_and_update();
        if now == Mode::Cut || (swallowed && now != Mode::Swallow) {
            return;
        }
        let read = tokio::select! {
            changed = mode.changed() => {
                if changed.is_err() {
                    return;
                }
                continue;
            }
            read = from.read(&mut chunk) => read,
        };
        let Ok(bytes @ 1..) = read else { return };
        let now = *mode.borrow();
        match now {
            Mode::Cut => return,
            Mode::Swallow if is_answers => {
                swallowed = true;
                continue;
            }
            Mode::Delay(pause) => tokio::time::sleep(pause).await,
            Mode::Pass | Mode::Swallow => {}
        }
        if to.write_all(&chunk[..bytes]).await.is_err() {
            return;
        }
    }
}
