//! The walk over every operation of the document, so that a new one is walked by itself.

use futures_util::{StreamExt as _, stream};
use ranq::auth::Scope;
use serde_json::json;

use super::assert_unchanged;
use crate::support::{Answer, Named, Operation, TestApp, eventually, operations};

/// What docs/access.md says of an operation.
struct Row {
    patterns: &'static str,
    player: &'static str,
}

fn row(operation: &Operation) -> Row {
    let document = include_str!("../../../docs/access.md");
    let begin = format!("| `{} {}` | `{}` | ", operation.method, operation.path, operation.scope);
    let found = document.lines().find_map(|line| line.strip_prefix(begin.as_str()));
    let found = found.unwrap_or_else(|| panic!("docs/access.md has no row that begins with {begin}"));
    let (patterns, player) = found.trim_end_matches(" |").split_once(" | ").expect("two more columns");
    Row { patterns, player }
}

/// Calls with a token that must not open; `both` are the names that are there and those that are not.
async fn all_are_refused(app: &TestApp, operation: &Operation, both: &[Named; 2], token: Option<&str>, status: u16) {
    let slug = if status == 401 { "unauthenticated" } else { "forbidden" };
    for named in both {
        for body in [None, Some("{")] {
            let answer = app.call(operation, named, token, body).await;
            let found = (answer.status, answer.slug());
            // The body of an answer that has no end is not read.
            let is_right = found == (status, slug) || found == (status, "");
            assert!(is_right, "{} of {}: {found:?} {}", operation.id, named.leaderboard, answer.text());
        }
    }
    // Refused before anything else of the request is looked at.
    let broken = operation.path.replace('{', "%zz").replace('}', "");
    let mut request = app.request(operation.method, format!("{broken}?no=%zz")).without_token();
    if let Some(token) = token {
        request = request.token(token);
    }
    let answer = request.header("content-type", "text/plain").body("{").send().await;
    assert_eq!((answer.status, answer.slug()), (status, slug), "{} with a broken path", operation.id);
}

#[tokio::test]
async fn no_operation_opens_without_a_token_that_counts() {
    let app = TestApp::guarded().await;
    let both = [app.furnished().await, Named::nowhere()];
    let made = app.post("/v1/tokens", json!({"name": "old", "scopes": ["admin"]})).await.is(201);
    let (id, revoked) = (made["id"].as_str().expect("an id"), made["token"].as_str().expect("the text"));
    let short = json!({"expires_in_ms": 1});
    let ended = app.token_of(&["admin"], short).await;
    app.delete(format!("/v1/tokens/{id}")).await.is(204);
    app.advance(std::time::Duration::from_millis(1));
    let swept = async || {
        let ends: u64 =
            redis::cmd("ZCARD").arg("ranq:{auth:tokens}:ends").query(&mut app.redis()).expect("ZCARD works");
        (ends == 0).then_some(())
    };
    eventually("what is left of the token is swept", swept).await;
    let before = app.dump();
    let cases: Vec<(Operation, Option<&str>)> = operations()
        .into_iter()
        .flat_map(|operation| {
            [None, Some(""), Some("rq_none"), Some(revoked), Some(ended.as_str())].map(|token| (operation, token))
        })
        .collect();
    assert!(cases.len() > 300, "they are found");
    stream::iter(&cases)
        .for_each_concurrent(8, |(operation, token)| all_are_refused(&app, operation, &both, *token, 401))
        .await;
    assert_unchanged(&before, &app.dump());
}

#[tokio::test]
async fn no_operation_opens_with_other_scopes_than_its_own() {
    let app = TestApp::guarded().await;
    let both = [app.furnished().await, Named::nowhere()];
    let names: Vec<&str> = Scope::ALL.iter().map(|scope| scope.name()).filter(|name| *name != "admin").collect();
    let mut cases = Vec::new();
    let mut tokens = Vec::new();
    for name in &names {
        let others: Vec<&str> = names.iter().filter(|other| *other != name).copied().collect();
        tokens.push((*name, app.token_of(&[name], json!({})).await, app.token_of(&others, json!({})).await));
    }
    // What the administrators' log needs, no other scope gives.
    let all = app.token_of(&names, json!({})).await;
    for operation in operations() {
        for (name, single, others) in &tokens {
            if operation.scope != *name {
                cases.push((operation, single));
            } else {
                cases.push((operation, others));
            }
        }
        if operation.scope == "admin" {
            cases.push((operation, &all));
        }
    }
    let before = app.dump();
    stream::iter(&cases)
        .for_each_concurrent(8, |(operation, token)| all_are_refused(&app, operation, &both, Some(token), 403))
        .await;
    assert_unchanged(&before, &app.dump());
}

#[tokio::test]
async fn every_operation_opens_with_its_scope_and_with_admin() {
    let app = TestApp::guarded().await;
    for operation in operations() {
        for scope in [operation.scope, "admin"] {
            let named = app.furnished().await;
            let token = app.token_of(&[scope], json!({})).await;
            let answer = app.call(&operation, &named, Some(&token), None).await;
            // Nothing is leased, and the example of a lease is nobody's.
            let is_open = matches!(answer.status, 200..300 | 404 | 409);
            assert!(is_open, "{} with {scope}: {} {}", operation.id, answer.status, answer.text());
        }
    }
}

/// What stands in a list, whichever it is.
fn listed(answer: &Answer) -> usize {
    let lists = ["leaderboards", "queues", "workers", "tokens"];
    lists.iter().filter_map(|name| answer[name].as_array()).map(Vec::len).sum()
}

#[tokio::test]
async fn no_operation_reaches_beyond_the_patterns() {
    let app = TestApp::guarded().await;
    let both = [app.furnished().await, Named::nowhere()];
    app.dequeue("emails", json!({"worker": "mailer"})).await.is(200);
    let foreign = json!({"leaderboards": ["elsewhere*"], "queues": ["elsewhere*"]});
    let mut tokens = Vec::new();
    for operation in operations() {
        tokens.push((operation, app.token_of(&[operation.scope], foreign.clone()).await));
    }
    let before = app.dump();
    for (operation, token) in &tokens {
        for named in &both {
            let answer = app.call(operation, named, Some(token), None).await;
            let found = (answer.status, answer.slug());
            match row(operation).patterns {
                "lists what it reaches" => {
                    assert_eq!((answer.status, listed(&answer)), (200, 0), "{} {}", operation.id, answer.text());
                }
                // Those of the scope and of its patterns are all that it may see.
                "lists what allows no more than one's own" => {
                    assert!(!answer.text().contains("\"old\""), "{}", answer.text());
                }
                "what allows more than one's own is 404" => assert_eq!(found, (404, "not-found"), "{}", operation.id),
                _ => {
                    let is_right = found == (403, "forbidden") || found == (403, "");
                    assert!(is_right, "{} of {}: {found:?} {}", operation.id, named.leaderboard, answer.text());
                }
            }
            let in_path = operation.path.contains("{leaderboard}") || operation.path.contains("{queue}");
            if in_path {
                let answer = app.call(operation, named, Some(token), Some("{")).await;
                assert_eq!(answer.status, 403, "{} with a broken body", operation.id);
            }
        }
    }
    assert_unchanged(&before, &app.dump());
}

#[tokio::test]
async fn a_players_token_opens_reads_and_its_own_submissions() {
    let app = TestApp::guarded().await;
    let both = [app.furnished().await, Named::nowhere()];
    let player = app.token_of(&["leaderboards:read", "scores:write"], json!({"member": "alice"})).await;
    let (closed, open): (Vec<Operation>, Vec<Operation>) =
        operations().into_iter().partition(|operation| row(operation).player == "no");
    let before = app.dump();
    for operation in &closed {
        all_are_refused(&app, operation, &both, Some(&player), 403).await;
    }
    assert_unchanged(&before, &app.dump());
    // Reads first: they are held against what stood before.
    let (reads, submissions): (Vec<_>, Vec<_>) =
        open.iter().partition(|operation| operation.scope == "leaderboards:read");
    for operation in reads.into_iter().chain(submissions) {
        let answer = app.call(operation, &both[0], Some(&player), None).await;
        let opens = matches!(answer.status, 200 | 404) || answer.text().contains("/problems/archive-off");
        assert!(opens, "{}: {} {}", operation.id, answer.status, answer.text());
        let is_read = row(operation).player == "reads";
        assert_eq!(is_read, operation.scope == "leaderboards:read", "{}", operation.id);
        if is_read {
            assert_unchanged(&before, &app.dump());
        }
    }
}
