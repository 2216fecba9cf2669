//! What administrators do is noted before it is answered.
//!
//! Where an operation needs a scope of administrators, [`super::access::Allowed`] keeps with the request what is about to be
//! done. Once the operation has ended, the middleware appends that to the audit log, and only then it is answered. Whoever hangs
//! up in between is noted, too.

use std::cell::RefCell;
use std::rc::Rc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error as ActixError, HttpMessage as _, HttpRequest};
use tracing::error;

use super::headers::IDEMPOTENT_REPLAYED;
use super::observe::RequestId;
use super::openapi::Document;
use super::peer;
use super::problem::Problem;
use super::query::path_parameters;
use super::refusals::Refusals;
use crate::audit::{AuditLog, Author, Deed};
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::types::Reason;

/// The parameter that says why, which has a place of its own.
const REASON: &str = "reason";

/// The middleware.
///
/// # Errors
///
/// What the inside could not answer itself.
pub async fn note(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> std::result::Result<ServiceResponse<BoxBody>, ActixError> {
    let response = next.call(request).await?.map_into_boxed_body();
    if matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        && let (Some(refusals), Some(problem)) =
            (response.request().app_data::<Data<Refusals>>(), problem_of(&response))
    {
        refusals.tell(problem.error(), response.request());
    }
    let watch = response.request().extensions_mut().remove::<Watch>();
    match watch {
        Some(watch) => Ok(watch.end(response).await),
        None => Ok(response),
    }
}

/// What a request does that is to be noted; nothing where it is not.
#[derive(Clone, Default)]
pub struct Noting(Option<Rc<RefCell<Option<Begun>>>>);

struct Begun {
    log: Data<AuditLog>,
    deed: Deed,
}

impl Noting {
    /// An operation for administrators begins: unless it is a read, it is noted from now on.
    ///
    /// # Errors
    ///
    /// `Malformed` for a path that is not percent-encoded as it should.
    pub fn begin(log: &Data<AuditLog>, caller: &Caller, request: &HttpRequest) -> Result<Self> {
        if request.method() == Method::GET {
            return Ok(Self::default());
        }
        // Where a handler has several services, they are one deed's.
        if let Some(Watch(noting)) = request.extensions().get::<Watch>() {
            return Ok(noting.clone());
        }
        let begun = Begun { log: log.clone(), deed: deed(caller, request)? };
        let noting = Self(Some(Rc::new(RefCell::new(Some(begun)))));
        request.extensions_mut().insert(Watch(noting.clone()));
        Ok(noting)
    }

    /// Why it is done.
    pub fn because(&self, reason: Option<&Reason>) {
        self.change(|deed| deed.reason = reason.cloned());
    }

    /// What there is to know beside the parameters.
    pub fn tell(&self, name: &str, value: String) {
        self.change(|deed| deed.tell(name, value));
    }

    /// Changes what will be noted.
    pub fn change(&self, change: impl FnOnce(&mut Deed)) {
        if let Some(slot) = &self.0
            && let Some(begun) = &mut *slot.borrow_mut()
        {
            change(&mut begun.deed);
        }
    }

    fn take(&self) -> Option<Begun> {
        self.0.as_ref().and_then(|slot| slot.borrow_mut().take())
    }
}

/// What is known of a deed before it is done.
fn deed(caller: &Caller, request: &HttpRequest) -> Result<Deed> {
    let internal = |what: &str| Error::Internal(what.to_owned());
    let path = request.match_pattern().ok_or_else(|| internal("an operation without a route"))?;
    let document = request.app_data::<Data<Document>>().ok_or_else(|| internal("no document"))?;
    let method = request.method().as_str();
    let operation =
        document.operation(method, &path).ok_or_else(|| internal("an operation that is not in the document"))?;
    let mut deed = Deed::new(author(caller), operation.to_owned());
    let query = form_urlencoded::parse(request.query_string().as_bytes()).into_owned();
    let parameters = path_parameters(request)?.into_iter().chain(query).filter(|(name, _)| name != REASON);
    parameters.for_each(|(name, value)| deed.tell(&name, value));
    deed.method = Some(method.to_owned());
    deed.path = Some(path);
    deed.request_id = request.extensions().get::<RequestId>().and_then(|id| id.0.to_str().ok()).map(str::to_owned);
    deed.peer = peer::address_of(request).map(|address| address.to_string());
    Ok(deed)
}

fn author(caller: &Caller) -> Author {
    let id = match caller {
        Caller::Anyone | Caller::Admin => None,
        Caller::Token(token) => Some(token.id.clone()),
    };
    Author { id, name: caller.name().to_owned() }
}

/// Sees to it that what has begun is noted: it goes with the request.
struct Watch(Noting);

impl Watch {
    /// Notes what was done, and gives the answer to it.
    async fn end(self, response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
        let Some(Begun { log, mut deed }) = self.0.take() else { return response };
        if !may_have_changed(&response) {
            return response;
        }
        deed.status = Some(response.status().as_u16());
        deed.replayed = response.headers().contains_key(IDEMPOTENT_REPLAYED);
        // A task of its own, which goes on where the client hangs up now.
        let is_noted = match tokio::spawn(keep(log, deed)).await {
            Ok(is_noted) => is_noted,
            Err(cause) => {
                error!("an administrative act could not be noted: {cause}");
                false
            }
        };
        if is_noted || !response.status().is_success() {
            return response;
        }
        let (request, _) = response.into_parts();
        ServiceResponse::from_err(Problem::from(Error::DoneUnnoted), request)
    }
}

impl Drop for Watch {
    /// The client has hung up: nobody knows how far it came.
    fn drop(&mut self) {
        if let Some(Begun { log, deed }) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            // It ends by itself: each call of Redis has a time limit.
            drop(runtime.spawn(keep(log, deed)));
        }
    }
}

/// Whether it is noted.
async fn keep(log: Data<AuditLog>, deed: Deed) -> bool {
    let kept = log.note(&deed).await;
    if let Err(cause) = &kept {
        let id = deed.request_id.as_deref().unwrap_or_default();
        let entry = deed.text().unwrap_or_default();
        error!(request.id = %id, entry, "an administrative act could not be noted: {cause}: {entry}");
    }
    kept.is_ok()
}

/// What was refused has changed nothing, but for an import that was cut off on its way.
fn may_have_changed(response: &ServiceResponse<BoxBody>) -> bool {
    let status = response.status();
    let cut_off = || matches!(problem_of(response).map(Problem::error), Some(Error::ImportCutOff { .. }));
    status.is_success() || status.is_server_error() || cut_off()
}

fn problem_of(response: &ServiceResponse<BoxBody>) -> Option<&Problem> {
    response.response().error().and_then(|cause| cause.as_error::<Problem>())
}
