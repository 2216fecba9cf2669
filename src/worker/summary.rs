//! What a worker did.

use std::fmt;

/// What became of the jobs that a worker took. Every job taken is counted in exactly one of the other numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Jobs leased.
    pub taken: u64,
    /// Acknowledged, and the service has said so.
    pub completed: u64,
    /// Given back with an error, time-outs included.
    pub failed: u64,
    /// Cancelled while they ran.
    pub cancelled: u64,
    /// Given back because the worker stopped.
    pub released: u64,
    /// Whose lease ended before the service took what became of them; they are run again.
    pub lost: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { taken, completed, failed, cancelled, released, lost } = self;
        write!(f, "{taken} taken: {completed} completed, {failed} failed, {cancelled} cancelled, ")?;
        write!(f, "{released} released, {lost} lost")
    }
}
