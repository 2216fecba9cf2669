//! The leaderboard that is measured, and its members.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::client::{Connection, Failure, Target};
use super::control::bar;
use super::options::Options;
use super::requests::all_good;
use super::workload::SCORES_IN_BATCH;
use super::workload::Shape;
use crate::leaderboard::Ties;

/// Connections that fill it.
const FILLERS: usize = 8;
const FIRST_SCORES: u64 = 1_000_000;
/// A submission moves its member by half a percent of the ranking in the mean.
const BEST_STEP: u64 = 10_000;

/// A member that is ahead of all others, and where its scores begin: doubles still count one by one there.
const LEADER: &str = "leader";
const LEADING_SCORES: u64 = 1_000_000_000_000_000;

/// The dimensions of a leaderboard with segments, and into how many values each divides the members.
const DIMENSIONS: [(&str, usize); 2] = [("country", 100), ("platform", 5)];
/// When the windows behind the first one begin anew.
const RESETS: [&str; 4] = ["daily", "weekly", "monthly", "yearly"];

/// A leaderboard of this run.
pub struct Board {
    pub name: String,
    /// The path that everything of it begins with.
    pub path: String,
    ties: Ties,
    shards: u32,
    shape: Shape,
    /// The last score submitted for each member.
    scores: Vec<AtomicU64>,
    /// The next score of the member that is ahead of all.
    leading: AtomicU64,
}

impl Board {
    pub fn new(name: String, shape: Shape, options: &Options) -> Self {
        let scores = (0..options.entries).map(|_| AtomicU64::new(fastrand::u64(..FIRST_SCORES))).collect();
        Self {
            path: format!("/v1/leaderboards/{name}"),
            name,
            ties: options.ties,
            shards: options.shards,
            shape,
            scores,
            leading: AtomicU64::new(LEADING_SCORES),
        }
    }

    /// Creates it, empty. One that is there already is left alone.
    pub async fn create(&self, target: &Target) -> Result<(), Failure> {
        let mut connection = Connection::open(target).await?;
        match connection.send(target.get(&self.path)).await {
            Ok(_) => return Err(Failure::LeaderboardExists(self.name.clone())),
            Err(Failure::Refused { status: StatusCode::NOT_FOUND, .. }) => {}
            Err(failure) => return Err(failure),
        }
        connection.send(target.put(&self.path, self.settings().to_string())).await?;
        Ok(())
    }

    fn settings(&self) -> Value {
        let resets = (1..self.shape.windows)
            .map(|number| json!({"name": format!("window-{number}"), "reset": RESETS[(number - 1) % RESETS.len()]}));
        let windows: Vec<Value> = std::iter::once(json!({"name": "all_time"})).chain(resets).collect();
        let segments: Vec<&str> = self.dimensions().map(|(name, _)| name).collect();
        let shards = self.shards;
        json!({"operator": "best", "ties": self.ties, "windows": windows, "segments": segments, "shards": shards})
    }

    fn dimensions(&self) -> impl Iterator<Item = (&'static str, usize)> {
        DIMENSIONS.into_iter().take(self.shape.segments)
    }

    /// Gives every member its first score, by several connections at once.
    pub async fn fill(&self, target: &Target) -> Result<(), Failure> {
        let batches = (0..self.scores.len()).step_by(SCORES_IN_BATCH);
        let bar = bar("entries", Duration::from_millis(self.scores.len() as u64));
        let left = RefCell::new(batches);
        let fill_some = async || {
            let mut connection = Connection::open(target).await?;
            let path = format!("{}/scores/batch?ranks=false", self.path);
            loop {
                let Some(first) = left.borrow_mut().next() else { return Ok(()) };
                let members = first..self.scores.len().min(first + SCORES_IN_BATCH);
                let body = self.batch(members.map(|member| (member, self.scores[member].load(Ordering::Relaxed))));
                all_good(&connection.send(target.post(&path, body)).await?)?;
                bar.inc(SCORES_IN_BATCH as u64);
            }
        };
        let filled = try_join_all((0..FILLERS).map(|_| fill_some())).await;
        bar.finish_and_clear();
        filled.map(|_| ())
    }

    /// Deletes it with all that it holds.
    pub async fn delete(&self, target: &Target) -> Result<(), Failure> {
        Connection::open(target).await?.send(target.delete(&self.path)).await?;
        Ok(())
    }

    /// A member at random.
    pub fn any_member(&self) -> usize {
        fastrand::usize(..self.scores.len())
    }

    /// The next score of a member, better than all before, so that every submission is one that has to be written.
    pub fn next_score(&self, member: usize) -> u64 {
        let step = fastrand::u64(1..=BEST_STEP);
        self.scores[member].fetch_add(step, Ordering::Relaxed) + step
    }

    /// One submission as JSON.
    pub fn submission(&self, member: usize, score: u64) -> String {
        let segments: Vec<String> =
            self.segments(member).map(|(name, value)| format!(r#""{name}":"{value}""#)).collect();
        let segments =
            if segments.is_empty() { String::new() } else { format!(r#","segments":{{{}}}"#, segments.join(",")) };
        format!(r#"{{"member":"{}","score":{score}{segments}}}"#, id(member))
    }

    /// The value of a member in each dimension.
    pub fn segments(&self, member: usize) -> impl Iterator<Item = (&'static str, String)> {
        self.dimensions().map(move |(name, values)| (name, format!("v{}", member % values)))
    }

    /// The path of submissions.
    pub fn scores(&self) -> String {
        format!("{}/scores", self.path)
    }

    /// The path of the events that show the first ten.
    pub fn events(&self) -> String {
        format!("{}/events?limit=10", self.path)
    }

    /// The first of so many scores that are above each other and all others.
    pub fn leading_scores(&self, count: u64) -> u64 {
        self.leading.fetch_add(count, Ordering::Relaxed)
    }

    /// The JSON that puts the member that is ahead of all further ahead.
    pub fn leading_submission(&self, score: u64) -> String {
        format!(r#"{{"member":"{LEADER}","score":{score}}}"#)
    }

    /// Submissions as the JSON of one batch.
    pub fn batch(&self, items: impl Iterator<Item = (usize, u64)>) -> String {
        let items: Vec<String> = items.map(|(member, score)| self.submission(member, score)).collect();
        format!(r#"{{"scores":[{}]}}"#, items.join(","))
    }
}

/// The id of the nth member: 16 characters, in no order.
pub fn id(member: usize) -> String {
    // The end of splitmix64: different numbers give different ids.
    let mut mixed = (member as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    format!("{:016x}", mixed ^ (mixed >> 31))
}

/// The version that the service says it is; the first thing that is asked of it.
pub async fn service_version(target: &Target) -> Result<String, Failure> {
    let answer = Connection::open(target).await?.send(target.get("/health/live")).await?;
    let live: Value = serde_json::from_slice(&answer).unwrap_or_default();
    live["version"].as_str().map(str::to_owned).ok_or_else(|| Failure::refused(StatusCode::OK, &answer))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_sixteen_characters_and_differ() {
        let ids: HashSet<String> = (0..10_000).map(id).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.len() == 16));
    }

    fn board(shape: Shape) -> Board {
        Board {
            name: "b".to_owned(),
            path: String::new(),
            ties: Ties::Earliest,
            shards: 1,
            shape,
            scores: Vec::new(),
            leading: AtomicU64::new(0),
        }
    }

    #[test]
    fn a_batch_is_the_json_of_its_scores() {
        let batch = board(Shape::default()).batch([(0, 5), (1, 7)].into_iter());
        let body: Value = serde_json::from_str(&batch).expect("JSON");
        assert_eq!(body, json!({"scores": [{"member": id(0), "score": 5}, {"member": id(1), "score": 7}]}));
    }

    #[test]
    fn a_leaderboard_has_the_windows_and_segments_of_its_shape() {
        let windows = board(Shape { windows: 6, segments: 0 }).settings();
        assert_eq!(windows["windows"].as_array().map(Vec::len), Some(6));
        assert_eq!(windows["windows"][5], json!({"name": "window-5", "reset": "daily"}));
        let segments = board(Shape { windows: 1, segments: 2 });
        assert_eq!(segments.settings()["segments"], json!(["country", "platform"]));
        let body: Value = serde_json::from_str(&segments.submission(107, 9)).expect("JSON");
        assert_eq!(body["segments"], json!({"country": "v7", "platform": "v2"}));
    }
}
