//! The compiled jobs, and other versions of them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::target_directory;

/// The three jobs.
pub(crate) const JOBS: [&str; 3] = ["purchase-confirmation", "refund-notification", "welcome-email"];

/// The bytes of a job's component, which `cargo xtask test` builds before it runs these tests.
pub(crate) fn bytes(job: &str) -> Vec<u8> {
    let path = target_directory().join("components").join(format!("{job}.wasm"));
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}: run the tests by `cargo xtask test`", path.display()))
}

/// The same component with other bytes: a custom section that names the build.
pub(crate) fn version(job: &str, build: u32) -> Vec<u8> {
    let mut bytes = bytes(job);
    let text = format!("build {build:04}");
    let name = b"build";
    let size = 1 + name.len() + text.len();
    bytes.extend([0, u8::try_from(size).expect("short")]);
    bytes.push(u8::try_from(name.len()).expect("short"));
    bytes.extend(name);
    bytes.extend(text.as_bytes());
    bytes
}

/// Puts a file into a hopper by rename.
pub(crate) fn put(hopper: &Path, file: &str, bytes: &[u8]) {
    let temporary = hopper.join(format!(".{file}.new"));
    fs::write(&temporary, bytes).expect("written");
    fs::rename(temporary, hopper.join(file)).expect("renamed");
}

/// A hopper with the three jobs.
pub(crate) fn fill(hopper: &Path) -> PathBuf {
    fs::create_dir_all(hopper).expect("created");
    for job in JOBS {
        put(hopper, &format!("{job}.wasm"), &bytes(job));
    }
    hopper.to_owned()
}

/// The component with another text wherever it has this one, such as a mistake; both are of one length.
pub(crate) fn altered(job: &str, text: &str, other: &str) -> Vec<u8> {
    assert_eq!(text.len(), other.len(), "or nothing would be where the component looks for it");
    let mut bytes = bytes(job);
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(text.as_bytes())).collect();
    assert!(!places.is_empty(), "{job} has no {text:?}");
    for at in places {
        bytes[at..at + other.len()].copy_from_slice(other.as_bytes());
    }
    bytes
}
