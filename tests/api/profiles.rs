//! Profiles of members in entries, from an upstream.

mod upstream;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use self::upstream::{Reply, Upstream};
use crate::support::{Answer, Options, TestApp, encoded, entries, eventually};

/// Longer than a profile is fresh by default, whatever it is put off by.
const LATER: Duration = Duration::from_secs(340);
/// What a read may take beside the half second that it waits at most, on a busy machine.
const PROMPT: Duration = Duration::from_secs(3);

fn with_private() -> Options {
    TestApp::with().set("profiles_allow_private", "true")
}

impl TestApp {
    /// A leaderboard with these members, whose profiles come from this URL.
    async fn with_profiles(&self, board: &str, url: &str, members: &[&str]) {
        self.create(board, json!({"profiles": {"url": url}})).await;
        self.fill(board, members.iter().copied().zip((0..1000).rev())).await;
    }

    /// A ranking with profiles.
    async fn profiled(&self, board: &str) -> Answer {
        self.rankings(board, "profiles=true&limit=1000").await.is(200)
    }

    async fn profile_reads(&self, result: &str) -> f64 {
        self.scrape().await.sum("ranq_profile_reads_total", &[("result", result)]).unwrap_or_default()
    }
}

fn profiles(list: &Value) -> Vec<&Value> {
    entries(list).iter().map(|entry| entry.get("profile").unwrap_or_else(|| panic!("no profile in {entry}"))).collect()
}

#[tokio::test]
async fn every_read_of_entries_adds_profiles_where_they_are_asked_for() {
    let (app, upstream) = (with_private().spawn().await, Upstream::spawn().await);
    upstream.answers(|target| match target {
        "/users/bob?x=1" => Reply::status(404),
        _ => Reply::text(" {\"n\" : 1.50, \"name\":\"\\u0041nn\"}\n"),
    });
    app.with_profiles("race", &upstream.url("/users/{member}?x=1"), &["ann", "bob"]).await;
    let lists = ["rankings?", "members/ann/around?", "members/bob/around?radius=1&", "around?score=999&"];
    for list in lists {
        let read = app.get(format!("/v1/leaderboards/race/{list}profiles=true")).await.is(200);
        assert!(read.text().contains("\"profile\":{\"n\" : 1.50, \"name\":\"\\u0041nn\"}"), "{}", read.text());
        assert_eq!(read.entry("ann")["profile"], json!({"n": 1.5, "name": "Ann"}));
        assert_eq!(read.entry("bob").get("profile"), Some(&Value::Null));
        for without in ["", "profiles=false"] {
            let read = app.get(format!("/v1/leaderboards/race/{list}{without}")).await.is(200);
            assert_eq!(read.entry("ann").get("profile"), None);
        }
    }
    let read = app.get("/v1/leaderboards/race/members/ann?profiles=true").await.is(200);
    assert_eq!(read["profile"]["name"], "Ann");
    let looked_up = json!({"members": ["zoe", "bob", "ann"]});
    let read = app.post("/v1/leaderboards/race/members/lookup?profiles=true", looked_up).await.is(200);
    assert_eq!(profiles(read.json()), [&json!({"n": 1.5, "name": "Ann"}), &Value::Null]);
    assert_eq!(read["missing"], json!(["zoe"]));
    assert_eq!(upstream.targets().len(), 2, "each is asked for once: {:?}", upstream.targets());
    let nobody = app.rankings("race", "profiles=true&offset=10").await.is(200);
    assert_eq!(nobody.members(), Vec::<&str>::new());
}

#[tokio::test]
async fn a_page_has_the_tag_of_its_profiles() {
    let (app, upstream) = (with_private().spawn().await, Upstream::spawn().await);
    app.with_profiles("race", &upstream.url("/{member}"), &["ann"]).await;
    let (plain, first) = (app.rankings("race", "").await, app.profiled("race").await);
    assert_ne!(plain.header("etag"), first.header("etag"));
    let known = |tag: &str| {
        let again = app.request("GET", "/v1/leaderboards/race/rankings?profiles=true&limit=1000");
        again.header("if-none-match", tag)
    };
    known(first.header("etag")).send().await.is(304);
    upstream.answers(|_| Reply::json(&json!({"name": "Anna"})));
    app.advance(LATER);
    eventually("the profile is another one", async || {
        (known(first.header("etag")).send().await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_leaderboard_without_profiles_says_so() {
    let app = TestApp::spawn().await;
    app.submit("race", "ann", 1).await;
    for read in ["rankings?", "members/ann?", "members/ann/around?", "around?score=1&"] {
        let read = app.get(format!("/v1/leaderboards/race/{read}profiles=true")).await.fails_at(&["profiles"]);
        assert!(read.detail().contains("needs `profiles`"), "{}", read.detail());
    }
    let lookup = "/v1/leaderboards/race/members/lookup?profiles";
    app.post(format!("{lookup}=true"), json!({"members": ["ann"]})).await.fails_at(&["profiles"]);
    app.post(format!("{lookup}=yes"), json!({"members": ["ann"]})).await.fails_at(&["profiles"]);
    app.get("/v1/leaderboards/none/rankings?profiles=true").await.fails_with(404, "not-found");
    app.get("/v1/leaderboards/race/distribution?profiles=true").await.fails_at(&["profiles"]);
}

#[tokio::test]
async fn many_readers_of_two_instances_ask_once() {
    let (one, upstream) = (with_private().spawn().await, Upstream::spawn().await);
    let other = with_private().redis_url(&one.redis_url()).spawn().await;
    upstream.answers(|target| Reply::json(&json!({"name": target})).after(Duration::from_millis(100)));
    let members: Vec<String> = (0..20).map(|number| format!("m{number:02}")).collect();
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    one.with_profiles("race", &upstream.url("/{member}"), &members).await;
    let reads = (0..10).flat_map(|_| [one.profiled("race"), other.profiled("race")]);
    let shown =
        join_all(reads).await.iter().filter(|read| profiles(read.json()).iter().all(|it| it.is_object())).count();
    assert!(shown > 0, "twenty take two rounds of a tenth of a second");
    let mut targets = upstream.targets();
    targets.sort();
    assert_eq!(targets, members.iter().map(|member| format!("/{member}")).collect::<Vec<_>>());
    // From Redis, also by who has not asked.
    let before = other.profile_reads("hit").await;
    assert!(profiles(other.profiled("race").await.json()).iter().all(|profile| profile.is_object()));
    assert_eq!(other.profile_reads("hit").await, before + 20.0);
    assert_eq!(upstream.count(), 20);
    assert!(upstream.most_under_way() <= 32, "{} at once", upstream.most_under_way());
}

#[tokio::test]
async fn so_many_are_asked_for_at_once_and_no_more() {
    let (app, upstream) = (with_private().spawn().await, Upstream::spawn().await);
    upstream.answers(|target| Reply::json(&json!({"name": target})).after(Duration::from_millis(30)));
    let members: Vec<String> = (0..200).map(|number| format!("m{number}")).collect();
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    app.with_profiles("race", &upstream.url("/{member}"), &members).await;
    let all = async || profiles(app.profiled("race").await.json()).iter().all(|it| it.is_object()).then_some(());
    eventually("all profiles are there", all).await;
    assert_eq!(upstream.count(), 200);
    assert!((4..=16).contains(&upstream.most_under_way()), "{} at once", upstream.most_under_way());
}

#[tokio::test]
async fn what_is_stale_is_shown_and_asked_for_anew() {
    let (app, upstream) = (with_private().spawn().await, Upstream::spawn().await);
    app.with_profiles("race", &upstream.url("/{member}"), &["ann"]).await;
    assert_eq!(profiles(app.profiled("race").await.json()), [&json!({"name": "ann"})]);
    app.advance(Duration::from_secs(260));
    assert_eq!(profiles(app.profiled("race").await.json()), [&json!({"name": "ann"})]);
    assert_eq!(upstream.count(), 1, "it is fresh");
    upstream.answers(|_| Reply::json(&json!({"name": "Anna"})).after(Duration::from_millis(200)));
    app.advance(LATER);
    let reads = join_all((0..5).map(|_| app.profiled("race"))).await;
    assert!(reads.iter().all(|read| profiles(read.json()) == [&json!({"name": "ann"})]), "nobody waits");
    let anew = async || (profiles(app.profiled("race").await.json()) == [&json!({"name": "Anna"})]).then_some(());
    eventually("it is another one", anew).await;
    assert_eq!(upstream.count(), 2);
    assert!(app.profile_reads("stale").await >= 5.0);
    // With an upstream that is away what was known is shown.
    drop(upstream);
    app.advance(LATER);
    for _ in 0..20 {
        assert_eq!(profiles(app.profiled("race").await.json()), [&json!({"name": "Anna"})]);
    }
}

#[tokio::test]
async fn what_is_too_old_is_shown_no_more() {
    let (app, upstream) = (with_private().spawn().await, Upstream::spawn().await);
    let settings = json!({"profiles": {"url": upstream.url("/{member}"), "ttl_ms": 1000, "stale_ms": 0}});
    app.create("race", settings).await;
    app.submit("race", "ann", 1).await;
    assert_eq!(profiles(app.profiled("race").await.json()), [&json!({"name": "ann"})]);
    upstream.answers(|_| Reply::status(500));
    let gone = async || (profiles(app.profiled("race").await.json()) == [&Value::Null]).then_some(());
    eventually("it is gone", gone).await;
}

#[tokio::test]
async fn that_there_is_none_is_known_for_a_while() {
    let (app, upstream) = (with_private().spawn().await, Upstream::spawn().await);
    upstream.answers(|target| Reply::status(if target == "/ann" { 404 } else { 410 }));
    app.with_profiles("race", &upstream.url("/{member}"), &["ann", "bob"]).await;
    for _ in 0..3 {
        assert_eq!(profiles(app.profiled("race").await.json()), [&Value::Null; 2]);
    }
    assert_eq!(upstream.count(), 2);
    assert_eq!(app.profile_reads("none").await, 6.0);
    upstream.answers(|_| Reply::json(&json!({"name": "new"})));
    app.advance(Duration::from_secs(70));
    let come = async || (profiles(app.profiled("race").await.json()) == [&json!({"name": "new"}); 2]).then_some(());
    eventually("they are there now", come).await;
}

#[tokio::test]
async fn what_is_no_object_is_as_none() {
    let (app, upstream) = (with_private().spawn().await, Upstream::spawn().await);
    upstream.answers(|target| match target {
        "/largest" => Reply::text(format!("{{\"a\":\"{}\"}}", "x".repeat(8192 - 8))),
        "/huge" => Reply::text(format!("{{\"a\":\"{}\"}}", "x".repeat(8192 - 7))),
        "/endless" => Reply::text(" ".repeat(20_000_000)),
        "/list" => Reply::text("[]"),
        "/cut" => Reply::text("{\"a\":"),
        "/html" => Reply::text("<html>").header("content-type: text/html"),
        "/odd" => Reply::text("{\"a\":\"\\ud800\"}"),
        "/bytes" => Reply::text(b"{\"a\":\"\xff\"}".to_vec()),
        "/null" => Reply::text("null"),
        "/away" => Reply::status(204),
        _ => Reply::text("{}").header("content-type: text/plain"),
    });
    let nothing = ["huge", "endless", "list", "cut", "html", "odd", "bytes", "null", "away"];
    app.with_profiles("race", &upstream.url("/{member}"), &[&nothing[..], &["largest", "plain"]].concat()).await;
    let read = eventually("all are known", async || {
        let read = app.profiled("race").await;
        let asked = upstream.count();
        (read.entry("largest")["profile"].is_object() && asked == 11).then_some(read)
    })
    .await;
    for member in nothing {
        assert_eq!(read.entry(member)["profile"], Value::Null, "{member}");
    }
    assert_eq!(read.entry("plain")["profile"], json!({}));
    app.profiled("race").await;
    assert_eq!(upstream.count(), 11, "all of it is kept");
}

#[tokio::test]
async fn an_upstream_that_fails_is_left_alone_and_holds_nobody_up() {
    let (app, upstream) = (with_private().spawn().await, Upstream::spawn().await);
    upstream.answers(|_| Reply::status(500));
    let members: Vec<String> = (0..300).map(|number| format!("m{number}")).collect();
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    app.with_profiles("race", &upstream.url("/{member}"), &members).await;
    let began = Instant::now();
    for _ in 0..30 {
        assert!(profiles(app.profiled("race").await.json()).iter().all(|profile| profile.is_null()));
    }
    let most = 40 + usize::try_from(began.elapsed().as_secs()).expect("a number");
    assert!(upstream.count() <= most, "{} requests", upstream.count());
    let scrape = app.scrape().await;
    assert_eq!(scrape.sum("ranq_profile_failures_total", &[]), Some(upstream.count() as f64));
    assert!(scrape.sum("ranq_profile_reads_total", &[("result", "failed")]) >= Some(9000.0));
    upstream.answers(|target| Reply::json(&json!({"name": target})));
    let back = async || profiles(app.profiled("race").await.json()).iter().all(|it| it.is_object()).then_some(());
    eventually("it is asked again", back).await;
}

#[tokio::test]
async fn a_slow_upstream_costs_half_a_second_and_what_it_says_is_for_the_next_reader() {
    let (app, upstream) = (with_private().spawn().await, Upstream::spawn().await);
    upstream.answers(|target| Reply::json(&json!({"name": target})).after(Duration::from_millis(1000)));
    app.with_profiles("race", &upstream.url("/{member}"), &["ann", "bob"]).await;
    let began = Instant::now();
    assert_eq!(profiles(app.profiled("race").await.json()), [&Value::Null; 2]);
    assert!((Duration::from_millis(490)..PROMPT).contains(&began.elapsed()), "{:?}", began.elapsed());
    let come = async || profiles(app.profiled("race").await.json()).iter().all(|it| it.is_object()).then_some(());
    eventually("it has been kept", come).await;
    assert_eq!(upstream.count(), 2);
    // One that never answers.
    upstream.answers(|target| Reply::json(&json!({"name": target})).after(Duration::from_secs(3600)));
    app.submit("race", "cid", 1).await;
    let began = Instant::now();
    assert_eq!(app.profiled("race").await.entry("cid")["profile"], Value::Null);
    assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_upstream_that_is_not_there_holds_nobody_up() {
    let app = with_private().spawn().await;
    let port = crate::support::free_port();
    for (board, url) in [
        ("closed", format!("http://127.0.0.1:{port}/{{member}}")),
        ("nameless", "http://upstream.invalid/{member}".to_owned()),
        ("tls", format!("https://127.0.0.1:{port}/{{member}}")),
    ] {
        app.with_profiles(board, &url, &["ann", "bob"]).await;
        for _ in 0..3 {
            let began = Instant::now();
            assert_eq!(profiles(app.profiled(board).await.json()), [&Value::Null; 2]);
            assert!(began.elapsed() < PROMPT, "{board}: {:?}", began.elapsed());
        }
    }
}

#[tokio::test]
async fn many_members_are_asked_for_in_one_request() {
    let (app, upstream) = (with_private().spawn().await, Upstream::spawn().await);
    upstream.answers(|_| {
        Reply::json(&json!({"ann": {"name": "Ann"}, "a,b": {"name": "A, B"}, "list": [], "null": null,
            "huge": {"a": "x".repeat(8192)}, "somebody": {"name": "else"}}))
    });
    let members = ["ann", "a,b", "list", "null", "huge", "nobody", "å/?&"];
    app.with_profiles("race", &upstream.url("/users?ids={members}&x=1"), &members).await;
    let read = app.profiled("race").await;
    let (ann, none) = (json!({"name": "Ann"}), Value::Null);
    assert_eq!(profiles(read.json()), [&ann, &json!({"name": "A, B"}), &none, &none, &none, &none, &none]);
    app.profiled("race").await;
    assert_eq!(upstream.targets(), ["/users?ids=ann,a%2Cb,list,null,huge,nobody,%C3%A5%2F%3F%26&x=1"]);
    let more: Vec<String> = (0..250).map(|number| format!("m{number}")).collect();
    app.fill("race", more.iter().map(|member| (member.as_str(), 5000))).await;
    app.profiled("race").await;
    eventually("they are asked for a hundred at once", async || (upstream.count() == 4).then_some(())).await;
    // One that says something else has said nothing.
    upstream.answers(|_| Reply::text("[]"));
    app.submit("race", "new", 1).await;
    assert_eq!(app.profiled("race").await.entry("new")["profile"], Value::Null);
    assert_eq!(app.scrape().await.sum("ranq_profile_failures_total", &[]), Some(1.0));
}

#[tokio::test]
async fn any_member_can_be_asked_for_and_none_leads_elsewhere() {
    let (app, upstream) = (with_private().spawn().await, Upstream::spawn().await);
    upstream.answers(|target| Reply::json(&json!({"target": target})));
    let members = [
        "a/b", "a?b#c", "a b", "..", ".", "...", "%2e%2e", "../admin", "\\..\\x", "å🦀", "{member}", "a&b=c;d",
        "@host:80", "'\"<>`|^",
    ];
    app.with_profiles("race", &upstream.url("/users/{member}"), &members).await;
    let read = app.profiled("race").await;
    for member in members {
        let shown = &read.entry(member)["profile"];
        if [".", ".."].contains(&member) {
            assert_eq!(*shown, Value::Null, "{member}");
        } else {
            let unreserved = |text: String| text.replace("%2E", ".").replace("%2D", "-").replace("%5F", "_");
            assert_eq!(shown["target"], format!("/users/{}", unreserved(encoded(member))), "{member}");
        }
    }
    assert_eq!(upstream.count(), members.len() - 2);
    app.with_profiles("query", &upstream.url("/?id={member}"), &[".."]).await;
    assert_eq!(profiles(app.profiled("query").await.json()), [&json!({"target": "/?id=.."})]);
}

#[tokio::test]
async fn addresses_that_are_not_public_are_refused_unless_a_setting_allows_them() {
    let (open, upstream) = (with_private().spawn().await, Upstream::spawn().await);
    let held = TestApp::with().redis_url(&open.redis_url()).spawn().await;
    for url in [
        upstream.url("/{member}"),
        "http://localhost/{member}".to_owned(),
        "http://a.localhost./{member}".to_owned(),
        "http://[::1]/{member}".to_owned(),
        "http://[::ffff:10.0.0.1]/{member}".to_owned(),
        "https://169.254.169.254/{member}".to_owned(),
        "http://2130706433/{member}".to_owned(),
        "http://0/{member}".to_owned(),
    ] {
        let refused = held.put("/v1/leaderboards/race", json!({"profiles": {"url": url}})).await;
        assert!(refused.fails_at(&["/profiles/url"]).detail().contains("profiles_allow_private"), "{url}");
        open.put("/v1/leaderboards/race", json!({"profiles": {"url": url}})).await;
    }
    // What another instance has let in: an address, and a name that leads to one.
    let port = upstream.url("").rsplit(':').next().expect("a port").to_owned();
    for (board, url) in
        [("by-address", upstream.url("/{member}")), ("by-name", format!("http://localhost:{port}/{{member}}"))]
    {
        open.with_profiles(board, &url, &["ann"]).await;
        assert_eq!(profiles(held.profiled(board).await.json()), [&Value::Null]);
        assert_eq!(upstream.targets(), Vec::<String>::new());
        let scrape = held.scrape().await;
        assert!(scrape.sum("ranq_profile_failures_total", &[]) >= Some(1.0), "it was about to ask");
    }
    let shown = async || profiles(open.profiled("by-name").await.json())[0].is_object().then_some(());
    eventually("who may ask does", shown).await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (app, upstream) = (with_private().spawn().await, Upstream::spawn().await);
    upstream.answers(|target| match target {
        "/elsewhere" => Reply::json(&json!({"name": "secret"})),
        _ => Reply::status(302).header("location: /elsewhere"),
    });
    app.with_profiles("race", &upstream.url("/{member}"), &["ann"]).await;
    assert_eq!(profiles(app.profiled("race").await.json()), [&Value::Null]);
    assert_eq!(upstream.targets(), ["/ann"]);
}

#[tokio::test]
async fn settings_of_profiles_change_with_entries_and_are_checked() {
    let (app, upstream) = (with_private().spawn().await, Upstream::spawn().await);
    app.with_profiles("race", &upstream.url("/old/{member}"), &["ann"]).await;
    let shown = app.get("/v1/leaderboards/race").await.is(200);
    let defaults = json!({"url": upstream.url("/old/{member}"), "ttl_ms": 300_000, "stale_ms": 3_600_000});
    assert_eq!(shown["settings"]["profiles"], defaults);
    upstream.answers(|target| Reply::json(&json!({"target": target})));
    assert_eq!(profiles(app.profiled("race").await.json()), [&json!({"target": "/old/ann"})]);
    let put = async |profiles: Value| app.put("/v1/leaderboards/race", json!({"profiles": profiles})).await;
    put(json!({"url": upstream.url("/new/{member}")})).await.is(200);
    assert_eq!(profiles(app.profiled("race").await.json()), [&json!({"target": "/new/ann"})]);
    for (settings, pointer) in [
        (json!({}), "/profiles/url"),
        (json!({"url": 5}), "/profiles/url"),
        (json!({"url": "https://example.com/users"}), "/profiles/url"),
        (json!({"url": "https://{member}.example.com/"}), "/profiles/url"),
        (json!({"url": "https://example.com/{member}/{members}"}), "/profiles/url"),
        (json!({"url": "ftp://example.com/{member}"}), "/profiles/url"),
        (json!({"url": "https://ann:secret@example.com/{member}"}), "/profiles/url"),
        (json!({"url": "https://example.com/{member}#a"}), "/profiles/url"),
        (json!({"url": "https://example.com/{member}", "ttl_ms": 999}), "/profiles/ttl_ms"),
        (json!({"url": "https://example.com/{member}", "ttl_ms": 86_400_001}), "/profiles/ttl_ms"),
        (json!({"url": "https://example.com/{member}", "ttl_ms": "1"}), "/profiles/ttl_ms"),
        (json!({"url": "https://example.com/{member}", "stale_ms": 604_800_001}), "/profiles/stale_ms"),
        (json!({"url": "https://example.com/{member}", "stale_ms": -1}), "/profiles/stale_ms"),
        (json!({"url": "https://example.com/{member}", "headers": {}}), "/profiles/headers"),
        (json!(["https://example.com/{member}"]), "/profiles"),
    ] {
        put(settings).await.fails_at(&[pointer]);
    }
    put(Value::Null).await.is(200);
    app.rankings("race", "profiles=true").await.fails_at(&["profiles"]);
}

#[tokio::test]
async fn what_is_kept_of_profiles_goes_by_itself() {
    let (app, upstream) = (with_private().spawn().await, Upstream::spawn().await);
    app.create("race", json!({"shards": 3, "profiles": {"url": upstream.url("/{member}")}})).await;
    app.fill("race", [("ann", 2), ("bob", 1)]).await;
    upstream.answers(|target| Reply::status(if target == "/ann" { 200 } else { 500 }));
    app.profiled("race").await;
    let of_profiles = |key: &String| key.starts_with("ranq:{profile:race}:");
    let keys: Vec<String> = app.keys().into_iter().filter(of_profiles).collect();
    let kinds: Vec<&str> = keys.iter().map(|key| key.split(':').nth(3).expect("a kind")).collect();
    assert_eq!(kinds, ["asked", "known"], "{keys:?}");
    for (key, most) in keys.iter().zip([5_500, 3_930_000]) {
        let left: i64 = redis::cmd("PTTL").arg(key).query(&mut app.redis()).expect("PTTL works");
        assert!((1..=most).contains(&left), "{key}: {left}");
    }
}
