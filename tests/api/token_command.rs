//! `ranq token`.

use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::support::{Process, TestApp, eventually};

const ADMIN: &str = "an-admin-token-of-tests";

/// Runs the command beside the service, on its private Redis.
async fn run(app: &TestApp, arguments: &[&str]) -> Output {
    let mut command = Process::command("token", arguments);
    match app.leased_url() {
        Some(url) => command.env("RANQ_REDIS_URL", url),
        None => command.env("RANQ_DATA_DIR", app.data_dir()),
    };
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    tokio::task::spawn_blocking(move || command.output().expect("the binary runs")).await.expect("no panic")
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("UTF-8").trim_end().to_owned()
}

async fn status(app: &TestApp, token: &str) -> u16 {
    app.request("GET", "/v1/leaderboards").token(token).send().await.status
}

#[tokio::test]
async fn an_operator_makes_lists_rotates_and_revokes_a_token() {
    let app = TestApp::with().admin_token(ADMIN).server_clock().spawn().await;
    let arguments =
        ["create", "grafana", "--scope", "leaderboards:read", "--leaderboard", "race*", "--expires-in", "30d"];
    let made = run(&app, &arguments).await;
    let text = stdout(&made);
    assert!(text.len() == 58 && text.starts_with("rq_"), "{text}");
    assert!(String::from_utf8_lossy(&made.stderr).contains("`grafana`"));
    assert_eq!(status(&app, &text).await, 200);

    let listed = stdout(&run(&app, &["list", "--json"]).await);
    let listed: Value = serde_json::from_str(&listed).expect("one line of JSON");
    assert_eq!((&listed["name"], &listed["leaderboards"]), (&json!("grafana"), &json!(["race*"])));
    let id = listed["id"].as_str().expect("an id");
    assert!(stdout(&run(&app, &["list"]).await).starts_with(id));

    let rotated = stdout(&run(&app, &["rotate", id, "--overlap", "0s"]).await);
    assert_eq!(status(&app, &rotated).await, 200);
    eventually("the old text is over", async || (status(&app, &text).await == 401).then_some(())).await;
    assert_eq!(stdout(&run(&app, &["revoke", id]).await), "");
    eventually("the token is over", async || (status(&app, &rotated).await == 401).then_some(())).await;
    assert_eq!(stdout(&run(&app, &["list"]).await), "");
}

#[tokio::test]
async fn what_is_wrong_is_said_and_makes_nothing() {
    let app = TestApp::with().admin_token(ADMIN).spawn().await;
    for (arguments, detail) in [
        (&["create", "a", "--scope", "scores"][..], "--scope must be one of"),
        (&["create", "a"], "--scope"),
        (&["create", "a", "--scope", "admin", "--member", "ann"], "/scopes"),
        (&["create", "a", "--scope", "admin", "--expires-in", "5"], "12h"),
        (&["create", "a", "--scope", "admin", "--queue", "a*b"], "--queue"),
        (&["revoke", "00000000000"], "there is no token `00000000000`"),
        (&["rotate", "short"], "ID must be"),
    ] {
        let output = run(&app, arguments).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(detail), "{arguments:?}: {told}");
        assert!(output.stdout.is_empty());
    }
    assert_eq!(app.get("/v1/tokens").await["tokens"], json!([]));
}
