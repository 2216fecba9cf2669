//! Every operation of the document, with what it takes.

use serde_json::{Value, json};

use super::{Answer, TestApp, client_builder, document, encoded};

/// An operation under `/v1`.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    pub id: &'static str,
    pub method: &'static str,
    pub path: &'static str,
    pub scope: &'static str,
    value: &'static Value,
}

/// What parameters name.
#[derive(Debug, Clone)]
pub struct Named {
    pub leaderboard: &'static str,
    pub queue: &'static str,
    pub member: &'static str,
    pub job: &'static str,
    pub schedule: &'static str,
    pub token: String,
}

impl Named {
    /// What [`TestApp::furnish_all`] makes, but for the token.
    pub fn there(token: &str) -> Self {
        let (leaderboard, queue, member) = ("race", "emails", "alice");
        Self { leaderboard, queue, member, job: "welcome-ann", schedule: "nightly", token: token.to_owned() }
    }

    /// What nobody has made.
    pub fn nowhere() -> Self {
        let (leaderboard, queue, member) = ("race-none", "emails-none", "nobody");
        Self { leaderboard, queue, member, job: "none", schedule: "none", token: "00000000000".to_owned() }
    }
}

/// All of them. One that says no scope, or more than one, fails whoever asks.
pub fn operations() -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, item) in
        document()["paths"].as_object().expect("paths").iter().filter(|(path, _)| path.starts_with("/v1"))
    {
        for (method, value) in item.as_object().expect("operations") {
            let method = match method.as_str() {
                "get" => "GET",
                "put" => "PUT",
                "post" => "POST",
                "delete" => "DELETE",
                other => panic!("{other} {path}: say here how it is called"),
            };
            let [requirement] = &value["security"].as_array().expect("security")[..] else {
                panic!("{method} {path} says not what it needs")
            };
            let [scope] = &requirement["token"].as_array().expect("scopes")[..] else {
                panic!("{method} {path} needs not one scope")
            };
            let (id, scope) = (value["operationId"].as_str().expect("an id"), scope.as_str().expect("a name"));
            found.push(Operation { id, method, path, scope, value });
        }
    }
    found
}

impl Operation {
    /// Path and query with these names.
    pub fn target(&self, named: &Named) -> String {
        let (mut target, mut query) = (self.path.to_owned(), Vec::new());
        for parameter in self.value["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().expect("a name");
            let value = match (parameter["in"].as_str().expect("a place"), name) {
                ("path", "leaderboard") => named.leaderboard,
                ("path", "queue") => named.queue,
                ("path", "member") => named.member,
                ("path", "schedule") => named.schedule,
                ("path", "window") => "all_time",
                ("path", "segment") => "country",
                ("path", "id") if self.path.starts_with("/v1/tokens") => &named.token,
                ("path", "id") => named.job,
                ("query", "leaderboards") => named.leaderboard,
                ("query", "score") => "1",
                ("query", "state") if self.id == "purge_jobs" => "dead",
                ("query", "before") if self.id == "purge_history" => "2026-01-01T00:00:00Z",
                ("query", "min_score") if self.id == "remove_members" => "1000000",
                (place, _) if parameter["required"] == true => {
                    panic!("{}: say here an example of `{name}` in the {place}", self.id)
                }
                _ => continue,
            };
            match parameter["in"].as_str() {
                Some("path") => target = target.replace(&format!("{{{name}}}"), &encoded(value)),
                _ => query.push(format!("{name}={value}")),
            }
        }
        assert!(!target.contains('{'), "{}: a parameter of {target} has no example", self.id);
        if query.is_empty() { target } else { format!("{target}?{}", query.join("&")) }
    }

    /// The media type of the body, and an example; nothing where there is none.
    pub fn body(&self, named: &Named) -> Option<(&'static str, String)> {
        let content = self.value["requestBody"]["content"].as_object()?;
        if content.contains_key("application/x-ndjson") {
            return Some(("application/x-ndjson", format!("{{\"member\":\"{}\",\"score\":1}}\n", named.member)));
        }
        let content = content.get("application/json").unwrap_or_else(|| panic!("{}: say here its body", self.id));
        let mut body = match (self.id, &content["example"]) {
            ("dequeue_several", _) => json!({"queues": [named.queue]}),
            // Nobody makes a token that allows more than their own.
            ("create_token", _) => json!({"name": "new", "scopes": [self.scope]}),
            (_, Value::Null) => {
                let reference = content["schema"]["$ref"].as_str().unwrap_or_else(|| panic!("{}: no example", self.id));
                document()
                    .pointer(&format!("{}/example", reference.trim_start_matches('#')))
                    .cloned()
                    .unwrap_or_default()
            }
            (_, example) => example.clone(),
        };
        assert!(body.is_object(), "{}: its body has no example", self.id);
        if body.get("wait_ms").is_some() {
            body["wait_ms"] = json!(0);
        }
        Some(("application/json", body.to_string()))
    }

    /// Whether its answer has no end.
    fn is_endless(&self) -> bool {
        self.value["responses"]["200"]["content"]["text/event-stream"].is_object()
    }
}

impl TestApp {
    /// Makes what [`Named::there`] names, anew.
    pub async fn furnish_all(&self) {
        let board = self.put("/v1/leaderboards/race", json!({"segments": ["country"]})).await;
        assert!(board.status < 300, "{}", board.text());
        for bans in ["/v1/leaderboards/race/bans/alice", "/v1/bans/alice"] {
            self.delete(bans).await;
        }
        self.submit("race", "alice", 5).await;
        let queue = self.put("/v1/queues/emails", json!({})).await;
        assert!(queue.status < 300, "{}", queue.text());
        self.delete("/v1/queues/emails/jobs/welcome-ann").await;
        self.delete("/v1/queues/emails/jobs?state=cancelled").await.is(200);
        let job = json!({"id": "welcome-ann", "payload": 1, "delay_ms": 60_000});
        self.post("/v1/queues/emails/jobs", job).await.is(201);
        let schedule = json!({"cron": "0 0 * * *", "payload": 1});
        assert!(self.put("/v1/queues/emails/schedules/nightly", schedule).await.status < 300);
    }

    /// Calls an operation with a token, or without one; `None` as the body takes the example.
    pub async fn call(&self, operation: &Operation, named: &Named, token: Option<&str>, body: Option<&str>) -> Answer {
        let (method, target) = (operation.method, operation.target(named));
        if operation.is_endless() {
            return self.begin(&target, token).await;
        }
        let mut request = self.request(method, &target).without_token();
        if let Some(token) = token {
            request = request.token(token);
        }
        match (operation.body(named), body) {
            (_, Some(body)) => request.body(body).send().await,
            (Some((media_type, example)), None) => {
                request.header("content-type", media_type).body(example).send().await
            }
            (None, None) => request.send().await,
        }
    }

    /// Reads an answer without its body, which may never end.
    async fn begin(&self, target: &str, token: Option<&str>) -> Answer {
        let client = client_builder().pool_max_idle_per_host(0).build().expect("a client");
        let mut request = client.get(format!("http://{}{target}", self.address()));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.expect("the service answers");
        Answer::new(response.status().as_u16(), response.headers().clone(), Vec::new())
    }
}
