//! Following a ranking live.

use actix_web::http::header;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, get};
use serde::Deserialize;
use utoipa::IntoParams;

use super::access::{self, Allowed, LeaderboardsRead};
use super::live::{self, Live, Subject, Watched};
use super::observe::HeadOnly;
use super::problem::Problem;
use super::query::{OfLeaderboard, Query};
use crate::error::{Error, Result};
use crate::leaderboard::{Leaderboards, Ranking, View};
use crate::types::{LeaderboardName, Limit, Member, Radius, WindowName};

const LAST_EVENT_ID: &str = "Last-Event-ID";

/// What to follow.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsParameters {
    /// How many entries of the top to show; not together with `member`.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 50, nullable = false)]
    limit: Option<Limit>,
    /// The member whose surroundings to show, in place of the top.
    #[param(value_type = Option<String>, min_length = 1, max_length = 128, nullable = false)]
    member: Option<Member>,
    /// How many entries to show on each side of the member.
    #[param(value_type = Option<u32>, minimum = 0, maximum = 100, default = 5, nullable = false)]
    radius: Option<Radius>,
    /// The window; the leaderboard's first one by default. Its open period is shown.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", nullable = false)]
    window: Option<WindowName>,
    /// A segment's value as `dimension:value`; the whole by default.
    #[param(nullable = false)]
    segment: Option<String>,
    /// How equal rows share ranks: 1234, 1224 or 1223.
    #[serde(default)]
    #[param(inline)]
    ranking: Ranking,
}

impl EventsParameters {
    fn watched(self, leaderboard: LeaderboardName) -> Result<Watched> {
        let Self { limit, member, radius, window, segment, ranking } = self;
        let subject = match (member, limit, radius) {
            (Some(_), Some(_), _) => return Err(Error::invalid("limit", "does not go together with `member`")),
            (None, _, Some(_)) => return Err(Error::invalid("radius", "goes together with `member` alone")),
            (Some(member), None, radius) => Subject::Around(member, radius.unwrap_or_default()),
            (None, limit, None) => Subject::Top(limit.unwrap_or_default()),
        };
        Ok(Watched { leaderboard, view: View { window, segment, ranking, ..View::default() }, subject })
    }
}

/// Follows a ranking live, as server-sent events.
///
/// The first event is a `snapshot` with the body of `GET …/rankings`, and each change brings `rankings` with the new one, at most
/// four a second: who reads slowly is shown the newest state, not each between. With `member` the body is that of `GET
/// …/around`, without entries while the member has none, and `overtaken` tells that others have passed it (`member`,
/// `rank`, `previous_rank`, and `by`: entries that passed, as far as they are among the ten above it). A reset goes on with the
/// new period. The last event is `end`, with the `reason` `deleted` (the leaderboard, or what was watched of it), `stopping`
/// (the instance: connect again) or `unauthenticated` (the token was revoked or has ended). A comment now and then shows that the
/// stream stands.
///
/// Each `id` names the content, on every instance: who comes back with it as `Last-Event-ID` gets a snapshot only
/// if something has changed.
#[utoipa::path(
    tag = "rankings",
    security(("token" = ["leaderboards:read"])),
    params(
        OfLeaderboard,
        EventsParameters,
        ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event that was read.", nullable = false),
    ),
    responses((status = 200, description = "The events, until the client hangs up.", content((
        String = "text/event-stream",
        example = "retry: 2000\n\nid: 1mEhQp1Ul2sHGy2n\nevent: snapshot\ndata: {\"leaderboard\":\"race\",\"window\":\"all_time\",\"period\":\"open\",\"total\":1,\"entries\":[{\"rank\":1,\"member\":\"alice\",\"score\":1500,\"achieved_at\":\"2026-11-23T05:40:00.123Z\"}]}\n\n"
    )))),
)]
#[get("/v1/leaderboards/{leaderboard}/events")]
pub async fn watch_rankings(
    leaderboards: Allowed<LeaderboardsRead, Leaderboards>,
    request: HttpRequest,
    at: OfLeaderboard,
    parameters: Query<EventsParameters>,
    live: Data<Live>,
) -> std::result::Result<HttpResponse, Problem> {
    let watched = parameters.0.watched(at.leaderboard)?;
    let last_event_id = request.headers().get(LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    let events = live::events(&live, &leaderboards, watched, last_event_id, access::lasting(&request)?).await?;
    let mut response = HttpResponse::Ok();
    response
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Proxies (nginx) would gather the events otherwise.
        .insert_header(("X-Accel-Buffering", "no"));
    if request.extensions().contains::<HeadOnly>() {
        return Ok(response.body(Bytes::new()));
    }
    Ok(response.streaming(events))
}
