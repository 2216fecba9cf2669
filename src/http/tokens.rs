//! Tokens.

use std::collections::BTreeSet;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, delete, get, post};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::{Allowed, TokensAdmin};
use super::headers::{IdempotencyHeader, answered};
use super::json::{Body, Json, OptionalJson, json_response};
use super::problem::Problem;
use super::query::{ListParameters, NoParameters, OfToken, Query, name_cursor, next_name_cursor};
use crate::audit::Log;
use crate::auth::{self, AskedOnce, GivenToken, Maker, NewToken, Pattern, Rights, Scope, Token, TokenFacts, Tokens};
use crate::queue::Once;
use crate::types::{Member, RateLimit, Timestamp, TokenId, TokenName, Within, present, read_object};

/// For how long a text opens after its rotation, unless said otherwise, and at most.
const OVERLAP_MS: u64 = 3600 * 1000;
const MAX_OVERLAP_MS: u64 = 30 * 24 * 3600 * 1000;

/// A token to make.
#[derive(Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schema(as = NewToken)]
pub struct NewTokenBody {
    /// What it is for.
    #[schema(value_type = String, min_length = 1, max_length = 128, example = "game server")]
    name: TokenName,
    /// What it allows. None implies another, but `admin` all.
    #[schema(value_type = Vec<Scope>, min_items = 1)]
    scopes: BTreeSet<Scope>,
    /// The leaderboards that it reaches: names, or beginnings of names and then `*`. All where this is left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>, nullable = false, min_items = 1, max_items = 100)]
    leaderboards: Option<Vec<Pattern>>,
    /// The queues that it reaches, likewise.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>, nullable = false, min_items = 1, max_items = 100)]
    queues: Option<Vec<Pattern>>,
    /// Makes it a player's token, with which scores of this member alone can be submitted.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 1, max_length = 128)]
    member: Option<Member>,
    /// After how many milliseconds it ends. Where this is left out: never, or, with a `member`, after an hour.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, minimum = 1)]
    expires_in_ms: Option<u64>,
    /// How much may be asked for with it.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    rate_limit: Option<RateLimit>,
}

read_object!(NewTokenBody);

impl Body for NewTokenBody {
    const MAX_BYTES: usize = 64 * 1024;
}

impl From<NewTokenBody> for NewToken {
    fn from(body: NewTokenBody) -> Self {
        let NewTokenBody { name, scopes, leaderboards, queues, member, expires_in_ms, rate_limit } = body;
        Self { name, rights: Rights { scopes, leaderboards, queues, member }, expires_in_ms, rate_limit }
    }
}

/// A token, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub struct TokenView {
    /// What names it; a part of its text that is no secret.
    #[schema(value_type = String, pattern = "^[0-9A-Za-z]{11}$", example = "8VxZ0a1bQ2c")]
    id: TokenId,
    /// What it is for.
    #[schema(value_type = String, example = "game server")]
    name: TokenName,
    /// What it allows.
    #[schema(value_type = Vec<Scope>)]
    scopes: BTreeSet<Scope>,
    /// The leaderboards that it reaches; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>, nullable = false)]
    leaderboards: Option<Vec<Pattern>>,
    /// The queues that it reaches; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>, nullable = false)]
    queues: Option<Vec<Pattern>>,
    /// The only member whose scores can be submitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    member: Option<Member>,
    /// How much may be asked for with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rate_limit: Option<RateLimit>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it ends; absent where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    expires_at: Option<Timestamp>,
    /// Who made it.
    created_by: MakerView,
    /// When it was last used, to the minute; absent before its first use.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    last_used_at: Option<Timestamp>,
    /// Until when the text that it had before its last rotation opens, too; absent after that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    overlaps_until: Option<Timestamp>,
}

impl From<Token> for TokenView {
    fn from(token: Token) -> Self {
        let Token { id, facts, created_at, expires_at, last_used_at, overlaps_until } = token;
        let TokenFacts { name, rights, rate_limit, created_by } = facts;
        let Rights { scopes, leaderboards, queues, member } = rights;
        Self {
            id,
            name,
            scopes,
            leaderboards,
            queues,
            member,
            rate_limit,
            created_at,
            created_by: created_by.into(),
            expires_at,
            last_used_at,
            overlaps_until,
        }
    }
}

/// Who made a token.
#[derive(Serialize, ToSchema)]
#[schema(as = TokenMaker)]
pub struct MakerView {
    /// The id of the maker's token; absent for the admin token and on an open service.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    id: Option<TokenId>,
    /// The name of that token, `admin`, or `anyone` on an open service.
    #[schema(example = "admin")]
    name: String,
}

impl From<Maker> for MakerView {
    fn from(maker: Maker) -> Self {
        let Maker { id, name } = maker;
        Self { id, name }
    }
}

/// A token that was just made.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedToken)]
pub struct CreatedTokenView {
    /// Its text, shown this once: send it as `Authorization: Bearer <token>`.
    #[schema(pattern = "^rq_[0-9A-Za-z]{55}$", example = "rq_8VxZ0a1bQ2c7hJ3kLmN9pQrStUvWx5yZaBcDeFgHi1jKlMn2oPqRsTu")]
    token: String,
    #[serde(flatten)]
    facts: TokenView,
}

/// Tells the audit log what is made: the path does not. Players' tokens are made by the thousand, and have a log of their own.
fn tell(tokens: &Allowed<TokensAdmin, Tokens>, new: &NewToken) {
    let scopes: Vec<&str> = new.rights.scopes.iter().map(|scope| scope.name()).collect();
    tokens.tell("name", new.name.as_str());
    tokens.tell("scopes", scopes.join(" "));
    if let Some(member) = &new.rights.member {
        tokens.tell("member", member.as_str());
        tokens.tell_log(Log::PlayerTokens);
    }
}

impl From<GivenToken> for CreatedTokenView {
    fn from(given: GivenToken) -> Self {
        Self { token: given.text.expose_secret().to_owned(), facts: given.token.into() }
    }
}

/// Makes a token.
///
/// Its text is answered this once; what is kept is a digest of it. Nobody can make a token that allows more than their own. With a
/// `member` it is a player's: it can have the scopes `scores:write` and `leaderboards:read`, submits scores of that member alone,
/// and ends after an hour unless `expires_in_ms` says otherwise (at most 30 days). The same `Idempotency-Key` gives the same token,
/// text included, to whoever has made it.
#[utoipa::path(
    tag = "tokens",
    security(("token" = ["tokens:admin"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request count once.",
        min_length = 1, max_length = 128, pattern = "^[!-~]+$", nullable = false)),
    request_body(content = NewTokenBody, example = json!({
        "name": "game server", "scopes": ["scores:write", "leaderboards:read"], "leaderboards": ["race*"], "expires_in_ms": 2_592_000_000_u64
    })),
    responses((status = 201, description = "The token, with its text.", body = CreatedTokenView)),
)]
#[post("/v1/tokens")]
pub async fn create_token(
    tokens: Allowed<TokensAdmin, Tokens>,
    _: Query<NoParameters>,
    request: HttpRequest,
    key: IdempotencyHeader,
    body: Json<NewTokenBody>,
) -> Result<HttpResponse, Problem> {
    let Json(body, bytes) = body;
    let once = key.once(&request, &bytes);
    let asked = asked(&request, &key, once.as_ref());
    let new = NewToken::from(body);
    tell(&tokens, &new);
    let given = tokens.create(tokens.caller(), new, asked.as_ref()).await?;
    tokens.tell("id", given.token.id.as_str());
    Ok(with_text(StatusCode::CREATED, given))
}

/// What makes a request for a text count once.
fn asked<'a>(request: &'a HttpRequest, key: &'a IdempotencyHeader, once: Option<&'a Once>) -> Option<AskedOnce<'a>> {
    let authorization = request.headers().get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes);
    let bearer = authorization.and_then(auth::bearer).unwrap_or_default();
    Some(AskedOnce { key: key.0.as_ref()?, fingerprint: &once?.fingerprint, bearer })
}

fn with_text(status: StatusCode, given: GivenToken) -> HttpResponse {
    let replayed = given.replayed;
    let mut response = answered(status, &CreatedTokenView::from(given), replayed);
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

/// A page of tokens.
#[derive(Serialize, ToSchema)]
#[schema(as = Tokens)]
pub struct TokensView {
    /// The oldest first.
    tokens: Vec<TokenView>,
    /// Give it as `cursor` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

/// Lists tokens, the oldest first.
///
/// Those that allow more than the caller's own are left out, as those that have ended.
#[utoipa::path(
    tag = "tokens",
    security(("token" = ["tokens:admin"])),
    params(ListParameters),
    responses((status = 200, description = "A page of tokens, without their texts.", body = TokensView)),
)]
#[get("/v1/tokens")]
pub async fn list_tokens(
    tokens: Allowed<TokensAdmin, Tokens>,
    page: Query<ListParameters>,
) -> Result<HttpResponse, Problem> {
    let after: Option<TokenId> = name_cursor(page.0.cursor.as_deref())?;
    let (found, next) = tokens.list(tokens.caller(), after, page.0.limit).await?;
    let view = TokensView {
        tokens: found.into_iter().map(TokenView::from).collect(),
        next_cursor: next.map(|id| next_name_cursor(id.as_str())),
    };
    Ok(json_response(StatusCode::OK, &view))
}

/// Gives what is known of a token.
#[utoipa::path(
    tag = "tokens",
    security(("token" = ["tokens:admin"])),
    params(OfToken),
    responses((status = 200, description = "The token, without its text.", body = TokenView)),
)]
#[get("/v1/tokens/{id}")]
pub async fn get_token(
    tokens: Allowed<TokensAdmin, Tokens>,
    at: OfToken,
    _: Query<NoParameters>,
) -> Result<HttpResponse, Problem> {
    let token = tokens.get(tokens.caller(), &at.id).await?;
    Ok(json_response(StatusCode::OK, &TokenView::from(token)))
}

/// Revokes a token.
///
/// From within a second on no instance takes it any more. A token that allows more than the caller's own is answered as if it
/// did not exist.
#[utoipa::path(
    tag = "tokens",
    security(("token" = ["tokens:admin"])),
    params(OfToken),
    responses((status = 204, description = "The token opens nothing any more.")),
)]
#[delete("/v1/tokens/{id}")]
pub async fn revoke_token(
    tokens: Allowed<TokensAdmin, Tokens>,
    at: OfToken,
    _: Query<NoParameters>,
) -> Result<HttpResponse, Problem> {
    tokens.revoke(tokens.caller(), &at.id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// How to rotate a token.
#[derive(Default, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schema(as = RotateToken)]
pub struct RotateBody {
    /// For how many milliseconds the present text opens, too; 0 ends it at once.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>, nullable = false, minimum = 0, maximum = 2_592_000_000_i64, default = 3_600_000)]
    overlap_ms: Option<Within<0, MAX_OVERLAP_MS>>,
}

read_object!(RotateBody);

impl Body for RotateBody {
    const MAX_BYTES: usize = 1024;
}

/// Gives a token another text.
///
/// Its id, rights and end stay. The present text opens for `overlap_ms` more, an hour unless said otherwise, so that its holders
/// can change over; one from a rotation before that ends at once.
#[utoipa::path(
    tag = "tokens",
    security(("token" = ["tokens:admin"])),
    params(OfToken, ("Idempotency-Key" = Option<String>, Header, description = "Makes the request count once.",
        min_length = 1, max_length = 128, pattern = "^[!-~]+$", nullable = false)),
    request_body(content = Option<RotateBody>, example = json!({"overlap_ms": 3_600_000})),
    responses((status = 200, description = "The token, with its new text.", body = CreatedTokenView)),
)]
#[post("/v1/tokens/{id}/rotate")]
pub async fn rotate_token(
    tokens: Allowed<TokensAdmin, Tokens>,
    at: OfToken,
    _: Query<NoParameters>,
    request: HttpRequest,
    key: IdempotencyHeader,
    body: OptionalJson<RotateBody>,
) -> Result<HttpResponse, Problem> {
    let OptionalJson(body, bytes) = body;
    let overlap_ms = body.overlap_ms.map_or(OVERLAP_MS, Within::get);
    let once = key.once(&request, &bytes);
    let asked = asked(&request, &key, once.as_ref());
    let given = tokens.rotate(tokens.caller(), &at.id, overlap_ms, asked.as_ref()).await?;
    Ok(with_text(StatusCode::OK, given))
}
