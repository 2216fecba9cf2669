//! The way to Redis: connections, scripts, keys, the embedded server, and what its errors mean.

mod connection;
mod embedded;
mod failure;
mod health;
mod keyspace;
mod script;

pub use connection::Db;
pub use embedded::{EmbeddedError, EmbeddedRedis};
pub use health::{Health, RedisKind};
pub use keyspace::Keyspace;
pub use script::{Effect, Script, ScriptCall};
