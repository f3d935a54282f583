//! Node, npm packages as the registry has them, and scripts that use them against the binary.
//! It asserts nothing about the product.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::support::server::pause;
use crate::support::target_directory;

/// Before this the packages do not run.
const OLDEST: u32 = 20;

const HELP: &str = "install it: on Debian `apt-get install nodejs npm`, and where that is older \
                    `npm install --global node@22`; elsewhere from https://nodejs.org";

/// Packages come from the registry the first time.
const INSTALLING: Duration = Duration::from_mins(8);
/// A script works on what is there; one that reads pages has hundreds of them, on a machine that may be busy.
const WORKING: Duration = Duration::from_mins(6);

/// What a package directory may hold that is not of the repository.
const MADE: [&str; 3] = ["node_modules", "dist", "build"];

/// A copy of a package of the repository, beside what it depends on.
pub(crate) struct Package {
    directory: TempDir,
}

impl Package {
    /// The scripts of the tests.
    pub(crate) fn of_tests() -> Self {
        Self::copied("tests/npm")
    }

    /// The client for TypeScript.
    pub(crate) fn of_client() -> Self {
        Self::copied("clients/typescript")
    }

    fn copied(name: &str) -> Self {
        let source = repository().join(name);
        let installed = installed(&source, &name.replace('/', "-"));
        let directory = tempfile::tempdir().expect("a directory");
        copy(&source, directory.path());
        std::os::unix::fs::symlink(installed.join("node_modules"), directory.path().join("node_modules"))
            .expect("linked");
        Self { directory }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// One of the package's own scripts, such as `test`, and what it printed.
    pub(crate) fn npm_run(&self, script: &str) -> String {
        let mut command = self.command("npm");
        finished(command.args(["run", "--silent", script]), WORKING)
    }

    /// The one JSON object that a script of this package prints.
    pub(crate) fn script(&self, name: &str, arguments: &[&OsStr], environment: &[(&str, &str)]) -> Value {
        let mut command = self.command("node");
        command.arg(self.path().join(format!("{name}.mjs"))).args(arguments);
        let printed = finished(command.envs(environment.iter().copied()), WORKING);
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{name}.mjs printed no JSON: {error}: {printed}"))
    }

    /// A command in this package, with none of this process's own settings.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("JOBMILL_") || name.contains("INNGEST")) {
            command.env_remove(name);
        }
        command
    }
}

/// A script of `tests/npm` with these arguments and variables, and the one JSON object that it prints.
pub(crate) fn script(name: &str, arguments: &[&OsStr], environment: &[(&str, &str)]) -> Value {
    Package::of_tests().script(name, arguments, environment)
}

/// The repository's root: this crate lies in it.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository").to_owned()
}

/// Fails, saying what helps, where there is no node that is new enough.
fn check_node() {
    let found = Command::new("node").arg("--version").output();
    let version = match &found {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(error) => panic!("node is missing ({error}): {HELP}"),
    };
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    assert!(major.is_some_and(|major| major >= OLDEST), "node is {version:?} and has to be {OLDEST} or newer: {HELP}");
}

/// A directory under the target directory with `node_modules` as the package's lock says. It is filled once, whoever asks first.
fn installed(source: &Path, name: &str) -> PathBuf {
    check_node();
    let mut digest = Sha256::new();
    for file in ["package.json", "package-lock.json"] {
        digest.update(fs::read(source.join(file)).unwrap_or_else(|error| panic!("{name}/{file}: {error}")));
    }
    // Half of it tells two locks apart.
    let digest = digest.finalize().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
    let parent = target_directory().join("npm");
    fs::create_dir_all(&parent).expect("created");
    let lock = File::create(parent.join(format!("{name}.lock"))).expect("created");
    lock.lock().expect("locked");
    let ready = parent.join(format!("{name}-{digest:016x}"));
    if !ready.exists() {
        // Put in place by rename, so that an installation that was broken off counts for nothing.
        let fresh = tempfile::tempdir_in(&parent).expect("a directory");
        for file in ["package.json", "package-lock.json", ".npmrc"] {
            fs::copy(source.join(file), fresh.path().join(file)).expect("copied");
        }
        let mut command = Command::new("npm");
        command.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(fresh.path());
        finished(&mut command, INSTALLING);
        fs::rename(fresh.keep(), &ready).expect("renamed");
    }
    ready
}

/// The files of the repository in `from`, in a directory of the same shape.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("created");
    for entry in fs::read_dir(from).expect("listed").map(|entry| entry.expect("listed")) {
        let name = entry.file_name();
        if MADE.iter().any(|made| name == *made) {
            continue;
        }
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &to.join(name));
        } else {
            fs::copy(entry.path(), to.join(name)).expect("copied");
        }
    }
}

/// What the command printed, when it ended well and in time; else everything that it said.
fn finished(command: &mut Command, within: Duration) -> String {
    let said = tempfile::tempdir().expect("a directory");
    let (out, err) = (said.path().join("stdout"), said.path().join("stderr"));
    // Files, because nobody reads while it runs.
    command.stdin(Stdio::null());
    command.stdout(File::create(&out).expect("created")).stderr(File::create(&err).expect("created"));
    let name = format!("{command:?}");
    let ended = wait(command, within).unwrap_or_else(|error| panic!("{name}: {error}: {HELP}"));
    let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    let how = ended.map_or_else(|| format!("did not end within {within:?}"), |status| format!("ended with {status}"));
    assert!(
        ended.is_some_and(|status| status.success()),
        "{name} {how}\n--- stdout\n{}\n--- stderr\n{}",
        read(&out),
        read(&err)
    );
    read(&out)
}

/// How it ended; none if it had to be killed.
fn wait(command: &mut Command, within: Duration) -> std::io::Result<Option<ExitStatus>> {
    // A group of its own, so that what npm started ends with it.
    let mut child = command.process_group(0).spawn()?;
    let started = Instant::now();
    while started.elapsed() < within {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        pause();
    }
    let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL)?;
    child.wait()?;
    Ok(None)
}
