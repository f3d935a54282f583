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
    command.arg("compile").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    child.stdin.take().expect("a pipe").write_all(component).expect("written");
    child.wait_with_output().expect("it ends")
}

/// Files of compiled code in this cache.
fn code_files(cache: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cache).into_iter().flatten().map(|entry| entry.expect("readable").path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "code")).collect()
}

#[test]
fn the_hidden_command_answers_code_and_refuses_what_is_no_component() {
    let directory = tempfile::tempdir().expect("a directory");
    let refused = compile(directory.path(), b"garbage");
    assert_refused(&refused, 1, &["magic header"]);
    assert_eq!((text(&refused.stdout).as_str(), text(&refused.stderr).lines().count()), ("", 1));
    let compiled = compile(directory.path(), &component::bytes(JOB));
    assert_eq!((compiled.status.code(), compiled.stderr.len()), (Some(0), 0), "{}", text(&compiled.stderr));
    assert!(compiled.stdout.starts_with(b"\x7fELF"), "what wasmtime compiles is an object file");
    assert_eq!(fs::read_dir(directory.path()).expect("there").count(), 0, "it writes no files");
    assert!(!text(&run_in(directory.path(), &["--help"]).stdout).contains("compile "));
}

#[test]
fn code_is_kept_for_the_next_start_and_a_changed_file_of_it_is_not_taken() {
    let mut server = Server::dev();
    let loaded = |server: &Server| {
        for job in component::JOBS {
            server.until_job(job, |job| job["status"] == "loaded");
        }
    };
    loaded(&server);
    let cache = server.data().join("cache");
    let files = code_files(&cache);
    assert_eq!(files.len(), component::JOBS.len());
    assert!(!server.log().contains("engine's own process"), "{}", server.log());
    let whole = fs::read(&files[0]).expect("readable");
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    server.kill();
    fs::write(&files[0], &changed).expect("written");
    server.restart();
    loaded(&server);
    assert!(server.log().contains("a file of the cache of compiled code is not taken"), "{}", server.log());
    assert_eq!(fs::read(&files[0]).expect("compiled anew"), whole);
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
