//! Who may do what: every operation with every token that should not open it, and with those that should.

mod members;
mod names;
mod open_uses;
mod walk;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Named, TestApp};

const ADMIN: &str = "an-admin-token-of-tests";

impl TestApp {
    /// A service that needs tokens.
    async fn guarded() -> Self {
        Self::with().admin_token(ADMIN).spawn().await
    }

    /// Makes a token of these scopes, with further fields.
    async fn token_of(&self, scopes: &[&str], rights: Value) -> String {
        let mut body = json!({"name": "some", "scopes": scopes});
        body.as_object_mut().expect("an object").extend(rights.as_object().cloned().unwrap_or_default());
        self.mint(body).await
    }

    /// What the operations find, and the names of it: the token is one that every maker of tokens may see.
    async fn furnished(&self) -> Named {
        self.furnish_all().await;
        let made = self.post("/v1/tokens", json!({"name": "old", "scopes": ["tokens:admin"]})).await.is(201);
        Named::there(made["id"].as_str().expect("an id"))
    }

    /// All that Redis keeps, by key, but for when tokens were used, what the clock moves of a leaderboard, and the probe of readiness.
    fn dump(&self) -> BTreeMap<String, Vec<u8>> {
        let mut redis = self.redis();
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut redis).expect("KEYS works");
        let content = |key: String| {
            let moving: &[&str] = match key.rsplit(':').next() {
                Some("board") => &["rolled", "floor", "watched"],
                _ if key.contains(":token:") => &["used"],
                _ => &[],
            };
            if !moving.is_empty() {
                let mut fields: BTreeMap<String, Vec<u8>> =
                    redis::cmd("HGETALL").arg(&key).query(&mut redis).expect("HGETALL works");
                fields.retain(|field, _| !moving.contains(&field.as_str()));
                return (key, format!("{fields:?}").into_bytes());
            }
            let dump: Option<Vec<u8>> = redis::cmd("DUMP").arg(&key).query(&mut redis).expect("DUMP works");
            (key, dump.unwrap_or_default())
        };
        keys.into_iter().filter(|key| !key.ends_with(":probe")).map(content).collect()
    }
}

/// Asserts that two dumps are the same.
#[track_caller]
fn assert_unchanged(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>) {
    let all = before.keys().chain(after.keys());
    let changed: Vec<&String> = all.filter(|key| before.get(*key) != after.get(*key)).collect();
    assert!(changed.is_empty(), "something has changed: {changed:?}");
}
