//! What this process asks for: each profile once, however many readers want it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::Profile;
use super::store::Source;
use crate::types::Member;

/// Profiles that may be asked for at once; of more than these nothing is known.
const MOST_WANTED: usize = 20_000;

/// Where readers hear of a profile that is asked for. It ends without one where it could not be had.
pub(super) type Flight = watch::Receiver<Option<Profile>>;

/// Where readers ask for profiles.
pub(super) struct Desk {
    flights: Mutex<HashMap<String, Flight>>,
    orders: mpsc::UnboundedSender<Order>,
}

/// Profiles to ask an upstream for in one request.
pub(super) struct Order {
    pub(super) source: Arc<Source>,
    pub(super) parcels: Vec<Parcel>,
    pub(super) made: Instant,
}

/// A profile that is asked for. Dropped, it is asked for no more.
pub(super) struct Parcel {
    pub(super) member: Member,
    key: String,
    told: watch::Sender<Option<Profile>>,
    desk: Arc<Desk>,
}

impl Desk {
    /// A desk, and where its orders come out. There are no more than what is wanted.
    pub(super) fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Order>) {
        let (orders, taken) = mpsc::unbounded_channel();
        (Arc::new(Self { flights: Mutex::default(), orders }), taken)
    }

    /// Sees to it that the profiles of these members are asked for; none for those that are too many.
    pub(super) fn order(self: &Arc<Self>, source: &Arc<Source>, members: &[&Member]) -> Vec<Option<Flight>> {
        let mut parcels = Vec::new();
        let mut flights = self.flights();
        let found = members.iter().map(|member| {
            let key = format!("{} {} {member}", source.board, source.tag);
            if let Some(flight) = flights.get(&key) {
                return Some(flight.clone());
            }
            if flights.len() >= MOST_WANTED {
                return None;
            }
            let (told, flight) = watch::channel(None);
            flights.insert(key.clone(), flight.clone());
            parcels.push(Parcel { member: (*member).clone(), key, told, desk: Arc::clone(self) });
            Some(flight)
        });
        let found = found.collect();
        // Orders that nobody takes any more are dropped, and their parcels with them.
        drop(flights);
        while !parcels.is_empty() {
            let first = source.settings.url.first(&parcels.iter().map(|parcel| &parcel.member).collect::<Vec<_>>());
            let rest = parcels.split_off(first);
            let order = Order { source: Arc::clone(source), parcels, made: Instant::now() };
            drop(self.orders.send(order));
            parcels = rest;
        }
        found
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<String, Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parcel {
    /// Tells all who wait.
    pub(super) fn tell(self, profile: Profile) {
        self.told.send_replace(Some(profile));
    }

    /// Whether anybody waits, beside the desk.
    pub(super) fn is_awaited(&self) -> bool {
        self.told.receiver_count() > 1
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        self.desk.flights().remove(&self.key);
    }
}
