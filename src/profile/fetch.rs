//! Fetching what readers want, and what is stale.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::circuit::{Circuits, Leave};
use super::client::{Client, TIMEOUT};
use super::desk::{Order, Parcel};
use super::store::{Begun, ProfileStore, Source, Told};
use super::{PATIENCE, Profile, Reach};
use crate::metrics::Metrics;
use crate::types::Member;

/// Requests of this process under way at once, to all upstreams.
const MOST_AT_ONCE: usize = 16;
/// What nobody came to for so long is not asked for any more.
const ORDER_LASTS: Duration = Duration::from_secs(5);
/// How long other instances wait for one that asks: longer than it takes.
const ASKING_LASTS: Duration = TIMEOUT.saturating_add(Duration::from_secs(1));
/// How often it is looked whether another instance has it.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long it is taken for true at most that there is no profile.
const NONE_LASTS: Duration = Duration::from_secs(60);
/// How long nobody asks for a profile that could not be had.
const FAILURE_LASTS: Duration = Duration::from_secs(5);
/// How much longer or shorter something is fresh, so that what was read together is not stale together.
const JITTER: f64 = 0.1;

/// What fetches profiles for all threads of the process.
pub struct FetchProfiles {
    orders: mpsc::UnboundedReceiver<Order>,
    fetcher: Fetcher,
}

struct Fetcher {
    store: ProfileStore,
    client: Client,
    circuits: Circuits,
    metrics: Metrics,
    /// The name of this process among those that ask.
    me: String,
}

impl FetchProfiles {
    pub(super) fn new(
        orders: mpsc::UnboundedReceiver<Order>,
        store: ProfileStore,
        reach: Reach,
        metrics: Metrics,
    ) -> Self {
        let me = format!("{:016x}", fastrand::u64(..));
        let fetcher = Fetcher { store, client: Client::new(reach), circuits: Circuits::default(), metrics, me };
        Self { orders, fetcher }
    }

    /// Fetches for ever. Dropped, it ends what is under way, and whoever waits is told nothing.
    pub async fn run(self) -> Infallible {
        let Self { mut orders, fetcher } = self;
        let (mut under_way, mut resting) = (FuturesUnordered::new(), FuturesUnordered::new());
        loop {
            let has_room = under_way.len() < MOST_AT_ONCE;
            tokio::select! {
                Some(left) = under_way.next() => resting.extend(Option::map(left, rested)),
                Some(order) = resting.next(), if has_room => under_way.push(fetcher.fetch(order)),
                Some(order) = orders.recv(), if has_room => under_way.push(fetcher.fetch(order)),
                // Nobody is there to order any more.
                else => std::future::pending().await,
            }
        }
    }
}

/// An order after a pause.
async fn rested(order: Order) -> Order {
    sleep(LOOK_EVERY).await;
    order
}

impl Fetcher {
    /// Asks for what nobody else asks for. Gives what somebody still waits for while another instance asks.
    async fn fetch(&self, order: Order) -> Option<Order> {
        let Order { source, parcels, made } = order;
        if made.elapsed() > ORDER_LASTS {
            return None;
        }
        let leave = self.circuits.enter(&source)?;
        // Where Redis is away nothing could be kept.
        let begun = self.store.begin(&source, &members(&parcels), &self.me, ASKING_LASTS).await.ok()?;
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for (parcel, begun) in parcels.into_iter().zip(begun) {
            match begun {
                Begun::Own => own.push(parcel),
                Begun::Busy => others.push(parcel),
                Begun::Failed => {}
                Begun::Known(profile) => parcel.tell(profile),
            }
        }
        if !own.is_empty() {
            self.ask(&source, own, leave).await;
        }
        others.retain(Parcel::is_awaited);
        let goes_on = !others.is_empty() && made.elapsed() < PATIENCE;
        goes_on.then_some(Order { source, parcels: others, made })
    }

    async fn ask(&self, source: &Source, parcels: Vec<Parcel>, leave: Leave<'_>) {
        let members = members(&parcels);
        let answer = match source.settings.url.of(&members) {
            Some(url) => {
                let started = Instant::now();
                let answer = if source.settings.url.takes_several() {
                    self.client.ask_several(url, &members).await
                } else {
                    self.client.ask(url).await.map(|profile| vec![profile])
                };
                self.metrics.profiles_fetched(started.elapsed(), answer.is_ok());
                match &answer {
                    Ok(_) => leave.answered(),
                    Err(failure) => leave.failed(failure),
                }
                answer
            }
            // No URL names it.
            None => Ok(vec![None; members.len()]),
        };
        let told: Vec<Told> = match &answer {
            Ok(profiles) => profiles.iter().map(|profile| told(source, profile)).collect(),
            Err(_) => members.iter().map(|_| Told::Nothing(jittered(FAILURE_LASTS))).collect(),
        };
        if let Err(error) = self.store.keep(source, &members, &self.me, &told).await {
            debug!(leaderboard.name = %source.board, "profiles of `{}` are not kept: {error}", source.board);
        }
        for (parcel, profile) in parcels.into_iter().zip(answer.into_iter().flatten()) {
            parcel.tell(profile);
        }
    }
}

fn members(parcels: &[Parcel]) -> Vec<&Member> {
    parcels.iter().map(|parcel| &parcel.member).collect()
}

fn told<'a>(source: &Source, profile: &'a Profile) -> Told<'a> {
    let ttl = Duration::from_millis(source.settings.ttl_ms);
    let fresh = jittered(if profile.is_some() { ttl } else { ttl.min(NONE_LASTS) });
    Told::Profile(profile, fresh, fresh + Duration::from_millis(source.settings.stale_ms))
}

fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(1.0 + JITTER * (2.0 * fastrand::f64() - 1.0))
}
