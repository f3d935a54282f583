//! What the tests share: the binary as a child process, an HTTP client, a mail server, components.
//! It asserts nothing about the product.

#[expect(dead_code, reason = "the tests of the runtime use more of it")]
#[path = "../../host/runtime/tests/runtime/ask.rs"]
pub(crate) mod ask;
pub(crate) mod component;
#[expect(dead_code, reason = "the tests of the runtime use more of it")]
#[path = "../../host/runtime/tests/runtime/guest.rs"]
pub(crate) mod guest;
pub(crate) mod node;
#[expect(dead_code, reason = "the tests of the host's crates use more of it")]
pub(crate) mod postgres;
pub(crate) mod random;
pub(crate) mod server;
pub(crate) mod signature;
pub(crate) mod smtp;

use std::path::PathBuf;
use std::time::Duration;

/// No test waits longer for anything.
pub(crate) const WATCHDOG: Duration = Duration::from_mins(1);

/// The directory that cargo builds into: the test binary lies in its `debug/deps`.
pub(crate) fn target_directory() -> PathBuf {
    let executable = std::env::current_exe().expect("the test has a path");
    executable.ancestors().nth(3).expect("target/debug/deps/suite").to_owned()
}

/// The binary `jobmill`, which `cargo xtask test` builds before it runs these tests, or the one that `TESTED_BINARY` names:
/// a release build, say.
pub(crate) fn binary() -> PathBuf {
    if let Some(binary) = std::env::var_os("TESTED_BINARY") {
        return binary.into();
    }
    let binary = target_directory().join("debug/jobmill");
    assert!(binary.exists(), "{} is missing: run the tests by `cargo xtask test`", binary.display());
    binary
}
