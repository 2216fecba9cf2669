//! Levels in Redis: the only place of their keys.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::bucket::{Bucket, Levels};
use super::merge::Group;
use crate::db::{Db, Effect, Keyspace, Reply, Script};
use crate::error::{Error, Result};
use crate::types::Clock;

/// All levels share a tag, so that what is taken from several buckets is one step in a Cluster, too.
const TAG_KIND: &str = "limits";
const TAG_NAME: &str = "api";

/// Runs on a full server, too: whoever frees memory there must be let in.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new("take", Effect::Pass, &[include_str!("lua/_clock.lua"), include_str!("lua/take.lua")])
});

#[derive(Clone)]
pub(super) struct LimitStore {
    db: Db,
    keyspace: Keyspace,
    clock: Clock,
}

/// What became of a group.
pub(super) struct Counted {
    /// How many of its requests fit.
    fit: usize,
    levels: Levels,
}

impl Counted {
    /// What the request at this place of its group is answered.
    pub(super) fn levels(&self, place: usize) -> Levels {
        Levels { counted: place < self.fit, ..self.levels.clone() }
    }
}

impl LimitStore {
    pub(super) fn new(db: Db, keyspace: Keyspace, clock: Clock) -> Self {
        Self { db, keyspace, clock }
    }

    /// The same store through another connection.
    pub(super) fn on(&self, db: Db) -> Self {
        Self { db, ..self.clone() }
    }

    fn key(&self, bucket: &Bucket) -> String {
        self.keyspace.tagged(TAG_KIND, TAG_NAME, &bucket.name)
    }

    /// Counts the requests of some groups, in their order.
    pub(super) async fn take(&self, groups: &[Group]) -> Result<Vec<Counted>> {
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut distinct: Vec<&Bucket> = Vec::new();
        for bucket in groups.iter().flat_map(|group| group.buckets.iter()) {
            places.entry(&bucket.name).or_insert_with(|| {
                distinct.push(bucket);
                distinct.len()
            });
        }
        let keys: Vec<String> = distinct.iter().map(|bucket| self.key(bucket)).collect();
        let mut call = TAKE.keys(&keys).arg(self.clock.to_argument());
        for bucket in &distinct {
            call = call.arg(bucket.gauge.drain.to_string()).arg(bucket.gauge.capacity.to_string());
        }
        for group in groups {
            call = call.number(group.count() as u64).number(group.buckets.len() as u64);
            for bucket in group.buckets.iter() {
                let ticks = bucket.gauge.request * group.cost as f64;
                call = call.number(places[bucket.name.as_str()] as u64).arg(ticks.to_string());
            }
        }
        let mut reply = Reply::of(call.run(&self.db).await.map_err(uncounted)?)?;
        let fit: Vec<u64> = groups.iter().map(|_| reply.count()).collect::<Result<_>>()?;
        let levels: Vec<f64> = distinct.iter().map(|_| level(&reply.text()?)).collect::<Result<_>>()?;
        let of_group = |group: &Group| {
            let levels = group.buckets.iter().map(|bucket| levels[places[bucket.name.as_str()] - 1]).collect();
            Levels { counted: false, levels }
        };
        let fit = fit.into_iter().map(|fit| usize::try_from(fit).unwrap_or(usize::MAX));
        Ok(groups.iter().zip(fit).map(|(group, fit)| Counted { fit, levels: of_group(group) }).collect())
    }
}

fn level(text: &str) -> Result<f64> {
    text.parse().map_err(|_| Error::Internal("the level of a limit cannot be read".to_owned()))
}

/// Where the answer was lost, requests may have been counted, and none of them is served.
fn uncounted(error: Error) -> Error {
    match error {
        Error::OutcomeUnknown(detail) => Error::StoreUnavailable(detail),
        other => other,
    }
}
