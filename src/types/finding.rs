//! What a check finds.

/// What a check does about what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mend {
    /// It changes nothing.
    Nothing,
    /// It mends what can be mended without inventing data.
    WhatCanBe,
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about: a job, a member, the whole.
    pub about: String,
    /// What is wrong with it.
    pub wrong: String,
    /// What was done about it, if anything.
    pub done: Option<String>,
}

impl Finding {
    /// One about which `done` says what was done, nothing where it is empty.
    pub fn new(about: impl Into<String>, wrong: impl Into<String>, done: &str) -> Self {
        let done = (!done.is_empty()).then(|| done.to_owned());
        Self { about: about.into(), wrong: wrong.into(), done }
    }
}
