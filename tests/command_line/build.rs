//! From nothing to a run of one's own job: `new`, `build`, `run`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::command_line::{run_in, text};
use crate::support::server::{Server, jobmill};
use crate::support::target_directory;

/// Where these crates are compiled: in one place that is kept, so that the standard library is not compiled each time.
fn compiled() -> PathBuf {
    target_directory().join("scaffold")
}

fn build_in(directory: &Path, job: &str) -> Output {
    jobmill(directory).env("CARGO_TARGET_DIR", compiled()).args(["build", job]).output().expect("it starts")
}

#[test]
fn a_new_job_is_made_built_tested_and_run() {
    let server = Server::dev();
    let made = run_in(server.path(), &["new", "hello"]);
    assert!(made.status.success(), "{made:?}");
    let again = run_in(server.path(), &["new", "hello"]);
    assert_eq!(again.status.code(), Some(1), "an existing directory is left alone");
    let built = build_in(server.path(), "hello");
    assert!(built.status.success(), "{}", text(&built.stderr));
    assert!(server.hopper().join("hello.wasm").exists());
    server.until_job("hello", |job| job["status"] == "loaded");
    let run = server.run(&["run", "hello", "--example", "--wait"]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let tested = Command::new("cargo")
        .args(["test", "--quiet"])
        .env("CARGO_TARGET_DIR", compiled())
        .current_dir(server.path().join("hello"))
        .output()
        .expect("cargo starts");
    assert!(tested.status.success(), "{}", text(&tested.stderr));
}

#[test]
fn a_job_that_does_not_compile_shows_the_compilers_words() {
    let server = Server::dev();
    assert!(run_in(server.path(), &["new", "broken"]).status.success());
    std::fs::write(server.path().join("broken/src/lib.rs"), "fn nonsense( {").expect("written");
    let built = build_in(server.path(), "broken");
    assert_eq!(built.status.code(), Some(1));
    assert!(text(&built.stderr).contains("nonsense"), "{}", text(&built.stderr));
    assert!(!server.hopper().join("broken.wasm").exists());
}
