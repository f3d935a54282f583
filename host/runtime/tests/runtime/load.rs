//! What loads, what does not, and whether the reason helps.

use std::time::Duration;

use jobmill_core::job::descriptor::{Concurrency, Debounce, RateLimit};
use jobmill_core::{Backoff, Job, JobOverrides, Trigger};
use jobmill_runtime::Compiler;

use crate::bench::Bench;
use crate::guest::{DATA, Guest};

#[tokio::test]
async fn a_component_is_described_and_its_imports_are_listed() {
    let guest =
        Guest::new("(call $log (i32.const 2) (i32.const 16) (i32.const 5) (i32.const 0) (i32.const 0)) (call $done)")
            .import("log", "log", "$log", "(param i32 i32 i32 i32 i32)");
    let loaded = Bench::new().load(&guest).await;
    assert_eq!((loaded.descriptor.id.as_str(), loaded.descriptor.title.as_str()), ("guest", "guest"));
    assert_eq!(loaded.imports, ["jobmill:job/log@0.1.0"]);
    let job = Job::new(loaded.descriptor, &JobOverrides::default()).expect("a job");
    assert_eq!(job.backoff.value, Backoff::default());
}

/// Where the members of the descriptor lie that have a value in this test; see the canonical ABI.
#[tokio::test]
async fn every_member_of_the_description_arrives() {
    let guest = Guest::new("(call $done)")
        // triggers at 284: one event and one cron, each a tag and a text.
        .words(256 + 28, &[DATA, 2])
        .words(DATA, &[0, DATA + 64, 7, 1, DATA + 72, 9])
        .data(DATA + 64, "a/event")
        .data(DATA + 72, "* * * * *")
        // priority at 304 and 305, retries at 308 and 312.
        .words(256 + 48, &[0x0701, 1, 9])
        // backoff at 320: some, fixed, 1500 ms.
        .words(256 + 64, &[1, 0, 0, 0, 1500])
        // timeout at 368: some, 2000 ms.
        .words(256 + 112, &[1, 0, 2000])
        // concurrency at 384: two, each a limit and a key.
        .words(256 + 128, &[DATA + 96, 2])
        .words(DATA + 96, &[1, 1, DATA + 128, 3, 8])
        .data(DATA + 128, "/id")
        // rate-limit at 392: some, 100 in 3000 ms, by a key.
        .words(256 + 136, &[1, 0, 100, 0, 3000, 0, 1, DATA + 128, 3])
        // debounce at 432: some, 4000 ms, at most 5000 ms, by a key.
        .words(256 + 176, &[1, 0, 4000, 0, 1, 0, 5000, 0, 1, DATA + 128, 3])
        // unique-key at 480, unique-for at 496: some, 6000 ms.
        .words(256 + 224, &[1, DATA + 128, 3, 0, 1, 0, 6000]);
    let described = Bench::new().load(&guest).await.descriptor;
    let triggers = [Trigger::Event("a/event".to_owned()), Trigger::Cron("* * * * *".to_owned())];
    assert_eq!(described.triggers, triggers);
    assert_eq!((described.priority, described.retries), (Some(7), Some(9)));
    assert_eq!(described.backoff, Some(Backoff::Fixed { delay: Duration::from_millis(1500) }));
    assert_eq!(described.timeout, Some(Duration::from_secs(2)));
    let key = Some("/id".to_owned());
    assert_eq!(
        described.concurrency,
        [Concurrency { limit: 1, key: key.clone() }, Concurrency { limit: 8, key: None }]
    );
    let period = Duration::from_secs(3);
    assert_eq!(described.rate_limit, Some(RateLimit { limit: 100, period, key: key.clone() }));
    let (period, max_wait) = (Duration::from_secs(4), Some(Duration::from_secs(5)));
    assert_eq!(described.debounce, Some(Debounce { period, max_wait, key: key.clone() }));
    assert_eq!((described.unique_key, described.unique_for), (key, Some(Duration::from_secs(6))));
}

#[tokio::test]
async fn files_that_are_no_components_are_told_apart() {
    let bench = Bench::new();
    let module = Guest::new("(call $done)").module();
    let umlauts = format!("x{}", "ä".repeat(40));
    let cases: [(&[u8], &str); 10] = [
        (b"", "the file is empty"),
        (b"(component)", "it is text"),
        (b"<!doctype html>", "it is text"),
        (b"\x7fELF\x02\x01\x01\x00", "does not begin with \\0asm"),
        (umlauts.as_bytes(), "it is text"),
        (b"PK\x03\x04", "does not begin with \\0asm"),
        (b"\0asm", "does not begin with \\0asm"),
        (b"\0asm\x63\x00\x01\x00", "its version is"),
        (&module, "a core module"),
        (b"\0asm\x0d\x00\x01\x00\x07\xff\xff\xff\xff\x0f", "can't be compiled: failed to parse"),
    ];
    for (bytes, reason) in cases {
        let error = bench.refusal(bytes.to_vec()).await;
        assert!(error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn a_file_beyond_the_size_limit_is_not_compiled() {
    let error = Bench::new().refusal(vec![0; 64 * 1024 * 1024 + 1]).await;
    assert!(error.contains("may have 67108864"), "{error}");
}

#[tokio::test]
async fn a_damaged_component_is_refused_and_harms_nothing() {
    let bench = Bench::new();
    let guest = Guest::new("(call $done)");
    let component = guest.component();
    for cut in (8..component.len()).step_by(component.len() / 40) {
        assert!(!bench.refusal(component[..cut].to_vec()).await.is_empty());
    }
    bench.load(&guest).await;
}

#[tokio::test]
async fn an_import_that_nobody_offers_is_named() {
    let guest =
        Guest::new("(drop (call $get)) (call $done)").import_from("acme:kv/store@1.0.0", "get", "$get", "(result i32)");
    let error = Bench::new().refusal(guest.component()).await;
    assert!(error.contains("imports acme:kv/store@1.0.0"), "{error}");
}

#[tokio::test]
async fn a_job_of_another_interface_version_is_told_both_versions() {
    let error = Bench::new().refusal(Guest::new("(call $done)").version("0.2.0").component()).await;
    assert!(error.contains("version 0.2.0 of jobmill:job") && error.contains("speaks 0.1.0"), "{error}");
}

#[tokio::test]
async fn a_component_that_is_no_job_is_told_what_it_lacks() {
    let component = wat::parse_str("(component)").expect("well-formed text");
    let error = Bench::new().refusal(component).await;
    assert!(error.contains("jobmill:job/lifecycle@0.1.0") && error.contains("exports nothing"), "{error}");
}

#[tokio::test]
async fn describe_may_not_loop_trap_or_call_the_host() {
    let bench = Bench::new();
    let log = "(param i32 i32 i32 i32 i32)";
    let cases = [
        (Guest::new("(call $done)").describing("(loop $l (br $l)) (unreachable)"), "describe: took longer than 1s"),
        (Guest::new("(call $done)").describing("(unreachable)"), "describe: wasm trap: wasm `unreachable`"),
        (
            Guest::new("(call $done)").import("log", "log", "$log", log).describing(
                "(call $log (i32.const 2) (i32.const 16) (i32.const 5) (i32.const 0) (i32.const 0)) (i32.const 256)",
            ),
            "describe: host calls are not available to describe",
        ),
        (Guest::new("(call $done)").item("(func $s (loop $l (br $l))) (start $s)"), "describe: took longer than 1s"),
        (Guest::new("(call $done)").describing("(i32.const -16)"), "describe: "),
    ];
    for (guest, reason) in cases {
        let error = bench.refusal(guest.component()).await;
        assert!(error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn a_description_larger_than_one_host_call_is_refused() {
    let guest = Guest::new("(call $done)").pages(64).words(256, &[65_536, 3_000_000]);
    let error = Bench::new().refusal(guest.component()).await;
    assert_eq!(error, "describe: the component handed over more than 1 MiB (limits.host_call) at once");
}

#[tokio::test]
async fn memory_declared_beyond_the_limit_does_not_load() {
    let bench = Bench::new();
    let memory = bench.refusal(Guest::new("(call $done)").pages(3000).component()).await;
    assert!(memory.contains("memory"), "{memory}");
    let table = bench.refusal(Guest::new("(call $done)").item("(table 30000 funcref)").component()).await;
    assert!(table.contains("table"), "{table}");
}

#[tokio::test]
async fn compiled_code_is_kept_for_the_next_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let cached = directory.path().join("cache");
    let loaded = Bench::keeping_code_in(&cached).load(&Guest::new("(call $done)")).await;
    assert_eq!(loaded.descriptor.id, "guest");
    // Nothing compiles any more: what loads was kept.
    let bench = Bench::compiling_by(Compiler::Child("/usr/bin/false".into()), &cached);
    assert_eq!(bench.load(&Guest::new("(call $done)")).await.descriptor.id, "guest");
}

#[tokio::test]
async fn kept_code_that_was_changed_is_compiled_anew() {
    let directory = tempfile::tempdir().expect("a directory");
    let cached = directory.path().join("cache");
    Bench::keeping_code_in(&cached).load(&Guest::new("(call $done)")).await;
    let is_code = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "code");
    let files = || std::fs::read_dir(&cached).expect("made").map(|entry| entry.expect("readable").path());
    let code = files().find(is_code).expect("kept");
    let whole = std::fs::read(&code).expect("readable");
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    std::fs::write(&code, &changed).expect("written");
    Bench::keeping_code_in(&cached).load(&Guest::new("(call $done)")).await;
    assert_ne!(std::fs::read(&code).expect("kept again"), changed);
}

#[tokio::test]
async fn what_could_not_be_compiled_is_not_tried_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let garbage = b"\0asm\x0d\0\x01\0\xff".to_vec();
    let first = Bench::keeping_code_in(directory.path()).refusal(garbage.clone()).await;
    // This one would say something else.
    let bench = Bench::compiling_by(Compiler::Child("/usr/bin/false".into()), directory.path());
    assert_eq!(bench.refusal(garbage.clone()).await, first);
    assert_ne!(bench.refusal([&garbage[..], b"x"].concat()).await, first);
}

#[tokio::test]
async fn a_component_that_is_no_job_is_compiled_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let no_job = wat::parse_str("(component)").expect("a component");
    let first = Bench::keeping_code_in(directory.path()).refusal(no_job.clone()).await;
    assert!(first.contains("not a job"), "{first}");
    // Nothing compiles any more, and the reason is the same.
    let bench = Bench::compiling_by(Compiler::Child("/usr/bin/false".into()), directory.path());
    assert_eq!(bench.refusal(no_job).await, first);
}

#[test]
fn a_cache_that_is_a_link_is_refused_and_what_it_leads_to_stays() {
    let directory = tempfile::tempdir().expect("a directory");
    let (elsewhere, link) = (directory.path().join("elsewhere"), directory.path().join("cache"));
    std::fs::create_dir_all(elsewhere.join("ours")).expect("made");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&elsewhere, mode).expect("changed");
    std::os::unix::fs::symlink(&elsewhere, &link).expect("linked");
    let reason = Bench::refused_cache(&link);
    assert!(reason.contains("it is a link"), "{reason}");
    let left = std::fs::metadata(&elsewhere).expect("there");
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&left) & 0o777, 0o755);
    assert!(elsewhere.join("ours").exists());
}

#[tokio::test]
async fn what_the_compiling_child_refuses_does_not_load() {
    let directory = tempfile::tempdir().expect("a directory");
    let bench = Bench::compiling_by(Compiler::Child("/usr/bin/false".into()), directory.path());
    let reason = bench.refusal(Guest::new("(call $done)").component()).await;
    assert!(reason.starts_with("can't be compiled: "), "{reason}");
}

#[tokio::test]
async fn a_child_that_cannot_be_started_does_not_keep_jobs_from_loading() {
    let directory = tempfile::tempdir().expect("a directory");
    let bench = Bench::compiling_by(Compiler::Child("/nowhere/jobmill".into()), directory.path());
    assert_eq!(bench.load(&Guest::new("(call $done)")).await.descriptor.id, "guest");
}

#[tokio::test]
async fn what_is_no_code_does_not_load() {
    let directory = tempfile::tempdir().expect("a directory");
    let bench = Bench::compiling_by(Compiler::Child("/usr/bin/true".into()), directory.path());
    let reason = bench.refusal(Guest::new("(call $done)").component()).await;
    assert!(reason.starts_with("can't be compiled: "), "{reason}");
}

#[test]
fn a_cache_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let error = Bench::refused_cache(file.path());
    assert!(error.contains(&file.path().display().to_string()), "{error}");
}

#[tokio::test]
async fn more_components_can_be_loaded_at_once_than_there_are_instances_set_aside() {
    let bench = Bench::new();
    let guest = Guest::new("(call $done)");
    let loading = (0..20).map(|_| bench.load(&guest));
    assert_eq!(futures::future::join_all(loading).await.len(), 20);
}

#[tokio::test]
async fn what_is_kept_loads_while_as_many_compile_as_may_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let cached = directory.path().join("cached");
    let kept = Guest::new("(call $done)");
    Bench::keeping_code_in(&cached).load(&kept).await;
    let (program, begun) = (directory.path().join("compiler"), directory.path().join("begun"));
    let script = format!("#!/bin/sh\n[ \"$1\" = compile ] && echo >> {} && exec sleep 100\n", begun.display());
    std::fs::write(&program, script).expect("written");
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("executable");
    // A child of another test may hold it open for a moment, and then it can't be started.
    while std::process::Command::new(&program).output().is_err() {
        tokio::task::yield_now().await;
    }
    let bench = Bench::compiling_by(Compiler::Child(program), &cached);
    let (first, second) = (Guest::new("(call $done) (nop)"), Guest::new("(call $done) (nop) (nop)"));
    let compiling = async { tokio::join!(bench.load(&first), bench.load(&second)) };
    let loading = async {
        while std::fs::read(&begun).unwrap_or_default().len() < 2 {
            tokio::task::yield_now().await;
        }
        bench.load(&kept).await
    };
    tokio::select! {
        _ = compiling => panic!("the compiler never ends"),
        loaded = loading => assert_eq!(loaded.descriptor.id, "guest"),
    }
}
