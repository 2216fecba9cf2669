//! The names of keys. docs/keys.md lists them all.

use std::sync::Arc;

/// The prefix that all keys of one service begin with, and of which shard those are that are spread.
#[derive(Debug, Clone)]
pub struct Keyspace {
    prefix: Arc<str>,
    shard: u32,
}

impl Keyspace {
    /// The keys that begin with `prefix` and a colon.
    pub fn new(prefix: &str) -> Self {
        Self { prefix: Arc::from(prefix), shard: 0 }
    }

    /// The same for a further shard of what is spread; 0 is the first.
    #[must_use]
    pub fn shard(&self, shard: u32) -> Self {
        Self { prefix: Arc::clone(&self.prefix), shard }
    }

    /// Which shard this is of.
    pub fn shard_number(&self) -> u32 {
        self.shard
    }

    /// A key that belongs to no single resource.
    pub fn global(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }

    /// A key of one resource. All keys with the same tag share a Cluster slot.
    pub fn tagged(&self, kind: &str, resource: &str, name: &str) -> String {
        format!("{}:{{{kind}:{resource}}}:{name}", self.prefix)
    }

    /// A key of one shard of a resource: the number of a further shard stands behind the kind, where no name can.
    pub fn spread(&self, kind: &str, resource: &str, name: &str) -> String {
        match self.shard {
            0 => self.tagged(kind, resource, name),
            shard => format!("{}:{{{kind}{shard}:{resource}}}:{name}", self.prefix),
        }
    }
}
