//! What may happen to two queues.

use std::collections::BTreeMap;

use ranq::types::Timestamp;

use super::service::Ms;
use super::wire::{Keys, RateLimit, Settings, State};

/// The longest time that settings may name, so that nothing is removed while a case runs.
pub const TEN_YEARS_MS: Ms = 315_360_000_000;

/// Ids that mean something elsewhere, or sort in other ways than they look.
pub const IDS: [&str; 6] = ["a", "B", "a:1", "{é}", "50% of/it?", " "];
pub const UNIQUE_KEYS: [&str; 2] = ["once", "{u}:1"];
pub const KEYS: [&str; 3] = ["ann", "b:{ann}", "ça"];
pub const WORKERS: [&str; 2] = ["w1", "worker \u{1F980}"];
/// JSON that a reader of numbers and objects would write in another way.
pub const JSONS: [&str; 8] = [
    r#"{"n":1}"#,
    "null",
    "1e400",
    r#"{ "b" : 1, "a":[ ],"b":2 }"#,
    "123456789012345678901234567890",
    r#""\u00e9é\/""#,
    "-0.0",
    "[]",
];

/// Queues and what happens to them.
#[derive(Debug, Clone)]
pub struct Case {
    pub settings: [Settings; 2],
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone)]
pub enum Step {
    /// Other settings; what jobs wait by (`keys`, `rate_limit`) stays.
    Put {
        queue: usize,
        settings: Settings,
    },
    /// Other limits, which are for the jobs that wait as well.
    PutLimits {
        queue: usize,
        rate_limit: Option<RateLimit>,
        keys: Option<Keys>,
    },
    Enqueue {
        queue: usize,
        job: NewJob,
    },
    EnqueueMany {
        queue: usize,
        jobs: Vec<NewJob>,
    },
    Dequeue(Dequeue),
    Ack(Ack),
    Acks {
        queue: usize,
        acks: Vec<Ack>,
    },
    Nack {
        lease: Lease,
        error: Option<usize>,
        then: Then,
    },
    Extend {
        lease: Lease,
        lease_ms: Option<Ms>,
        progress: Option<usize>,
    },
    Retry(Pick),
    Cancel(Pick),
    Redrive {
        from: usize,
        limit: Option<usize>,
        to: Option<usize>,
    },
    Purge {
        queue: usize,
        state: State,
    },
    Pause(usize),
    Resume(usize),
    Move(Move),
    Look {
        page: usize,
    },
}

/// A job to enqueue.
#[derive(Debug, Clone, Default)]
pub struct NewJob {
    pub payload: usize,
    pub id: Option<usize>,
    pub priority: Option<u8>,
    pub start: Start,
    pub max_attempts: Option<u32>,
    pub key: Option<usize>,
    pub unique: Option<Unique>,
    pub expires_in_ms: Option<Ms>,
    pub headers: bool,
}

#[derive(Debug, Clone, Copy, Default)]
pub enum Start {
    #[default]
    AtOnce,
    After(Ms),
    /// So long from now, or before it.
    At(Ms),
}

#[derive(Debug, Clone, Copy)]
pub struct Unique {
    pub key: usize,
    pub until: Option<Until>,
    pub for_ms: Option<Ms>,
    pub replace: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    Done,
    Started,
}

#[derive(Debug, Clone)]
pub struct Dequeue {
    pub from: Sources,
    pub limit: usize,
    pub lease_ms: Option<Ms>,
    pub worker: Option<usize>,
    pub acks: Vec<Ack>,
}

#[derive(Debug, Clone, Copy)]
pub enum Sources {
    One(usize),
    /// First from this one, then from the other.
    Both(usize),
}

#[derive(Debug, Clone)]
pub struct Ack {
    pub lease: Lease,
    pub result: Option<usize>,
}

/// A lease that was given. What is counted is counted from the latest, round and round.
#[derive(Debug, Clone, Copy)]
pub enum Lease {
    /// One that still holds, if there is any.
    Live(usize),
    Any(usize),
    /// The lease of another job.
    Mixed {
        job: usize,
        lease: usize,
    },
    /// Of a job that never was.
    OfNoJob(usize),
}

/// A job that was made.
#[derive(Debug, Clone, Copy)]
pub enum Pick {
    Any(usize),
    In(State, usize),
    None,
}

#[derive(Debug, Clone, Copy)]
pub enum Then {
    Backoff,
    In(Ms),
    Dead,
}

#[derive(Debug, Clone, Copy)]
pub enum Move {
    By(Ms),
    /// To one of the next moments at which something happens by itself, or to a millisecond before.
    To {
        moment: usize,
        just_before: bool,
    },
}

pub fn id(number: usize) -> &'static str {
    IDS[number]
}

pub fn unique_key(number: usize) -> &'static str {
    UNIQUE_KEYS[number]
}

pub fn key(number: usize) -> &'static str {
    KEYS[number]
}

pub fn worker(number: usize) -> &'static str {
    WORKERS[number]
}

pub fn json(number: usize) -> &'static str {
    JSONS[number]
}

pub fn headers() -> BTreeMap<String, String> {
    BTreeMap::from([("trace".to_owned(), "é\n1".to_owned())])
}

/// A moment as it is written.
pub fn written(moment: Ms) -> String {
    Timestamp::from_millis(moment).to_string()
}

/// The second is cut, within a character.
pub fn error(number: usize) -> String {
    match number {
        0 => "it broke\n\"here\"".to_owned(),
        _ => format!("x{}", "é".repeat(2100)),
    }
}
