//! ranq: leaderboards and job queues over HTTP, on Redis.
//!
//! A module uses only modules of lower levels; `tests/architecture.rs` holds the `use` lines to it.
//!
//! | level | modules |
//! |---|---|
//! | 0 | [`types`], [`error`] |
//! | 1 | [`config`], [`telemetry`], [`metrics`], [`cron`] |
//! | 2 | [`db`] |
//! | 3 | [`events`], [`merge`], [`task`] |
//! | 4 | [`audit`], [`auth`], [`leaderboard`], [`limit`], [`queue`] |
//! | 5 | [`archive`], [`profile`], [`season`] |
//! | 6 | [`erase`] |
//! | 7 | [`http`], [`worker`] |
//! | 8 | [`app`] |
//! | 9 | [`cli`] |

pub mod app;
pub mod archive;
pub mod audit;
pub mod auth;
pub mod cli;
pub mod config;
pub mod cron;
pub mod db;
pub mod erase;
pub mod error;
pub mod events;
pub mod http;
pub mod leaderboard;
pub mod limit;
pub mod merge;
pub mod metrics;
pub mod profile;
pub mod queue;
pub mod season;
pub mod task;
pub mod telemetry;
pub mod types;
pub mod worker;
