//! All measurements of a run, and what is created for them.

use super::board::Board;
use super::client::{Failure, Target};
use super::control::Control;
use super::fill::fill;
use super::load::Load;
use super::measured::Measured;
use super::options::Options;
use super::process::Watched;
use super::queue::Queue;
use super::requests::{Asker, Requests};
use super::waiters::Waiters;
use super::worker::Worker;
use super::workload::{QueueWork, ScoreWork, Shape, ShapedWork, Workload};

/// What is measured, and where.
pub struct Run<'a> {
    target: &'a Target,
    watched: Watched,
    options: &'a Options,
    pub board: Board,
    /// What the names of its queues begin with.
    pub queues: String,
}

/// What came out.
#[derive(Default)]
pub struct Seen {
    pub workloads: Vec<(Workload, Measured)>,
    /// Why something that was created for the run is still there.
    pub left_behind: Option<Failure>,
}

impl<'a> Run<'a> {
    pub fn new(target: &'a Target, watched: Watched, options: &'a Options) -> Self {
        let queues = match &options.queue {
            Some(name) => name.to_string(),
            None => format!("bench-{:08x}", fastrand::u32(..)),
        };
        let board = match &options.leaderboard {
            Some(name) => name.to_string(),
            None => format!("bench-{:08x}", fastrand::u32(..)),
        };
        Self { target, watched, options, board: Board::new(board, Shape::default(), options), queues }
    }

    pub fn measure(&self, control: &mut Control) -> Result<Seen, Failure> {
        let mut seen = Seen::default();
        if !self.options.workloads.iter().any(|workload| workload.is_on_board()) {
            return self.measure_all(control, &mut seen).map(|()| seen);
        }
        control.run(self.board.create(self.target))?;
        let filled = control.run(self.board.fill(self.target));
        let measured = filled.and_then(|()| self.measure_all(control, &mut seen));
        // Also after a failure or an interruption: what was created for this run goes with it.
        if !self.options.keep {
            seen.left(control.finish(self.board.delete(self.target)));
        }
        measured.map(|()| seen)
    }

    fn measure_all(&self, control: &mut Control, seen: &mut Seen) -> Result<(), Failure> {
        let load = Load::new(self.target, self.watched, self.options);
        let requests = Requests::new(self.target, &self.board);
        for workload in std::iter::once(Workload::Live).chain(self.options.workloads.iter().copied()) {
            let name = workload.name();
            let measured = match workload {
                Workload::Live => load.measure(control, name, &Asker::Live(self.target)),
                Workload::Scores(work) => load.measure(control, name, &Asker::Scores(&requests, work)),
                Workload::Shaped(work) => self.on_shaped(control, seen, (name, work), |control, board| {
                    let requests = Requests::new(self.target, board);
                    load.measure(control, name, &Asker::Scores(&requests, ScoreWork::Submit))
                }),
                Workload::Jobs(work) => self.on_queue(control, seen, name, |control, queue| {
                    load.measure(control, name, &Asker::Jobs(Worker::new(queue, work)))
                }),
                Workload::Queue(work) => {
                    self.on_queue(control, seen, name, |control, queue| self.probe(control, queue, work))
                }
            };
            seen.workloads.push((workload, measured?));
        }
        Ok(())
    }

    /// Measures on a leaderboard of another shape that has the same entries, and deletes it.
    fn on_shaped(
        &self,
        control: &mut Control,
        seen: &mut Seen,
        (name, work): (&str, ShapedWork),
        measure: impl FnOnce(&mut Control, &Board) -> Result<Measured, Failure>,
    ) -> Result<Measured, Failure> {
        let board = Board::new(format!("{}-{name}", self.board.name), work.shape(), self.options);
        control.run(board.create(self.target))?;
        let measured = control.run(board.fill(self.target)).and_then(|()| measure(control, &board));
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
        measure: impl FnOnce(&mut Control, &Queue<'_>) -> Result<Measured, Failure>,
    ) -> Result<Measured, Failure> {
        let queue = Queue::new(self.target, format!("{}-{name}", self.queues), self.options.payload_bytes);
        control.run(queue.create())?;
        let measured = measure(control, &queue);
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
