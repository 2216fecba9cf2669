//! The way to Redis: connections, scripts, keys, the embedded server, and what its errors mean.

mod connection;
mod embedded;
mod failure;
mod health;
mod keyspace;
mod names;
mod reply;
mod script;
mod server;
mod subscriber;
mod version;

pub use connection::Db;
pub use embedded::{EmbeddedError, EmbeddedRedis};
pub use health::{Health, RedisKind};
pub use keyspace::Keyspace;
pub use names::names_in;
pub use reply::Reply;
pub use script::{Effect, Script, ScriptCall};
pub use server::connection_to;
pub use subscriber::Subscriber;
pub use version::{Version, Versioned};
