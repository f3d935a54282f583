//! `[notify]`: who is told of dead runs.
//! It reads no secret; `serve` does.

use std::num::NonZeroUsize;

use serde::Deserialize;

use super::secret::SecretSource;

/// The section.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NotifySection {
    /// The address that messages are posted to.
    pub(crate) webhook: Option<String>,
    /// What they are signed with.
    pub(crate) webhook_secret: Option<SecretSource>,
    /// Who gets them by mail.
    #[serde(default)]
    pub(crate) mail: Vec<String>,
    /// Dead runs of one group within ten minutes that are a spike.
    pub(crate) spike: NonZeroUsize,
}

impl NotifySection {
    /// The same, which tells nobody.
    pub(super) fn silent(self) -> Self {
        Self { webhook: None, webhook_secret: None, mail: Vec::new(), ..self }
    }
}
