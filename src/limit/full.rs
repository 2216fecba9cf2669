//! Buckets that are known to be full: a flood beyond a limit costs Redis nothing.
//!
//! A level that was seen can only have grown since, but for what drains by the clock. So what does not fit above what is left of
//! it does not fit at all, whatever other instances did: to refuse it here is exact.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::bucket::{Bucket, Levels, Quota, Refusal, Taken};
use crate::types::Clock;

/// Full buckets that are known at once; those beyond are asked about.
const MOST_KNOWN: usize = 10_000;
/// By how much sooner than it seems a bucket is asked about again, in µs: the clocks of this process and of Redis may run
/// apart a little.
const MARGIN_US: u64 = 5000;

/// The full buckets that this process knows. Clones share them.
#[derive(Clone)]
pub(super) struct FullBuckets {
    by_name: Arc<Mutex<HashMap<String, Full>>>,
    /// How many there are, so that nothing is looked up while there is none.
    count: Arc<AtomicUsize>,
    clock: Clock,
}

/// A time, by two clocks: one that never goes back, and the one that limits go by.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    instant: Instant,
    clock_us: i64,
}

struct Full {
    level: f64,
    /// When that was, by the clock as this process knows it, in µs.
    at_us: i64,
    /// From when on it is asked about, however the clock was set meanwhile.
    until: Instant,
}

impl FullBuckets {
    pub(super) fn new(clock: Clock) -> Self {
        Self { by_name: Arc::default(), count: Arc::default(), clock }
    }

    /// The time of a look that begins.
    pub(super) fn now(&self) -> Moment {
        Moment { instant: Instant::now(), clock_us: self.clock.estimate_us() }
    }

    /// Notes the buckets that have no room for a single request. What is known is true for no time before `asked`, when Redis
    /// was asked, so it is taken for true from then on.
    pub(super) fn note(&self, buckets: &[Bucket], levels: &Levels, asked: Moment) {
        let Moment { instant: now, clock_us: at_us } = asked;
        let mut known = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN {
            known.retain(|_, full| full.until > now);
        }
        for (bucket, level) in buckets.iter().zip(&levels.levels) {
            let wait_us = bucket.gauge.wait_us(*level, 1).saturating_sub(MARGIN_US);
            if wait_us > 0 && known.len() < MOST_KNOWN {
                let until = now + Duration::from_micros(wait_us);
                known.insert(bucket.name.clone(), Full { level: *level, at_us, until });
            }
        }
        self.count.store(known.len(), Ordering::Relaxed);
    }

    /// The refusal of a request by a bucket that is surely full; `None` where Redis must be asked.
    pub(super) fn refuse(&self, buckets: &[Bucket], cost: u64) -> Option<Taken> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let Moment { instant: now, clock_us: now_us } = self.now();
        let mut known = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let mut full: Vec<(&Bucket, f64)> = Vec::new();
        for bucket in buckets {
            let Some(seen) = known.get(&bucket.name) else { continue };
            let level = bucket.gauge.drained(seen.level, now_us - seen.at_us);
            if now < seen.until && bucket.gauge.wait_us(level, 1) > MARGIN_US {
                full.push((bucket, level));
            } else {
                known.remove(&bucket.name);
            }
        }
        self.count.store(known.len(), Ordering::Relaxed);
        drop(known);
        let refused = Refusal::by(full.iter().copied(), cost)?;
        // Of the other buckets nothing is known here.
        let quotas = full.into_iter().map(|(bucket, level)| Quota::of(bucket, level)).collect();
        Some(Taken { quotas, refused: Some(refused) })
    }
}
