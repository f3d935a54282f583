//! Builds the job crates of `jobmill dev` and builds them again when their sources change.
//! It loads nothing: what it puts into the hopper is loaded, or shown as broken, like any other file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use jobmill_forge::{ForgeError, JobCrate, Packages, Profile, Toolchain};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use owo_colors::OwoColorize as _;

use crate::commands::Context;
use crate::output::{self, Output};

/// Editors write a file in several steps, and people save several files at once.
const QUIET: Duration = Duration::from_millis(200);

/// Starts the thread that builds. It ends with the process: a compiler under way is nobody's to wait for.
pub(super) fn start(jobs: PathBuf, hopper: PathBuf, context: &Context) {
    let rebuilder = Rebuilder { jobs, hopper, output: context.output, talkative: context.global.verbose > 0 };
    let started = std::thread::Builder::new().name("rebuild".to_owned()).spawn(move || rebuilder.run());
    if let Err(error) = started {
        tracing::error!(%error, "jobs are not rebuilt: the thread that does can't be started");
    }
}

struct Rebuilder {
    jobs: PathBuf,
    hopper: PathBuf,
    output: Output,
    talkative: bool,
}

impl Rebuilder {
    fn run(self) {
        let toolchain = match Toolchain::find(Packages::Keep, &mut |line| self.progress(line)) {
            Ok(toolchain) => toolchain,
            Err(error) => return self.failed("jobs are not built", &error),
        };
        self.progress(&toolchain.summary());
        // One wake is enough: each round looks at every crate, and cargo knows what is fresh.
        let (wake, woken) = sync_channel(1);
        let mut watching = match watcher(wake) {
            Ok(watcher) => Watching { watcher, watched: BTreeSet::new() },
            Err(error) => {
                tracing::error!(%error, "jobs are built once and not when they change: their sources can't be watched");
                self.round(&toolchain);
                return;
            }
        };
        loop {
            // Watched before they are built: what changes meanwhile is built in the next round.
            watching.watch(&self.jobs);
            self.round(&toolchain);
            if !wait(&woken) {
                return;
            }
        }
    }

    fn round(&self, toolchain: &Toolchain) {
        let crates = match jobmill_forge::discover(&self.jobs) {
            Ok(crates) => crates,
            Err(error) => return self.failed("no job is built", &error),
        };
        match self.build(toolchain, &crates) {
            // One crate that does not compile must not keep the others from being built.
            Err(ForgeError::Compile { .. }) if crates.len() > 1 => {
                for one in &crates {
                    if let Err(error) = self.build(toolchain, std::slice::from_ref(one)) {
                        self.failed(&one.name, &error);
                    }
                }
            }
            Err(error) => self.failed("no job is built", &error),
            Ok(()) => {}
        }
    }

    fn build(&self, toolchain: &Toolchain, crates: &[JobCrate]) -> Result<(), ForgeError> {
        let components =
            jobmill_forge::build(toolchain, crates, Profile::Development, &mut |line| self.progress(line))?;
        for component in &components {
            let installed = jobmill_forge::install(component, &self.hopper)?;
            if installed.changed {
                let size = output::size(installed.size);
                self.output.note(&format!("{} {}  built, {size}", "✓".green(), component.name));
            }
        }
        Ok(())
    }

    fn progress(&self, line: &str) {
        if self.talkative {
            self.output.note(&line.dimmed().to_string());
        }
    }

    fn failed(&self, what: &str, error: &ForgeError) {
        self.output.note(&format!("{} {what}; what was loaded serves on\n{}", "✗".red(), error.to_string().trim_end()));
    }
}

/// Waits for a change and then for quiet; false when no change can come any more.
fn wait(woken: &Receiver<()>) -> bool {
    if woken.recv().is_err() {
        return false;
    }
    loop {
        match woken.recv_timeout(QUIET) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

fn watcher(wake: SyncSender<()>) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Errors wake as well: what was missed is found by looking.
        let changed = event.map_or(true, |event| {
            let touches = matches!(event.kind, EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_));
            touches && (event.paths.is_empty() || event.paths.iter().any(|path| is_source(path)))
        });
        if changed {
            // A full channel has a wake in it already.
            let _ = wake.try_send(());
        }
    })
}

/// Cargo's own output and the hidden files of editors and version control are no sources.
fn is_source(path: &Path) -> bool {
    path.file_name().is_some_and(|name| {
        let name = name.to_string_lossy();
        !name.starts_with('.') && !name.ends_with('~') && name != "target" && name != "Cargo.lock"
    })
}

struct Watching {
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
}

impl Watching {
    /// The directory of crates, the crates, and what lies in them: never `target`, which holds thousands of files.
    fn watch(&mut self, jobs: &Path) {
        let mut wanted = vec![(jobs.to_owned(), RecursiveMode::NonRecursive)];
        let alone = jobs.join("Cargo.toml").is_file();
        let crates = if alone { vec![jobs.to_owned()] } else { directories(jobs) };
        for directory in crates {
            wanted.extend(directories(&directory).into_iter().map(|inner| (inner, RecursiveMode::Recursive)));
            wanted.push((directory, RecursiveMode::NonRecursive));
        }
        for (path, mode) in wanted {
            if !self.watched.contains(&path) {
                match self.watcher.watch(&path, mode) {
                    Ok(()) => {
                        self.watched.insert(path);
                    }
                    Err(error) => tracing::warn!(path = %path.display(), %error, "sources can't be watched"),
                }
            }
        }
    }
}

/// The directories right below, without those that hold no sources.
fn directories(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let paths = entries.map(|entry| entry.path()).filter(|path| path.is_dir() && is_source(path));
    paths.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_cargo_and_hidden_files_are_no_sources() {
        for path in ["jobs/a/src/lib.rs", "jobs/a/templates/mail.html", "jobs/a/Cargo.toml"] {
            assert!(is_source(Path::new(path)), "{path}");
        }
        for path in ["jobs/a/target", "jobs/a/Cargo.lock", "jobs/a/src/.lib.rs.swp", "jobs/a/src/lib.rs~"] {
            assert!(!is_source(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn a_change_in_a_source_wakes_the_builder() {
        let root = tempfile::tempdir().expect("a directory");
        let source = root.path().join("a/src");
        fs::create_dir_all(&source).expect("made");
        let (wake, woken) = sync_channel(1);
        let mut watching = Watching { watcher: watcher(wake).expect("watches"), watched: BTreeSet::new() };
        watching.watch(root.path());
        fs::write(source.join("lib.rs"), "fn job() {}").expect("written");
        woken.recv_timeout(Duration::from_secs(10)).expect("woken");
    }

    #[test]
    fn the_target_directory_is_not_watched() {
        let root = tempfile::tempdir().expect("a directory");
        for inner in ["a/src", "a/target/guests", "a/.git"] {
            fs::create_dir_all(root.path().join(inner)).expect("made");
        }
        let (wake, _woken) = sync_channel(1);
        let mut watching = Watching { watcher: watcher(wake).expect("watches"), watched: BTreeSet::new() };
        watching.watch(root.path());
        let watched: Vec<_> = watching.watched.iter().filter_map(|path| path.strip_prefix(root.path()).ok()).collect();
        assert_eq!(watched, [Path::new(""), Path::new("a"), Path::new("a/src")]);
    }
}
