//! The settings that the operator gives a job, under `[jobs.ID] config` of the engine's configuration.
//! No secrets are among them: those go by the headers of requests, see [`http`](crate::http).

use crate::host;

/// The setting of this name, or `None` where the operator gave none.
pub fn get(name: &str) -> Option<String> {
    host::setting(name)
}
