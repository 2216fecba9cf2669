//! What earlier versions have stored is read by this one as it was: a dump of each stands here, with what it answered.

#[path = "../api/support/mod.rs"]
#[expect(dead_code, unused_imports, clippy::panic, reason = "the tests of the API use the rest, and fail by panics")]
mod support;

mod build;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use self::build::{LATER, TOKEN_OF_ADMIN};
use self::support::{OwnRedis, TestApp};

/// What a version answered, and what clients of it had in hand.
#[derive(serde::Serialize, serde::Deserialize)]
struct Told {
    /// By path, the answer.
    answers: BTreeMap<String, Value>,
    /// Queue, job and lease of what a worker holds.
    held: [String; 3],
    /// The text of a token.
    token: String,
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrade")
}

/// A service on what stands in `dump`, at the time at which that was made.
async fn open(dump: &Path) -> (OwnRedis, TempDir, TestApp) {
    let place = TempDir::new().expect("a directory");
    std::fs::copy(dump, place.path().join("dump.rdb")).expect("there is a dump");
    let place_text = place.path().to_str().expect("UTF-8").to_owned();
    let arguments = ["--dir".to_owned(), place_text, "--dbfilename".to_owned(), "dump.rdb".to_owned()];
    let redis = OwnRedis::spawn_with(arguments.to_vec()).await;
    forget_what_ends(&redis);
    let app = TestApp::with().redis_url(&redis.url()).admin_token(TOKEN_OF_ADMIN).spawn().await;
    app.advance(LATER);
    (redis, place, app)
}

/// What has an end of its own is gone sooner or later, so it is at once.
fn forget_what_ends(redis: &OwnRedis) {
    let mut connection = redis.connect().expect("it runs");
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).expect("KEYS works");
    for key in keys {
        let lifetime: i64 = redis::cmd("PTTL").arg(&key).query(&mut connection).expect("PTTL works");
        if lifetime > 0 {
            redis.admin(&["DEL", &key]);
        }
    }
}

/// Whether all that was told is told again; there may be more.
fn holds(told: &Value, now: &Value) -> bool {
    match (told, now) {
        (Value::Object(told), Value::Object(now)) => {
            told.iter().all(|(name, value)| now.get(name).is_some_and(|now| holds(value, now)))
        }
        (Value::Array(told), Value::Array(now)) => {
            told.len() == now.len() && told.iter().zip(now).all(|(told, now)| holds(told, now))
        }
        _ => told == now,
    }
}

fn dumps() -> Vec<PathBuf> {
    let files = std::fs::read_dir(directory()).expect("a directory");
    files
        .filter_map(|file| Some(file.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "rdb"))
        .collect()
}

#[tokio::test]
async fn what_earlier_versions_stored_is_read_as_it_was() {
    // With RANQ_WRITE_DUMP=1 in the environment this version's is made first.
    if std::env::var("RANQ_WRITE_DUMP").is_ok() {
        build::write_dump().await;
    }
    let dumps = dumps();
    assert!(!dumps.is_empty(), "there are dumps");
    for dump in dumps {
        let told = std::fs::read(dump.with_extension("json")).expect("what it answered");
        let told: Told = serde_json::from_slice(&told).expect("it is JSON");
        let (_redis, _place, app) = open(&dump).await;
        for (path, told) in &told.answers {
            let now = app.get(path).await.is(200);
            assert!(holds(told, now.json()), "{}: {path}\nwas: {told}\nis: {}", dump.display(), now.text());
        }
        go_on(&app, &told).await;
    }
}

/// What clients had in hand is of use, and everything takes what is new.
async fn go_on(app: &TestApp, told: &Told) {
    let [queue, job, lease] = &told.held;
    let acked =
        app.post(format!("/v1/queues/{queue}/jobs/{job}/ack"), json!({"lease": lease, "result": 1})).await.is(200);
    assert_eq!(acked["state"], "completed");
    let ready = app.lease(queue, 10).await;
    assert!(!ready.is_empty(), "what was ready is leased");
    app.ack(&ready[0]).await.is(200);
    let first = app.rankings("full", "limit=1").await.is(200).members()[0].to_owned();
    let row =
        json!({"member": "newcomer", "score": 1_000_000, "subscores": {"time": 1}, "segments": {"country": "KR"}});
    assert_eq!(app.submit_row("full", row).await.is(200)["rank"], 1);
    assert_eq!(app.rankings("full", "limit=2").await.members(), ["newcomer", &first]);
    let with_token = app.request("GET", "/v1/leaderboards/full").token(&told.token).send().await;
    assert_eq!(with_token.status, 200, "a token opens as before: {}", with_token.text());
}

#[tokio::test]
async fn a_newer_format_is_refused_in_one_line() {
    let redis = OwnRedis::spawn().await;
    redis.admin(&["SET", "ranq:format", "2"]);
    for verb in ["serve", "check"] {
        let arguments: &[&str] = if verb == "serve" { &["--listen", "127.0.0.1:0"] } else { &[] };
        let url = redis.url();
        let (code, message) = support::Process::run(verb, arguments, &[("RANQ_REDIS_URL", url.as_str())]).await;
        assert_eq!(code, 1, "{verb}: {message}");
        let expected = "Redis holds data in format 2, and ranq";
        let lines: Vec<&str> = message.lines().filter(|line| line.starts_with("ranq: ")).collect();
        assert!(matches!(lines[..], [line] if line.contains(expected)), "{verb}: {message}");
    }
}

#[tokio::test]
async fn the_format_is_noted_at_the_first_start() {
    let redis = OwnRedis::spawn().await;
    let app = TestApp::with().redis_url(&redis.url()).spawn().await;
    app.fill("race", [("alice", 1)]).await;
    let noted: String =
        redis::cmd("GET").arg("ranq:format").query(&mut redis.connect().expect("it runs")).expect("GET works");
    assert_eq!(noted, "1");
}
