//! The queue that is measured, and its jobs.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use serde::Deserialize;

use super::client::{Connection, Failure, Target};

/// What a payload has beside its filling: `{"sent_us":"…","fill":"…"}`.
pub const MIN_PAYLOAD: u64 = 44;
const FILLING: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// How long a waiting worker asks to wait: the longest that the service lets it.
pub const WAIT_MS: u64 = 30_000;

/// A queue of this run.
pub struct Queue<'a> {
    pub name: String,
    pub target: &'a Target,
    path: String,
    jobs: String,
    batch: String,
    dequeue: String,
    fill: String,
}

impl<'a> Queue<'a> {
    pub fn new(target: &'a Target, name: String, payload_bytes: u64) -> Self {
        let path = format!("/v1/queues/{name}");
        let at = |rest: &str| format!("{path}/{rest}");
        let letter = |_| char::from(FILLING[fastrand::usize(..FILLING.len())]);
        Self {
            target,
            jobs: at("jobs"),
            batch: at("jobs/batch"),
            dequeue: at("dequeue"),
            fill: (0..payload_bytes.saturating_sub(MIN_PAYLOAD)).map(letter).collect(),
            path,
            name,
        }
    }

    /// Creates it, empty. One that is there already is left alone.
    pub async fn create(&self) -> Result<(), Failure> {
        let mut connection = Connection::open(self.target).await?;
        match connection.send(self.target.get(&self.path)).await {
            Ok(_) => return Err(Failure::QueueExists(self.name.clone())),
            Err(Failure::Refused { status: StatusCode::NOT_FOUND, .. }) => {}
            Err(failure) => return Err(failure),
        }
        connection.send(self.target.put(&self.path, "{}")).await?;
        Ok(())
    }

    /// Deletes it with all its jobs.
    pub async fn delete(&self) -> Result<(), Failure> {
        Connection::open(self.target).await?.send(self.target.delete(&self.path)).await?;
        Ok(())
    }

    /// One job alone, more as a batch; their payloads differ.
    pub fn enqueue(&self, jobs: u64) -> Request<Full<Bytes>> {
        if jobs == 1 {
            return self.enqueue_stamped(fastrand::u64(..));
        }
        let jobs: Vec<String> = (0..jobs).map(|_| self.job(fastrand::u64(..))).collect();
        self.target.post(&self.batch, format!(r#"{{"jobs":[{}]}}"#, jobs.join(",")))
    }

    /// One job that tells when it was sent.
    pub fn enqueue_stamped(&self, sent_us: u64) -> Request<Full<Bytes>> {
        self.target.post(&self.jobs, self.job(sent_us))
    }

    /// Up to so many jobs that are ready now, and acks of earlier ones.
    pub fn dequeue(&self, limit: u64, acks: &[Lease]) -> Request<Full<Bytes>> {
        let acks: Vec<String> =
            acks.iter().map(|Lease { id, lease, .. }| format!(r#"{{"id":"{id}","lease":"{lease}"}}"#)).collect();
        let body = match acks.as_slice() {
            [] => format!(r#"{{"limit":{limit}}}"#),
            acks => format!(r#"{{"limit":{limit},"ack":[{}]}}"#, acks.join(",")),
        };
        self.target.post(&self.dequeue, body)
    }

    /// A job, as soon as there is one.
    pub fn wait(&self) -> Request<Full<Bytes>> {
        self.target.post(&self.dequeue, format!(r#"{{"wait_ms":{WAIT_MS}}}"#))
    }

    pub fn ack(&self, Lease { id, lease, .. }: &Lease) -> Request<Full<Bytes>> {
        self.target.post(&format!("{}/{id}/ack", self.jobs), format!(r#"{{"lease":"{lease}"}}"#))
    }

    fn job(&self, stamp: u64) -> String {
        format!(r#"{{"payload":{}}}"#, self.payload(stamp))
    }

    /// What a job carries.
    pub fn payload(&self, stamp: u64) -> String {
        format!(r#"{{"sent_us":"{stamp:020}","fill":"{}"}}"#, self.fill)
    }
}

/// A job that was leased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub id: String,
    pub lease: String,
    /// The stamp of its payload.
    pub sent_us: u64,
}

/// The answer to a dequeue. Ids and tokens of the service have no escapes in JSON.
#[derive(Deserialize)]
pub struct Dequeued<'a> {
    #[serde(borrow)]
    pub jobs: Vec<Leased<'a>>,
    #[serde(default)]
    acked: Vec<Acked>,
}

#[derive(Deserialize)]
pub struct Leased<'a> {
    id: &'a str,
    lease: &'a str,
    payload: Stamp<'a>,
}

#[derive(Deserialize)]
struct Stamp<'a> {
    sent_us: &'a str,
}

#[derive(Deserialize)]
struct Acked {
    status: u16,
}

impl<'a> Dequeued<'a> {
    pub fn read(answer: &'a [u8]) -> Result<Self, Failure> {
        serde_json::from_slice(answer).map_err(|_| Failure::refused(StatusCode::OK, answer))
    }

    /// Acks that count.
    pub fn acked(&self) -> usize {
        self.acked.iter().filter(|acked| acked.status == StatusCode::OK.as_u16()).count()
    }

    pub fn leases(&self) -> Vec<Lease> {
        let lease = |job: &Leased<'_>| Lease {
            id: job.id.to_owned(),
            lease: job.lease.to_owned(),
            sent_us: job.payload.sent_us.parse().unwrap_or_default(),
        };
        self.jobs.iter().map(lease).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_payload_is_as_long_as_was_asked() {
        let target = Target::at(([127, 0, 0, 1], 1).into());
        for bytes in [MIN_PAYLOAD, 146, 65_536] {
            let queue = Queue::new(&target, "bench".to_owned(), bytes);
            let job = queue.job(u64::MAX);
            assert_eq!((job.len() - r#"{"payload":}"#.len()) as u64, bytes);
            assert!(serde_json::from_str::<Value>(&job).is_ok_and(|job| job["payload"]["sent_us"].is_string()));
        }
    }

    #[test]
    fn an_answer_gives_leases_with_their_stamps_and_counts_good_acks() {
        let answer =
            br#"{"jobs":[{"id":"a","queue":"q","lease":"1-x","payload":{"sent_us":"00000000000000000042","fill":""}}],
            "acked":[{"id":"b","status":200},{"id":"c","status":409,"problem":{}}]}"#;
        let dequeued = Dequeued::read(answer).expect("an answer");
        assert_eq!(dequeued.leases(), [Lease { id: "a".to_owned(), lease: "1-x".to_owned(), sent_us: 42 }]);
        assert_eq!(dequeued.acked(), 1);
        assert!(Dequeued::read(b"{}").is_err());
    }
}
