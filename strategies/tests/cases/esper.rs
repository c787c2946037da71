//! Patterns of Esper.

use serde_json::Value;

use crate::Job;

pub(crate) fn job(_case: &Value) -> Result<Job, String> {
    Err("no rules are written for it yet".to_owned())
}
