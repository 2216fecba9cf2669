//! The list of what has finished.

use std::time::Duration;

use serde_json::json;

use super::{Database, with_archive};
use crate::support::{TestApp, at, encoded, ids};

async fn ids_of(app: &TestApp, query: &str) -> Vec<String> {
    let page = app.history("q", query).await.is(200);
    ids(page.jobs()).into_iter().map(str::to_owned).collect()
}

async fn history_is_filtered_and_paged(database: Database) {
    let app = with_archive(&database.url()).spawn().await;
    app.history("q", "").await.is(200);
    for (number, key) in ["a", "b", "a", "b", "a"].into_iter().enumerate() {
        let job = json!({"id": format!("job-{number}"), "payload": number, "key": key});
        app.enqueue_job("q", job).await.is(201);
        let leased = app.lease_one("q").await;
        match number {
            0 => drop(app.nack(&leased, json!({"dead": true, "error": "50 % of \"it\"_\nfailed"})).await.is(200)),
            _ => drop(app.ack(&leased).await.is(200)),
        }
        app.advance(Duration::from_secs(1));
    }
    // Two that finish in the same millisecond.
    app.complete("q", "twin-1").await;
    app.complete("q", "twin-2").await;
    app.until_archived("q", 7).await;

    let all = ["twin-2", "twin-1", "job-4", "job-3", "job-2", "job-1", "job-0"];
    assert_eq!(ids_of(&app, "").await, all);
    assert_eq!(ids_of(&app, "state=dead").await, ["job-0"]);
    assert_eq!(ids_of(&app, "state=completed&key=a").await, ["job-4", "job-2"]);
    for text in ["50 %", "\"it\"_", "it\"_\nfail"] {
        assert_eq!(ids_of(&app, &format!("error={}", encoded(text))).await, ["job-0"], "{text}");
    }
    for text in ["50_%", "attempt", "FAILED"] {
        assert!(ids_of(&app, &format!("error={}", encoded(text))).await.is_empty(), "{text}");
    }
    let span = format!("from={}&to={}", encoded(&at(1000)), encoded(&at(3000)));
    assert_eq!(ids_of(&app, &span).await, ["job-2", "job-1"]);

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.history("q", &format!("limit=2{cursor}")).await.is(200);
        seen.extend(ids(page.jobs()).into_iter().map(str::to_owned));
        let Some(next) = page.next_cursor() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, all);
}

#[tokio::test]
async fn history_is_filtered_and_paged_in_sqlite() {
    history_is_filtered_and_paged(Database::sqlite()).await;
}

#[tokio::test]
async fn history_is_filtered_and_paged_in_postgres() {
    history_is_filtered_and_paged(Database::postgres().await).await;
}

#[tokio::test]
async fn a_page_of_large_jobs_ends_early() {
    let database = Database::sqlite();
    let app = with_archive(&database.url()).spawn().await;
    let large = "x".repeat(250_000);
    for number in 0..9 {
        app.enqueue("q", json!([number, large])).await;
        let leased = app.lease_one("q").await;
        app.ack(&leased).await.is(200);
    }
    let (mut sizes, mut cursor) = (Vec::new(), String::new());
    crate::support::eventually("all rows are there", async || (database.rows().await == 9).then_some(())).await;
    loop {
        let page = app.history("q", &format!("limit=1000{cursor}")).await.is(200);
        sizes.push(page.jobs().len());
        let Some(next) = page.next_cursor() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(sizes, [4, 4, 1]);
}

#[tokio::test]
async fn what_is_no_filter_is_refused_by_name() {
    let database = Database::sqlite();
    let app = with_archive(&database.url()).spawn().await;
    let long = "x".repeat(4097);
    for (query, parameter) in [
        ("state=ready", "state"),
        ("state=gone", "state"),
        ("error=", "error"),
        (&*format!("error={long}"), "error"),
        ("key=", "key"),
        ("from=yesterday", "from"),
        ("limit=0", "limit"),
        ("until=1", "until"),
    ] {
        app.history("q", query).await.fails_with(422, "invalid").fails_at(&[parameter]);
    }
    let page = async |queue: &str, cursor: &str| app.history(queue, &format!("cursor={cursor}")).await;
    page("q", "x").await.fails_with(400, "malformed-request");
    app.complete("q", "a").await;
    app.complete("q", "b").await;
    app.until_archived("q", 2).await;
    let next = app.history("q", "limit=1").await.is(200).next_cursor().expect("there is more").to_owned();
    page("q", &next).await.is(200);
    page("other", &next).await.fails_with(400, "malformed-request");
}
