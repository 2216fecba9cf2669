//! Jobs as they are sent, in time, and in whole lists.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::app::TestApp;
use super::{Answer, Leased, eventually};

/// Where the tests' clock stands at its start.
const START: &str = "2026-11-23T05:40:00Z";

/// The states of a job, in the order of a list without a state.
pub const STATES: [&str; 6] = ["active", "ready", "scheduled", "dead", "completed", "cancelled"];

/// Ten years, the longest that anything may be put off.
pub const TEN_YEARS_MS: u64 = 315_360_000_000;

/// The moment so many milliseconds after the start of the tests' clock, as answers write it.
pub fn at(millis: i64) -> String {
    let start: jiff::Timestamp = START.parse().expect("a time");
    format!("{:.3}", start + jiff::SignedDuration::from_millis(millis))
}

/// How many milliseconds after the start of the tests' clock a time of an answer is.
#[track_caller]
pub fn millis(time: &Value) -> i64 {
    let text = time.as_str().unwrap_or_else(|| panic!("{time} is no time"));
    let time: jiff::Timestamp = text.parse().unwrap_or_else(|error| panic!("{text} is no time: {error}"));
    time.as_millisecond() - START.parse::<jiff::Timestamp>().expect("a time").as_millisecond()
}

/// The ids of jobs, or of the results of a batch.
pub fn ids(jobs: &[Value]) -> Vec<&str> {
    jobs.iter().map(|job| job["id"].as_str().unwrap_or_else(|| panic!("no id in {job}"))).collect()
}

/// Asserts that what is measured takes at most so long. It is measured again where it does not, since the machine may be
/// busy with something else.
pub async fn assert_prompt(most: Duration, mut measure: impl AsyncFnMut(usize) -> Duration) {
    let mut seen = Vec::new();
    for round in 0..5 {
        seen.push(measure(round).await);
        if seen[round] <= most {
            return;
        }
    }
    panic!("never within {most:?}: {seen:?}");
}

impl Answer {
    /// `results` of a batch.
    pub fn results(&self) -> &[Value] {
        self["results"].as_array().unwrap_or_else(|| panic!("no results in {}", self.text()))
    }

    /// The status of each of the results of a batch.
    pub fn statuses(&self) -> Vec<u64> {
        self.results().iter().map(|result| result["status"].as_u64().expect("a status")).collect()
    }
}

impl TestApp {
    /// Enqueues a job under an id; it must be new.
    pub async fn enqueue_as(&self, queue: &str, id: &str) -> Answer {
        self.enqueue_job(queue, json!({"id": id, "payload": id})).await.is(201)
    }

    /// Enqueues so many jobs alike, a thousand at a time; all must be new. Their payloads are their numbers.
    pub async fn fill_queue(&self, queue: &str, count: usize, fields: &Value) {
        let numbers: Vec<usize> = (0..count).collect();
        for numbers in numbers.chunks(1000) {
            let jobs = numbers.iter().map(|number| {
                let mut job = fields.clone();
                job["payload"] = json!(number);
                job
            });
            let answer = self.enqueue_many(queue, jobs.collect()).await.is(200);
            assert!(answer.statuses().iter().all(|status| *status == 201), "{}", answer.text());
        }
    }

    /// Leases the next job as soon as there is one.
    pub async fn lease_soon(&self, queue: &str) -> Leased {
        eventually(&format!("a job of {queue} is leased"), async || self.lease(queue, 1).await.pop()).await
    }

    /// Leases so many jobs as they become ready.
    pub async fn lease_many(&self, queue: &str, count: usize) -> Vec<Leased> {
        let mut leased = Vec::new();
        while leased.len() < count {
            let limit = (count - leased.len()).min(100);
            let some = async || Some(self.lease(queue, limit).await).filter(|jobs| !jobs.is_empty());
            leased.extend(eventually(&format!("{limit} more jobs of {queue} are leased"), some).await);
        }
        leased
    }

    /// How late the jobs of a queue become ready, given when each is due: the median. Reads the queue and nothing else.
    pub async fn lateness(&self, queue: &str, due: &[Instant]) -> Duration {
        let mut late = Vec::new();
        while late.len() < due.len() {
            let ready = self.count(queue, "ready").await as usize;
            let now = Instant::now();
            late.extend(due[late.len()..ready.max(late.len())].iter().map(|due| now.saturating_duration_since(*due)));
            assert!(due[0].elapsed() < Duration::from_mins(1), "some never become ready: {late:?}");
        }
        late.sort();
        late[late.len() / 2]
    }

    /// Waits until a job is in a state, and reads it.
    pub async fn until_state(&self, queue: &str, id: &str, state: &str) -> Answer {
        let reached = async || Some(self.job(queue, id).await.is(200)).filter(|job| job["state"] == state);
        eventually(&format!("job {id} of {queue} is {state}"), reached).await
    }

    /// Waits until a job is gone.
    pub async fn until_gone(&self, queue: &str, id: &str) {
        let gone = async || (self.job(queue, id).await.status == 404).then_some(());
        eventually(&format!("job {id} of {queue} is gone"), gone).await;
    }

    /// Makes one job in each state; its id is the state.
    pub async fn one_in_each_state(&self, queue: &str) -> Leased {
        self.enqueue_as(queue, "completed").await;
        let completed = self.lease_one(queue).await;
        self.ack(&completed).await.is(200);
        self.enqueue_as(queue, "dead").await;
        let dead = self.lease_one(queue).await;
        self.nack(&dead, json!({"dead": true, "error": "as told"})).await.is(200);
        self.enqueue_as(queue, "cancelled").await;
        self.delete(format!("/v1/queues/{queue}/jobs/cancelled")).await.is(204);
        self.enqueue_as(queue, "active").await;
        let active = self.lease_one(queue).await;
        let scheduled = json!({"id": "scheduled", "payload": "scheduled", "delay_ms": 3_600_000});
        self.enqueue_job(queue, scheduled).await.is(201);
        self.enqueue_as(queue, "ready").await;
        active
    }

    /// Every job of a list, over all its pages.
    pub async fn all_jobs(&self, queue: &str, query: &str) -> Vec<Value> {
        let (mut jobs, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(format!("/v1/queues/{queue}/jobs?{query}{cursor}")).await.is(200);
            jobs.extend_from_slice(page.jobs());
            match page.next_cursor() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return jobs,
            }
        }
    }

    /// Sends JSON as it is and takes the answer as it comes, for what the tests' own parser refuses.
    pub async fn wire(&self, method: &str, target: &str, body: &str) -> Answer {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        let body = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        self.raw(head + &body).await
    }
}
