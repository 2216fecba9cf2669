//! What nobody but its owner may see stands in no log, no metric, no error and no other process.

use std::os::unix::fs::PermissionsExt as _;

use ranq::config::Config;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{OwnRedis, Process, Scrape, client_builder, eventually};

const REDIS_PASSWORD: &str = "marker-redis-password";
const ADMIN_TOKEN: &str = "marker-admin-token-0123456789";
const BEARER: &str = "marker-bearer-of-a-request";
const IDEMPOTENCY_KEY: &str = "marker-idempotency-key";
const PAYLOAD: &str = "marker-payload";
const QUERY: &str = "marker-query";

const SECRETS: [&str; 6] = [REDIS_PASSWORD, ADMIN_TOKEN, BEARER, IDEMPOTENCY_KEY, PAYLOAD, QUERY];
/// Everything that can be logged, that which is off unless it is asked for included.
const LOUDEST: &str = "trace,actix_http=trace";

#[track_caller]
fn assert_no_secret(what: &str, text: &str, secrets: &[&str]) {
    for secret in secrets {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{what} shows {secret}");
    }
}

/// A Redis that lets nobody in without the password, and where.
async fn guarded_redis() -> (OwnRedis, String) {
    let redis = OwnRedis::spawn().await;
    know_password(&redis);
    let url = format!("{}?user=ranq&pass={REDIS_PASSWORD}", redis.url());
    (redis, url)
}

fn know_password(redis: &OwnRedis) {
    redis.admin(&["ACL", "SETUSER", "ranq", "reset", "on", &format!(">{REDIS_PASSWORD}"), "~*", "&*", "+@all"]);
}

/// A client that sends what has secrets in all of its parts, good and bad, and gives back what was answered.
struct Talker {
    client: reqwest::Client,
    base: String,
    heard: String,
}

impl Talker {
    async fn send(&mut self, method: &str, path: &str, token: &str, body: Option<String>) -> u16 {
        let method: reqwest::Method = method.parse().expect("a method");
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut request = self.client.request(method, format!("{}{path}{separator}segment=country:{QUERY}", self.base));
        request = request.bearer_auth(token).header("idempotency-key", IDEMPOTENCY_KEY);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await.expect("the service answers");
        let status = response.status().as_u16();
        self.heard.push_str(&response.text().await.expect("text"));
        status
    }

    /// The same without a query, which most operations refuse.
    async fn post(&self, path: &str, body: serde_json::Value) -> serde_json::Value {
        let key = format!("{IDEMPOTENCY_KEY}-{}", fastrand::u64(..));
        let request =
            self.client.post(format!("{}{path}", self.base)).bearer_auth(ADMIN_TOKEN).header("idempotency-key", key);
        let response = request.json(&body).send().await.expect("the service answers");
        response.json().await.expect("JSON")
    }

    async fn talk(&mut self) {
        for token in [ADMIN_TOKEN, BEARER] {
            for (method, path, body) in [
                ("GET", "/v1/leaderboards/race/rankings".to_owned(), None),
                ("GET", format!("/v1/{PAYLOAD}"), None),
                ("GET", format!("/v1/leaderboards/race/members/{PAYLOAD}"), None),
                ("GET", format!("/v1/leaderboards/race/rankings?cursor={PAYLOAD}"), None),
                ("POST", "/v1/leaderboards/race/scores".to_owned(), Some(format!("{{\"member\":\"{PAYLOAD}"))),
                (
                    "POST",
                    "/v1/leaderboards/race/scores".to_owned(),
                    Some(json!({"member": "", "score": PAYLOAD}).to_string()),
                ),
                ("POST", "/v1/leaderboards/race/scores".to_owned(), Some(json!({PAYLOAD: 1}).to_string())),
                ("POST", "/v1/queues/emails/jobs".to_owned(), Some(json!({"payload": PAYLOAD, "key": 5}).to_string())),
                ("PATCH", "/v1/queues/emails/jobs".to_owned(), Some(PAYLOAD.to_owned())),
            ] {
                let status = self.send(method, &path, token, body).await;
                assert!((400..500).contains(&status), "{method} {path}: {status}");
            }
        }
        let row = json!({"member": "ann", "score": 5, "metadata": {"note": PAYLOAD}});
        assert_eq!(self.post("/v1/leaderboards/race/scores", row).await["score"], 5);
        for end in ["ack", "nack"] {
            let job = json!({"payload": PAYLOAD, "headers": {"x": PAYLOAD}, "unique_key": format!("{PAYLOAD}-{end}")});
            self.post("/v1/queues/emails/jobs", job).await;
            let leased = self.post("/v1/queues/emails/dequeue", json!({"wait_ms": 100})).await;
            let (id, lease) = (&leased["jobs"][0]["id"], &leased["jobs"][0]["lease"]);
            let body = match end {
                "ack" => json!({"lease": lease, "result": PAYLOAD}),
                _ => json!({"lease": lease, "error": PAYLOAD, "dead": true}),
            };
            let path = format!("/v1/queues/emails/jobs/{}/{end}", id.as_str().expect("an id"));
            assert!(self.post(&path, body).await["state"].is_string());
        }
    }
}

#[tokio::test]
async fn a_service_at_its_loudest_tells_no_secret() {
    for format in ["text", "json"] {
        let (mut redis, url) = guarded_redis().await;
        let directory = TempDir::new().expect("a directory");
        let data_dir = directory.path().to_str().expect("UTF-8");
        let mut command =
            Process::command("serve", &["--listen", "127.0.0.1:0", "--data-dir", data_dir, "--threads", "2"]);
        command.env("RANQ_REDIS_URL", &url).env("RANQ_ADMIN_TOKEN", ADMIN_TOKEN);
        command.env("RANQ_LOG", LOUDEST).env("RANQ_LOG_FORMAT", format);
        let service = Process::start_command(command).await;
        let client = client_builder().build().expect("a client");
        let mut talker = Talker { client, base: format!("http://{}", service.address()), heard: String::new() };
        talker.talk().await;

        // What is not as it should be in Redis.
        redis.admin(&["SET", "ranq:leaderboards", "5"]);
        let listed =
            talker.client.get(format!("{}/v1/leaderboards", talker.base)).bearer_auth(ADMIN_TOKEN).send().await;
        assert_eq!(listed.expect("an answer").status(), 500);
        // Redis goes, comes back as a stranger, and knows the service again.
        redis.kill();
        let row = json!({"member": "ann", "score": 5, "metadata": PAYLOAD});
        for _ in 0..4 {
            assert_eq!(talker.post("/v1/leaderboards/race/scores", row.clone()).await["status"], 503);
        }
        redis.start_again().await;
        eventually("the service is refused", async || service.log().contains("user or password").then_some(())).await;
        assert_eq!(talker.post("/v1/leaderboards/race/scores", row.clone()).await["status"], 503);
        know_password(&redis);
        let works =
            async || (talker.post("/v1/leaderboards/race/scores", row.clone()).await["score"] == 5).then_some(());
        eventually("the service works", works).await;

        let (log, scrape) = (service.log(), Scrape::of(service.address()).await);
        assert!(log.contains("request") && log.lines().count() > 50, "it is loud: {log}");
        assert_no_secret("the log", &log, &SECRETS);
        assert_no_secret("a metric", scrape.text(), &SECRETS);
        // A client is told what is wrong with its own input, and no more.
        assert_no_secret("an answer", &talker.heard, &[REDIS_PASSWORD, ADMIN_TOKEN, BEARER, IDEMPOTENCY_KEY]);
        assert_no_secret("the command line", &read_of(service.pid(), "cmdline"), &SECRETS);
    }
}

/// A file that Linux has of each process.
fn read_of(pid: i32, file: &str) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', "\n")
}

#[tokio::test]
async fn the_embedded_redis_does_not_inherit_the_token() {
    let (data, programs) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let (script, seen) = (programs.path().join("redis-server"), programs.path().join("seen"));
    let path = std::env::var("PATH").expect("a PATH");
    let text = format!("#!/bin/sh\nenv >> {}\nPATH='{path}' exec redis-server \"$@\"\n", seen.display());
    std::fs::write(&script, text).expect("written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("its own file");
    let data_dir = data.path().to_str().expect("UTF-8");
    let mut command = Process::command("serve", &["--listen", "127.0.0.1:0", "--data-dir", data_dir]);
    command.env("PATH", format!("{}:{path}", programs.path().display())).env("RANQ_ADMIN_TOKEN", ADMIN_TOKEN);
    let service = Process::start_command(command).await;
    let environment = std::fs::read_to_string(seen).expect("it was started");
    assert!(environment.contains("PATH="), "{environment}");
    assert_no_secret("Redis' environment", &environment, &["RANQ_", ADMIN_TOKEN]);
    drop(service);
}

#[tokio::test]
async fn commands_that_fail_tell_no_secret() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("ranq.toml");
    std::fs::write(&file, format!("admin_token = \"{ADMIN_TOKEN}")).expect("written");
    let file = file.to_str().expect("UTF-8");
    let nowhere = format!("redis://ranq:{REDIS_PASSWORD}@127.0.0.1:1");
    let wrong = format!("redis://ranq:{REDIS_PASSWORD}@127.0.0.1:port");
    for (verb, arguments, environment) in [
        ("check", vec!["--redis-url", &*nowhere], vec![]),
        ("check", vec![], vec![("RANQ_REDIS_URL", &*nowhere)]),
        ("serve", vec!["--redis-url", &*wrong], vec![("RANQ_ADMIN_TOKEN", ADMIN_TOKEN)]),
        ("serve", vec!["--config", file], vec![]),
        ("serve", vec!["--admin-token", "marker-admin-token-0123456789 ", "--nonsense"], vec![]),
        ("serve", vec!["--listen", "0.0.0.0"], vec![("RANQ_REDIS_URL", &*nowhere), ("RANQ_ADMIN_TOKEN", ADMIN_TOKEN)]),
        ("worker", vec!["--queue", "q", "--exec", "true", "--url", "ftp://x", "--token", BEARER], vec![]),
        ("export", vec!["race", "--url", "http://127.0.0.1:1", "--token", BEARER], vec![]),
    ] {
        let (code, message) = Process::run(verb, &arguments, &environment).await;
        assert_ne!(code, 0, "{verb} {arguments:?}");
        assert!(!message.is_empty());
        assert_no_secret(&format!("{verb} {arguments:?}"), &message, &SECRETS);
    }
}

#[test]
fn settings_show_no_secret() {
    let environment = [
        ("RANQ_REDIS_URL", format!("redis://ranq:{REDIS_PASSWORD}@127.0.0.1:1")),
        ("RANQ_ADMIN_TOKEN", ADMIN_TOKEN.to_owned()),
    ];
    let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value));
    let config = Config::load(None, environment, std::collections::BTreeMap::new()).expect("valid");
    assert_no_secret("Debug", &format!("{config:#?}"), &SECRETS);
}
