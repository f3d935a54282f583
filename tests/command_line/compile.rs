//! Components are compiled by a child of the server: the hidden command that does it, and what its end means.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::command_line::{assert_refused, run_in, text};
use crate::support::server::{Server, jobmill, pause};
use crate::support::{WATCHDOG, component};

const JOB: &str = "welcome-email";

/// `jobmill compile` with these bytes on its standard input.
fn compile(directory: &Path, component: &[u8]) -> Output {
    let mut command = jobmill(directory);
    command.args(["compile", "--cache", "cache"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    child.stdin.take().expect("a pipe").write_all(component).expect("written");
    child.wait_with_output().expect("it ends")
}

/// Files of compiled code in this cache; what else lies there has a suffix.
fn code_files(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).into_iter().flatten().map(|entry| entry.expect("readable").path());
    let count = |path: PathBuf| if path.is_dir() { code_files(&path) } else { usize::from(path.extension().is_none()) };
    entries.map(count).sum()
}

#[test]
fn the_hidden_command_fills_a_cache_and_refuses_what_is_no_component() {
    let directory = tempfile::tempdir().expect("a directory");
    let refused = compile(directory.path(), b"garbage");
    assert_refused(&refused, 1, &["magic header"]);
    assert_eq!((text(&refused.stdout).as_str(), text(&refused.stderr).lines().count()), ("", 1));
    let compiled = compile(directory.path(), &component::bytes(JOB));
    assert_eq!((compiled.status.code(), compiled.stdout.len(), compiled.stderr.len()), (Some(0), 0, 0), "{compiled:?}");
    assert_eq!(code_files(&directory.path().join("cache")), 1);
    assert!(!text(&run_in(directory.path(), &["--help"]).stdout).contains("compile "));
}

#[test]
fn the_server_finds_in_the_cache_what_its_child_compiled() {
    let server = Server::dev();
    for job in component::JOBS {
        server.until_job(job, |job| job["status"] == "loaded");
    }
    assert_eq!(code_files(&server.data().join("cache")), component::JOBS.len());
    assert!(!server.log().contains("engine's own process"), "{}", server.log());
}

/// A child of this process, if it has one.
fn child_of(parent: u32) -> Option<Pid> {
    let threads = fs::read_dir(format!("/proc/{parent}/task")).expect("it runs");
    let mut children = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    children.find_map(|ids| Pid::from_raw(ids.split_whitespace().next()?.parse().ok()?))
}

#[test]
fn a_compiler_that_is_killed_leaves_the_server_alive_and_the_file_broken() {
    let server = Server::dev();
    let serving = server.until_job(JOB, |job| job["status"] == "loaded")["version"].clone();
    let started = Instant::now();
    let mut build = 0;
    let killed = loop {
        // On a quick machine one may be through before it is seen.
        if child_of(server.process_id()).is_some_and(|child| kill_process(child, Signal::KILL).is_ok()) {
            break true;
        }
        let listing = server.get(&format!("/api/v1/jobs/{JOB}")).json();
        if build == 0 || listing["version"] != serving {
            build += 1;
            component::put(&server.hopper(), &format!("{JOB}.wasm"), &component::version(JOB, build));
        }
        if started.elapsed() > WATCHDOG {
            break false;
        }
        pause();
    };
    assert!(killed, "no compiler was seen");
    let broken = server.until_job(JOB, |job| job["error"].is_string());
    assert!(broken["error"].as_str().is_some_and(|error| error.contains("the compiler was killed")), "{broken:#}");
    assert_eq!(broken["status"], "loaded", "the version before goes on");
    let run = server.finished(&server.enqueue(JOB, &json!({ "userId": "u", "email": "a@example.com" })));
    assert_eq!(run["state"], "completed");
}
