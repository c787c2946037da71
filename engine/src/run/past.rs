//! What a run knows of the one before it.
//!
//! Invariant: adds nothing; it takes a recovery apart for those who go on.

use crate::config::Config;
use crate::recover::{Recovery, SeenFeeds, ShardLeft};
use crate::report::RecoveredReport;

/// What an earlier run left; nothing after a fresh start.
pub(super) struct Past {
    /// The configuration with the rules that it ended with.
    pub(super) config: Option<Config>,
    /// How often its rules changed.
    reloads: u32,
    pub(super) report: Option<RecoveredReport>,
    /// Its shards, by number.
    pub(super) left: Vec<Option<ShardLeft>>,
    /// Where its feeds go on.
    pub(super) seen: Option<SeenFeeds>,
    /// What decided when its journal began.
    pub(super) began: Option<Config>,
}

impl Past {
    pub(super) fn of(recovery: Option<Recovery>) -> Self {
        let Some(recovery) = recovery else {
            return Self {
                config: None,
                reloads: 0,
                report: None,
                left: Vec::new(),
                seen: None,
                began: None,
            };
        };
        Self {
            config: Some(recovery.config),
            reloads: recovery.reloads,
            report: Some(recovery.report),
            left: recovery.shards.into_iter().map(Some).collect(),
            seen: Some(recovery.feeds),
            began: Some(recovery.began),
        }
    }

    /// The rules that it ended with, and how often they had changed.
    pub(super) fn ran(&self) -> Option<(&Config, u32)> {
        self.config.as_ref().map(|config| (config, self.reloads))
    }
}
