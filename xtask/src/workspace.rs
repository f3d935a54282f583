//! Where the repository is, and how its commands speak.
//! It builds nothing.

use std::env;
use std::path::PathBuf;

/// The repository's root: this crate lies in it.
pub(crate) fn root() -> PathBuf {
    // Set by cargo, which is how this program is started; it is right also when the repository was moved since it was built.
    let own = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let mut root = PathBuf::from(own);
    root.pop();
    root
}

/// One line about what goes on, to stderr.
pub(crate) fn say(line: &str) {
    eprintln!("xtask: {line}");
}
