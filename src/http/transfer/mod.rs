//! Whole rankings out and in, in memory that does not grow with them.

mod csv;
mod ndjson;
mod rows;

use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::web::{Bytes, Payload};
use actix_web::{HttpRequest, HttpResponse, get, post};
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tracing::warn;
use utoipa::{IntoParams, ToSchema};

use self::rows::{ExportedRow, Format, Line};
use super::access::{self, Allowed, LeaderboardsAdmin, LeaderboardsRead};
use super::headers::{IDEMPOTENCY_KEY, IdempotencyHeader};
use super::json::json_response;
use super::problem::{Problem, ProblemBody};
use super::query::{OfLeaderboard, Query};
use crate::auth::Lasting;
use crate::error::{Error, Result};
use crate::leaderboard::{Export, IMPORT_BATCH, Import, ImportRow, Leaderboards, Page, View};
use crate::types::WindowName;

/// How long nothing of a body may arrive, in seconds.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Problems that an import answers with.
const MAX_ERRORS: usize = 100;
/// What says nothing of the content and is still not sent by a page of another site without asking.
const ANY_BYTES: &str = "application/octet-stream";

/// What to export.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportParameters {
    /// How rows are written.
    #[serde(default)]
    #[param(inline)]
    format: Format,
    /// The window; the leaderboard's first one by default.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", nullable = false)]
    window: Option<WindowName>,
    /// The period, by its start; the open one by default.
    #[param(nullable = false)]
    period: Option<String>,
    /// A segment's value as `dimension:value`, or several of a combination with commas between; the whole by default.
    #[param(nullable = false)]
    segment: Option<String>,
}

/// Exports a ranking: every entry, best first.
///
/// A row has `rank`, `member`, `score`, and where there are such `subscores`, `achieved_at`, `metadata` and `segments`. In CSV
/// the first line names the columns; each subscore has one, `subscores.NAME`, and each dimension, `segments.NAME`. `achieved_at` has microseconds here, so that an
/// import into an empty leaderboard gives the same ranking, ties included; line breaks between the tokens of metadata
/// become spaces.
///
/// The ranking is read a page at a time while it may change. An entry that does not move meanwhile is there exactly once,
/// and its rank is that of the moment. One that moves may be there where it was, where it is now, in both places, or, if it
/// overtakes the place that the export has reached, in neither. An export that fails on its way ends without the end of its
/// last chunk, so that it cannot be taken for a whole one.
#[utoipa::path(
    tag = "leaderboards",
    security(("token" = ["leaderboards:read"])),
    params(OfLeaderboard, ExportParameters),
    responses((status = 200, description = "The rows.", content(
        (String = "application/x-ndjson", example = "{\"rank\":1,\"member\":\"alice\",\"score\":1500,\"achieved_at\":\"2026-11-23T05:40:00.123456Z\"}\n"),
        (String = "text/csv", example = "rank,member,score,achieved_at,metadata\n1,alice,1500,2026-11-23T05:40:00.123456Z,\n"),
    ))),
)]
#[get("/v1/leaderboards/{leaderboard}/export")]
pub async fn export_leaderboard(
    leaderboards: Allowed<LeaderboardsRead, Leaderboards>,
    request: HttpRequest,
    at: OfLeaderboard,
    parameters: Query<ExportParameters>,
) -> std::result::Result<HttpResponse, Problem> {
    let ExportParameters { format, window, period, segment } = parameters.0;
    let mut export = leaderboards.export(at.leaderboard.clone(), View { window, period, segment, ..View::default() });
    // What goes wrong at once is answered as a problem.
    let mut first = Vec::new();
    if let Some(page) = export.next_page().await? {
        if format == Format::Csv {
            csv::write_header(&page.columns, &page.dimensions, &mut first);
        }
        write_page(page, format, &mut first)?;
    }
    let lasting = access::lasting(&request)?;
    let rest = stream::unfold(Some((export, lasting)), move |rest| next_piece(rest, format));
    let body = stream::iter([Ok(Bytes::from(first))]).chain(rest);
    let file = format!("attachment; filename=\"{}.{}\"", at.leaderboard, format.name());
    let mut response = HttpResponse::Ok();
    response.content_type(format.media_type()).insert_header((header::CONTENT_DISPOSITION, file));
    Ok(response.streaming(body))
}

/// What is left of an export, which lasts as long as the token.
type Rest = (Export, Lasting);

/// The next part of the body. After an error there is none, which ends the connection.
async fn next_piece(rest: Option<Rest>, format: Format) -> Option<(Result<Bytes>, Option<Rest>)> {
    let (mut export, lasting) = rest?;
    let piece = match export.next_page().await {
        Ok(None) => return None,
        Ok(Some(_)) if lasting.is_over() => Err(Error::Unauthenticated),
        Ok(Some(page)) => {
            let mut piece = Vec::new();
            write_page(page, format, &mut piece).map(|()| Bytes::from(piece))
        }
        Err(error) => Err(error),
    };
    match piece {
        Ok(piece) => Some((Ok(piece), Some((export, lasting)))),
        Err(error) => {
            warn!("an export was cut off: {error}");
            Some((Err(error), None))
        }
    }
}

fn write_page(page: Page, format: Format, out: &mut Vec<u8>) -> Result<()> {
    for entry in page.entries {
        let row = ExportedRow::new(entry, &page.columns);
        match format {
            Format::Csv => csv::write(&row, &page.columns, &page.dimensions, out)?,
            Format::Ndjson => ndjson::write(&row, out)?,
        }
    }
    Ok(())
}

/// What to import into.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImportParameters {
    /// How the rows are written. The `Content-Type` must be that of the format, or `application/octet-stream`.
    #[serde(default)]
    #[param(inline)]
    format: Format,
    /// The window whose rows are set, one without a reset; the leaderboard's first one by default.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", nullable = false)]
    window: Option<WindowName>,
}

/// What became of the rows of an import.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = ImportResult)]
pub struct ImportView {
    /// Rows that were taken, those included that changed nothing because a standing one is as good or better.
    #[schema(example = 2)]
    imported: u64,
    /// Rows that break a rule.
    #[schema(example = 0)]
    rejected: u64,
    /// The first 100 of them, in their order.
    #[schema(max_items = 100)]
    errors: Vec<LineProblem>,
}

/// What is wrong with a line.
#[derive(Serialize, ToSchema)]
#[schema(as = LineProblem)]
pub struct LineProblem {
    /// Where its row begins, counted from 1.
    #[schema(minimum = 1, example = 3)]
    line: u64,
    /// What is wrong with it.
    problem: ProblemBody,
}

/// Imports rows into one window of a leaderboard.
///
/// Rows are as an export has them; only `member` and `score` are needed, `rank` is passed over, and a row without
/// `achieved_at` counts as reached now. In CSV the first line names the columns, in any order; an empty field is absent. A
/// bad row is rejected alone. A line may have 16 KiB; the number of lines has no limit, as long as no 15 seconds pass
/// without a part of the body.
///
/// A row is set, not submitted: nothing is added to a standing sum, no submission limit counts it, and `achieved_at` stays.
/// A member that stands already gets the row of the file, except where the operator is `best` and the standing row is as
/// good or better: then that stays. `min_score` and `max_score` hold, but not for `sum`, where they bound what is added;
/// `max_entries` holds. What a row says of segments is remembered of the member and moves its entry in this window. Rows that follow each other with the same score, subscores and time keep their order. A leaderboard
/// that does not exist is created with the default settings, unless the service runs without auto-creation.
///
/// A hundred rows are set in one atomic step. An import that fails on its way keeps those before, and says how many; sent
/// again, it sets the same rows. Therefore it takes no `Idempotency-Key`.
#[utoipa::path(
    tag = "leaderboards",
    security(("token" = ["leaderboards:admin"])),
    params(OfLeaderboard, ImportParameters),
    request_body(content(
        (String = "application/x-ndjson", example = "{\"member\":\"alice\",\"score\":1500,\"achieved_at\":\"2026-11-23T05:40:00.123456Z\"}\n{\"member\":\"bob\",\"score\":1250.5}\n"),
        (String = "text/csv", example = "member,score\nalice,1500\nbob,1250.5\n"),
    )),
    responses((status = 200, description = "What became of the rows.", body = ImportView)),
)]
#[post("/v1/leaderboards/{leaderboard}/import")]
pub async fn import_leaderboard(
    leaderboards: Allowed<LeaderboardsAdmin, Leaderboards>,
    request: HttpRequest,
    at: OfLeaderboard,
    parameters: Query<ImportParameters>,
    key: IdempotencyHeader,
    body: Payload,
) -> std::result::Result<HttpResponse, Problem> {
    let ImportParameters { format, window } = parameters.0;
    if key.0.is_some() {
        return Err(Error::invalid(IDEMPOTENCY_KEY, "is not taken: sent again, an import sets the same rows").into());
    }
    check_media_type(&request, format)?;
    let import = leaderboards.import(&at.leaderboard, window).await?;
    let lasting = access::lasting(&request)?;
    let mut receiver =
        Receiver { import, lasting, waiting: Vec::with_capacity(IMPORT_BATCH), done: ImportView::default() };
    match receiver.receive(body, format).await {
        Ok(()) => Ok(json_response(StatusCode::OK, &receiver.done)),
        Err(cause) if receiver.done.imported == 0 => Err(cause.into()),
        Err(cause) => {
            let imported = receiver.done.imported;
            Err(Error::ImportCutOff { imported, cause: Box::new(cause) }.into())
        }
    }
}

fn check_media_type(request: &HttpRequest, format: Format) -> Result<()> {
    let given = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let given = given.split(';').next().unwrap_or("").trim();
    if [format.media_type(), ANY_BYTES].iter().any(|known| known.eq_ignore_ascii_case(given)) {
        return Ok(());
    }
    Err(Error::UnsupportedMediaType(format.media_type()))
}

/// Takes in the rows of a body, and sets a batch of them at a time.
struct Receiver {
    import: Import,
    lasting: Lasting,
    waiting: Vec<Line>,
    done: ImportView,
}

impl Receiver {
    async fn receive(&mut self, mut body: Payload, format: Format) -> Result<()> {
        match format {
            Format::Csv => {
                let mut reader = csv::Reader::new();
                while let Some(piece) = next_part(&mut body).await? {
                    let mut piece = &piece[..];
                    while let Some(line) = reader.next(&mut piece)? {
                        self.take(line).await?;
                    }
                }
                self.waiting.extend(reader.end()?);
            }
            Format::Ndjson => {
                let mut reader = ndjson::Reader::default();
                while let Some(piece) = next_part(&mut body).await? {
                    let mut piece = &piece[..];
                    while let Some(line) = reader.next(&mut piece) {
                        self.take(line).await?;
                    }
                }
                self.waiting.extend(reader.end());
            }
        }
        self.set().await
    }

    async fn take(&mut self, line: Line) -> Result<()> {
        self.waiting.push(line);
        if self.waiting.len() < IMPORT_BATCH { Ok(()) } else { self.set().await }
    }

    /// Sets the rows that wait.
    async fn set(&mut self) -> Result<()> {
        if self.lasting.is_over() {
            return Err(Error::Unauthenticated);
        }
        let rows: Vec<ImportRow> = self.waiting.iter().filter_map(|line| line.row.as_ref().ok()).cloned().collect();
        let mut results = if rows.is_empty() { Vec::new() } else { self.import.set(&rows).await? }.into_iter();
        for line in self.waiting.drain(..) {
            let result = match line.row {
                Ok(_) => results.next().unwrap_or_else(|| Err(Error::Internal("a row has no result".to_owned()))),
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => self.done.imported += 1,
                Err(error) => {
                    self.done.rejected += 1;
                    if self.done.errors.len() < MAX_ERRORS {
                        let problem = ProblemBody::of(&error, None);
                        self.done.errors.push(LineProblem { line: line.number, problem });
                    }
                }
            }
        }
        Ok(())
    }
}

/// The next part of a body, unless it is too slow.
async fn next_part(body: &mut Payload) -> Result<Option<Bytes>> {
    let part = actix_web::rt::time::timeout(IDLE_TIMEOUT, body.next())
        .await
        .map_err(|_| Error::RequestTimeout(IDLE_TIMEOUT))?;
    part.transpose().map_err(|error| Error::Malformed(format!("the body cannot be read: {error}")))
}
