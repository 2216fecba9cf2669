//! How often a read has to wait for Redis: what is asked at the same time is one round.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::TestApp;
use crate::support::deployments::Server;

/// No round is over as long as another call has come within this time.
const QUIET: Duration = Duration::from_millis(40);
/// What the keys of the leaderboard that is read have in them.
const READ: &[u8] = b":race}";
const MEMBERS: usize = 6000;

/// Stands before Redis, and keeps back all answers until nothing more is asked.
struct Counter {
    state: Arc<Mutex<State>>,
    port: u16,
    _tasks: JoinSet<()>,
}

struct State {
    holds: bool,
    rounds: u64,
    /// Whether answers are kept back now.
    is_open: bool,
    last_call: Instant,
}

impl Counter {
    async fn before(redis: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = State { holds: false, rounds: 0, is_open: false, last_call: Instant::now() };
        let state = Arc::new(Mutex::new(state));
        let (shared, redis) = (Arc::clone(&state), redis.port());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.expect("a connection");
                let server = TcpStream::connect(("127.0.0.1", redis)).await.expect("Redis takes it");
                connections.spawn(between(client, server, Arc::clone(&shared)));
            }
        });
        Self { state, port, _tasks: tasks }
    }

    /// Rounds that something takes.
    async fn rounds_of(&self, work: impl AsyncFnOnce()) -> u64 {
        {
            let mut state = lock(&self.state);
            *state = State { holds: true, rounds: 0, is_open: false, last_call: Instant::now() };
        }
        work().await;
        let mut state = lock(&self.state);
        state.holds = false;
        state.rounds
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Carries what a connection says, both ways, until either side ends it.
async fn between(client: TcpStream, server: TcpStream, state: Arc<Mutex<State>>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let calls = async {
        let mut bytes = vec![0; 65_536];
        while let Ok(length @ 1..) = from_client.read(&mut bytes).await {
            // Background work asks too, of other things.
            if bytes[..length].windows(READ.len()).any(|part| part == READ) {
                let mut state = lock(&state);
                state.rounds += u64::from(!state.is_open);
                (state.is_open, state.last_call) = (true, Instant::now());
            }
            if to_server.write_all(&bytes[..length]).await.is_err() {
                return;
            }
        }
    };
    let answers = async {
        let mut bytes = vec![0; 65_536];
        while let Ok(length @ 1..) = from_server.read(&mut bytes).await {
            while keeps_back(&state) {
                tokio::time::sleep(QUIET / 8).await;
            }
            if to_client.write_all(&bytes[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(calls, answers);
}

fn keeps_back(state: &Mutex<State>) -> bool {
    let mut state = lock(state);
    state.is_open &= state.last_call.elapsed() < QUIET;
    state.holds && state.is_open
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_many_shards_take_two_rounds_at_most() {
    let directory = TempDir::new().expect("a directory");
    let redis = Server::start(directory.path(), &[]);
    let counter = Counter::before(&redis).await;
    let app = TestApp::with().redis_url(&format!("redis://127.0.0.1:{}", counter.port)).spawn().await;
    let windows = json!([{"name": "all_time"}, {"name": "daily", "reset": "daily"}]);
    app.create("race", json!({"shards": 7, "segments": ["country"], "windows": windows})).await;
    for first in (0..MEMBERS).step_by(1000) {
        let row = |number: usize| {
            json!({"member": format!("m{number}"), "score": number % 701,
                "segments": {"country": (["KR", "JP"][number % 2])}})
        };
        app.batch("race", (first..first + 1000).map(row).collect()).await.is(200);
    }
    let page = app.rankings("race", "limit=10&offset=3000").await.is(200);
    let after = page.next_cursor().expect("it goes on").to_owned();
    let mut reads: Vec<String> = Vec::new();
    for view in ["", "&ranking=competition", "&segment=country:KR", "&window=daily"] {
        let at = |rest: &str| format!("{rest}{view}");
        reads.extend([
            at("rankings?limit=10"),
            at("rankings?limit=100&offset=1234"),
            at("rankings?limit=10&offset=2900"),
            at("rankings?limit=10&offset=1000000"),
            format!("members/m78{}", view.replacen('&', "?", 1)),
            at("members/m78/around?radius=5"),
            at("around?score=350&radius=5"),
        ]);
    }
    reads.push(format!("rankings?limit=100&cursor={after}"));
    reads.extend(["distribution?buckets=20", "distribution?buckets=20&segment=country:JP"].map(str::to_owned));
    for read in reads {
        let path = format!("/v1/leaderboards/race/{read}");
        least_rounds(&counter, &path, async || drop(app.get(&path).await.is(200))).await;
    }
    let members: Vec<Value> = (0..100).map(|number| json!(format!("m{number}"))).collect();
    let path = "/v1/leaderboards/race/members/lookup";
    least_rounds(&counter, path, async || drop(app.post(path, json!({"members": members})).await.is(200))).await;
}

/// Background work looks after the leaderboard too, so the best of a few tries counts.
async fn least_rounds(counter: &Counter, path: &str, read: impl AsyncFn()) {
    let mut seen = Vec::new();
    for _ in 0..5 {
        let rounds = counter.rounds_of(&read).await;
        assert!(rounds > 0, "{path} asks nothing, so nothing is counted");
        if rounds <= 2 {
            return;
        }
        seen.push(rounds);
    }
    panic!("{path} takes {seen:?} rounds");
}
