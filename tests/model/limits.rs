//! Limits against the generic cell rate algorithm as the recommendation has it (ITU-T I.371, virtual scheduling), in whole numbers,
//! with two instances that take turns and a clock that is moved.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use proptest::collection::vec;
use proptest::prelude::*;
use ranq::db::Keyspace;
use ranq::limit::{Bucket, Limiter, Policy};
use ranq::types::{Clock, RateLimit};

use crate::runtime;
use crate::server::{PREFIX, Server, new_name};

/// Theoretical arrival times by bucket, in parts of a µs: as many as the bucket's limit.
#[derive(Default)]
struct Model(HashMap<usize, i128>);

/// What of a bucket is left: how many requests, and after how many ms without any it is empty.
type Left = (u64, u64);

impl Model {
    /// Takes a request from all buckets or none: what is left of each, and for how many ms it must wait, if it does not fit.
    fn take(&mut self, buckets: &[(usize, RateLimit)], cost: u64, now_us: i64) -> (Vec<Left>, Option<u64>) {
        let late = |arrival: i128, rate: &RateLimit| {
            let (limit, per_us) = (i128::from(rate.limit), i128::from(rate.per_ms) * 1000);
            let now = i128::from(now_us) * limit;
            (arrival.max(now) - now, limit, per_us)
        };
        let arrival_of = |model: &Self, number: usize| model.0.get(&number).copied().unwrap_or_default();
        let over = buckets.iter().filter_map(|(number, rate)| {
            let (late, limit, per_us) = late(arrival_of(self, *number), rate);
            let over = late + i128::from(cost) * per_us - per_us * limit;
            (over > 0).then(|| rounded_up(over, limit))
        });
        let wait_us = over.max();
        if wait_us.is_none() {
            for (number, rate) in buckets {
                let (limit, per_us) = (i128::from(rate.limit), i128::from(rate.per_ms) * 1000);
                let base = arrival_of(self, *number).max(i128::from(now_us) * limit);
                self.0.insert(*number, base + i128::from(cost) * per_us);
            }
        }
        let left = buckets.iter().map(|(number, rate)| {
            let (late, limit, per_us) = late(arrival_of(self, *number), rate);
            let room = (per_us * limit - late) / per_us;
            (room as u64, rounded_up(rounded_up(late, limit), 1000) as u64)
        });
        (left.collect(), wait_us.map(|wait| (rounded_up(wait, 1000) as u64).max(1)))
    }
}

fn rounded_up(number: i128, by: i128) -> i128 {
    (number + by - 1).div_euclid(by)
}

#[derive(Debug, Clone)]
struct Step {
    instance: usize,
    buckets: Vec<usize>,
    cost: u64,
    then_ms: u64,
}

fn rate() -> impl Strategy<Value = RateLimit> {
    let odd = (1..50_u64, 1..5000_u64);
    let large = (1..1_000_000_u64, 1..3_600_000_u64);
    prop_oneof![4 => odd, 1 => large].prop_map(|(limit, per_ms)| RateLimit { limit, per_ms })
}

fn step() -> impl Strategy<Value = Step> {
    let buckets = prop_oneof![Just(vec![0]), Just(vec![1]), Just(vec![0, 1]), Just(vec![1, 2]), Just(vec![2])];
    let cost = prop_oneof![5 => Just(1_u64), 2 => 1..8_u64, 1 => 1..60_u64];
    let then_ms = prop_oneof![3 => Just(0_u64), 3 => 0..50_u64, 1 => 0..10_000_u64];
    (0..2_usize, buckets, cost, then_ms).prop_map(|(instance, buckets, cost, then_ms)| Step {
        instance,
        buckets,
        cost,
        then_ms,
    })
}

#[test]
fn limits_do_what_their_model_does() {
    let server = Server::shared();
    let runtime = runtime();
    let clock = Clock::fixed(1_795_412_400_000);
    let limiter = |number: usize| (number, Limiter::new(server.db(), Keyspace::new(PREFIX), clock.clone()));
    let limiters: HashMap<usize, Limiter> = runtime.block_on(async { (0..2).map(limiter).collect() });
    let strategy = (vec(rate(), 3), vec(step(), 1..80));
    let config = ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() };
    let property = |(rates, steps): (Vec<RateLimit>, Vec<Step>)| {
        let whose = new_name();
        let bucket = |number: usize| {
            let policy = [Policy::Token, Policy::Player, Policy::Peer][number];
            Bucket::new(policy, format_args!("{whose}-{number}"), rates[number])
        };
        let mut model = Model::default();
        runtime.block_on(async {
            for step in steps {
                let buckets: Arc<[Bucket]> = step.buckets.iter().map(|number| bucket(*number)).collect();
                let taken = limiters[&step.instance].take(&buckets, step.cost).await;
                let taken = taken.map_err(|error| TestCaseError::fail(error.to_string()))?;
                let known: Vec<(usize, RateLimit)> =
                    step.buckets.iter().map(|number| (*number, rates[*number])).collect();
                let (left, wait_ms) = model.take(&known, step.cost, clock.estimate_us());
                let told_ms = taken.refused.map(|refused| refused.retry_after_ms);
                prop_assert_eq!(told_ms.is_some(), wait_ms.is_some(), "{:?}", step);
                // Where an instance refuses by itself, it knows of the buckets that it names alone.
                let knows_all = taken.quotas.len() == buckets.len();
                prop_assert!(if knows_all { told_ms == wait_ms } else { told_ms <= wait_ms }, "{:?} {:?}", step, taken);
                for quota in taken.quotas {
                    let place = buckets.iter().position(|bucket| bucket.policy() == quota.policy).expect("a bucket");
                    prop_assert_eq!((quota.remaining, quota.reset_ms), left[place], "{:?} {:?}", step, quota);
                }
                clock.advance(Duration::from_millis(step.then_ms));
            }
            Ok(())
        })
    };
    let mut runner = proptest::test_runner::TestRunner::new(proptest::test_runner::contextualize_config(config));
    if let Err(failed) = runner.run(&strategy, property) {
        println!("{failed}");
        unreachable!("limits differ from their model");
    }
}

#[test]
fn two_instances_at_once_let_in_as_many_as_the_limit_says() {
    let server = Server::shared();
    runtime().block_on(async {
        let clock = Clock::fixed(1_795_412_400_000);
        let limiter = || Limiter::new(server.db(), Keyspace::new(PREFIX), clock.clone());
        let (one, other) = (limiter(), limiter());
        let rate = RateLimit { limit: 100, per_ms: 10_000 };
        let bucket = |policy, name: &str| Bucket::new(policy, format_args!("{}-{name}", new_name()), rate);
        let shared = bucket(Policy::Player, "shared");
        let own: Vec<Arc<[Bucket]>> =
            (0..4).map(|number| Arc::from([bucket(Policy::Token, &number.to_string()), shared.clone()])).collect();
        let counts = async |times: usize| {
            let takes = (0..times).map(|number| {
                let limiter = if number % 2 == 0 { &one } else { &other };
                limiter.take(&own[number % own.len()], 1)
            });
            let taken = join_all(takes).await.into_iter().map(|taken| taken.expect("Redis answers"));
            taken.filter(|taken| taken.refused.is_none()).count()
        };
        assert_eq!(counts(400).await, 100);
        clock.advance(Duration::from_millis(250));
        assert_eq!(counts(400).await, 2, "one is free again each 100 ms");
        clock.advance(Duration::from_millis(50));
        assert_eq!(counts(400).await, 1);
        clock.advance(Duration::from_secs(10));
        assert_eq!(counts(400).await, 100);
    });
}
