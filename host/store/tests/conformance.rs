//! The log-backed store over a log in memory passes the suite.
//! What survives a crash is `durability`'s.

use jobmill_store::conformance::Subject;
use jobmill_store::{LogStore, MemoryLog};

async fn make() -> Subject {
    let log = MemoryLog::new();
    Subject::new(move || LogStore::open(log.clone()).expect("opens"), ())
}

jobmill_store::conformance!(make);
