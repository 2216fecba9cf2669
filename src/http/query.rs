//! Parameters of the query and of the path.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::access::caller_of;
use super::json;
use super::problem::Problem;
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::types::{JobId, LeaderboardName, Limit, Member, QueueName, ScheduleName, TokenId, WindowName};

/// The query, parsed; an unknown parameter is refused by name.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<std::result::Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(parse_query(request.query_string()).map(Self).map_err(Problem::from))
    }
}

/// The query of an operation without parameters: any is refused by name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoParameters {}

/// Which page of a list to give.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListParameters {
    /// How many to give.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 50, nullable = false)]
    pub limit: Limit,
    /// `next_cursor` of the page before.
    #[param(nullable = false)]
    pub cursor: Option<String>,
}

/// The name that a page of a list by name begins after.
///
/// # Errors
///
/// `Malformed` for a cursor that [`next_name_cursor`] did not make.
pub fn name_cursor<T: TryFrom<String>>(cursor: Option<&str>) -> Result<Option<T>> {
    let Some(cursor) = cursor else { return Ok(None) };
    let decoded = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.and_then(|name| T::try_from(name).ok()).map(Some).ok_or_else(not_of_this_list)
}

fn not_of_this_list() -> Error {
    Error::Malformed("the cursor is not one that this service gave for this list".to_owned())
}

/// The place that a page begins after, which `fits` the list that is asked for.
///
/// # Errors
///
/// `Malformed` for a cursor that [`next_cursor`] did not make for this list.
pub fn cursor<T: DeserializeOwned>(cursor: &str, fits: impl FnOnce(&T) -> bool) -> Result<T> {
    let decoded = URL_SAFE_NO_PAD.decode(cursor).ok();
    let place = decoded.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    place.filter(fits).ok_or_else(not_of_this_list)
}

/// The cursor of the page after this place.
///
/// # Errors
///
/// `Internal` for a place that has no JSON.
pub fn next_cursor(place: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string(place);
    text.map(|text| URL_SAFE_NO_PAD.encode(text))
        .map_err(|error| Error::Internal(format!("a cursor has no JSON: {error}")))
}

/// The cursor of the page after this name.
pub fn next_name_cursor(name: &str) -> String {
    URL_SAFE_NO_PAD.encode(name)
}

fn parse_query<T: DeserializeOwned>(text: &str) -> Result<T> {
    decode(&text.replace('+', " "))?;
    let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(text.as_bytes()));
    serde_path_to_error::deserialize(pairs).map_err(|error| {
        let parameter = error.path().to_string();
        let fault = json::fault(if parameter == "." { String::new() } else { parameter }, &error.inner().to_string());
        Error::invalid(fault.pointer.trim_start_matches('/'), fault.detail)
    })
}

/// Percent-decodes; a `%` without two hexadecimal digits, or bytes that are not UTF-8, are refused.
fn decode(text: &str) -> Result<String> {
    let broken = || Error::Malformed(format!("`{text}` is not percent-encoded UTF-8"));
    let bytes = text.as_bytes();
    for (at, _) in text.match_indices('%') {
        if !bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return Err(broken());
        }
    }
    percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| broken())
}

/// The values of the path's parameters, decoded, in their order.
fn path_values(request: &HttpRequest) -> Result<Vec<String>> {
    Ok(path_parameters(request)?.into_iter().map(|(_, value)| value).collect())
}

/// The names of the path's parameters with their values, decoded, in their order.
///
/// # Errors
///
/// `Malformed` for broken percent-encoding.
pub fn path_parameters(request: &HttpRequest) -> Result<Vec<(String, String)>> {
    let pattern = request.match_pattern().unwrap_or_default();
    let parts = pattern.split('/').zip(request.uri().path().split('/'));
    let parameters = parts.filter_map(|(pattern, value)| {
        let name = pattern.strip_prefix('{')?.trim_end_matches('}').to_owned();
        Some(decode(value).map(|value| (name, value)))
    });
    parameters.collect()
}

fn named<T: TryFrom<String, Error: std::fmt::Display>>(parameter: &str, value: Option<String>) -> Result<T> {
    T::try_from(value.unwrap_or_default()).map_err(|detail| Error::invalid(parameter, detail.to_string()))
}

/// The path of a leaderboard.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct OfLeaderboard {
    /// The leaderboard's name.
    #[param(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "race")]
    pub leaderboard: LeaderboardName,
}

/// The path of a member of a leaderboard.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct OfMember {
    /// The leaderboard's name.
    #[param(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "race")]
    pub leaderboard: LeaderboardName,
    /// The member's id, percent-encoded: 1 to 128 bytes of UTF-8 without control characters.
    #[param(value_type = String, min_length = 1, max_length = 128, example = "alice")]
    pub member: Member,
}

/// The path of a window of a leaderboard.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct OfWindow {
    /// The leaderboard's name.
    #[param(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "race")]
    pub leaderboard: LeaderboardName,
    /// The window's name.
    #[param(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "all_time")]
    pub window: WindowName,
}

/// The path of a segment of a leaderboard.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct OfSegment {
    /// The leaderboard's name.
    #[param(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "race")]
    pub leaderboard: LeaderboardName,
    /// The dimension, or the combination that is declared, its dimensions in any order: `country+platform`.
    #[param(example = "country")]
    pub segment: String,
}

/// The path of a member of any leaderboard.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct OfAnyMember {
    /// The member's id, percent-encoded: 1 to 128 bytes of UTF-8 without control characters.
    #[param(value_type = String, min_length = 1, max_length = 128, example = "alice")]
    pub member: Member,
}

/// The path of a queue.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct OfQueue {
    /// The queue's name.
    #[param(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "emails")]
    pub queue: QueueName,
}

/// The path of a job of a queue.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct OfJob {
    /// The queue's name.
    #[param(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "emails")]
    pub queue: QueueName,
    /// The job's id, percent-encoded: 1 to 128 bytes of UTF-8 without control characters.
    #[param(value_type = String, min_length = 1, max_length = 128, example = "welcome-ann")]
    pub id: JobId,
}

/// The path of a schedule of a queue.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct OfSchedule {
    /// The queue's name.
    #[param(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "emails")]
    pub queue: QueueName,
    /// The schedule's name.
    #[param(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "nightly")]
    pub schedule: ScheduleName,
}

/// The path of a token.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct OfToken {
    /// The token's id.
    #[param(value_type = String, pattern = "^[0-9A-Za-z]{11}$", example = "2ZTvQ0a1bQ2")]
    pub id: TokenId,
}

/// What the first parameter of a path names.
trait Resource {
    /// Refuses it where the caller does not reach it, before anything is asked of it.
    fn check(&self, caller: &Caller) -> Result<()>;
}

impl Resource for LeaderboardName {
    fn check(&self, caller: &Caller) -> Result<()> {
        caller.check_leaderboard(self)
    }
}

impl Resource for QueueName {
    fn check(&self, caller: &Caller) -> Result<()> {
        caller.check_queue(self)
    }
}

impl Resource for TokenId {
    /// Which tokens the caller reaches depends on what they allow.
    fn check(&self, _: &Caller) -> Result<()> {
        Ok(())
    }
}

impl Resource for Member {
    /// Anyone may read of any member.
    fn check(&self, _: &Caller) -> Result<()> {
        Ok(())
    }
}

macro_rules! from_path {
    ($($name:ident { $first:ident $(, $second:ident)? }),*) => {$(
        impl FromRequest for $name {
            type Error = Problem;
            type Future = Ready<std::result::Result<Self, Problem>>;

            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                let parsed = path_values(request).and_then(|values| {
                    let mut values = values.into_iter();
                    let $first = named(stringify!($first), values.next())?;
                    Resource::check(&$first, &caller_of(request)?)?;
                    Ok(Self { $first, $($second: named(stringify!($second), values.next())?,)? })
                });
                ready(parsed.map_err(Problem::from))
            }
        }
    )*};
}

from_path!(
    OfLeaderboard { leaderboard },
    OfMember { leaderboard, member },
    OfWindow { leaderboard, window },
    OfSegment { leaderboard, segment },
    OfAnyMember { member },
    OfQueue { queue },
    OfJob { queue, id },
    OfSchedule { queue, schedule },
    OfToken { id }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Parameters {
        limit: Option<Limit>,
        segment: Option<String>,
    }

    #[test]
    fn parameters_are_decoded() {
        let parsed: Parameters = parse_query("limit=7&segment=a%3Ab+c").expect("valid");
        assert_eq!(parsed.limit.map(Limit::get), Some(7));
        assert_eq!(parsed.segment.as_deref(), Some("a:b c"));
    }

    #[test]
    fn a_bad_parameter_is_named() {
        for (query, name) in [
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("limit=x", "limit"),
            ("limit=", "limit"),
            ("limit=1&limit=2", "limit"),
            ("offset=1", "offset"),
        ] {
            match parse_query::<Parameters>(query) {
                Err(Error::Invalid(faults)) => assert_eq!(faults[0].pointer, name, "{query}: {faults:?}"),
                other => panic!("{query}: {other:?}"),
            }
        }
    }

    #[test]
    fn broken_encoding_is_malformed() {
        for query in ["segment=%", "segment=%zz", "segment=%f", "segment=%ff", "%c0=1"] {
            assert!(matches!(parse_query::<Parameters>(query), Err(Error::Malformed(_))), "{query}");
        }
    }
}
