//! Profiles: what is shown of members, from an upstream of their leaderboard. What it told lately is kept in Redis.

mod address;
mod circuit;
mod client;
mod desk;
mod fetch;
mod store;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

pub use self::address::Reach;
pub use self::fetch::FetchProfiles;

use self::desk::{Desk, Flight};
use self::store::{Known, ProfileStore, Source};
use crate::db::{Db, Keyspace};
use crate::error::{Error, Result};
use crate::leaderboard::ProfileSettings;
use crate::metrics::Metrics;
use crate::types::{Clock, LeaderboardName, Member, Raw};

/// How long a read waits for profiles in all, whatever stands in their way.
const PATIENCE: Duration = Duration::from_millis(500);

/// What an upstream says of a member: an object, or that there is none.
type Profile = Option<Raw>;

/// The profiles of members. Clones share what is asked for.
#[derive(Clone)]
pub struct Profiles {
    store: ProfileStore,
    desk: Arc<Desk>,
    reach: Reach,
    metrics: Metrics,
}

impl Profiles {
    /// The profiles that are kept in `db`, and what fetches them from upstreams within `reach`.
    pub fn new(db: &Db, keyspace: &Keyspace, clock: &Clock, reach: Reach, metrics: &Metrics) -> (Self, FetchProfiles) {
        let store = || ProfileStore::new(db.handle(), keyspace.clone(), clock.clone());
        let (desk, orders) = Desk::new();
        let fetch = FetchProfiles::new(orders, store(), reach, metrics.clone());
        (Self { store: store(), desk, reach, metrics: metrics.clone() }, fetch)
    }

    /// The same profiles through another connection.
    #[must_use]
    pub fn on(&self, db: Db) -> Self {
        Self { store: self.store.on(db), ..self.clone() }
    }

    /// Refuses an upstream that says itself that it is out of reach. Where a name leads is seen each time that it is asked.
    ///
    /// # Errors
    ///
    /// `Invalid`.
    pub fn check(&self, settings: &ProfileSettings) -> Result<()> {
        let place = settings.url.place();
        if place.is_some_and(|url| self.reach.allows_url(&url) && self.reach.allows_name(&url)) {
            return Ok(());
        }
        let detail = "must lead to a public address: the service's setting `profiles_allow_private` is false";
        Err(Error::invalid("/profiles/url", detail))
    }

    /// The profiles of these members, as far as they are known within half a second. Nothing that goes wrong is an error.
    pub async fn of(&self, board: LeaderboardName, settings: ProfileSettings, members: &[Member]) -> Vec<Option<Raw>> {
        let until = Instant::now() + PATIENCE;
        let source = Arc::new(Source::new(board, settings));
        let looked = timeout_at(until, self.store.known(&source, members)).await;
        let Ok(Ok(known)) = looked else {
            self.metrics.profile_reads("failed", members.len() as u64);
            return vec![None; members.len()];
        };
        let is_wanted = |(member, known)| (!matches!(known, &Known::Fresh(_))).then_some(member);
        let wanted: Vec<&Member> = members.iter().zip(&known).filter_map(is_wanted).collect();
        let mut flights = self.desk.order(&source, &wanted).into_iter();
        let mut profiles = Vec::with_capacity(members.len());
        for known in known {
            let (result, profile) = match known {
                Known::Fresh(profile) => ("hit", Some(profile)),
                Known::Stale(profile) => {
                    // It is fetched for the next reader.
                    flights.next();
                    ("stale", Some(profile))
                }
                Known::Nothing => ("miss", told(flights.next().flatten(), until).await),
            };
            let (result, profile) = match profile {
                Some(Some(profile)) => (result, Some(profile)),
                Some(None) => ("none", None),
                None => ("failed", None),
            };
            self.metrics.profile_reads(result, 1);
            profiles.push(profile);
        }
        profiles
    }
}

/// What is told until then.
async fn told(flight: Option<Flight>, until: Instant) -> Option<Profile> {
    let mut flight = flight?;
    // Without a sender it could not be had.
    let told = timeout_at(until, flight.wait_for(Option::is_some)).await.ok()?.ok()?;
    told.clone()
}
