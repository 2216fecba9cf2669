//! Short ways to work with queues.

use serde_json::{Value, json};

use super::app::{Body, TestApp, encoded};
use super::{Answer, eventually};

/// A job that a test holds.
#[derive(Debug, Clone)]
pub struct Leased {
    pub queue: String,
    pub id: String,
    pub lease: String,
    pub job: Value,
}

impl Leased {
    fn of(queue: &str, job: &Value) -> Self {
        let text = |field: &str| job[field].as_str().unwrap_or_else(|| panic!("no {field} in {job}")).to_owned();
        Self { queue: queue.to_owned(), id: text("id"), lease: text("lease"), job: job.clone() }
    }

    /// The item of a list of acks.
    pub fn to_ack(&self) -> Value {
        json!({"id": self.id, "lease": self.lease})
    }

    pub fn attempt(&self) -> u64 {
        self.job["attempt"].as_u64().expect("a leased job has an attempt")
    }
}

impl Answer {
    /// The jobs of a dequeue's answer.
    pub fn leased(&self, queue: &str) -> Vec<Leased> {
        self.jobs().iter().map(|job| Leased::of(queue, job)).collect()
    }

    /// `jobs` of a list or of a dequeue.
    pub fn jobs(&self) -> &[Value] {
        self["jobs"].as_array().unwrap_or_else(|| panic!("no jobs in {}", self.text()))
    }

    /// The payloads of `jobs` in their order.
    pub fn payloads(&self) -> Vec<Value> {
        self.jobs().iter().map(|job| job["payload"].clone()).collect()
    }

    /// The id of the job that this is.
    pub fn id(&self) -> &str {
        self["id"].as_str().unwrap_or_else(|| panic!("no id in {}", self.text()))
    }
}

impl TestApp {
    pub async fn create_queue(&self, queue: &str, settings: Value) -> Answer {
        self.put(format!("/v1/queues/{queue}"), settings).await.is(201)
    }

    /// Gives a queue that exists other settings.
    pub async fn change_queue(&self, queue: &str, settings: Value) -> Answer {
        self.put(format!("/v1/queues/{queue}"), settings).await.is(200)
    }

    pub async fn queue(&self, queue: &str) -> Answer {
        self.get(format!("/v1/queues/{queue}")).await
    }

    /// One of `counts` of a queue.
    pub async fn count(&self, queue: &str, state: &str) -> u64 {
        let answer = self.queue(queue).await.is(200);
        answer["counts"][state].as_u64().unwrap_or_else(|| panic!("no count of {state} in {}", answer.text()))
    }

    /// Waits until so many jobs are in a state.
    pub async fn until_count(&self, queue: &str, state: &str, count: u64) {
        let reached = async || (self.count(queue, state).await == count).then_some(());
        eventually(&format!("{count} jobs of {queue} are {state}"), reached).await;
    }

    /// Enqueues a payload; the job must be new.
    pub async fn enqueue(&self, queue: &str, payload: impl Into<Value>) -> Answer {
        self.enqueue_job(queue, json!({"payload": payload.into()})).await.is(201)
    }

    pub async fn enqueue_job(&self, queue: &str, job: impl Into<Body>) -> Answer {
        self.post(format!("/v1/queues/{queue}/jobs"), job).await
    }

    pub async fn enqueue_many(&self, queue: &str, jobs: Vec<Value>) -> Answer {
        self.post(format!("/v1/queues/{queue}/jobs/batch"), json!({"jobs": jobs})).await
    }

    pub async fn dequeue(&self, queue: &str, body: impl Into<Body>) -> Answer {
        self.post(format!("/v1/queues/{queue}/dequeue"), body).await
    }

    /// Leases up to `limit` jobs without waiting.
    pub async fn lease(&self, queue: &str, limit: usize) -> Vec<Leased> {
        self.dequeue(queue, json!({"limit": limit})).await.is(200).leased(queue)
    }

    /// Leases the next job; there must be one.
    pub async fn lease_one(&self, queue: &str) -> Leased {
        self.lease(queue, 1).await.pop().unwrap_or_else(|| panic!("no job of {queue} is ready"))
    }

    pub async fn ack(&self, leased: &Leased) -> Answer {
        self.settle(leased, "ack", json!({})).await
    }

    pub async fn nack(&self, leased: &Leased, fields: Value) -> Answer {
        self.settle(leased, "nack", fields).await
    }

    pub async fn extend(&self, leased: &Leased, fields: Value) -> Answer {
        self.settle(leased, "extend", fields).await
    }

    /// POSTs `fields` and the lease to one of the operations of a leased job.
    pub async fn settle(&self, leased: &Leased, verb: &str, mut fields: Value) -> Answer {
        fields["lease"] = json!(leased.lease);
        self.post(format!("/v1/queues/{}/jobs/{}/{verb}", leased.queue, encoded(&leased.id)), fields).await
    }

    pub async fn job(&self, queue: &str, id: &str) -> Answer {
        self.get(format!("/v1/queues/{queue}/jobs/{}", encoded(id))).await
    }

    /// Lists the jobs of a state.
    pub async fn jobs(&self, queue: &str, state: &str) -> Answer {
        self.get(format!("/v1/queues/{queue}/jobs?state={state}&limit=1000")).await.is(200)
    }
}
