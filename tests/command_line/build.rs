//! From nothing to a run of one's own job: `new`, `build`, `run`.

use std::process::Command;

use crate::command_line::{run_in, text};
use crate::support::server::Server;

#[test]
fn a_new_job_is_made_built_tested_and_run() {
    let server = Server::dev();
    let made = run_in(server.path(), &["new", "hello"]);
    assert!(made.status.success(), "{made:?}");
    let again = run_in(server.path(), &["new", "hello"]);
    assert_eq!(again.status.code(), Some(1), "an existing directory is left alone");
    let built = run_in(server.path(), &["build", "hello"]);
    assert!(built.status.success(), "{}", text(&built.stderr));
    assert!(server.hopper().join("hello.wasm").exists());
    server.until_job("hello", |job| job["status"] == "loaded");
    let run = server.run(&["run", "hello", "--example", "--wait"]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let tested = Command::new("cargo").args(["test", "--quiet"]).current_dir(server.path().join("hello")).output();
    let tested = tested.expect("cargo starts");
    assert!(tested.status.success(), "{}", text(&tested.stderr));
}

#[test]
fn a_job_that_does_not_compile_shows_the_compilers_words() {
    let server = Server::dev();
    assert!(run_in(server.path(), &["new", "broken"]).status.success());
    std::fs::write(server.path().join("broken/src/lib.rs"), "fn nonsense( {").expect("written");
    let built = run_in(server.path(), &["build", "broken"]);
    assert_eq!(built.status.code(), Some(1));
    assert!(text(&built.stderr).contains("nonsense"), "{}", text(&built.stderr));
    assert!(!server.hopper().join("broken.wasm").exists());
}
