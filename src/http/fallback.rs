//! Requests that no operation takes.

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::web::Data;

use super::openapi::Document;
use super::problem::Problem;
use crate::error::Error;

/// Pages that are no operations of the document, and take GET.
const PAGES: [&str; 5] = ["/", "/docs", "/docs/", "/openapi.json", "/openapi-3.0.json"];

/// Answers 405 with the methods that the path has, or 404 where there is no such path.
///
/// # Errors
///
/// Always.
pub async fn no_operation(request: HttpRequest, document: Data<Document>) -> Result<HttpResponse, Problem> {
    let mut allowed = document.methods_of(request.path());
    if PAGES.contains(&request.path()) {
        allowed.push("GET".to_owned());
    }
    if allowed.is_empty() {
        return Err(Error::NoRoute.into());
    }
    Err(Error::MethodNotAllowed(allowed.join(", ")).into())
}
