//! What the service itself calls, straight to its Redis: the limit of all that HTTP can give.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;

use super::board::{Board, id};
use super::client::Failure;
use super::queue::{Lease, Queue};
use super::worker::{Call, Worker};
use super::workload::{SCORES_IN_BATCH, ScoreCall, ScoreWork};
use crate::config::{Certificates, RedisServer};
use crate::db::{Db, Format, Keyspace, Target};
use crate::error::Error;
use crate::leaderboard::{Leaderboards, Start, Submission, View, WantedRanks};
use crate::metrics::Metrics;
use crate::queue::{Ack, Dequeue, NewJob, QueueOrder, Queues, Start as JobStart};
use crate::types::{Clock, JobId, LeaderboardName, LeaseToken, Limit, Member, Payload, QueueName, Score};

/// As long as an answer of the service may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// As over HTTP where a job has none.
const PRIORITY: u8 = 4;
const TOP: u64 = 10;
const RADIUS: u32 = 5;

/// The store of the service. Clones share a connection, and merge calls that wait at the same time, as the requests of one
/// thread of the service do.
#[derive(Clone)]
pub struct Store {
    leaderboards: Leaderboards,
    queues: Queues,
    db: Db,
    keyspace: Keyspace,
}

/// Over which connections calls go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// All of a thread over one.
    Shared,
    /// Each caller over its own, so that each call goes alone.
    OneEach,
}

/// What is called.
#[derive(Clone)]
pub enum Calls<'a> {
    /// What one kind of request on a leaderboard calls.
    Scores(&'a Board, ScoreWork),
    /// Jobs through a queue.
    Jobs(Worker<'a>),
}

/// One of those that call, each in its turn.
pub struct Caller<'a> {
    store: Store,
    calls: Calls<'a>,
}

impl Store {
    /// The Redis behind this URL, one of those that the service takes.
    pub fn open(url: &SecretString, prefix: &str) -> Result<Self, String> {
        let server = RedisServer { url: url.clone(), certificates: Certificates::default() };
        let target = Target::of(&server).map_err(|error| format!("--redis-url: {error}"))?;
        let db = Db::open(target, CALL_TIMEOUT, Metrics::default()).map_err(|error| format!("--redis-url: {error}"))?;
        let keyspace = Keyspace::new(prefix);
        Ok(Self {
            leaderboards: Leaderboards::new(db.clone(), keyspace.clone(), Clock::Server, false),
            queues: Queues::new(db.clone(), keyspace.clone(), Clock::Server, Metrics::default(), false),
            db,
            keyspace,
        })
    }

    /// The same store over a connection of its own.
    pub fn handle(&self) -> Self {
        let db = self.db.handle();
        Self {
            leaderboards: self.leaderboards.on(db.clone()),
            queues: self.queues.on(db.clone()),
            db,
            keyspace: self.keyspace.clone(),
        }
    }

    /// Fails where what is kept there is not what this version writes.
    pub async fn check_format(&self) -> Result<(), Failure> {
        match Format::stored(&self.db.handle(), &self.keyspace).await?.refusal() {
            Some(refusal) => Err(Failure::OtherRedis(refusal)),
            None => Ok(()),
        }
    }

    /// Fails where a leaderboard that the service has just created is not.
    pub async fn check_board(&self, board: &Board) -> Result<(), Failure> {
        match self.handle().leaderboards.get(&board_name(board)?).await {
            Ok(_) => Ok(()),
            Err(Error::NoLeaderboard(_)) => Err(not_there("leaderboard", &board.name)),
            Err(error) => Err(error.into()),
        }
    }

    /// The same of a queue.
    pub async fn check_queue(&self, queue: &Queue<'_>) -> Result<(), Failure> {
        match self.handle().queues.get(&queue_name(queue)?).await {
            Ok(_) => Ok(()),
            Err(Error::NoQueue(_)) => Err(not_there("queue", &queue.name)),
            Err(error) => Err(error.into()),
        }
    }
}

fn not_there(what: &str, name: &str) -> Failure {
    Failure::OtherRedis(format!(
        "{what} `{name}` of the service is not there: is it the service's Redis, and --key-prefix its prefix?"
    ))
}

impl<'a> Caller<'a> {
    pub fn new(store: Store, calls: Calls<'a>) -> Self {
        Self { store, calls }
    }

    /// Makes the next call. Gives the scores or the jobs that are done with it.
    pub async fn call(&mut self) -> Result<u64, Failure> {
        match &mut self.calls {
            Calls::Scores(board, work) => self.store.scores(board, work.call()).await,
            Calls::Jobs(worker) => self.store.jobs(worker).await,
        }
    }
}

impl Store {
    async fn scores(&self, board: &Board, call: ScoreCall) -> Result<u64, Failure> {
        let (name, number) = (board_name(board)?, board.any_member());
        match call {
            ScoreCall::Submit => {
                self.leaderboards.submit(&name, &submission(board, number)?).await?;
            }
            ScoreCall::SubmitBatch => {
                let items = (0..SCORES_IN_BATCH).map(|_| submission(board, board.any_member()));
                let items = items.map(|item| item.map(Ok)).collect::<Result<Vec<_>, _>>()?;
                for standing in self.leaderboards.submit_many(&name, items, WantedRanks::New, None).await? {
                    standing?;
                }
            }
            ScoreCall::Top => {
                let limit = Limit::try_from(TOP).map_err(Failure::NotMade)?;
                self.leaderboards.rankings(&name, &View::default(), &Start::Offset(0), limit).await?;
            }
            ScoreCall::Rank => {
                self.leaderboards.member(&name, &member(number)?, &View::default()).await?;
            }
            ScoreCall::Around => {
                self.leaderboards.around_member(&name, &member(number)?, &View::default(), RADIUS).await?;
            }
        }
        Ok(call.scores())
    }

    async fn jobs(&self, worker: &mut Worker<'_>) -> Result<u64, Failure> {
        let name = queue_name(worker.queue())?;
        match worker.call() {
            Call::Enqueue(1) => {
                self.queues.enqueue(&name, &new_job(worker.queue())?, None).await?;
                Ok(worker.enqueued())
            }
            Call::Enqueue(count) => {
                let jobs = (0..count).map(|_| new_job(worker.queue()).map(Ok)).collect::<Result<Vec<_>, _>>()?;
                for job in self.queues.enqueue_many(&name, &jobs, None).await?.answer {
                    job?;
                }
                Ok(worker.enqueued())
            }
            Call::Dequeue { limit, acks } => {
                let request = Dequeue {
                    queues: vec![name],
                    order: QueueOrder::Strict,
                    limit: u32::try_from(limit).unwrap_or(u32::MAX),
                    wait: Duration::ZERO,
                    lease_ms: None,
                    worker: None,
                    acks: acks.iter().map(ack).collect::<Result<_, _>>()?,
                };
                let mut dequeued = self.queues.dequeue(&request, None).await?.answer;
                dequeued.guard.delivered();
                let leases = dequeued.jobs.into_iter().filter_map(|job| {
                    let lease = job.lease?;
                    Some(Lease { id: job.id.into(), lease: lease.into(), sent_us: 0 })
                });
                let acked = dequeued.acked.iter().filter(|(_, acked)| acked.is_ok()).count();
                worker.leased(leases.collect(), acked)
            }
            Call::Ack(lease) => {
                self.queues.ack(&name, ack(lease)?, None).await?;
                Ok(worker.acked())
            }
        }
    }
}

fn board_name(board: &Board) -> Result<LeaderboardName, Failure> {
    LeaderboardName::try_from(board.name.clone()).map_err(Failure::NotMade)
}

fn queue_name(queue: &Queue<'_>) -> Result<QueueName, Failure> {
    QueueName::try_from(queue.name.clone()).map_err(Failure::NotMade)
}

fn member(number: usize) -> Result<Member, Failure> {
    Member::try_from(id(number)).map_err(Failure::NotMade)
}

/// As [`Board::submission`].
fn submission(board: &Board, number: usize) -> Result<Submission, Failure> {
    Ok(Submission {
        member: member(number)?,
        score: Score::new(board.next_score(number) as f64).unwrap_or_default(),
        subscores: BTreeMap::new(),
        metadata: None,
        segments: board.segments(number).map(|(name, value)| (name.to_owned(), value)).collect(),
        if_period: BTreeMap::new(),
        key: None,
    })
}

fn new_job(queue: &Queue<'_>) -> Result<NewJob, Failure> {
    let payload = Payload::from_stored(queue.payload(fastrand::u64(..)));
    Ok(NewJob {
        id: None,
        payload: payload.ok_or_else(|| Failure::NotMade("a payload is no JSON".to_owned()))?,
        priority: PRIORITY,
        start: JobStart::Now,
        max_attempts: None,
        key: None,
        unique: None,
        expires_in_ms: None,
        headers: None,
    })
}

fn ack(Lease { id, lease, .. }: &Lease) -> Result<Ack, Failure> {
    Ok(Ack {
        id: JobId::try_from(id.clone()).map_err(Failure::NotMade)?,
        lease: LeaseToken::try_from(lease.clone()).map_err(Failure::NotMade)?,
        result: None,
    })
}
