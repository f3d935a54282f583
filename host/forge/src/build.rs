//! Builds job crates to components by cargo, those of one workspace in one go.
//! It checks no component and installs none.

use crate::{ForgeError, JobCrate, Toolchain, process};
use cargo_metadata::diagnostic::DiagnosticLevel;
use cargo_metadata::{Message, MetadataCommand, PackageId};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, SyncSender};
use std::{env, thread};

/// A guest's stack in bytes. rustc's 1 MiB lies before the data of a module and makes every fresh instance touch more pages: an
/// attempt takes about two thirds of the time with 64 KiB, which the deepest payload that the SDK reads (126 levels) fits into.
/// A job that recurses deeper traps, and only its own run ends.
const STACK_SIZE: u32 = 64 * 1024;

/// The end of cargo's output that an error carries when there is no diagnostic of rustc.
const TAIL_LINES: usize = 20;

/// What a component is built for. Both are optimised for size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Keeps the names of functions, so that the trace of a trap can be read.
    Development,
    /// Without names: a smaller file.
    Release,
}

/// A component that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// The package's name.
    pub name: String,
    /// The `.wasm` file in the target directory.
    pub path: PathBuf,
}

/// Build the crates; the components come in the order of `jobs`. `progress` hears each line of cargo's.
///
/// The target directory is `guests` in that of the crate's workspace: other flags, often another compiler than the host's.
pub fn build(
    toolchain: &Toolchain,
    jobs: &[JobCrate],
    profile: Profile,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Component>, ForgeError> {
    let mut workspaces: BTreeMap<PathBuf, Workspace<'_>> = BTreeMap::new();
    for job in jobs {
        let directory = job.directory.canonicalize().map_err(ForgeError::file("find", &job.directory))?;
        let manifest = directory.join("Cargo.toml");
        let unreadable = |reason: String| ForgeError::Metadata { manifest: manifest.clone(), reason };
        // cargo takes its settings from where it runs: those of the crate hold, wherever it is built from.
        let metadata = MetadataCommand::new()
            .current_dir(&directory)
            .manifest_path(&manifest)
            .no_deps()
            .exec()
            .map_err(|error| unreadable(error.to_string()))?;
        let package = metadata.packages.iter().find(|package| package.name == job.name.as_str());
        let id = package.map(|package| package.id.clone());
        let id = id.ok_or_else(|| unreadable(format!("the workspace {} leaves it out", metadata.workspace_root)))?;
        let workspace = workspaces.entry(metadata.workspace_root.into()).or_insert_with(|| Workspace {
            target_directory: metadata.target_directory.join("guests").into(),
            jobs: Vec::new(),
        });
        workspace.jobs.push((job, id));
    }
    let mut components = HashMap::new();
    for (root, workspace) in &workspaces {
        let output = workspace.build(root, toolchain, profile, progress)?;
        for (job, id) in &workspace.jobs {
            let path = output.get(id).ok_or_else(|| ForgeError::NoComponent { name: job.name.clone() })?;
            components.insert(&job.directory, Component { name: job.name.clone(), path: path.clone() });
        }
    }
    Ok(jobs.iter().filter_map(|job| components.remove(&job.directory)).collect())
}

struct Workspace<'a> {
    target_directory: PathBuf,
    jobs: Vec<(&'a JobCrate, PackageId)>,
}

/// What cargo says while it runs.
enum Heard {
    /// A line meant for people.
    Line(String),
    /// An error of rustc, as people read it.
    Error(String),
    /// A package's component.
    Component(PackageId, PathBuf),
}

impl Workspace<'_> {
    fn build(
        &self,
        root: &Path,
        toolchain: &Toolchain,
        profile: Profile,
        progress: &mut dyn FnMut(&str),
    ) -> Result<HashMap<PackageId, PathBuf>, ForgeError> {
        let mut command = self.command(root, toolchain, profile);
        let mut child = command.spawn().map_err(|source| process::missing(&command, source))?;
        let (sender, heard) = mpsc::sync_channel(64);
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            // One thread a pipe: whichever were left unread could fill up and stop cargo.
            let of_messages = sender.clone();
            thread::spawn(move || hear_messages(BufReader::new(stdout), &of_messages));
            thread::spawn(move || hear_lines(BufReader::new(stderr), &sender));
        }
        let (mut components, mut errors, mut lines) = (HashMap::new(), String::new(), VecDeque::new());
        for heard in heard {
            match heard {
                Heard::Component(package, path) => {
                    components.insert(package, path);
                }
                Heard::Error(rendered) => errors.push_str(&rendered),
                Heard::Line(line) => {
                    progress(&line);
                    lines.push_back(line);
                    if lines.len() > TAIL_LINES {
                        lines.pop_front();
                    }
                }
            }
        }
        if child.wait().is_ok_and(|status| status.success()) {
            return Ok(components);
        }
        let names: Vec<&str> = self.jobs.iter().map(|(job, _)| job.name.as_str()).collect();
        let diagnostics = if errors.is_empty() { Vec::from(lines).join("\n") } else { errors };
        Err(ForgeError::Compile { crates: names.join(", "), diagnostics })
    }

    fn command(&self, root: &Path, toolchain: &Toolchain, profile: Profile) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(["build", "--release", "--lib", "--message-format", "json"]);
        command.current_dir(root).arg("--manifest-path").arg(root.join("Cargo.toml"));
        command.arg("--target-dir").arg(&self.target_directory);
        for (_, id) in &self.jobs {
            command.args(["--package", &id.repr]);
        }
        let strip = match profile {
            Profile::Development => "debuginfo",
            Profile::Release => "symbols",
        };
        // On the command line rather than in a manifest: every job is built alike, and `release` stays the host's.
        for setting in [
            "opt-level=3",
            "lto=true",
            "codegen-units=1",
            "panic=\"abort\"",
            "debug=false",
            &format!("strip=\"{strip}\""),
        ] {
            command.args(["--config", &format!("profile.release.{setting}")]);
        }
        toolchain.configure(&mut command, &["-C", &format!("link-arg=-zstack-size={STACK_SIZE}")]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

fn hear_messages(stdout: impl BufRead, sender: &SyncSender<Heard>) {
    for message in Message::parse_stream(stdout).map_while(Result::ok) {
        let heard = match message {
            Message::CompilerArtifact(artifact) => {
                let component = artifact.filenames.into_iter().find(|file| file.extension() == Some("wasm"));
                component.map(|path| Heard::Component(artifact.package_id, path.into()))
            }
            Message::CompilerMessage(message) => match (message.message.level, message.message.rendered) {
                (DiagnosticLevel::Error, Some(rendered)) => Some(Heard::Error(rendered)),
                (_, Some(rendered)) => Some(Heard::Line(rendered)),
                (_, None) => None,
            },
            _ => None,
        };
        // Whoever stopped listening has no use for the rest.
        if heard.is_some_and(|heard| sender.send(heard).is_err()) {
            return;
        }
    }
}

fn hear_lines(stderr: impl BufRead, sender: &SyncSender<Heard>) {
    for line in stderr.lines().map_while(Result::ok) {
        if sender.send(Heard::Line(line)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Heard, Profile, Workspace, hear_messages};
    use crate::{JobCrate, Toolchain};
    use cargo_metadata::PackageId;
    use std::path::Path;
    use std::sync::mpsc;

    #[test]
    fn jobs_of_one_workspace_are_built_in_one_go() {
        let job = |name: &str| JobCrate { name: name.into(), directory: name.into() };
        let id = |name: &str| PackageId { repr: format!("path+file:///shop/{name}#0.1.0") };
        let (one, two) = (job("one"), job("two"));
        let workspace =
            Workspace { target_directory: "target/guests".into(), jobs: vec![(&one, id("one")), (&two, id("two"))] };
        let command = workspace.command(Path::new("/shop"), &Toolchain::present(), Profile::Development);
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
        for id in ["path+file:///shop/one#0.1.0", "path+file:///shop/two#0.1.0"] {
            assert!(arguments.windows(2).any(|pair| pair == ["--package", id]), "{arguments:?}");
        }
        assert!(arguments.contains(&"profile.release.strip=\"debuginfo\"".into()), "{arguments:?}");
        let flags =
            command.get_envs().find(|(name, _)| *name == "CARGO_ENCODED_RUSTFLAGS").and_then(|(_, value)| value);
        assert_eq!(flags.unwrap(), "-C\u{1f}link-arg=-zstack-size=65536");
    }

    #[test]
    fn what_is_not_a_message_of_cargos_is_passed_over() {
        let (sender, heard) = mpsc::sync_channel(8);
        hear_messages(
            &b"a job printed this while it was compiled\n{\"reason\":\"build-finished\",\"success\":true}\n"[..],
            &sender,
        );
        drop(sender);
        assert!(!heard.iter().any(|heard| matches!(heard, Heard::Error(_) | Heard::Component(..))));
    }
}
