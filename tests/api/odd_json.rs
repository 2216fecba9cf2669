//! JSON at the edges of what parsers agree about.

use serde_json::json;

use crate::support::TestApp;

#[tokio::test]
async fn metadata_that_only_some_parsers_read_is_refused_by_name() {
    let app = TestApp::spawn().await;
    app.submit("race", "ann", 1).await;
    for odd in [r#""\ud800""#, r#"{"\udc00\ud83d":1}"#, r#"[["\ud83ex"]]"#, "1e400", r#"{"a":-1e309}"#] {
        let row = format!(r#"{{"member":"bob","score":1,"metadata":{odd}}}"#);
        app.submit_row("race", row.clone()).await.fails_at(&["/metadata"]);
        let batch = format!(r#"{{"scores":[{row}]}}"#);
        let batch = app.post("/v1/leaderboards/race/scores/batch", batch).await;
        assert!(batch.status == 422 || batch.statuses() == [422], "{}", batch.text());
        let import = app.request("POST", "/v1/leaderboards/race/import").header("content-type", "application/x-ndjson");
        let import = import.body(row).send().await.is(200);
        assert_eq!((&import["imported"], &import["rejected"]), (&json!(0), &json!(1)), "{}", import.text());
        let adjusted = format!(r#"{{"score":1,"metadata":{odd},"reason":"why"}}"#);
        app.put("/v1/leaderboards/race/members/ann", adjusted).await.fails_at(&["/metadata"]);
    }
    assert_eq!(app.rankings("race", "").await.is(200).members(), ["ann"], "nothing was changed");
}

#[tokio::test]
async fn metadata_that_every_parser_reads_comes_back_as_it_was() {
    let app = TestApp::spawn().await;
    let texts = [
        r#""\u0000\ud83e\udd80""#,
        r#"{"a" :1,"a":2}"#,
        "123456789012345678901234567890",
        "5e-324",
        "1e-999",
        r#""\u2028\/""#,
    ];
    for (number, text) in texts.into_iter().enumerate() {
        let row = format!(r#"{{"member":"m{number}","score":1,"metadata":{text}}}"#);
        app.submit_row("race", row).await.is(200);
        let read = app.member("race", &format!("m{number}")).await.is(200);
        assert!(read.text().contains(&format!(r#""metadata":{text}"#)), "{text}: {}", read.text());
    }
}

#[tokio::test]
async fn scores_are_rounded_to_doubles_and_no_further() {
    let app = TestApp::spawn().await;
    for (given, shown) in [
        ("9007199254740993", "9007199254740992"),
        ("123456789012345678901234567890", "1.2345678901234568e+29"),
        ("0.1000000000000000055511151231257827", "0.1"),
        ("1e-400", "0"),
        ("-0.0", "0"),
        ("1E2", "100"),
    ] {
        let answer = app.submit_row("race", format!(r#"{{"member":"m{given}","score":{given}}}"#)).await.is(200);
        assert!(answer.text().contains(&format!(r#""score":{shown},"#)), "{given}: {}", answer.text());
    }
}

#[tokio::test]
async fn operations_without_a_body_refuse_one_as_the_document_says() {
    let app = TestApp::spawn().await;
    let job = app.enqueue("emails", 1).await.id().to_owned();
    let large = format!("[{}]", " ".repeat(2000));
    for path in ["/pause".to_owned(), "/resume".to_owned(), format!("/jobs/{job}/retry")] {
        let path = format!("/v1/queues/emails{path}");
        app.post(&path, large.clone()).await.fails_with(413, "payload-too-large");
        app.post(&path, r#"{"a":1}"#).await.fails_at(&["/a"]);
        let typed = app.request("POST", &path).header("content-type", "text/plain").body("{}").send().await;
        typed.fails_with(415, "unsupported-media-type");
    }
    app.submit("race", "ann", 1).await;
    app.post("/v1/leaderboards/race/windows/all_time/close", large).await.fails_with(413, "payload-too-large");
}
