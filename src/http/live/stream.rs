//! The stream of one subscriber.

use std::convert::Infallible;
use std::sync::Arc;

use actix_web::web::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::time::timeout;

use super::frame::{Frame, event};
use super::{End, Live, State, Subscription, Watched};
use crate::auth::Lasting;
use crate::error::{Error, Result};
use crate::leaderboard::Leaderboards;
use crate::metrics::{Metrics, OpenStream};

/// After how long a client should connect again, in ms.
const RETRY_MS: u64 = 2000;
const HEARTBEAT: Bytes = Bytes::from_static(b": still here\n\n");

/// What a subscriber is sent, for as long as it reads. It takes the next piece when it has room, so whoever reads slowly is
/// shown the newest state and not all between.
///
/// # Errors
///
/// Those of the first look; `TooManyStreams`; `Unauthenticated` where the token has just ended.
pub async fn events(
    live: &Live,
    leaderboards: &Leaderboards,
    watched: Watched,
    last_event_id: Option<&str>,
    lasting: Lasting,
) -> Result<impl Stream<Item = std::result::Result<Bytes, Infallible>> + 'static> {
    let mut subscription = live.join(leaderboards, watched)?;
    let (metrics, heartbeat) = (live.0.metrics.clone(), live.0.heartbeat);
    let first = tokio::select! {
        biased;
        () = lasting.ended() => return Err(Error::Unauthenticated),
        first = subscription.first() => first,
    };
    let frame = match first {
        State::Shown(frame) => frame,
        State::Ended(End::Failed(error)) => return Err(error),
        State::Ended(End::Deleted) => return Err(Error::NoLeaderboard(subscription.leaderboard.clone())),
        State::Unknown | State::Ended(End::Stopping | End::Unauthenticated) => {
            return Err(Error::StoreUnavailable("the service is stopping".to_owned()));
        }
    };
    let mut first = format!("retry: {RETRY_MS}\n\n").into_bytes();
    if last_event_id != Some(frame.id.as_str()) {
        metrics.stream_event("snapshot");
        first.extend_from_slice(&frame.snapshot);
    }
    let open = metrics.stream_opened();
    let reader = Reader { subscription, lasting, shown: frame, heartbeat, metrics, _open: open };
    let rest = stream::unfold(Some(reader), |reader: Option<Reader>| async move {
        let mut reader = reader?;
        let (piece, is_last) = reader.next_piece().await;
        Some((Ok(piece), (!is_last).then_some(reader)))
    });
    Ok(stream::iter([Ok(Bytes::from(first))]).chain(rest))
}

struct Reader {
    subscription: Subscription,
    lasting: Lasting,
    shown: Arc<Frame>,
    heartbeat: std::time::Duration,
    metrics: Metrics,
    _open: OpenStream,
}

impl Reader {
    /// The next piece of the stream, and whether it is the last.
    async fn next_piece(&mut self) -> (Bytes, bool) {
        loop {
            let changed = tokio::select! {
                biased;
                () = self.lasting.ended() => Ok(State::Ended(End::Unauthenticated)),
                changed = timeout(self.heartbeat, self.subscription.change()) => changed,
            };
            match changed {
                Err(_) => return (HEARTBEAT, false),
                Ok(State::Shown(frame)) => {
                    // It may have become what it was before in between.
                    if frame.id != self.shown.id {
                        return (self.show(frame), false);
                    }
                }
                Ok(State::Ended(end)) => return (self.end(&end), true),
                Ok(State::Unknown) => {}
            }
        }
    }

    fn show(&mut self, frame: Arc<Frame>) -> Bytes {
        let overtaken = frame.overtaken_since(&self.shown);
        self.shown = frame;
        self.metrics.stream_event("rankings");
        let Some(overtaken) = overtaken else { return self.shown.rankings.clone() };
        self.metrics.stream_event("overtaken");
        [&self.shown.rankings[..], &overtaken[..]].concat().into()
    }

    fn end(&self, end: &End) -> Bytes {
        self.metrics.stream_event("end");
        let reason = match end {
            End::Deleted => "deleted",
            End::Stopping | End::Failed(_) => "stopping",
            End::Unauthenticated => "unauthenticated",
        };
        event("end", None, &format!("{{\"reason\":\"{reason}\"}}")).into()
    }
}
