//! Failures on demand: the next mails, or the next changes of orders, fail.
//! Development servers alone take these calls; others answer that there is no such path.

use serde::Serialize;

use crate::answer::Answer;
use crate::client::Client;
use crate::error::Error;
use crate::requests::FaultKind;
use crate::shapes::FaultsSet;

#[derive(Serialize)]
struct Faults {
    fail_next: u32,
    kind: FaultKind,
}

impl Client {
    /// Makes the next mails fail, over all jobs; 0 for none any more.
    pub fn fail_mail(&self, fail_next: u32, kind: FaultKind) -> Result<Answer<FaultsSet>, Error> {
        self.post(&["mail", "faults"], &Faults { fail_next, kind })
    }

    /// Makes the next changes of orders fail, over all jobs; 0 for none any more.
    pub fn fail_orders(&self, fail_next: u32, kind: FaultKind) -> Result<Answer<FaultsSet>, Error> {
        self.post(&["orders", "faults"], &Faults { fail_next, kind })
    }
}
