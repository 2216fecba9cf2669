//! Whole rankings out and in.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, TestApp, eventually};

const TYPES: [(&str, &str); 2] = [("ndjson", "application/x-ndjson"), ("csv", "text/csv")];

async fn export(app: &TestApp, board: &str, query: &str) -> String {
    app.get(format!("/v1/leaderboards/{board}/export?{query}")).await.is(200).text().to_owned()
}

async fn try_import(app: &TestApp, board: &str, format: &str, text: impl Into<Vec<u8>>) -> Answer {
    let (_, media_type) = TYPES.iter().find(|(name, _)| format.starts_with(name)).expect("a format");
    let target = format!("/v1/leaderboards/{board}/import?format={format}");
    app.request("POST", target).header("content-type", *media_type).body(text.into()).send().await
}

async fn import(app: &TestApp, board: &str, format: &str, text: impl Into<Vec<u8>>) -> Answer {
    try_import(app, board, format, text).await.is(200)
}

/// Imports rows that must all be taken.
async fn import_all(app: &TestApp, board: &str, format: &str, text: impl Into<Vec<u8>>) -> u64 {
    let answer = import(app, board, format, text).await;
    assert_eq!((&answer["rejected"], &answer["errors"]), (&json!(0), &json!([])), "{}", answer.text());
    answer["imported"].as_u64().expect("a number")
}

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect()
}

async fn members(app: &TestApp, board: &str) -> Vec<String> {
    let page = app.rankings(board, "limit=1000").await.is(200);
    page.members().into_iter().map(str::to_owned).collect()
}

/// Lines of the numbers of errors, and what each is about.
fn errors(answer: &Answer) -> Vec<(u64, String)> {
    let errors = answer["errors"].as_array().expect("a list");
    let detail = |error: &Value| error["problem"]["detail"].as_str().expect("a detail").to_owned();
    errors.iter().map(|error| (error["line"].as_u64().expect("a line"), detail(error))).collect()
}

#[tokio::test]
async fn rows_have_all_that_an_entry_has() {
    let app = TestApp::spawn().await;
    app.create("laps", json!({"subscores": [{"name": "a.b", "order": "ascending"}, {"name": "c"}]})).await;
    app.submit_row(
        "laps",
        "{\"member\": \"x, \\\"y\\\"\", \"score\": 1.5, \"subscores\": {\"a.b\": 2, \"c\": -3}, \"metadata\": {\"k\":\n1}}",
    )
    .await
    .is(200);
    app.submit_row("laps", json!({"member": "=名前", "score": -1e300, "subscores": {"a.b": 0, "c": 0}})).await.is(200);
    let first = "{\"rank\":1,\"member\":\"x, \\\"y\\\"\",\"score\":1.5,\"subscores\":{\"a.b\":2,\"c\":-3},\
        \"achieved_at\":\"2026-11-23T05:40:00.000000Z\",\"metadata\":{\"k\": 1}}\n";
    let second = "{\"rank\":2,\"member\":\"=名前\",\"score\":-1e+300,\"subscores\":{\"a.b\":0,\"c\":0},\
        \"achieved_at\":\"2026-11-23T05:40:00.000001Z\"}\n";
    assert_eq!(export(&app, "laps", "").await, format!("{first}{second}"));
    let csv = "rank,member,score,subscores.a.b,subscores.c,achieved_at,metadata\n\
        1,\"x, \"\"y\"\"\",1.5,2,-3,2026-11-23T05:40:00.000000Z,\"{\"\"k\"\": 1}\"\n\
        2,=名前,-1e+300,0,0,2026-11-23T05:40:00.000001Z,\n";
    assert_eq!(export(&app, "laps", "format=csv").await, csv);
}

#[tokio::test]
async fn an_export_says_what_it_is() {
    let app = TestApp::spawn().await;
    app.create("race", json!({})).await;
    for (format, media_type) in TYPES {
        let answer = app.get(format!("/v1/leaderboards/race/export?format={format}")).await.is(200);
        assert_eq!(answer.header("content-type"), media_type);
        assert_eq!(answer.header("content-disposition"), format!("attachment; filename=\"race.{format}\""));
        let empty = if format == "csv" { "rank,member,score,achieved_at,metadata\n" } else { "" };
        assert_eq!(answer.text(), empty);
    }
}

/// 1,203 members with few scores, so that most are tied, all within a millisecond.
async fn fill_with_ties(app: &TestApp, board: &str, subscores: bool) {
    for part in 0..3 {
        let items = (0..401).map(|number| {
            let number = part * 401 + number;
            // 7 and 1203 share no factor: every member once, in an order that is none.
            let mut row = json!({"member": format!("m{}", number * 7 % 1203), "score": number % 5});
            if subscores {
                row["subscores"] = json!({"time": number % 3 - 1});
            }
            if number % 4 == 0 {
                row["metadata"] = json!({"number": number, "text": "a \"b\",\n"});
            }
            row
        });
        app.batch(board, items.collect()).await.is(200);
    }
}

#[tokio::test]
async fn a_round_trip_gives_the_same_ranking_ties_included() {
    let app = TestApp::spawn().await;
    for (number, (order, operator, ties, subscores)) in [
        ("descending", "best", "earliest", false),
        ("ascending", "best", "latest", true),
        ("descending", "latest", "latest", false),
        ("ascending", "latest", "earliest", true),
        ("descending", "sum", "earliest", true),
        ("descending", "sum", "member", false),
        ("ascending", "best", "member", true),
    ]
    .into_iter()
    .enumerate()
    {
        let columns = if subscores { json!([{"name": "time", "order": order}]) } else { json!([]) };
        let settings = json!({"order": order, "operator": operator, "ties": ties, "subscores": columns});
        let original = format!("original{number}");
        app.create(&original, settings.clone()).await;
        fill_with_ties(&app, &original, subscores).await;
        for (format, _) in TYPES {
            let text = export(&app, &original, &format!("format={format}")).await;
            let copy = format!("copy{number}{format}");
            app.create(&copy, settings.clone()).await;
            assert_eq!(import_all(&app, &copy, format, text.clone()).await, 1203, "{settings}");
            assert!(export(&app, &copy, &format!("format={format}")).await == text, "{format} {settings}");
            // Later rows find their place among them, as they would have in the original.
            app.advance(Duration::from_secs(1));
            for board in [&original, &copy] {
                let mut row = json!({"member": "late", "score": 2});
                if subscores {
                    row["subscores"] = json!({"time": 0});
                }
                app.submit_row(board, row).await.is(200);
            }
            let late = [&original, &copy].map(|board| format!("/v1/leaderboards/{board}/members/late?ranking=dense"));
            let [of_original, of_copy] = [app.get(&late[0]).await.is(200), app.get(&late[1]).await.is(200)];
            assert_eq!(of_original["rank"], of_copy["rank"], "{settings}");
            assert_eq!(app.member(&original, "late").await["rank"], app.member(&copy, "late").await["rank"]);
            app.delete(format!("/v1/leaderboards/{original}/members/late")).await.is(204);
        }
    }
}

#[tokio::test]
async fn an_entry_that_does_not_move_is_exported_exactly_once() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"operator": "latest"})).await;
    let all: Vec<String> = (0..3000).map(|number| format!("m{number}")).collect();
    for part in all.chunks(1000) {
        let items = part.iter().enumerate().map(|(place, member)| json!({"member": member, "score": place}));
        app.batch("race", items.collect()).await.is(200);
    }
    let moves = async {
        for round in 0..60 {
            // Every third member moves, up and down by turns.
            let items = all.iter().skip(round % 3 * 3).step_by(9).enumerate();
            let items =
                items.map(|(place, member)| json!({"member": member, "score": (place * 37 + round * 501) % 1000}));
            app.batch("race", items.collect()).await.is(200);
        }
    };
    let exports = async {
        let mut texts = Vec::new();
        for _ in 0..10 {
            texts.push(export(&app, "race", "").await);
        }
        texts
    };
    let ((), texts) = tokio::join!(moves, exports);
    for text in texts {
        let rows = rows(&text);
        for member in all.iter().enumerate().filter(|(place, _)| place % 3 != 0).map(|(_, member)| member) {
            let times = rows.iter().filter(|row| row["member"] == *member).count();
            assert_eq!(times, 1, "{member}");
        }
    }
}

#[tokio::test]
async fn equal_rows_of_a_file_with_milliseconds_keep_their_order() {
    let app = TestApp::spawn().await;
    for ties in ["earliest", "latest"] {
        app.create(ties, json!({"ties": ties})).await;
        let mut text = String::new();
        // More than a batch, in an order that is not that of the names.
        let order: Vec<String> = (0..250).map(|number| format!("m{}", number * 7 % 250)).collect();
        for member in &order {
            text += &format!("{{\"member\":\"{member}\",\"score\":5,\"achieved_at\":\"2026-11-23T05:39:00.5Z\"}}\n");
        }
        assert_eq!(import_all(&app, ties, "ndjson", text).await, 250);
        assert_eq!(members(&app, ties).await, order, "{ties}");
        assert_eq!(app.member(ties, "m0").await["achieved_at"], "2026-11-23T05:39:00.500Z");
    }
}

#[tokio::test]
async fn rows_without_a_time_are_reached_now() {
    let app = TestApp::spawn().await;
    let text = "score,member\n5,b\n5,a\n5,c\n";
    import_all(&app, "race", "csv", text).await;
    app.submit("race", "0", 5).await;
    assert_eq!(members(&app, "race").await, ["b", "a", "c", "0"]);
    assert_eq!(app.member("race", "c").await["achieved_at"], "2026-11-23T05:40:00.000Z");
}

#[tokio::test]
async fn a_time_far_ahead_does_not_hold_up_the_clock() {
    let app = TestApp::spawn().await;
    let row =
        |member: &str, time: &str| format!("{{\"member\":\"{member}\",\"score\":5,\"achieved_at\":\"{time}\"}}\n");
    let text = row("later", "2100-01-01T00:00:00Z") + &row("ahead", "2026-11-23T05:40:00.5Z");
    import_all(&app, "race", "ndjson", text).await;
    app.submit("race", "now", 5).await;
    assert_eq!(app.member("race", "now").await["achieved_at"], "2026-11-23T05:40:00.500Z");
    assert_eq!(members(&app, "race").await, ["ahead", "now", "later"]);
}

#[tokio::test]
async fn a_better_row_stays_where_the_best_counts() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"subscores": [{"name": "time", "order": "ascending"}]})).await;
    let row =
        |member: &str, score: i64, time: i64| json!({"member": member, "score": score, "subscores": {"time": time}});
    let standing = [("worse", 5, 5), ("same", 5, 5), ("better", 5, 5), ("slower", 5, 5), ("faster", 5, 5)];
    let standing = standing.map(|(member, score, time)| row(member, score, time)).to_vec();
    app.batch("race", standing).await.is(200);
    let file = [row("worse", 4, 1), row("same", 5, 5), row("better", 6, 9), row("slower", 5, 6), row("faster", 5, 4)];
    let text: String = file.iter().map(|row| format!("{row}\n")).collect();
    app.advance(Duration::from_secs(1));
    assert_eq!(import_all(&app, "race", "ndjson", text).await, 5);
    for (member, score, time, second) in
        [("worse", 5, 5, 0), ("same", 5, 5, 0), ("better", 6, 9, 1), ("slower", 5, 5, 0), ("faster", 5, 4, 1)]
    {
        let entry = app.member("race", member).await;
        assert_eq!((&entry["score"], &entry["subscores"]["time"]), (&json!(score), &json!(time)), "{member}");
        assert_eq!(entry["achieved_at"], format!("2026-11-23T05:40:0{second}.000Z"), "{member}");
    }
}

#[tokio::test]
async fn elsewhere_a_row_replaces_what_stands_and_is_not_added() {
    let app = TestApp::spawn().await;
    for operator in ["sum", "latest"] {
        app.create(operator, json!({"operator": operator, "submission_limit": {"limit": 1, "per_ms": 60000}})).await;
        app.submit_row(operator, json!({"member": "ann", "score": 50, "metadata": 1})).await.is(200);
        app.advance(Duration::from_secs(1));
        let text = "{\"member\":\"ann\",\"score\":20,\"achieved_at\":\"2026-11-23T05:00:00Z\"}\n{\"member\":\"bob\",\"score\":9}";
        for _ in 0..2 {
            assert_eq!(import_all(&app, operator, "ndjson", text).await, 2);
            let entry = app.member(operator, "ann").await;
            assert_eq!((&entry["score"], &entry["achieved_at"]), (&json!(20), &json!("2026-11-23T05:00:00.000Z")));
            assert!(entry.json().get("metadata").is_none(), "{operator}: the row has none");
        }
    }
}

#[tokio::test]
async fn the_bounds_of_the_leaderboard_hold() {
    let app = TestApp::spawn().await;
    let text = "member,score\nlow,-1\na,1\nb,2\nc,3\nhigh,11\n";
    app.create("race", json!({"min_score": 0, "max_score": 10, "max_entries": 2})).await;
    let answer = import(&app, "race", "csv", text).await;
    assert_eq!((&answer["imported"], &answer["rejected"]), (&json!(3), &json!(2)));
    assert_eq!(errors(&answer).into_iter().map(|(line, _)| line).collect::<Vec<_>>(), [2, 6]);
    assert_eq!(members(&app, "race").await, ["c", "b"]);
    assert_eq!(app.get("/v1/leaderboards/race").await["entries"], 2);
    // What a sum comes to is not what a submission may add.
    app.create("points", json!({"min_score": 0, "max_score": 10, "operator": "sum"})).await;
    assert_eq!(import_all(&app, "points", "csv", text).await, 5);
}

#[tokio::test]
async fn a_bad_row_is_rejected_alone() {
    let app = TestApp::spawn().await;
    app.create("laps", json!({"subscores": [{"name": "time"}]})).await;
    let lines = [
        r#"{"member":"a","score":1,"subscores":{"time":1}}"#,
        r#"{"member":"b","score":1}"#,
        r#"{"member":"c","score":1,"subscores":{"time":1,"x":2}}"#,
        r#"{"member":"","score":1,"subscores":{"time":1}}"#,
        r#"{"member":"d","score":"1","subscores":{"time":1}}"#,
        r#"{"member":"e","score":1e999,"subscores":{"time":1}}"#,
        r#"{"member":"f","subscores":{"time":1}}"#,
        r#"{"member":"g","score":1,"subscores":{"time":1},"achieved_at":"1969-01-01T00:00:00Z"}"#,
        r#"{"member":"h","score":1,"subscores":{"time":1},"achieved_at":5}"#,
        r#"{"member":"i","score":1,"subscores":{"time":1},"colour":"red"}"#,
        r#"{"member":"j","score":1,"#,
        "",
        r#"["k", 1]"#,
        r#"{"rank":7,"member":"l","score":1,"subscores":{"time":1},"metadata":[null]}"#,
    ];
    let answer = import(&app, "laps", "ndjson", lines.join("\n")).await;
    assert_eq!((&answer["imported"], &answer["rejected"]), (&json!(2), &json!(11)), "{}", answer.text());
    let errors = errors(&answer);
    assert_eq!(errors.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13]);
    for ((_, detail), part) in errors.iter().zip([
        "/subscores/time",
        "/subscores/x",
        "/member",
        "/score",
        "/score",
        "/score",
        "/achieved_at",
        "/achieved_at",
        "/colour",
        "the line is not JSON",
        "object",
    ]) {
        assert!(detail.contains(part), "{detail}: {part}");
    }
    assert_eq!(answer["errors"][0]["problem"]["type"], "/problems/invalid");
    assert_eq!(members(&app, "laps").await, ["a", "l"]);

    let csv = "subscores.time,member,score,achieved_at,metadata\n1,m,1,,\n,n,1,,\n1,o,x,,\n1,p,1,yesterday,\n1,q,1,,{\n1,r,1\n";
    let answer = import(&app, "laps", "csv", csv).await;
    let expected = ["/subscores/time", "/score", "/achieved_at", "/metadata", "fields"];
    let errors = self::errors(&answer);
    assert_eq!((&answer["imported"], errors.len()), (&json!(1), expected.len()), "{}", answer.text());
    for ((number, (line, detail)), part) in errors.iter().enumerate().zip(expected) {
        assert!(*line == number as u64 + 3 && detail.contains(part), "{line} {detail}: {part}");
    }
}

#[tokio::test]
async fn a_hundred_errors_are_told_and_all_are_counted() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"max_score": 10})).await;
    let lines = (1..=450).map(|line| match line % 3 {
        0 => format!("{{\"member\":\"m{line}\",\"score\":1}}\n"),
        1 => "{}\n".to_owned(),
        _ => format!("{{\"member\":\"m{line}\",\"score\":11}}\n"),
    });
    let answer = import(&app, "race", "ndjson", lines.collect::<String>()).await;
    assert_eq!((&answer["imported"], &answer["rejected"]), (&json!(150), &json!(300)));
    let told: Vec<u64> = errors(&answer).into_iter().map(|(line, _)| line).collect();
    let first: Vec<u64> = (1..=150).filter(|line| line % 3 != 0).collect();
    assert_eq!(told, first, "the first hundred, in their order");
}

#[tokio::test]
async fn a_long_line_is_rejected_and_a_long_body_is_not() {
    let app = TestApp::spawn().await;
    let long = "x".repeat(100_000);
    for (format, _) in TYPES {
        let text = match format {
            "csv" => format!("member,score\n{long},1\na,1\n\"{long}"),
            _ => format!("{{\"member\":\"{long}\",\"score\":1}}\n{{\"member\":\"a\",\"score\":1}}\n{long}"),
        };
        let answer = import(&app, format, format, text).await;
        assert_eq!((&answer["imported"], &answer["rejected"]), (&json!(1), &json!(2)), "{}", answer.text());
        assert!(errors(&answer).iter().all(|(_, detail)| detail.contains("longer than 16384 bytes")));
    }
    // Twenty times what a batch takes.
    let row = |number: u32| {
        format!("{{\"member\":\"m{number}\",\"score\":{number},\"metadata\":\"{}\"}}\n", "y".repeat(2000))
    };
    let text: String = (0..6000).map(row).collect();
    assert!(text.len() > 12_000_000);
    assert_eq!(import_all(&app, "long", "ndjson", text).await, 6000);
    assert_eq!(app.member("long", "m5999").await["rank"], 1);
    assert_eq!(rows(&export(&app, "long", "").await).len(), 6000);
}

#[tokio::test]
async fn a_header_that_is_not_understood_changes_nothing() {
    let app = TestApp::spawn().await;
    app.create("race", json!({})).await;
    for (header, part) in [
        ("member\na\n", "`score` is missing"),
        ("member,score,points\na,1,2\n", "`points`"),
        ("member,score,member\na,1,b\n", "more than once"),
        ("", "missing"),
        ("{\"member\":\"a\",\"score\":1}\n", "line 1"),
    ] {
        let answer = try_import(&app, "race", "csv", header).await.fails_at(&[""]);
        assert!(answer.detail().contains(part), "{}: {part}", answer.detail());
    }
    assert_eq!(app.get("/v1/leaderboards/race").await["entries"], 0);
}

#[tokio::test]
async fn one_window_is_exported_and_imported() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"windows": [{"name": "week"}, {"name": "all_time"}]})).await;
    app.submit("race", "ann", 5).await;
    let text = "{\"member\":\"ann\",\"score\":9}\n{\"member\":\"bob\",\"score\":7}\n";
    import_all(&app, "race", "ndjson&window=all_time", text).await;
    let of = async |query: &str| {
        let rows = rows(&export(&app, "race", query).await);
        rows.iter().map(|row| format!("{}={}", row["member"].as_str().expect("text"), row["score"])).collect::<Vec<_>>()
    };
    assert_eq!(of("window=all_time").await, ["ann=9", "bob=7"]);
    assert_eq!(of("").await, ["ann=5"]);
    assert_eq!(of("window=week&period=open").await, ["ann=5"]);
    app.get("/v1/leaderboards/race/export?window=month").await.fails_with(404, "not-found");
    app.get("/v1/leaderboards/race/export?period=2026").await.fails_with(404, "not-found");
    try_import(&app, "race", "ndjson&window=month", text).await.fails_with(404, "not-found");
}

#[tokio::test]
async fn bad_requests_are_refused_by_name() {
    let app = TestApp::with().without_auto_create().spawn().await;
    app.get("/v1/leaderboards/race/export").await.fails_with(404, "not-found");
    try_import(&app, "race", "ndjson", "").await.fails_with(404, "not-found");
    app.create("race", json!({})).await;
    assert_eq!(import_all(&app, "race", "ndjson", "").await, 0);
    app.get("/v1/leaderboards/race/export?format=xml").await.fails_at(&["format"]);
    app.get("/v1/leaderboards/race/export?limit=1").await.fails_at(&["limit"]);
    app.post("/v1/leaderboards/race/import?format=xml", "").await.fails_at(&["format"]);
    app.post("/v1/leaderboards/race/import?period=open", "").await.fails_at(&["period"]);
    let row = "{\"member\":\"a\",\"score\":1}";
    for (media_type, format) in [
        ("application/json", "ndjson"),
        ("text/csv", "ndjson"),
        ("application/x-ndjson", "csv"),
        ("text/plain", "csv"),
        ("application/x-www-form-urlencoded", "ndjson"),
    ] {
        let target = format!("/v1/leaderboards/race/import?format={format}");
        let answer = app.request("POST", target).header("content-type", media_type).body(row).send().await;
        let told = answer.fails_with(415, "unsupported-media-type");
        assert!(told.detail().contains(if format == "csv" { "text/csv" } else { "x-ndjson" }), "{}", told.detail());
    }
    let ndjson = || app.request("POST", "/v1/leaderboards/race/import").body(row);
    let with_key = ndjson().header("content-type", "application/x-ndjson").key("k1").send().await;
    with_key.fails_at(&["Idempotency-Key"]);
    assert_eq!(app.get("/v1/leaderboards/race").await["entries"], 0);
    let any = ndjson().header("content-type", "application/octet-stream").send().await.is(200);
    assert_eq!(any["imported"], 1);
}

#[tokio::test]
async fn both_need_the_token() {
    let app = TestApp::with().admin_token("secret").spawn().await;
    app.submit("race", "ann", 1).await;
    assert_eq!(rows(&export(&app, "race", "").await).len(), 1);
    for (method, what) in [("GET", "export"), ("POST", "import")] {
        let request = app.request(method, format!("/v1/leaderboards/race/{what}")).without_token();
        request.send().await.fails_with(401, "unauthenticated");
    }
}

#[tokio::test]
async fn an_import_that_is_cut_off_says_what_it_has_set() {
    let app = TestApp::spawn().await;
    app.create("race", json!({})).await;
    let mut stream = TcpStream::connect(app.address()).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let row = |number: u32| format!("{{\"member\":\"m{number}\",\"score\":{number}}}\n");
    let (first, second): (String, String) = ((0..150).map(row).collect(), (150..300).map(row).collect());
    let head = "POST /v1/leaderboards/race/import HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n";
    write!(stream, "{head}Content-Length: {}\r\n\r\n{first}", first.len() + second.len()).expect("sent");
    let count = async || (app.get("/v1/leaderboards/race").await["entries"] == 100).then_some(());
    eventually("the first batch is set", count).await;
    app.delete("/v1/leaderboards/race").await.is(204);
    stream.write_all(second.as_bytes()).expect("sent");
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(answer.contains("100 rows were imported, and then: there is no leaderboard `race`"), "{answer}");
    app.get("/v1/leaderboards/race").await.fails_with(404, "not-found");
}

#[tokio::test]
async fn imported_entries_are_entries_like_others() {
    let app = TestApp::spawn().await;
    app.create("race", json!({})).await;
    // Dense ranks are kept from their first reading on.
    app.submit("race", "ann", 3).await;
    app.rankings("race", "ranking=dense").await.is(200);
    import_all(&app, "race", "csv", "member,score\nbob,5\nann,5\ncid,4\ndan,4\neve,1\n").await;
    let dense = app.rankings("race", "ranking=dense").await;
    assert_eq!((dense.members(), dense.ranks()), (vec!["bob", "ann", "cid", "dan", "eve"], vec![1, 1, 2, 2, 3]));
    app.submit("race", "eve", 9).await;
    app.delete("/v1/leaderboards/race/members/bob").await.is(204);
    assert_eq!(app.rankings("race", "ranking=dense").await.ranks(), [1, 2, 3, 3]);
    for member in ["eve", "ann", "cid", "dan"] {
        app.delete(format!("/v1/leaderboards/race/members/{member}")).await.is(204);
    }
    let mut keys = app.keys();
    // What was done stays listed.
    keys.retain(|key| !key.starts_with("ranq:{lb:race}:audit:"));
    assert_eq!(keys, ["ranq:{lb:race}:board"]);
}

#[tokio::test]
async fn a_window_that_resets_is_exported_by_period_and_takes_no_rows() {
    let app = TestApp::spawn().await;
    app.create("race", json!({"windows": [{"name": "daily", "reset": "daily"}, {"name": "all_time"}]})).await;
    app.submit("race", "ann", 5).await.is(200);
    let period = app.rankings("race", "").await.is(200)["period"].as_str().expect("a period").to_owned();
    app.advance(Duration::from_secs(86_400));
    app.submit("race", "ben", 7).await.is(200);
    let named = |text: &str| rows(text).iter().map(|row| row["member"].clone()).collect::<Vec<_>>();
    assert_eq!(named(&export(&app, "race", "").await), ["ben"]);
    assert_eq!(named(&export(&app, "race", &format!("period={period}")).await), ["ann"]);

    let all = export(&app, "race", "window=all_time").await;
    try_import(&app, "race", "ndjson", all.clone()).await.fails_with(422, "invalid").fails_at(&["window"]);
    assert_eq!(named(&export(&app, "race", "").await), ["ben"]);
    try_import(&app, "race", "ndjson&window=all_time", all).await.is(200);
}
