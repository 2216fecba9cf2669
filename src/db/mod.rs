//! The way to Redis: connections, scripts, keys, the embedded server, and what its errors mean.

mod cluster;
mod connection;
mod embedded;
mod failure;
mod format;
mod health;
mod keyspace;
mod line;
mod names;
mod node;
mod replicated;
mod reply;
mod script;
mod sentinel;
mod server;
mod subscriber;
mod version;

pub use connection::Db;
pub use embedded::{EmbeddedError, EmbeddedRedis};
pub use format::Format;
pub use health::{Health, RedisKind};
pub use keyspace::Keyspace;
pub use names::{names_in, names_stored};
pub use reply::Reply;
pub use script::{Effect, Script, ScriptCall};
pub use server::{SentinelTarget, Target};
pub use subscriber::Subscriber;
pub use version::{Version, Versioned};
