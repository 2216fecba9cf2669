//! The service from outside: each test runs one of its own and talks HTTP to it.

#![expect(clippy::panic, reason = "a test fails by a panic")]

mod batch;
mod closing;
mod delays;
mod dequeue;
mod enqueue;
mod errors;
mod hang_ups;
mod idempotency;
mod job_keys;
mod job_reads;
mod key_changes;
mod leaderboards;
mod leases;
mod member_rankings;
mod members;
mod openapi;
mod operations;
mod periods;
mod process;
mod queue_limits;
mod queue_metrics;
mod queues;
mod races;
mod rankings;
mod remains;
mod restart;
mod retries;
mod reward_faults;
mod rewards;
mod schedules;
mod scores;
mod store;
mod support;
mod transfer;
mod transfer_command;
mod unique;
mod waiting;
mod windows;
mod wire;
mod worker;
mod workers_list;
