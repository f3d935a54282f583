//! Power cuts: after each, only what was synced is there. Names too, until their directory was synced.
//! A drive that lies about its flushes is not covered, but shows here that the tester sees a loss.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirEntryExt as _, FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::crash::kills::{UNDER_WAY, park};
use crate::crash::ledger::{self, Ledger};
use crate::crash::{setting, shim};
use crate::support::WATCHDOG;
use crate::support::random::{Random, rounds};
use crate::support::server::Server;

/// What a drive may keep of a file's unsynced bytes, all or nothing at a time.
const BLOCK: usize = 4096;
/// The compiled jobs. They are kept over most cuts, since compiling them anew takes longer than the rest of a round.
const CACHE: &str = "cache";

/// What a power cut would leave of a data directory.
struct Shadow {
    kept: TempDir,
    data: PathBuf,
}

/// What happens to bytes that were not synced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unsynced {
    Lost,
    /// Each block is lost or kept, by chance.
    Torn,
}

impl Shadow {
    /// Whatever is there now is durable.
    fn of(server: &Server) -> Self {
        let data = server.data().canonicalize().expect("it is there");
        let shadow = Self { kept: tempfile::tempdir_in(server.path()).expect("a directory"), data };
        shadow.keep(&shadow.data, inode(&shadow.data));
        shadow
    }

    fn environment(&self, lies: &str) -> Vec<(&'static str, std::ffi::OsString)> {
        let settings = [
            ("POWER_CUT_DIRECTORY", self.data.clone().into()),
            ("POWER_CUT_SHADOW", self.kept.path().into()),
            ("POWER_CUT_LIES", lies.into()),
        ];
        shim::environment("power_cut", settings)
    }

    fn file(&self, inode: u64) -> PathBuf {
        self.kept.path().join(format!("{inode}.file"))
    }

    fn names(&self, inode: u64) -> PathBuf {
        self.kept.path().join(format!("{inode}.dir"))
    }

    fn keep(&self, directory: &Path, inode: u64) {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory).expect("readable").map(|entry| entry.expect("readable")) {
            let is_directory = entry.file_type().expect("known").is_dir();
            let name = entry.file_name().into_string().expect("a plain name");
            if name == CACHE {
                continue;
            }
            names.push(format!("{} {} {name}\n", entry.ino(), if is_directory { 'd' } else { 'f' }));
            if is_directory {
                self.keep(&entry.path(), entry.ino());
            } else {
                fs::copy(entry.path(), self.file(entry.ino())).expect("copied");
            }
        }
        fs::write(self.names(inode), names.concat()).expect("written");
    }

    /// The power is gone: puts what is left in the place of the data directory.
    fn cut(self, unsynced: Unsynced, keeps_cache: bool, random: &mut Random) {
        let left = self.data.with_extension("left");
        let mut unsynced_files = BTreeMap::new();
        if unsynced == Unsynced::Torn {
            files_by_inode(&self.data, &mut unsynced_files);
        }
        self.restore(inode(&self.data), &left, &unsynced_files, random);
        if keeps_cache && self.data.join(CACHE).exists() {
            fs::rename(self.data.join(CACHE), left.join(CACHE)).expect("kept");
        }
        fs::remove_dir_all(&self.data).expect("removed");
        fs::rename(left, &self.data).expect("in its place");
    }

    fn restore(&self, directory: u64, to: &Path, unsynced: &BTreeMap<u64, PathBuf>, random: &mut Random) {
        fs::create_dir(to).expect("created");
        // A directory that was never synced has no names.
        for line in fs::read_to_string(self.names(directory)).unwrap_or_default().lines() {
            let [inode, kind, name] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
            let (inode, path) = (inode.parse().expect("a number"), to.join(name));
            match kind {
                _ if name == CACHE => {}
                "d" => self.restore(inode, &path, unsynced, random),
                _ => {
                    // A file that was never synced has no bytes.
                    if fs::copy(self.file(inode), &path).is_err() {
                        fs::write(&path, []).expect("written");
                    }
                    if let Some(actual) = unsynced.get(&inode) {
                        tear(&path, actual, random);
                    }
                }
            }
        }
    }
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).expect("it is there").ino()
}

fn files_by_inode(directory: &Path, files: &mut BTreeMap<u64, PathBuf>) {
    for entry in fs::read_dir(directory).expect("readable").map(|entry| entry.expect("readable")) {
        if entry.file_type().expect("known").is_dir() {
            files_by_inode(&entry.path(), files);
        } else {
            files.insert(entry.ino(), entry.path());
        }
    }
}

/// Keeps some blocks of what was written and not synced.
fn tear(path: &Path, actual: &Path, random: &mut Random) {
    let (durable, actual) = (fs::read(path).expect("read"), fs::read(actual).expect("read"));
    let file = fs::File::options().write(true).open(path).expect("opened");
    for (number, block) in actual.chunks(BLOCK).enumerate() {
        let from = number * BLOCK;
        if durable.get(from..from + block.len()) != Some(block) && random.percent(50) {
            file.write_all_at(block, from as u64).expect("written");
        }
    }
}

/// One cut, at a moment by chance, a third of them while it starts.
fn cut_once(server: &mut Server, ledger: &mut Ledger, unsynced: Unsynced, keeps_cache: bool, random: &mut Random) {
    let shadow = Shadow::of(server);
    server.set_environment(shadow.environment("no"));
    server.begin();
    if random.percent(33) {
        park(Duration::from_millis(random.below(250)));
        assert_eq!(server.ended(), None, "it refused to start\n{}", server.log());
        server.kill();
    } else {
        // Jobs whose cache was lost are compiled anew.
        server.ready(WATCHDOG).unwrap_or_else(|reason| panic!("{reason}"));
        let load = ledger.begin(&server.url, 100);
        park(Duration::from_millis(50 + random.below(600)));
        server.kill();
        ledger.end(load);
        assert!(ledger.take_refusals().is_empty(), "refused though nothing is short");
    }
    shadow.cut(unsynced, keeps_cache, random);
    server.set_environment(Vec::new());
}

fn survives(test: &str, unsynced: Unsynced) {
    let mut random = Random::of_this_run(test);
    let rounds = rounds("POWER_CUT_ROUNDS", 10);
    let mut server = setting::captures();
    let mut ledger = Ledger::new(&mut random);
    for round in 0..rounds {
        cut_once(&mut server, &mut ledger, unsynced, round % 10 != 4, &mut random);
    }
    server.restart();
    let runs = ledger.settle(&server);
    let died = ledger::all_completed(&runs);
    ledger::one_mail_each(&server, &runs);
    println!("{rounds} cuts; {} answered, {} runs, {died} attempts died", ledger.acknowledged(), runs.len());
    assert!(died <= usize::try_from(rounds).expect("few") * UNDER_WAY);
}

/// `POWER_CUT_ROUNDS=200 cargo test -p jobmill-tests --test suite power_cuts` makes more of them.
#[test]
fn what_was_answered_survives_a_cut_that_loses_all_that_was_not_synced() {
    survives("cuts that lose", Unsynced::Lost);
}

#[test]
fn what_was_answered_survives_a_cut_that_tears_what_was_not_synced() {
    survives("cuts that tear", Unsynced::Torn);
}

#[test]
fn a_drive_that_lies_about_its_flushes_loses_what_was_answered() {
    let mut random = Random::of_this_run("a lying drive");
    let mut server = setting::captures();
    let mut ledger = Ledger::new(&mut random);
    let shadow = Shadow::of(&server);
    server.set_environment(shadow.environment("yes"));
    server.restart();
    let load = ledger.begin(&server.url, 100);
    park(Duration::from_millis(700));
    server.kill();
    ledger.end(load);
    shadow.cut(Unsynced::Lost, true, &mut random);
    server.set_environment(Vec::new());
    server.restart();
    let (answered, missing) = (ledger.acknowledged(), ledger.missing(&server));
    println!("{missing} of {answered} are missing");
    assert!(answered > 0, "nothing was answered");
    assert_eq!(missing, answered, "the tester sees something survive that was never synced");
}
