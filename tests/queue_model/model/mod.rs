//! What two queues are, without Redis: jobs in maps, moved by the rules.

mod due;
mod job;
mod order;
mod queue;
mod verbs;

pub use self::queue::{Outcome, Queue};

use super::service::Ms;
use super::steps::{Lease, Move, Pick};
use super::wire::{Settings, State};

/// Why a verb is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    NotFound,
    LeaseLost,
    Conflict,
}

impl Refused {
    /// The status and the slug of the problem.
    pub fn problem(self) -> (u16, &'static str) {
        match self {
            Self::NotFound => (404, "not-found"),
            Self::LeaseLost => (409, "lease-lost"),
            Self::Conflict => (409, "conflict"),
        }
    }
}

/// A lease that was given.
#[derive(Debug, Clone)]
pub struct Given {
    pub queue: usize,
    pub id: String,
    pub token: String,
}

pub struct Model {
    pub queues: [Queue; 2],
    /// All leases that were given, the latest last.
    pub given: Vec<Given>,
    /// Where jobs were made, the latest last.
    pub made: Vec<(usize, String)>,
}

/// The so-manieth from the end, round and round.
fn nth_latest<T>(all: &[T], at: usize) -> Option<&T> {
    let back = at.checked_rem(all.len())?;
    all.iter().rev().nth(back)
}

impl Model {
    pub fn new(names: [String; 2], settings: [Settings; 2], now: Ms) -> Self {
        let mut settings = settings.into_iter();
        let queues = names.map(|name| Queue::new(name, settings.next().expect("two of each"), now));
        Self { queues, given: Vec::new(), made: Vec::new() }
    }

    /// Whether anything has to happen by itself.
    pub fn has_due(&self, now: Ms) -> bool {
        self.queues.iter().any(|queue| queue.has_due(now))
    }

    pub fn is_live(&self, lease: &Given, now: Ms) -> bool {
        self.queues[lease.queue].check_lease(&lease.id, &lease.token, now).is_ok()
    }

    /// `None` where no lease was given as yet.
    pub fn lease(&self, lease: Lease, now: Ms) -> Option<Given> {
        match lease {
            Lease::Live(at) => {
                let live: Vec<&Given> = self.given.iter().filter(|given| self.is_live(given, now)).collect();
                nth_latest(&live, at).copied().or_else(|| nth_latest(&self.given, at)).cloned()
            }
            Lease::Any(at) => nth_latest(&self.given, at).cloned(),
            Lease::Mixed { job, lease } => {
                let (queue, id) = nth_latest(&self.made, job)?.clone();
                let token = nth_latest(&self.given, lease)?.token.clone();
                Some(Given { queue, id, token })
            }
            Lease::OfNoJob(at) => {
                nth_latest(&self.given, at).map(|given| Given { id: "no such job".to_owned(), ..given.clone() })
            }
        }
    }

    /// Where a job is, or was.
    pub fn pick(&self, pick: Pick) -> (usize, String) {
        let found = match pick {
            Pick::Any(at) => nth_latest(&self.made, at).cloned(),
            Pick::In(state, at) => {
                let is_in = |(queue, id): &&(usize, String)| {
                    self.queues[*queue].jobs.get(id).is_some_and(|job| job.state == state)
                };
                let all: Vec<_> = self.made.iter().filter(is_in).collect();
                nth_latest(&all, at).copied().cloned()
            }
            Pick::None => None,
        };
        found.unwrap_or_else(|| (0, "no such job".to_owned()))
    }

    /// Where a move goes to.
    pub fn destination(&self, to: Move, now: Ms) -> Ms {
        let (moment, just_before) = match to {
            Move::By(ms) => return now + ms,
            Move::To { moment, just_before } => (moment, just_before),
        };
        let mut moments: Vec<Ms> = self.queues.iter().flat_map(|queue| queue.moments(now)).collect();
        moments.sort_unstable();
        moments.dedup();
        let chosen = moment.checked_rem(moments.len()).map_or(now + 1, |at| moments[at]);
        if just_before { now.max(chosen - 1) } else { chosen }
    }

    /// Moves dead jobs to wait again, at most so many, in their queue or in another; gives how many.
    pub fn redrive(&mut self, from: usize, to: usize, limit: Option<usize>, now: Ms) -> usize {
        let mut moved = 0;
        for id in self.queues[from].ids(State::Dead) {
            if limit == Some(moved) {
                break;
            }
            if from == to {
                moved += usize::from(self.queues[from].retry(&id, now).is_ok());
            } else if self.queues[to].has_room_for(&self.queues[from].jobs[&id], now) {
                let job = self.queues[from].take_out(&id, now);
                self.queues[to].take_in(job, now);
                self.made.push((to, id));
                moved += 1;
            }
        }
        moved
    }
}
