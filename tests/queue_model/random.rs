//! Cases at random.

use proptest::collection::vec;
use proptest::option::{of, weighted};
use proptest::prelude::*;
use proptest::sample::select;

use super::service::Ms;
use super::steps::{
    Ack, Case, Dequeue, IDS, JSONS, KEYS, Lease, Move, NewJob, Pick, Sources, Start, Step, TEN_YEARS_MS, Then,
    UNIQUE_KEYS, Unique, Until, WORKERS,
};
use super::wire::{Backoff, Keys, RateLimit, Settings, State};

/// What kind of case it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Jobs may have keys, but the queues make nothing of them.
    Plain,
    Keyed,
    /// As with keys, and their limits change.
    Changing,
    /// What has finished is removed while the case runs.
    Forgetful,
}

fn rate_limit() -> impl Strategy<Value = RateLimit> {
    (1..4_usize, select(vec![1, 100, 1000])).prop_map(|(limit, per_ms)| RateLimit { limit, per_ms })
}

fn keys() -> impl Strategy<Value = Keys> {
    let max_concurrency = prop_oneof![2 => Just(None), 3 => Just(Some(1)), 2 => (2..4_usize).prop_map(Some)];
    (max_concurrency, weighted(0.25, rate_limit()), any::<bool>())
        .prop_map(|(max_concurrency, rate_limit, fair)| Keys { max_concurrency, rate_limit, fair })
}

fn backoff() -> impl Strategy<Value = Backoff> {
    let base_ms = || select(vec![0, 1, 100, 1000]);
    prop_oneof![
        base_ms().prop_map(|base_ms| Backoff::Fixed { base_ms, jitter: 0.0, max_ms: 1 }),
        (base_ms(), select(vec![0, 150, 3_600_000])).prop_map(|(base_ms, max_ms)| Backoff::Exponential {
            base_ms,
            max_ms,
            jitter: 0.0
        }),
    ]
}

fn settings(kind: Kind) -> impl Strategy<Value = Settings> {
    let keys = keys().prop_map(move |keys| matches!(kind, Kind::Keyed | Kind::Changing).then_some(keys));
    let retention = || {
        (select(vec![1, 1000, 30_000]), weighted(0.5, 1..4_usize)).prop_map(move |(age_ms, count)| match kind {
            Kind::Plain | Kind::Keyed | Kind::Changing => (TEN_YEARS_MS, None),
            Kind::Forgetful => (age_ms, count),
        })
    };
    let limits = (weighted(0.25, 1..4_usize), weighted(0.2, rate_limit()));
    (select(vec![100, 1000, 30_000]), 1..4_u32, backoff(), retention(), retention(), limits, keys).prop_map(
        |(lease_ms, max_attempts, backoff, retention, dead_retention, limits, keys)| Settings {
            lease_ms,
            max_attempts,
            backoff,
            retention_ms: retention.0,
            dead_retention_ms: dead_retention.0,
            retention_count: retention.1,
            dead_retention_count: dead_retention.1,
            max_concurrency: limits.0,
            rate_limit: limits.1,
            keys,
            paused: false,
            push: None,
        },
    )
}

fn unique() -> impl Strategy<Value = Unique> {
    let until = prop_oneof![2 => Just(None), 1 => Just(Some(Until::Done)), 2 => Just(Some(Until::Started))];
    (0..UNIQUE_KEYS.len(), until, weighted(0.4, select(vec![1, 100, 5000])), any::<bool>())
        .prop_map(|(key, until, for_ms, replace)| Unique { key, until, for_ms, replace })
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![
        6 => Just(Start::AtOnce),
        2 => select(vec![0, 1, 100, 100, 1000]).prop_map(Start::After),
        1 => select(vec![-1000, 0, 1, 100, 5000]).prop_map(Start::At),
    ]
}

fn new_job(kind: Kind) -> impl Strategy<Value = NewJob> {
    let often_keyed = if matches!(kind, Kind::Keyed | Kind::Changing) { 0.8 } else { 0.1 };
    let priority = prop_oneof![3 => Just(None), 1 => select(vec![0, 3, 4, 5, 9]).prop_map(Some)];
    let asked = (0..JSONS.len(), weighted(0.3, 0..IDS.len()), priority, start(), weighted(0.3, 1..4_u32));
    let expires_in_ms = weighted(0.15, select(vec![0, 1, 100, 5000]));
    (asked, weighted(often_keyed, 0..KEYS.len()), weighted(0.25, unique()), expires_in_ms, any::<bool>()).prop_map(
        |((payload, id, priority, start, max_attempts), key, unique, expires_in_ms, headers)| NewJob {
            payload,
            id,
            priority,
            start,
            max_attempts,
            key,
            unique,
            expires_in_ms,
            headers,
        },
    )
}

fn lease() -> impl Strategy<Value = Lease> {
    prop_oneof![
        12 => (0..4_usize).prop_map(Lease::Live),
        4 => (0..8_usize).prop_map(Lease::Any),
        1 => (0..8_usize, 0..8_usize).prop_map(|(job, lease)| Lease::Mixed { job, lease }),
        1 => (0..8_usize).prop_map(Lease::OfNoJob),
    ]
}

fn ack() -> impl Strategy<Value = Ack> {
    (lease(), weighted(0.4, 0..JSONS.len())).prop_map(|(lease, result)| Ack { lease, result })
}

fn pick(states: Vec<State>) -> impl Strategy<Value = Pick> {
    prop_oneof![
        8 => (select(states), 0..6_usize).prop_map(|(state, at)| Pick::In(state, at)),
        4 => (0..20_usize).prop_map(Pick::Any),
        1 => Just(Pick::None),
    ]
}

/// Mostly the first.
fn queue() -> impl Strategy<Value = usize> {
    prop_oneof![5 => Just(0_usize), 1 => Just(1)]
}

fn lease_ms() -> impl Strategy<Value = Option<Ms>> {
    weighted(0.5, select(vec![100, 101, 5000, 60_000]))
}

fn dequeue() -> impl Strategy<Value = Dequeue> {
    let from = prop_oneof![6 => queue().prop_map(Sources::One), 1 => (0..2_usize).prop_map(Sources::Both)];
    let limit = prop_oneof![3 => Just(1_usize), 3 => 2..5_usize, 1 => Just(100)];
    let acks = prop_oneof![2 => Just(Vec::new()), 1 => vec(ack(), 0..4)];
    (from, limit, lease_ms(), of(0..WORKERS.len()), acks).prop_map(|(from, limit, lease_ms, worker, acks)| Dequeue {
        from,
        limit,
        lease_ms,
        worker,
        acks,
    })
}

fn nack() -> impl Strategy<Value = Step> {
    let then = prop_oneof![
        4 => Just(Then::Backoff),
        3 => select(vec![0, 1, 100, 1000]).prop_map(Then::In),
        1 => Just(Then::Dead),
    ];
    (lease(), weighted(0.6, prop_oneof![4 => Just(0), 1 => Just(1)]), then)
        .prop_map(|(lease, error, then)| Step::Nack { lease, error, then })
}

fn step(kind: Kind) -> impl Strategy<Value = Step> {
    let moves = prop_oneof![
        2 => select(vec![1, 7, 100, 1000]).prop_map(Move::By),
        3 => (0..5_usize, weighted(0.25, Just(true)))
            .prop_map(|(moment, before)| Move::To { moment, just_before: before.is_some() }),
    ];
    let extend = (lease(), lease_ms(), weighted(0.5, 0..JSONS.len()))
        .prop_map(|(lease, lease_ms, progress)| Step::Extend { lease, lease_ms, progress });
    let purge = (queue(), select(State::ALL.to_vec())).prop_map(|(queue, state)| Step::Purge { queue, state });
    let redrive =
        (queue(), of(1..3_usize), of(0..2_usize)).prop_map(|(from, limit, to)| Step::Redrive { from, limit, to });
    let work = prop_oneof![
        14 => (queue(), new_job(kind)).prop_map(|(queue, job)| Step::Enqueue { queue, job }),
        4 => (queue(), vec(new_job(kind), 0..8)).prop_map(|(queue, jobs)| Step::EnqueueMany { queue, jobs }),
        16 => dequeue().prop_map(Step::Dequeue),
        6 => ack().prop_map(Step::Ack),
        2 => (queue(), vec(ack(), 0..4)).prop_map(|(queue, acks)| Step::Acks { queue, acks }),
        8 => nack(),
        4 => extend,
    ];
    let care = prop_oneof![
        3 => pick(vec![State::Dead, State::Scheduled]).prop_map(Step::Retry),
        3 => pick(State::ALL.to_vec()).prop_map(Step::Cancel),
        2 => redrive,
        2 => purge,
        1 => queue().prop_map(Step::Pause),
        2 => queue().prop_map(Step::Resume),
        1 => (queue(), settings(kind)).prop_map(|(queue, settings)| Step::Put { queue, settings }),
        2 => (queue(), weighted(0.3, rate_limit()), weighted(0.7, keys())).prop_map(move |(queue, rate_limit, keys)| {
            if kind == Kind::Changing { Step::PutLimits { queue, rate_limit, keys } } else { Step::Look { page: 3 } }
        }),
        2 => (1..6_usize).prop_map(|page| Step::Look { page }),
    ];
    prop_oneof![54 => work, 12 => moves.prop_map(Step::Move), 16 => care]
}

pub fn case(kind: Kind, most_steps: usize) -> impl Strategy<Value = Case> {
    ([settings(kind), settings(kind)], vec(step(kind), 1..most_steps))
        .prop_map(|(settings, steps)| Case { settings, steps })
}
