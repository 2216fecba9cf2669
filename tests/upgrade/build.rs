//! Makes the dump of this version.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{OwnRedis, TestApp, encoded, eventually};
use crate::{Told, directory};

pub const TOKEN_OF_ADMIN: &str = "an-admin-token-of-tests";
/// By how much the clock is moved before the queues are made, so that the daily window has a period that has ended.
pub const LATER: Duration = Duration::from_secs(25 * 3600);

/// Of which the answers are kept.
const PATHS: [&str; 30] = [
    "/v1/leaderboards",
    "/v1/leaderboards/full",
    "/v1/leaderboards/full/rankings?limit=1000",
    "/v1/leaderboards/full/rankings?ranking=dense",
    "/v1/leaderboards/full/rankings?ranking=competition",
    "/v1/leaderboards/full/rankings?window=daily",
    "/v1/leaderboards/full/rankings?segment=country:KR",
    "/v1/leaderboards/full/rankings?segment=country:KR,platform:ios",
    "/v1/leaderboards/full/segments/country",
    "/v1/leaderboards/full/windows/daily/periods",
    "/v1/leaderboards/full/members/m3",
    "/v1/leaderboards/full/members/m3/around",
    "/v1/leaderboards/full/bans",
    "/v1/leaderboards/full/audit",
    "/v1/leaderboards/full/distribution",
    "/v1/leaderboards/plain/rankings",
    "/v1/leaderboards/fading/rankings",
    "/v1/bans",
    "/v1/queues",
    "/v1/queues/work",
    "/v1/queues/work/jobs",
    "/v1/queues/work/jobs?state=dead",
    "/v1/queues/work/jobs?state=scheduled",
    "/v1/queues/work/jobs/active",
    "/v1/queues/work/schedules",
    "/v1/queues/keyed",
    "/v1/queues/keyed/jobs",
    "/v1/queues/prizes/jobs",
    "/v1/tokens",
    "/v1/audit",
];

/// Writes the dump and what is answered, under the version's name.
pub async fn write_dump() {
    let redis = OwnRedis::spawn().await;
    let app = TestApp::with().redis_url(&redis.url()).admin_token(TOKEN_OF_ADMIN).spawn().await;
    boards(&app).await;
    app.advance(LATER);
    eventually("the day is closed", async || {
        let periods = app.get("/v1/leaderboards/full/windows/daily/periods").await.is(200);
        (periods.text().contains(r#""closed""#) && !periods.text().contains(r#""closing""#)).then_some(())
    })
    .await;
    let held = queues(&app).await;
    let token = json!({"name": "kept", "scopes": ["leaderboards:read"], "leaderboards": ["full"]});
    let token = app.post("/v1/tokens", token).await.is(201)["token"].as_str().expect("a text").to_owned();
    let mut answers: BTreeMap<String, Value> = BTreeMap::new();
    for path in PATHS {
        answers.insert(path.to_owned(), app.get(path).await.is(200).json().clone());
    }
    redis.admin(&["SAVE"]);
    let dump: (String, String) =
        redis::cmd("CONFIG").arg("GET").arg("dir").query(&mut redis.connect().expect("it runs")).expect("CONFIG works");
    let to = directory().join(format!("v{}.rdb", env!("CARGO_PKG_VERSION")));
    std::fs::copy(std::path::Path::new(&dump.1).join("dump.rdb"), &to).expect("it is copied");
    let told = serde_json::to_string_pretty(&Told { answers, held, token }).expect("JSON");
    std::fs::write(to.with_extension("json"), told + "\n").expect("it is written");
}

async fn boards(app: &TestApp) {
    let rewards = json!([{"window": "daily", "to_rank": 2, "queue": "prizes", "payload": {"gems": 5}}]);
    let windows = json!([{"name": "all_time"}, {"name": "daily", "reset": "daily"}]);
    let segments = json!(["country", "platform", "country+platform"]);
    let subscores = json!([{"name": "time", "order": "ascending"}]);
    app.create(
        "full",
        json!({"windows": windows, "segments": segments, "subscores": subscores, "ties": "latest", "rewards": rewards}),
    )
    .await;
    app.create("plain", json!({"ties": "member", "operator": "sum"})).await;
    app.create("fading", json!({"operator": "sum", "half_life_ms": 86_400_000})).await;
    for number in 0..40 {
        let row = json!({"member": format!("m{number}"), "score": number / 4, "subscores": {"time": number % 3},
            "segments": {"country": if number % 2 == 0 { "KR" } else { "名" }, "platform": if number % 3 == 0 { "ios" } else { "web" }},
            "metadata": {"number": number}});
        app.submit_row("full", row).await.is(200);
        app.submit("plain", &format!("m{}", number % 7), number).await;
        app.submit("fading", &format!("m{}", number % 5), number).await;
    }
    app.put(format!("/v1/leaderboards/full/bans/{}", encoded("m5")), json!({"reason": "speed hack"})).await;
    app.put("/v1/leaderboards/full/bans/m6", json!({"shadow": true})).await;
    app.put("/v1/bans/m7", json!({"reason": "everywhere"})).await;
}

/// Gives what a worker holds.
async fn queues(app: &TestApp) -> [String; 3] {
    app.create_queue("work", json!({"lease_ms": 43_200_000})).await;
    let active = app.one_in_each_state("work").await;
    app.enqueue_job(
        "work",
        json!({"payload": {"to": "ann"}, "id": "full", "headers": {"a": "b"}, "unique_key": "u", "priority": 9,
        "expires_in_ms": 86_400_000, "max_attempts": 7}),
    )
    .await
    .is(201);
    app.put(
        "/v1/queues/work/schedules/nightly",
        json!({"cron": "0 3 * * *", "timezone": "Asia/Seoul", "payload": {"a": 1}}),
    )
    .await
    .is(201);
    app.create_queue("keyed", json!({"keys": {"max_concurrency": 1, "fair": true}})).await;
    for number in 0..6 {
        app.enqueue_job("keyed", json!({"payload": number, "key": format!("k{}", number % 2)})).await.is(201);
    }
    app.lease_one("keyed").await;
    let lease = active.to_ack()["lease"].as_str().expect("a lease").to_owned();
    ["work".to_owned(), active.id, lease]
}
