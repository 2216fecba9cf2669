//! The HTTP side: the only module that knows actix.

mod access;
mod adjust;
mod audit;
mod audit_log;
mod bans;
mod bounds;
mod connections;
mod cors;
mod erasures;
mod events;
mod fallback;
mod guard;
mod headers;
mod history;
mod jobs;
mod json;
mod leaderboards;
mod leases;
mod limits;
mod live;
mod member_history;
mod member_rankings;
mod members;
mod noting;
mod observe;
pub mod openapi;
mod operations;
mod outside;
mod past;
mod peer;
mod problem;
mod profiles;
mod query;
mod queues;
mod rankings;
mod refusals;
mod schedules;
mod scores;
mod segments;
mod snapshots;
mod tls;
mod tokens;
mod transfer;
mod windows;
mod work;

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::web::Data;
use actix_web::{App, middleware, web};
use utoipa_swagger_ui::{Config as SwaggerConfig, SwaggerUi};

pub use self::connections::{Connections, Most};
pub use self::limits::Metering;
pub use self::live::Live;
pub use self::openapi::Document;
pub use self::operations::Draining;
pub use self::outside::Outside;
pub use self::peer::TrustedProxies;
pub use self::refusals::Refusals;
pub use self::tls::{Certificate, FollowCertificate};

use crate::archive::Archive;
use crate::audit::AuditLog;
use crate::auth::{Gate, Tokens};
use crate::db::Health;
use crate::erase::Erasure;
use crate::leaderboard::Leaderboards;
use crate::metrics::Metrics;
use crate::profile::Profiles;
use crate::queue::Queues;

/// What the handlers call.
#[derive(Clone)]
pub struct Services {
    /// The leaderboards, through the connection of the thread that serves.
    pub leaderboards: Leaderboards,
    /// The profiles of their members, likewise.
    pub profiles: Profiles,
    /// The queues, likewise.
    pub queues: Queues,
    /// What has finished for good.
    pub archive: Archive,
    /// What removes members from everywhere, through the connection of the thread.
    pub erasure: Erasure,
    /// Who follows rankings live.
    pub live: Live,
    /// Who may come in.
    pub gate: Gate,
    /// The tokens, through the connection of the thread.
    pub tokens: Tokens,
    /// The log of administrative acts, likewise.
    pub audit: AuditLog,
    /// How much may be asked for, counted through the connection of the thread.
    pub metering: Metering,
    /// The state of Redis.
    pub health: Health,
    /// When the log was told of refused requests.
    pub refusals: Refusals,
    /// What is allowed to clients, and told to browsers.
    pub outside: Data<Outside>,
    /// Whose word on the addresses of clients counts.
    pub proxies: TrustedProxies,
    /// Whether a stop has begun.
    pub draining: Draining,
    /// What is counted.
    pub metrics: Metrics,
    /// The OpenAPI document.
    pub document: Data<Document>,
}

/// The URL table. The most used operations stand first, since a request is tried against each in turn.
macro_rules! routes {
    ($service:expr) => {
        $service
            .service(scores::submit_score)
            .service(members::get_member)
            .service(rankings::get_rankings)
            .service(jobs::enqueue_job)
            .service(work::dequeue_jobs)
            .service(leases::ack_job)
            .service(members::get_around_member)
            .service(leases::nack_job)
            .service(leases::extend_lease)
            .service(leases::ack_jobs)
            .service(work::dequeue_several)
            .service(scores::submit_scores)
            .service(members::lookup_members)
            .service(rankings::get_around_score)
            .service(rankings::get_distribution)
            .service(segments::list_segment_values)
            .service(members::delete_member)
            .service(erasures::erase_member)
            .service(adjust::adjust_member)
            .service(adjust::remove_members)
            .service(bans::put_ban)
            .service(bans::get_ban)
            .service(bans::delete_ban)
            .service(bans::list_bans)
            .service(bans::put_service_ban)
            .service(bans::get_service_ban)
            .service(bans::delete_service_ban)
            .service(bans::list_service_bans)
            .service(audit::list_audit)
            .service(audit_log::list_audit_log)
            .service(member_rankings::get_member_rankings)
            .service(member_history::get_member_history)
            .service(transfer::export_leaderboard)
            .service(transfer::import_leaderboard)
            .service(leaderboards::get_leaderboard)
            .service(leaderboards::put_leaderboard)
            .service(leaderboards::delete_leaderboard)
            .service(leaderboards::list_leaderboards)
            .service(windows::list_periods)
            .service(snapshots::list_snapshots)
            .service(events::watch_rankings)
            .service(windows::close_window)
            .service(jobs::enqueue_jobs)
            .service(jobs::get_job)
            .service(history::get_history)
            .service(history::purge_history)
            .service(jobs::list_jobs)
            .service(jobs::retry_job)
            .service(jobs::cancel_job)
            .service(jobs::redrive_jobs)
            .service(jobs::purge_jobs)
            .service(queues::get_queue)
            .service(queues::put_queue)
            .service(queues::delete_queue)
            .service(queues::pause_queue)
            .service(queues::resume_queue)
            .service(queues::list_queues)
            .service(queues::list_workers)
            .service(schedules::put_schedule)
            .service(schedules::get_schedule)
            .service(schedules::delete_schedule)
            .service(schedules::list_schedules)
            .service(tokens::create_token)
            .service(tokens::list_tokens)
            .service(tokens::get_token)
            .service(tokens::revoke_token)
            .service(tokens::rotate_token)
            .service(operations::health_live)
            .service(operations::health_ready)
            .service(operations::metrics)
            .service(operations::get_problem)
    };
}

/// The routes with what is said of them, which takes long to collect.
fn described_routes(service: &mut utoipa_actix_web::service_config::ServiceConfig) {
    routes!(service);
}

/// The routes alone.
fn routes(service: &mut web::ServiceConfig) {
    routes!(service);
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
    App::new()
        .configure(routes)
        .app_data(access::guarded(&services))
        .app_data(Data::new(services.live))
        .app_data(Data::new(services.gate))
        .app_data(Data::new(limits::Meters::new(services.metering)))
        .app_data(Data::new(services.health))
        .app_data(Data::new(services.refusals))
        .app_data(services.outside)
        .app_data(services.proxies)
        .app_data(Data::new(services.draining))
        .app_data(Data::new(services.metrics))
        .app_data(document)
        .route("/openapi.json", web::get().to(openapi::get_document))
        .route("/openapi-3.0.json", web::get().to(openapi::get_document_3_0))
        .service(web::redirect("/", "/docs/"))
        .service(web::redirect("/docs", "/docs/"))
        .service(SwaggerUi::new("/docs/{_:.*}").config(SwaggerConfig::from("/openapi.json").try_it_out_enabled(true)))
        .default_service(web::to(fallback::no_operation))
        .wrap(middleware::from_fn(guard::guard))
        .wrap(middleware::from_fn(noting::note))
        .wrap(middleware::from_fn(observe::observe))
}
