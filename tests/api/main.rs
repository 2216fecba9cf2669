//! The service from outside: each test runs one of its own and talks HTTP to it.

#![expect(clippy::panic, reason = "a test fails by a panic")]

mod batch;
mod errors;
mod idempotency;
mod leaderboards;
mod members;
mod openapi;
mod operations;
mod process;
mod rankings;
mod restart;
mod scores;
mod store;
mod support;
mod wire;
mod worker;
