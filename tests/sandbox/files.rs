//! What may lie in the hopper beside jobs, by accident or on purpose: large files, other files, and what is no file.
//! Each is refused by a reason that says what it is, and the server goes on.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use serde_json::{Value, json};

use crate::sandbox::guests::named;
use crate::sandbox::{canary, server};
use crate::support::guest::Guest;
use crate::support::server::{Server, pause};
use crate::support::{WATCHDOG, component};

/// Why a file is not a job, once the server says so.
fn reason(server: &Server, file: &str) -> String {
    let began = Instant::now();
    loop {
        let jobs = server.get("/api/v1/jobs").json();
        let mut items = jobs["items"].as_array().expect("items").iter();
        let told = items.find(|job| job["file"] == file).and_then(|job| job["error"].as_str());
        if let Some(told) = told {
            return told.to_owned();
        }
        assert!(began.elapsed() < WATCHDOG, "{file} is not told of: {jobs:#}");
        pause();
    }
}

/// Files that are no jobs, and what each is called.
fn put_strange_files(hopper: &Path, outside: &Path) -> Vec<(&'static str, &'static str)> {
    let job = named(Guest::new("(call $done)"), "outside").component();
    let module = Guest::new("(call $done)").module();
    let empty = b"\0asm\x0d\x00\x01\x00";
    let lying = [empty.as_slice(), b"\x07\xff\xff\xff\xff\x0f"].concat();
    let texts: [(&str, &[u8], &str); 11] = [
        ("empty.wasm", b"", "the file is empty"),
        ("magic-only.wasm", b"\0asm", "does not begin with"),
        ("garbage.wasm", &[0xfe; 5_000], "does not begin with"),
        ("elf.wasm", b"\x7fELF\x02\x01\x01\x00", "does not begin with"),
        ("zip.wasm", b"PK\x03\x04", "does not begin with"),
        ("page.wasm", b"<!doctype html>", "it is text"),
        ("text.wasm", b"(component)", "it is text"),
        ("module.wasm", &module, "a core module"),
        ("lying-length.wasm", &lying, "can't be compiled"),
        ("no-job.wasm", empty, "not a job"),
        ("<img src=x onerror=alert(1)>.wasm", b"(module)", "it is text"),
    ];
    let mut files: Vec<(&str, &str)> = texts.iter().map(|(file, _, reason)| (*file, *reason)).collect();
    for (file, bytes, _) in texts {
        component::put(hopper, file, bytes);
    }
    for (file, size) in [("large.wasm", 100 << 20), ("sparse.wasm", 10 << 40)] {
        File::create(hopper.join(file)).and_then(|file| file.set_len(size)).expect("written");
        files.push((file, "a component has at most"));
    }
    fs::create_dir(hopper.join("directory.wasm")).expect("made");
    mknodat(CWD, hopper.join("fifo.wasm"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("made");
    files.extend([("directory.wasm", "not a regular file"), ("fifo.wasm", "not a regular file")]);
    // A socket can't even be opened.
    UnixListener::bind(hopper.join("socket.wasm")).expect("bound");
    files.push(("socket.wasm", ""));
    // /dev/zero, which never ends. Only the superuser may make one.
    let device = makedev(1, 5);
    if mknodat(CWD, hopper.join("device.wasm"), FileType::CharacterDevice, Mode::from_raw_mode(0o600), device).is_ok() {
        files.push(("device.wasm", "not a regular file"));
    } else {
        println!("no device: this user may make none");
    }
    let target = outside.join("outside.wasm");
    fs::write(&target, &job).expect("written");
    for (file, target) in [
        ("link.wasm", target.as_path()),
        ("link-to-directory.wasm", outside),
        ("link-to-itself.wasm", &hopper.join("link-to-itself.wasm")),
        ("link-to-nothing.wasm", Path::new("/nowhere/at/all")),
        ("link-to-zeros.wasm", Path::new("/dev/zero")),
    ] {
        symlink(target, hopper.join(file)).expect("linked");
        files.push((file, "it is a symbolic link"));
    }
    files
}

#[test]
fn what_is_no_job_is_refused_by_its_right_name_and_harms_nothing() {
    let server = server("");
    let outside = tempfile::tempdir().expect("a directory");
    let before = canary::memory(&server);
    let bound = canary::idle(&server, 10).bound();
    let (seen, wrong) = canary::beside(&server, || {
        let files = put_strange_files(&server.hopper(), outside.path());
        let told = files.iter().map(|(file, part)| (file, reason(&server, file), part));
        told.filter(|(_, told, part)| !told.contains(*part)).map(|it| format!("{it:?}")).collect::<Vec<_>>()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen.p99() <= bound, "{:?} instead of {bound:?} at most: {:?}", seen.p99(), seen.runs);
    // The large file was not read.
    assert!(seen.memory <= (before + (32 << 20)) * 6 / 5, "{} MiB, and before {} MiB", seen.memory >> 20, before >> 20);
    assert_eq!(server.get("/api/v1/jobs/outside").status, 404, "no link was followed");
    assert!(!server.get("/jobs").text.contains("<img src=x"), "names of files are shown as they are");
}

#[test]
fn a_file_that_may_not_be_read_is_told_and_serves_once_it_may() {
    if rustix::process::geteuid().is_root() {
        println!("nothing to see: the superuser may read everything");
        return;
    }
    let server = server("");
    let path = server.hopper().join("closed.wasm");
    fs::write(&path, named(Guest::new("(call $done)"), "closed").component()).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("closed");
    assert!(reason(&server, "closed.wasm").contains("it can't be opened"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("opened");
    server.until_job("closed", |job| job["status"] == "loaded");
}

#[test]
fn what_editors_and_copiers_leave_beside_a_job_is_not_looked_at() {
    let server = server("");
    let job = named(Guest::new("(call $done)"), "unfinished").component();
    for file in
        [".x.wasm.Ab3", ".hidden.wasm", "x.wasm~", "x.wasm.swp", "x.wasm.part", "x.wasm.tmp", "#x.wasm#", "x.wat"]
    {
        fs::write(server.hopper().join(file), &job).expect("written");
    }
    // What comes after them is loaded, so they were looked at or never will be.
    component::put(&server.hopper(), "last.wasm", &named(Guest::new("(call $done)"), "last").component());
    server.until_job("last", |job| job["status"] == "loaded");
    let jobs = server.get("/api/v1/jobs").json();
    let ids: Vec<&Value> = jobs["items"].as_array().expect("items").iter().map(|job| &job["id"]).collect();
    assert_eq!(ids, [&json!("canary"), &json!("last")], "{jobs:#}");
}

#[test]
fn a_hard_link_is_a_file_like_any_other() {
    let server = server("");
    let outside = server.path().join("elsewhere.wasm");
    fs::write(&outside, named(Guest::new("(call $done)"), "linked").component()).expect("written");
    fs::hard_link(&outside, server.hopper().join("linked.wasm")).expect("linked");
    server.until_job("linked", |job| job["status"] == "loaded");
}

#[test]
fn what_is_left_of_a_good_job_leaves_the_good_one_serving() {
    let server = server("");
    let good = server.until_job(canary::CANARY, |job| job["status"] == "loaded")["version"].clone();
    let bytes = fs::read(server.hopper().join("canary.wasm")).expect("readable");
    // Those that are still jobs, of whatever name, are tested close up; here only that the last good one serves on.
    for cut in (8..bytes.len()).step_by(bytes.len() / 8) {
        component::put(&server.hopper(), "canary.wasm", &bytes[..cut]);
        let broken = server.until_job(canary::CANARY, |job| job["error"].is_string());
        assert_eq!(broken["version"], good, "{broken:#}");
        canary::idle(&server, 1);
        component::put(&server.hopper(), "canary.wasm", &bytes);
        server.until_job(canary::CANARY, |job| job["error"].is_null());
    }
    assert!(canary::idle(&server, 1).p99() < Duration::from_secs(20));
}
