//! The names of keys. docs/keys.md lists them all.

use std::sync::Arc;

/// The prefix that all keys of one service begin with.
#[derive(Debug, Clone)]
pub struct Keyspace(Arc<str>);

impl Keyspace {
    /// The keys that begin with `prefix` and a colon.
    pub fn new(prefix: &str) -> Self {
        Self(Arc::from(prefix))
    }

    /// A key that belongs to no single resource.
    pub fn global(&self, name: &str) -> String {
        format!("{}:{name}", self.0)
    }

    /// A key of one resource. All keys with the same tag share a Cluster slot.
    pub fn tagged(&self, kind: &str, resource: &str, name: &str) -> String {
        format!("{}:{{{kind}:{resource}}}:{name}", self.0)
    }
}
