//! The log-backed store over the log on sled passes the suite, and answers as the one in memory does.
//! What the log itself keeps is `log`'s.

use jobmill_store::LogStore;
use jobmill_store::conformance::Subject;
use jobmill_store_sled::SledLog;

async fn make() -> Subject {
    let home = tempfile::tempdir().expect("a directory");
    let log = SledLog::open(&home.path().join("store")).expect("creates");
    Subject::new(LogStore::open(log).expect("opens"), home)
}

jobmill_store::conformance!(make);
