//! `jobmill bench`: figures that a program can read, runs that would spoil them, and nothing left behind.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::command_line::{assert_refused, run_in, text};
use crate::support::component;
use crate::support::server::jobmill;

/// A configuration with limits of its own.
const TEN_A_SECOND: &str =
    "[jobs.welcome-email]\nconcurrency = [{ limit = 1 }]\nrate_limit = { limit = 10, period = \"1s\" }\n";

/// A directory with the three jobs in its hopper.
fn place() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    component::fill(&directory.path().join("hopper"));
    directory
}

/// What lies in a directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

fn figures(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn number(figures: &Value, pointer: &str) -> f64 {
    figures.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer} is no number in {figures:#}"))
}

fn runs(figures: &Value, phase: &str) -> u64 {
    figures[phase]["runs"].as_u64().unwrap_or_else(|| panic!("{phase} has no runs in {figures:#}"))
}

#[test]
fn bench_tells_every_figure_of_its_interface_and_leaves_nothing_behind() {
    let place = place();
    let output = run_in(place.path(), &["bench", "--runs", "60", "--clients", "4", "--batch", "3", "-o", "json"]);
    let figures = figures(&output);
    for pointer in [
        "/disk/fdatasync_per_s",
        "/disk/fdatasync_p50_ms",
        "/enqueue/per_s",
        "/enqueue/ack_p50_ms",
        "/enqueue/ack_p99_ms",
        "/drain/per_s",
        "/sustained/per_s",
        "/latency/start_p50_ms",
        "/latency/start_p99_ms",
        "/latency/done_p50_ms",
        "/latency/done_p99_ms",
        "/cpu_s_per_1000",
        "/rss_peak_mib",
        "/bytes_written_per_run",
    ] {
        assert!(number(&figures, pointer) > 0.0, "{pointer} in {figures:#}");
    }
    let load = ["runs", "clients", "batch"].map(|member| figures["enqueue"][member].as_u64());
    assert_eq!(load, [Some(60), Some(4), Some(3)]);
    assert!(number(&figures, "/latency/start_p50_ms") <= number(&figures, "/latency/done_p50_ms"), "{figures:#}");
    assert_eq!((&figures["awake"], &figures["limits"]), (&Value::Bool(false), &Value::Null));
    assert_eq!(names(place.path()), ["hopper"]);
}

#[test]
fn bench_accounts_for_each_run_through_either_door() {
    for door in ["--in-process", "--http"] {
        let place = place();
        let few = ["--runs", "40", "--clients", "3", "--batch", "7", "--keep-awake", "-o", "json"];
        let figures = figures(&run_in(place.path(), &[&["bench", door], few.as_slice()].concat()));
        assert_eq!([runs(&figures, "enqueue"), runs(&figures, "sustained"), runs(&figures, "latency")], [40; 3]);
        let queued = runs(&figures, "single") + runs(&figures, "enqueue") + runs(&figures, "batches");
        assert_eq!(runs(&figures, "drain"), queued);
        let warm_up = 40;
        let all = warm_up + queued + runs(&figures, "sustained") + runs(&figures, "latency");
        assert_eq!(figures["completed_once"].as_u64(), Some(all), "{door}: {figures:#}");
        assert_eq!(figures["awake"], true);
    }
}

#[test]
fn bench_with_limits_drains_without_them_and_under_them_by_turns_and_tells_the_ratio() {
    for door in ["--in-process", "--http"] {
        let place = place();
        std::fs::write(place.path().join("jobmill.toml"), TEN_A_SECOND).expect("written");
        let output = run_in(place.path(), &["bench", door, "--limits", "--runs", "40", "--clients", "3", "-o", "json"]);
        let (figures, said) = (figures(&output), text(&output.stderr));
        let turns: Vec<_> = said.lines().filter_map(|line| line.strip_prefix("· limits: drain ")).collect();
        let by_turns = [
            "1 of 3 without them",
            "1 of 3 under them",
            "2 of 3 under them",
            "2 of 3 without them",
            "3 of 3 without them",
            "3 of 3 under them",
        ];
        assert_eq!(turns, by_turns);
        let [under, without, ratio] = ["/limits/drain_per_s", "/limits/drain_per_s_without", "/limits/ratio"]
            .map(|pointer| number(&figures, pointer));
        assert!((under / without - ratio).abs() < 0.01, "{figures:#}");
        // What the configuration limits the job to holds up neither.
        assert!(under > 50.0 && without > 50.0, "{figures:#}");
        // The other mill first gets as many runs as this one has, so that the stores are alike. Both are looked at.
        let warm_up = 40;
        let before = warm_up + runs(&figures, "drain") + runs(&figures, "sustained") + runs(&figures, "latency");
        let of_each = before + 3 * runs(&figures, "drain");
        assert_eq!(figures["completed_once"].as_u64(), Some(2 * of_each), "{door}: {figures:#}");
        assert_eq!(names(place.path()), ["hopper", "jobmill.toml"]);
    }
}

#[test]
fn bench_with_limits_says_the_ratio_to_people() {
    let place = place();
    let output = run_in(place.path(), &["bench", "--limits", "--runs", "20", "--clients", "2", "--quiet"]);
    let table = text(&output.stdout);
    let line = table.lines().find(|line| line.starts_with("limits")).unwrap_or_else(|| panic!("no limits in {table}"));
    for part in ["drain ", "/s without, ", "/s under them: "] {
        assert!(line.contains(part), "{part:?} is missing in {line}");
    }
}

#[test]
fn bench_for_people_is_a_table_beside_the_disks_own_rate() {
    let place = place();
    let output = run_in(place.path(), &["bench", "--runs", "20", "--clients", "2", "--quiet"]);
    let table = text(&output.stdout);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    for part in ["disk syncs/s", "ratio", "many clients", "drain", "sustained", "done", "not kept awake"] {
        assert!(table.contains(part), "{part:?} is missing in {table}");
    }
}

#[test]
fn a_run_that_fails_spoils_the_figures_and_is_named() {
    let place = place();
    let output = run_in(place.path(), &["bench", "--job", "purchase-confirmation", "--runs", "5"]);
    assert_refused(&output, 1, &["runs-failed", "purchase-confirmation is dead after 1 attempt", "permanent"]);
    assert_eq!((text(&output.stdout).as_str(), names(place.path())), ("", vec!["hopper".to_owned()]));
}

#[test]
fn bench_without_its_job_says_which_there_are_and_makes_no_hopper() {
    let place = place();
    assert_refused(&run_in(place.path(), &["bench", "--job", "welcome-mail"]), 3, &["welcome-mail", "welcome-email"]);
    let empty = tempfile::tempdir().expect("a directory");
    assert_refused(&run_in(empty.path(), &["bench"]), 3, &["no-jobs", "jobmill build", "--hopper"]);
    assert!(names(empty.path()).is_empty());
}

#[test]
fn an_interrupted_bench_takes_its_directory_with_it() {
    let with_one_mill = (vec!["bench"], "warm-up");
    let with_two_mills = (vec!["bench", "--limits", "--runs", "40"], "drain 1 of 3");
    for (arguments, phase) in [with_one_mill, with_two_mills] {
        let place = place();
        let mut bench = jobmill(place.path());
        let mut child = bench.args(arguments).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut said = BufReader::new(child.stderr.take().expect("a pipe")).lines().map(|line| line.expect("UTF-8"));
        assert!(said.any(|line| line.contains(phase)), "it ended before {phase}");
        assert!(names(place.path()).iter().any(|name| name.starts_with(".jobmill-bench-")));
        let id = Pid::from_child(&child);
        kill_process(id, Signal::INT).expect("signalled");
        let said: Vec<String> = said.collect();
        assert_eq!(child.wait().expect("reaped").code(), Some(1), "{said:?}");
        assert!(said.last().is_some_and(|line| line.contains("interrupted")), "{said:?}");
        assert_eq!(names(place.path()), ["hopper"]);
    }
}
