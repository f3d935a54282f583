//! The audit list: what operators did.
//! Only a token that may operate sees it.

use crate::answer::Page;
use crate::client::Client;
use crate::error::Error;
use crate::requests::{AuditFilter, Query};
use crate::shapes::AuditEntry;

impl Client {
    /// At most `limit` entries of the audit list, newest first.
    pub fn audit(&self, filter: &AuditFilter<'_>, limit: usize) -> Result<Page<AuditEntry>, Error> {
        let AuditFilter { action, target, by } = *filter;
        let query = Query::default().with("action", action).with("target", target).with("by", by);
        self.pages(&["audit"], &query.pairs(), limit)
    }
}
