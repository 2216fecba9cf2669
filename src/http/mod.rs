//! The HTTP side: the only module that knows actix.

mod access;
mod fallback;
mod headers;
mod json;
mod leaderboards;
mod members;
mod observe;
pub mod openapi;
mod operations;
mod problem;
mod query;
mod rankings;
mod scores;

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::web::Data;
use actix_web::{App, middleware, web};
use utoipa_actix_web::AppExt as _;
use utoipa_actix_web::service_config::ServiceConfig;
use utoipa_swagger_ui::{Config as SwaggerConfig, SwaggerUi};

pub use self::openapi::Document;
pub use self::operations::Draining;

use crate::auth::Gate;
use crate::db::Health;
use crate::leaderboard::Leaderboards;
use crate::metrics::Metrics;

/// What the handlers call.
#[derive(Clone)]
pub struct Services {
    /// The leaderboards, through the connection of the thread that serves.
    pub leaderboards: Leaderboards,
    /// Who may come in.
    pub gate: Gate,
    /// The state of Redis.
    pub health: Health,
    /// Whether a stop has begun.
    pub draining: Draining,
    /// What is counted.
    pub metrics: Metrics,
    /// The OpenAPI document.
    pub document: Data<Document>,
}

/// The URL table. The most used operations stand first, since a request is tried against each in turn.
fn routes(service: &mut ServiceConfig) {
    service
        .service(scores::submit_score)
        .service(rankings::get_rankings)
        .service(members::get_member)
        .service(members::get_around_member)
        .service(scores::submit_scores)
        .service(members::lookup_members)
        .service(rankings::get_around_score)
        .service(rankings::get_distribution)
        .service(members::delete_member)
        .service(leaderboards::get_leaderboard)
        .service(leaderboards::put_leaderboard)
        .service(leaderboards::delete_leaderboard)
        .service(leaderboards::list_leaderboards)
        .service(operations::health_live)
        .service(operations::health_ready)
        .service(operations::metrics)
        .service(operations::get_problem);
}

/// The application that one thread serves.
pub fn app(
    services: Services,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<BoxBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    let document = services.document.clone();
    let (app, _) = App::new().into_utoipa_app().configure(routes).split_for_parts();
    app.app_data(Data::new(services.leaderboards))
        .app_data(Data::new(services.gate))
        .app_data(Data::new(services.health))
        .app_data(Data::new(services.draining))
        .app_data(Data::new(services.metrics))
        .app_data(document)
        .route("/openapi.json", web::get().to(openapi::get_document))
        .route("/openapi-3.0.json", web::get().to(openapi::get_document_3_0))
        .service(web::redirect("/", "/docs/"))
        .service(web::redirect("/docs", "/docs/"))
        .service(SwaggerUi::new("/docs/{_:.*}").config(SwaggerConfig::from("/openapi.json").try_it_out_enabled(true)))
        .default_service(web::to(fallback::no_operation))
        .wrap(middleware::from_fn(observe::observe))
}
