//! Lua scripts, compiled into the binary and called by their digest.

use redis::{Arg, Cmd, Value};

use super::Db;
use crate::error::Result;

/// What a script does to the data, which decides what Redis and the caller may do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Changes nothing: runs on a full server, and again when an answer is lost.
    Read,
    /// Makes room: runs on a full server.
    Free,
    /// Changes what may be lost with a server that fails: runs on a full server, and waits for no replica.
    Pass,
    /// Stores: refused as a whole on a full server.
    Store,
}

impl Effect {
    /// Whether what was acknowledged must not be lost.
    pub(super) fn must_last(self) -> bool {
        matches!(self, Self::Free | Self::Store)
    }
}

/// A script made of shared parts and a body.
#[derive(Debug)]
pub struct Script {
    name: &'static str,
    effect: Effect,
    code: String,
    digest: String,
}

impl Script {
    /// Joins the parts under one shebang (Redis 7.0 and later: "Scripting with Lua", script flags).
    pub fn new(name: &'static str, effect: Effect, parts: &[&str]) -> Self {
        let shebang = match effect {
            Effect::Read => "#!lua flags=no-writes",
            Effect::Free | Effect::Pass => "#!lua flags=allow-oom",
            Effect::Store => "#!lua",
        };
        let code = format!("{shebang}\n{}", parts.join("\n"));
        let digest = redis::Script::new(&code).get_hash().to_owned();
        Self { name, effect, code, digest }
    }

    /// Begins a call with these keys; arguments follow.
    pub fn keys<K: AsRef<[u8]>>(&self, keys: &[K]) -> ScriptCall<'_> {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.digest).arg(keys.len());
        for key in keys {
            command.arg(key.as_ref());
        }
        ScriptCall { script: self, command }
    }
}

/// A call of a script that is being put together.
pub struct ScriptCall<'a> {
    script: &'a Script,
    command: Cmd,
}

impl ScriptCall<'_> {
    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<[u8]>) -> Self {
        self.command.arg(argument.as_ref());
        self
    }

    /// Adds a number as an argument.
    #[must_use]
    pub fn number(mut self, argument: u64) -> Self {
        self.command.arg(argument);
        self
    }

    /// Runs the script. Where the server does not know it, it is sent as a whole, and known from then on: so it runs
    /// wherever its keys are, be they on the way to another node of a Cluster.
    ///
    /// # Errors
    ///
    /// `StoreUnavailable` when nothing was changed, `OutcomeUnknown` when the answer of a script that changes something
    /// was lost.
    pub async fn run(self, db: &Db) -> Result<Value> {
        let Script { name, effect, code, .. } = self.script;
        match db.command(&self.command, name, *effect).await {
            Err(failure) if failure.is_unknown_script() => {}
            other => return other.map_err(|failure| failure.into_error(*effect)),
        }
        let mut whole = redis::cmd("EVAL");
        whole.arg(code);
        for argument in self.command.args_iter().skip(2) {
            if let Arg::Simple(bytes) = argument {
                whole.arg(bytes);
            }
        }
        db.run(&whole, name, *effect).await
    }
}
