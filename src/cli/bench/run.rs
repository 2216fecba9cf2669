//! All measurements of a run, and what is created for them.

use super::board::Board;
use super::client::{Failure, Target};
use super::control::Control;
use super::direct::{Calls, Lines, Store};
use super::figures::Figures;
use super::fill::{fill, stand};
use super::load::{Asked, Load};
use super::measured::Measured;
use super::options::Options;
use super::process::Watched;
use super::queue::Queue;
use super::requests::{Asker, Requests};
use super::subscribers::Subscribers;
use super::waiters::Waiters;
use super::worker::Worker;
use super::workload::{QueueWork, ScoreWork, Shape, ShapedWork, Workload};

/// What is measured, and where.
pub struct Run<'a> {
    target: &'a Target,
    /// What is behind the service, where it is known.
    store: Option<&'a Store>,
    watched: Watched,
    options: &'a Options,
    pub board: Board,
    /// What the names of its queues begin with.
    pub queues: String,
}

/// What came out.
#[derive(Default)]
pub struct Seen {
    pub workloads: Vec<SeenOf>,
    /// Why something that was created for the run is still there.
    pub left_behind: Option<Failure>,
}

/// What came out of one workload.
pub struct SeenOf {
    workload: Workload,
    pub measured: Measured,
    limit: Option<Limit>,
}

/// What came out of the calls behind it, straight to Redis.
pub struct Limit {
    pub pipelined: Measured,
    pub one_by_one: Measured,
}

impl SeenOf {
    /// Compared with the rate of `/health/live`.
    pub fn figures(&self, live_per_s: f64) -> Figures {
        Figures::with_limit(self.workload, &self.measured, live_per_s, self.limit.as_ref())
    }
}

type Both = (Measured, Option<Limit>);

impl<'a> Run<'a> {
    pub fn new(target: &'a Target, store: Option<&'a Store>, watched: Watched, options: &'a Options) -> Self {
        let queues = match &options.queue {
            Some(name) => name.to_string(),
            None => format!("bench-{:08x}", fastrand::u32(..)),
        };
        let board = match &options.leaderboard {
            Some(name) => name.to_string(),
            None => format!("bench-{:08x}", fastrand::u32(..)),
        };
        Self { target, store, watched, options, board: Board::new(board, Shape::default(), options), queues }
    }

    pub fn measure(&self, control: &mut Control) -> Result<Seen, Failure> {
        let mut seen = Seen::default();
        if !self.options.workloads.iter().any(|workload| workload.is_on_board()) {
            return self.measure_all(control, &mut seen).map(|()| seen);
        }
        control.run(self.board.create(self.target))?;
        let filled = control.run(self.fill(&self.board));
        let measured = filled.and_then(|()| self.measure_all(control, &mut seen));
        // Also after a failure or an interruption: what was created for this run goes with it.
        if !self.options.keep {
            seen.left(control.finish(self.board.delete(self.target)));
        }
        measured.map(|()| seen)
    }

    fn measure_all(&self, control: &mut Control, seen: &mut Seen) -> Result<(), Failure> {
        let load = Load::new(self.target, self.watched, self.options);
        for workload in std::iter::once(Workload::Live).chain(self.options.workloads.iter().copied()) {
            let name = workload.name();
            let (measured, limit) = match workload {
                Workload::Live => (load.measure(control, name, &Asked::Service(&Asker::Live(self.target)))?, None),
                Workload::Scores(work) => self.scores(control, &load, name, (&self.board, work))?,
                Workload::Shaped(work) => self.on_shaped(control, seen, (name, work), |control, board| {
                    self.scores(control, &load, name, (board, ScoreWork::Submit))
                })?,
                Workload::Jobs(work) => self.on_queue(control, seen, name, |control, queue| {
                    control.run(stand(queue, self.options.backlog))?;
                    let worker = Worker::new(queue, work);
                    self.both(control, &load, name, (&Asker::Jobs(worker.clone()), Calls::Jobs(worker)))
                })?,
                Workload::Queue(work) => {
                    self.on_queue(control, seen, name, |control, queue| Ok((self.probe(control, queue, work)?, None)))?
                }
                Workload::Sse => {
                    let subscribers = Subscribers::new(self.target, &self.board, self.watched, self.options);
                    (control.run(subscribers.measure())?, None)
                }
            };
            seen.workloads.push(SeenOf { workload, measured, limit });
        }
        Ok(())
    }

    fn scores(
        &self,
        control: &mut Control,
        load: &Load<'_>,
        name: &'static str,
        (board, work): (&Board, ScoreWork),
    ) -> Result<Both, Failure> {
        let requests = Requests::new(self.target, board);
        self.both(control, load, name, (&Asker::on_board(&requests, work), Calls::Scores(board, work)))
    }

    /// Measures requests, and the calls behind them where the store is known.
    fn both(
        &self,
        control: &mut Control,
        load: &Load<'_>,
        name: &'static str,
        (asker, calls): (&Asker<'_>, Calls<'_>),
    ) -> Result<Both, Failure> {
        let measured = load.measure(control, name, &Asked::Service(asker))?;
        let Some(store) = self.store else { return Ok((measured, None)) };
        let mut by = |lines| load.measure(control, name, &Asked::Store(store, calls.clone(), lines));
        let (pipelined, one_by_one) = (by(Lines::Shared)?, by(Lines::OneEach)?);
        Ok((measured, Some(Limit { pipelined, one_by_one })))
    }

    /// Gives every member its first score; before that, looks whether the store is the one behind the service.
    async fn fill(&self, board: &Board) -> Result<(), Failure> {
        if let Some(store) = self.store {
            store.check_board(board).await?;
        }
        board.fill(self.target).await
    }

    /// Measures on a leaderboard of another shape that has the same entries, and deletes it.
    fn on_shaped(
        &self,
        control: &mut Control,
        seen: &mut Seen,
        (name, work): (&str, ShapedWork),
        measure: impl FnOnce(&mut Control, &Board) -> Result<Both, Failure>,
    ) -> Result<Both, Failure> {
        let board = Board::new(format!("{}-{name}", self.board.name), work.shape(), self.options);
        control.run(board.create(self.target))?;
        let measured = control.run(self.fill(&board)).and_then(|()| measure(control, &board));
        if !self.options.keep {
            seen.left(control.finish(board.delete(self.target)));
        }
        measured
    }

    /// Measures on a queue that begins empty, and deletes it: no workload finds what another has left.
    fn on_queue(
        &self,
        control: &mut Control,
        seen: &mut Seen,
        name: &str,
        measure: impl FnOnce(&mut Control, &Queue<'_>) -> Result<Both, Failure>,
    ) -> Result<Both, Failure> {
        let queue = Queue::new(self.target, format!("{}-{name}", self.queues), self.options.payload_bytes);
        control.run(queue.create())?;
        let checked = match self.store {
            Some(store) => control.run(store.check_queue(&queue)),
            None => Ok(()),
        };
        let measured = checked.and_then(|()| measure(control, &queue));
        if !self.options.keep {
            seen.left(control.finish(queue.delete()));
        }
        measured
    }

    fn probe(&self, control: &mut Control, queue: &Queue<'_>, work: QueueWork) -> Result<Measured, Failure> {
        let waiters = || Waiters::new(queue, self.watched, self.options, work);
        match work {
            QueueWork::Wake => control.run(waiters().wake()),
            QueueWork::Idle => control.run(waiters().idle()),
            QueueWork::Fill => control.run(fill(queue, self.watched, self.options.jobs)),
        }
    }
}

impl Seen {
    fn left(&mut self, deleted: Result<(), Failure>) {
        self.left_behind = self.left_behind.take().or(deleted.err());
    }
}
