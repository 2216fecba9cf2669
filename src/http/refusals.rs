//! Requests that were refused, in the log: one line a second at most, so that a flood of them fills no disk.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::{HttpMessage as _, HttpRequest};
use tracing::warn;

use super::observe::RequestId;
use super::peer;
use crate::error::{Error, ErrorCode};

const PAUSE: Duration = Duration::from_secs(1);

/// When the last line was written, and how many were refused since. Clones share it.
#[derive(Clone, Default)]
pub struct Refusals(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    at: Option<Instant>,
    untold: u64,
}

impl Refusals {
    /// Tells of a request that had not the token, or not the right one.
    pub fn tell(&self, cause: &Error, request: &HttpRequest) {
        if !matches!(cause.code(), ErrorCode::Unauthenticated | ErrorCode::Forbidden) {
            return;
        }
        let Some(untold) = self.next(Instant::now()) else { return };
        let extensions = request.extensions();
        let id = extensions.get::<RequestId>().and_then(|id| id.0.to_str().ok()).unwrap_or_default();
        let route = request.match_pattern().unwrap_or_default();
        let peer = peer::address_of(request).map_or(String::new(), |address| address.to_string());
        let method = request.method().as_str();
        warn!(request.id = %id, http.method = method, http.route = %route, peer = %peer, untold,
            "refused {method} {route} from {peer}: {cause} (and {untold} more since the last such line)");
    }

    /// How many were refused since the last line, where it is time for another one.
    fn next(&self, now: Instant) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.at.is_some_and(|at| now.duration_since(at) < PAUSE) {
            told.untold += 1;
            return None;
        }
        told.at = Some(now);
        Some(std::mem::take(&mut told.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_a_second() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        assert_eq!(refusals.next(start), Some(0));
        let flood = (0..1000).filter_map(|_| refusals.next(start + Duration::from_millis(999)));
        assert_eq!(flood.count(), 0);
        assert_eq!(refusals.clone().next(start + PAUSE), Some(1000));
        assert_eq!(refusals.next(start + PAUSE * 2), Some(0));
    }
}
