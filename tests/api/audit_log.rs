//! The log of administrative acts: what stands in it, what does not, and that nothing is answered as done without it.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Answer, Plain, Process, TestApp, document, eventually};

const ADMIN: &str = "an-admin-token-of-tests";
const LOG: &str = "ranq:{audit:service}:log";
const ADMINISTRATIVE: [&str; 4] = ["leaderboards:admin", "queues:admin", "tokens:admin", "admin"];

/// An operation that changes something and needs an administrator.
struct Administrative {
    id: &'static str,
    method: &'static str,
    path: &'static str,
    value: &'static Value,
}

fn administrative() -> Vec<Administrative> {
    let mut found = Vec::new();
    for (path, item) in document()["paths"].as_object().expect("paths") {
        for (method, value) in item.as_object().expect("operations") {
            let scopes = value["security"][0]["token"].as_array().into_iter().flatten();
            let is_administrative = scopes.filter_map(Value::as_str).any(|scope| ADMINISTRATIVE.contains(&scope));
            let method = match method.as_str() {
                "put" => "PUT",
                "post" => "POST",
                "delete" => "DELETE",
                "get" => continue,
                other => panic!("{other} {path}: say here how it is tried"),
            };
            if is_administrative {
                let id = value["operationId"].as_str().expect("an id");
                found.push(Administrative { id, method, path, value });
            }
        }
    }
    found
}

fn entries(answer: &Answer) -> &[Value] {
    answer["entries"].as_array().expect("entries")
}

fn operations(answer: &Answer) -> Vec<&str> {
    entries(answer).iter().map(|entry| entry["operation"].as_str().expect("an operation")).collect()
}

impl TestApp {
    async fn audit_log(&self, query: &str) -> Answer {
        self.get(format!("/v1/audit?{query}")).await.is(200)
    }

    fn logged(&self) -> usize {
        redis::cmd("XLEN").arg(LOG).query(&mut self.redis()).expect("XLEN works")
    }

    async fn pause(&self, queue: &str) -> Answer {
        self.request("POST", format!("/v1/queues/{queue}/pause")).send().await
    }

    /// What the operations find: a leaderboard `race` with `alice`, who is banned; a queue `emails` with a job that waits, and a
    /// schedule.
    async fn furnish(&self) {
        assert!(self.put("/v1/leaderboards/race", json!({})).await.status < 300);
        self.delete("/v1/leaderboards/race/bans/alice").await;
        self.delete("/v1/bans/alice").await;
        self.submit("race", "alice", 5).await;
        for bans in ["/v1/leaderboards/race/bans/alice", "/v1/bans/alice"] {
            self.put(bans, json!({"shadow": true})).await.is(201);
        }
        assert!(self.put("/v1/queues/emails", json!({})).await.status < 300);
        self.delete("/v1/queues/emails/jobs/welcome-ann").await;
        self.delete("/v1/queues/emails/jobs?state=cancelled").await.is(200);
        let job = json!({"id": "welcome-ann", "payload": 1, "delay_ms": 60_000});
        self.post("/v1/queues/emails/jobs", job).await.is(201);
        let schedule = json!({"cron": "0 0 * * *", "payload": 1});
        assert!(self.put("/v1/queues/emails/schedules/nightly", schedule).await.status < 300);
    }
}

/// The path with the examples of its parameters, and the parameters that it says.
async fn target(app: &TestApp, operation: &Administrative) -> (String, Value) {
    let mut target = operation.path.to_owned();
    let mut parameters = json!({});
    for parameter in operation.value["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().expect("a name");
        if parameter["in"] == "path" {
            let value = if operation.path.starts_with("/v1/tokens/") {
                let made = app.post("/v1/tokens", json!({"name": "old", "scopes": ["admin"]})).await.is(201);
                made["id"].clone()
            } else {
                parameter["example"].clone()
            };
            target = target.replace(&format!("{{{name}}}"), value.as_str().expect("an example"));
            parameters[name] = value;
        }
    }
    let queries = [
        ("purge_jobs", "state", "dead"),
        ("purge_history", "before", "2026-01-01T00:00:00Z"),
        ("remove_members", "min_score", "1000000"),
        ("import_leaderboard", "format", "ndjson"),
    ];
    if let Some((_, name, value)) = queries.iter().find(|(id, ..)| *id == operation.id) {
        target += &format!("?{name}={value}");
        parameters[name] = json!(value);
    }
    (target, parameters)
}

async fn call(app: &TestApp, operation: &Administrative, target: &str) -> Answer {
    let request = app.request(operation.method, target).header("x-request-id", format!("r-{}", operation.id));
    let content = &operation.value["requestBody"]["content"];
    let request = match &content["application/json"]["example"] {
        _ if operation.id == "import_leaderboard" => {
            request.header("content-type", "application/x-ndjson").body("{\"member\":\"ann\",\"score\":1}\n")
        }
        Value::Null => match content["application/json"]["schema"]["$ref"].as_str() {
            Some(reference) => {
                let schema = document().pointer(reference.trim_start_matches('#')).expect("a schema");
                request.body(schema["example"].clone())
            }
            None => request,
        },
        example => request.body(example.clone()),
    };
    request.send().await
}

#[tokio::test]
async fn every_administrative_operation_leaves_one_entry() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let archive = format!("sqlite:{}", directory.path().join("jobs.db").display());
    let app = TestApp::with().admin_token(ADMIN).set("archive_url", &archive).spawn().await;
    let operations = administrative();
    assert!(operations.len() > 20, "they are found");
    for operation in &operations {
        app.furnish().await;
        let (target, mut parameters) = target(&app, operation).await;
        let before = app.logged();
        let answer = call(&app, operation, &target).await;
        assert!((200..300).contains(&answer.status), "{}: {} {}", operation.id, answer.status, answer.text());
        assert_eq!(app.logged(), before + 1, "{}", operation.id);
        let entry = app.audit_log("limit=1").await["entries"][0].clone();
        if operation.id == "create_token" {
            let made = ["id", "name"].map(|field| answer[field].clone());
            let scopes: Vec<&str> =
                answer["scopes"].as_array().expect("scopes").iter().filter_map(Value::as_str).collect();
            parameters = json!({"id": made[0], "name": made[1], "scopes": scopes.join(" ")});
        }
        let mut expected = json!({
            "at": "2026-11-23T05:40:00.000Z",
            "by": {"name": "admin"},
            "operation": operation.id,
            "method": operation.method,
            "path": operation.path,
            "parameters": parameters,
            "status": answer.status,
            "request_id": format!("r-{}", operation.id),
            "peer": "127.0.0.1",
            "replayed": false,
        });
        if !entry["reason"].is_null() {
            expected["reason"] =
                operation.value["requestBody"]["content"]["application/json"]["example"]["reason"].clone();
        }
        assert_eq!(entry, expected);
    }
    let all = app.audit_log("limit=1000").await;
    let with_reason: BTreeSet<&str> = entries(&all)
        .iter()
        .filter(|entry| entry["reason"].is_string())
        .map(|entry| entry["operation"].as_str().expect("an operation"))
        .collect();
    assert_eq!(with_reason, BTreeSet::from(["adjust_member", "put_ban", "put_service_ban"]));
}

#[tokio::test]
async fn what_reads_and_what_was_refused_leaves_none() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    app.furnish().await;
    let weak = app.mint(json!({"name": "weak", "scopes": ["leaderboards:read", "scores:write", "jobs:enqueue"]})).await;
    let before = app.logged();
    for target in
        ["leaderboards", "leaderboards/race/bans", "leaderboards/race/audit", "bans", "queues", "audit", "audit"]
    {
        app.get(format!("/v1/{target}")).await.is(200);
        let head = format!(
            "HEAD /v1/{target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(app.raw(head).await.status, 200);
    }
    app.request("POST", "/v1/leaderboards/race/members/lookup")
        .body(json!({"members": ["alice"]}))
        .send()
        .await
        .is(200);
    app.request("POST", "/v1/queues/other/jobs").token(&weak).body(json!({"payload": 1})).send().await.is(201);
    app.submit("race", "ann", 7).await;
    for operation in administrative() {
        let path = operation.path.replace(['{', '}'], "");
        for (token, status) in [("", 401), ("rq_none", 401), (weak.as_str(), 403)] {
            let refused = app.request(operation.method, &path).token(token).body(json!({})).send().await;
            assert_eq!(refused.status, status, "{} {}", operation.id, refused.text());
        }
    }
    app.put("/v1/leaderboards/race", json!({"order": "sideways"})).await.fails_with(422, "invalid");
    app.put("/v1/leaderboards/race", json!({"order": "ascending"})).await.fails_with(409, "conflict");
    app.put("/v1/leaderboards/race", "{").await.fails_with(400, "malformed-request");
    app.delete("/v1/leaderboards/none").await.fails_with(404, "not-found");
    app.delete("/v1/leaderboards/race/members/%zz").await.fails_with(400, "malformed-request");
    app.put("/v1/leaderboards/race/bans/x?reason=a", json!({})).await.fails_with(422, "invalid");
    assert_eq!(app.logged(), before);
}

#[tokio::test]
async fn an_entry_tells_tokens_apart_whatever_their_names_are() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    let made = app.post("/v1/tokens", json!({"name": "admin", "scopes": ["queues:admin"]})).await.is(201);
    let token = made["token"].as_str().expect("the text");
    app.request("PUT", "/v1/queues/mails").token(token).body(json!({})).send().await.is(201);
    app.put("/v1/queues/mails", json!({})).await.is(200);
    let log = app.audit_log("queue=mails").await;
    let by: Vec<&Value> = entries(&log).iter().map(|entry| &entry["by"]).collect();
    assert_eq!(by, [&json!({"name": "admin"}), &json!({"name": "admin", "id": made["id"]})]);
    let by_token = app.audit_log(&format!("by={}", made["id"].as_str().expect("an id"))).await;
    assert_eq!(operations(&by_token), ["put_queue"]);
    assert_eq!(app.audit_log("by=admin").await["entries"].as_array().map(Vec::len), Some(3));

    let open = TestApp::spawn().await;
    open.put("/v1/queues/mails", json!({})).await.is(201);
    assert_eq!(open.audit_log("").await["entries"][0]["by"], json!({"name": "anyone"}));
}

#[tokio::test]
async fn the_log_is_for_who_may_do_everything_everywhere() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    app.furnish().await;
    for rights in [
        json!({"scopes": ["leaderboards:admin", "queues:admin", "tokens:admin", "leaderboards:read", "queues:read"]}),
        json!({"scopes": ["admin"], "leaderboards": ["race"]}),
        json!({"scopes": ["admin"], "leaderboards": ["*"], "queues": ["a*"]}),
    ] {
        let mut rights = rights;
        rights["name"] = json!("some");
        let token = app.mint(rights).await;
        app.request("GET", "/v1/audit").token(&token).send().await.fails_with(403, "forbidden");
    }
    for rights in
        [json!({"scopes": ["admin"]}), json!({"scopes": ["admin"], "leaderboards": ["a", "*"], "queues": ["*"]})]
    {
        let mut rights = rights;
        rights["name"] = json!("all");
        let token = app.mint(rights).await;
        app.request("GET", "/v1/audit").token(&token).send().await.is(200);
    }
}

#[tokio::test]
async fn entries_are_filtered_by_what_is_asked_for() {
    let app = TestApp::spawn().await;
    app.create("race", json!({})).await;
    app.advance(Duration::from_secs(60));
    app.create("golf", json!({})).await;
    app.put("/v1/queues/race", json!({})).await.is(201);
    app.advance(Duration::from_secs(60));
    app.delete("/v1/leaderboards/race").await.is(204);
    app.pause("race").await.is(204);
    for (query, expected) in [
        ("", vec!["pause_queue", "delete_leaderboard", "put_queue", "put_leaderboard", "put_leaderboard"]),
        ("leaderboard=race", vec!["delete_leaderboard", "put_leaderboard"]),
        ("queue=race", vec!["pause_queue", "put_queue"]),
        ("operation=put_leaderboard", vec!["put_leaderboard", "put_leaderboard"]),
        ("operation=put_leaderboard&leaderboard=golf", vec!["put_leaderboard"]),
        ("by=anyone&operation=put_queue", vec!["put_queue"]),
        ("by=admin", vec![]),
        ("since=2026-11-23T05:42:00.000Z", vec!["pause_queue", "delete_leaderboard"]),
        ("since=2026-11-23T05:42:00.001Z", vec![]),
        ("until=2026-11-23T05:40:00.000Z", vec!["put_leaderboard"]),
        ("since=2026-11-23T05:41:00.000Z&until=2026-11-23T05:41:30Z", vec!["put_queue", "put_leaderboard"]),
        ("limit=2", vec!["pause_queue", "delete_leaderboard"]),
        ("limit=1&leaderboard=race", vec!["delete_leaderboard"]),
    ] {
        assert_eq!(operations(&app.audit_log(query).await), expected, "{query}");
    }
    for (query, parameter) in [
        ("by=", "by"),
        ("operation=", "operation"),
        ("leaderboard=-", "leaderboard"),
        ("queue=a%2Fb", "queue"),
        ("since=yesterday", "since"),
        ("since=2026-11-23T05:41:00Z&until=2026-11-23T05:40:00Z", "since"),
        ("limit=0", "limit"),
        ("member=ann", "member"),
    ] {
        app.get(format!("/v1/audit?{query}")).await.fails_at(&[parameter]);
    }
    // `none`, `0-0`, `+1-0`
    for cursor in ["bm9uZQ", "MC0w", "KzEtMA", "!"] {
        app.get(format!("/v1/audit?cursor={cursor}")).await.fails_with(400, "malformed-request");
    }
}

#[tokio::test]
async fn pages_go_on_where_the_one_before_ended_though_new_entries_come() {
    let app = TestApp::spawn().await;
    for number in 0..7 {
        app.put(format!("/v1/queues/q{number}"), json!({})).await.is(201);
    }
    let (mut found, mut query) = (Vec::new(), "limit=3".to_owned());
    for round in 0.. {
        let page = app.audit_log(&query).await;
        found.extend(entries(&page).iter().map(|entry| entry["parameters"]["queue"].clone()));
        app.pause(&format!("q{round}")).await.is(204);
        let Some(cursor) = page.next_cursor() else { break };
        query = format!("limit=3&cursor={cursor}");
    }
    assert_eq!(found, ["q6", "q5", "q4", "q3", "q2", "q1", "q0"]);
}

#[tokio::test]
async fn a_page_looks_at_so_many_entries_and_says_where_to_go_on() {
    let app = TestApp::spawn().await;
    app.put("/v1/queues/first", json!({})).await.is(201);
    let entry =
        json!({"by": {"name": "anyone"}, "operation": "pause_queue", "parameters": {"queue": "other"}}).to_string();
    let mut pipeline = redis::pipe();
    for _ in 0..1500 {
        pipeline.cmd("XADD").arg(&[LOG, "*", "at", "1795412400000", "entry", &entry]).ignore();
    }
    pipeline.exec(&mut app.redis()).expect("XADD works");
    let page = app.audit_log("queue=first").await;
    assert!(entries(&page).is_empty());
    let cursor = page.next_cursor().expect("there is more").to_owned();
    let page = app.audit_log(&format!("queue=first&cursor={cursor}")).await;
    assert_eq!((operations(&page), page.next_cursor()), (vec!["put_queue"], None));
}

#[tokio::test]
async fn two_instances_write_one_log_in_order() {
    let one = TestApp::spawn().await;
    let socket = one.redis_url();
    let other = TestApp::with().redis_url(&socket).spawn().await;
    one.put("/v1/queues/first", json!({})).await.is(201);
    other.put("/v1/queues/second", json!({})).await.is(201);
    // The clock of the test steps back for the other instance, too.
    one.advance(Duration::from_secs(10));
    one.pause("first").await.is(204);
    other.pause("second").await.is(204);
    let log = other.audit_log("").await;
    let queues: Vec<&Value> = entries(&log).iter().map(|entry| &entry["parameters"]["queue"]).collect();
    assert_eq!(queues, ["second", "first", "second", "first"]);
    assert_eq!(
        (&log["entries"][0]["at"], &log["entries"][1]["at"]),
        (&json!("2026-11-23T05:40:00.000Z"), &json!("2026-11-23T05:40:10.000Z"))
    );
    let many = (0..40).map(async |number| {
        let app = if number % 2 == 0 { &one } else { &other };
        app.put(format!("/v1/queues/q{number}"), json!({})).await.is(201)
    });
    join_all(many).await;
    let log = one.audit_log("operation=put_queue&limit=40").await;
    let queues: BTreeSet<&str> =
        entries(&log).iter().map(|entry| entry["parameters"]["queue"].as_str().expect("a queue")).collect();
    assert_eq!((queues.len(), one.logged()), (40, 44));
}

#[tokio::test]
async fn the_log_keeps_about_as_many_as_the_setting_says() {
    let app = TestApp::with().set("audit_entries", "100").spawn().await;
    app.put("/v1/queues/a", json!({})).await.is(201);
    for _ in 0..320 {
        app.pause("a").await.is(204);
    }
    let kept = app.logged();
    assert!((100..=220).contains(&kept), "{kept} are kept");
    assert_eq!(app.audit_log("operation=put_queue").await["entries"], json!([]));
    for wrong in ["0", "99", "10000001", "many"] {
        let failed = TestApp::with().set("audit_entries", wrong).try_spawn().await;
        assert!(failed.err().is_some_and(|text| text.contains("`audit_entries`")), "{wrong}");
    }
}

#[tokio::test]
async fn what_could_not_be_noted_is_not_answered_as_done() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    app.put("/v1/queues/mails", json!({})).await.is(201);
    let mut redis = app.redis();
    redis::cmd("DEL").arg(LOG).exec(&mut redis).expect("DEL works");
    redis::cmd("SET").arg(&[LOG, "no stream"]).exec(&mut redis).expect("SET works");
    let paused = app.request("POST", "/v1/queues/mails/pause").key("k1").send().await;
    let answer = paused.fails_with(503, "outcome-unknown");
    assert!(answer.detail().contains("was done, and could not be noted"), "{}", answer.text());
    assert_eq!(answer["retryable"], true);
    assert_eq!(app.get("/v1/queues/mails").await["paused"], true, "it was done");
    let made = app.post("/v1/tokens", json!({"name": "lost", "scopes": ["admin"]})).await;
    assert!(!made.fails_with(503, "outcome-unknown").text().contains("rq_"), "its text is not answered");
    app.get("/v1/leaderboards").await.is(200);
    app.submit("race", "ann", 1).await;
    // An error stays what it is.
    app.delete("/v1/leaderboards/none").await.fails_with(404, "not-found");
    redis::cmd("DEL").arg(LOG).exec(&mut redis).expect("DEL works");
    let again = app.request("POST", "/v1/queues/mails/pause").key("k1").send().await;
    assert!(again.is(204).was_replayed(), "sent again, it counts once");
    let log = app.audit_log("").await;
    assert_eq!((operations(&log), &log["entries"][0]["replayed"]), (vec!["pause_queue"], &json!(true)));
}

#[tokio::test]
async fn no_secret_stands_in_the_log() {
    const MARK: &str = "hunter2";
    let app = TestApp::with().admin_token("hunter2-of-the-admin").spawn().await;
    app.furnish().await;
    let token = app.mint(json!({"name": "ops", "scopes": ["admin"]})).await;
    let reward =
        json!({"window": "all_time", "from_rank": 1, "to_rank": 1, "queue": "emails", "payload": {"password": MARK}});
    let settings = json!({"rewards": [reward]});
    let bodies = [
        ("PUT", "/v1/leaderboards/other", settings),
        (
            "PUT",
            "/v1/leaderboards/race/members/ann",
            json!({"score": 1, "reason": "r", "metadata": {"password": MARK}}),
        ),
        ("PUT", "/v1/queues/emails/schedules/nightly", json!({"cron": "0 0 * * *", "payload": MARK})),
        ("POST", "/v1/queues/emails/redrive", json!({"limit": 7})),
    ];
    for (method, target, body) in bodies {
        let request = app.request(method, target).token(&token).key("hunter2-idempotency");
        let answer = request.header("cookie", "session=hunter2").body(body).send().await;
        assert!(answer.status < 300, "{target}: {}", answer.text());
    }
    let text: Vec<u8> = redis::cmd("DUMP").arg(LOG).query(&mut app.redis()).expect("DUMP works");
    let shown = app.audit_log("limit=1000").await;
    assert!(entries(&shown).len() > 10);
    for secret in [MARK, &token[14..], ADMIN] {
        assert!(!shown.text().contains(secret), "{secret}");
        assert!(!text.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret}");
    }
}

#[tokio::test]
async fn tokens_of_players_push_nothing_out() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    app.put("/v1/queues/mails", json!({})).await.is(201);
    let body = json!({"name": "game", "scopes": ["scores:write"], "member": "ann"});
    let made = app.post("/v1/tokens", body).await.is(201);
    assert_eq!(operations(&app.audit_log("").await), ["put_queue"]);
    let log = app.audit_log("log=player_tokens").await;
    let expected = json!({"id": made["id"], "name": "game", "scopes": "scores:write", "member": "ann"});
    assert_eq!((entries(&log).len(), &log["entries"][0]["parameters"]), (1, &expected));
    assert_eq!(app.audit_log("log=acts").await["entries"], app.audit_log("").await["entries"]);
    app.get("/v1/audit?log=all").await.fails_at(&["log"]);
}

#[tokio::test]
async fn a_flood_of_refused_requests_is_a_line_a_second_in_the_log() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let service = Process::spawn_with(directory.path(), &["--admin-token", ADMIN]).await;
    let client = Plain::to(service.address());
    let started = std::time::Instant::now();
    for _ in 0..300 {
        assert_eq!(client.get("/v1/queues/mails?token=of-nobody").await.0, 401);
    }
    let most = 2 + started.elapsed().as_secs();
    let lines =
        service.log().lines().filter(|line| line.contains("refused GET /v1/queues/{queue} from 127.0.0.1")).count();
    assert!((1..=most).contains(&(lines as u64)), "{lines} lines");
    assert!(!service.log().contains("of-nobody"));
}

#[tokio::test]
async fn who_hangs_up_on_the_way_is_noted() {
    let app = TestApp::spawn().await;
    app.create("race", json!({})).await;
    let rows: String = (0..250).map(|number| format!("{{\"member\":\"m{number}\",\"score\":{number}}}\n")).collect();
    let head = "POST /v1/leaderboards/race/import?format=ndjson HTTP/1.1\r\nHost: x\r\nX-Request-Id: gone\r\n\
        Content-Type: application/x-ndjson\r\nContent-Length: 1000000\r\n\r\n";
    app.cut_off(format!("{head}{rows}")).await;
    let noted = async || {
        let log = app.audit_log("operation=import_leaderboard").await;
        entries(&log).first().cloned()
    };
    let entry = eventually("the import is noted", noted).await;
    assert_eq!((&entry["request_id"], &entry["parameters"]["leaderboard"]), (&json!("gone"), &json!("race")));
    assert!(entry["status"].is_null() || entry["status"].as_u64() >= Some(400), "{entry}");
    assert_eq!(app.logged(), 2);
}

#[tokio::test]
async fn the_list_has_a_tag() {
    let app = TestApp::spawn().await;
    app.put("/v1/queues/mails", json!({})).await.is(201);
    let tag = app.audit_log("").await.header("etag").to_owned();
    let again = app.request("GET", "/v1/audit").header("if-none-match", &tag).send().await;
    again.is(304);
    app.pause("mails").await.is(204);
    app.request("GET", "/v1/audit").header("if-none-match", &tag).send().await.is(200);
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_peer_is_the_client_that_the_proxy_saw() {
    let app = TestApp::with().admin_token(ADMIN).set("trusted_proxies", "127.0.0.0/8").spawn().await;
    let request = app.request("PUT", "/v1/leaderboards/race").body(json!({}));
    request.header("x-forwarded-for", "203.0.113.1, 198.51.100.9:4711").send().await.is(201);
    let entries = app.get("/v1/audit").await.is(200);
    assert_eq!(entries["entries"][0]["peer"], "198.51.100.9");
}

#[tokio::test]
async fn nobody_else_chooses_the_address_that_is_noted() {
    let app = TestApp::with().admin_token(ADMIN).set("trusted_proxies", "10.0.0.0/8").spawn().await;
    let request = app.request("PUT", "/v1/leaderboards/race").body(json!({}));
    request.header("x-forwarded-for", "198.51.100.9").send().await.is(201);
    let entries = app.get("/v1/audit").await.is(200);
    assert_eq!(entries["entries"][0]["peer"], "127.0.0.1");
}
