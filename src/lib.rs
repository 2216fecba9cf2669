//! ranq: leaderboards and job queues over HTTP, on Redis.
//!
//! A module uses only modules of lower levels; `tests/architecture.rs` holds the `use` lines to it.
//!
//! | level | modules |
//! |---|---|
//! | 0 | [`types`], [`error`] |
//! | 1 | [`config`], [`telemetry`], [`metrics`], [`cron`] |
//! | 2 | [`db`] |
//! | 3 | [`events`], [`task`] |
//! | 4 | [`audit`], [`auth`], [`leaderboard`], [`limit`], [`queue`] |
//! | 5 | [`season`] |
//! | 6 | [`http`], [`worker`] |
//! | 7 | [`app`] |
//! | 8 | [`cli`] |

pub mod app;
pub mod audit;
pub mod auth;
pub mod cli;
pub mod config;
pub mod cron;
pub mod db;
pub mod error;
pub mod events;
pub mod http;
pub mod leaderboard;
pub mod limit;
pub mod metrics;
pub mod queue;
pub mod season;
pub mod task;
pub mod telemetry;
pub mod types;
pub mod worker;
