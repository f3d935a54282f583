//! A process that is killed loses no group that it acknowledged, and leaves none of which only a part is there.
//! What a power cut does beyond that can't be shown without one.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use jobmill_store::{Log, Record};

use crate::samples::{enqueued, event, open, scan, step, write};

const STORE: &str = "JOBMILL_TEST_STORE";

/// Three records in three blocks, the first one of many parts, which are one group.
fn group(number: u32) -> [Record; 3] {
    [enqueued(number, 20_000), event(&format!("evt_{number}"), 70_000), step(number, 1)]
}

/// How many groups are there; each has to be there whole.
fn groups(directory: &Path) -> u32 {
    let records = scan(&mut open(directory)).expect("is whole");
    let (groups, rest) = records.as_chunks::<3>();
    assert_eq!(rest, []);
    let count = (0..).zip(groups).inspect(|(number, found)| assert_eq!(**found, group(*number))).count();
    u32::try_from(count).expect("few")
}

#[test]
#[ignore = "the process that the next test kills; it never ends by itself"]
fn writes_until_it_is_killed() {
    let Some(directory) = std::env::var_os(STORE) else { return };
    let directory = Path::new(&directory);
    let first = groups(directory);
    let mut log = open(directory);
    for number in first.. {
        if number % 3 == 0 {
            // Every third group shares a sync with the one after.
            log.append(&group(number)).expect("appends");
        } else {
            write(&mut log, &[&group(number)]);
            println!("\nacknowledged {number}");
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("store");
    for round in 0..12 {
        let mut writer = Command::new(std::env::current_exe().expect("has a path"))
            .args(["--exact", "crash::writes_until_it_is_killed", "--ignored", "--nocapture"])
            .env(STORE, &directory)
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(writer.stdout.take().expect("is piped")).lines().map_while(Result::ok);
        let mut acknowledged = lines.filter_map(|line| line.strip_prefix("acknowledged ")?.parse::<u32>().ok());
        let heard = acknowledged.nth(round * 3).expect("writes");
        writer.kill().expect("kills");
        let last = acknowledged.last().unwrap_or(heard);
        writer.wait().expect("ends");
        assert!(groups(&directory) > last, "round {round}");
    }
}
