//! `cargo xtask dev`: build the jobs and the binary, then become `jobmill dev`.
//! It serves nothing itself and adds no options: what follows `dev` goes to `jobmill dev` as it is.

use crate::jobs::build_into;
use crate::workspace::{root, say};
use anyhow::{Context, bail};
use cargo_metadata::MetadataCommand;
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// Arguments of `jobmill dev`, such as `--listen 127.0.0.1:9000`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    rest: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let root = root();
    let given = given_hopper(&arguments.rest);
    let hopper = given.clone().or_else(|| env::var_os("JOBMILL_HOPPER").map(PathBuf::from));
    let hopper = hopper.unwrap_or_else(|| root.join("hopper"));
    build_into(&hopper)?;

    say("building jobmill; the first time this takes some minutes");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--package", "jobmill-cli", "--manifest-path"])
        .arg(root.join("Cargo.toml"))
        .status()
        .context("cargo could not be started")?;
    if !built.success() {
        bail!("jobmill could not be built; the errors are above");
    }

    let metadata = MetadataCommand::new().manifest_path(root.join("Cargo.toml")).no_deps().exec()?;
    let mut command = Command::new(metadata.target_directory.join("debug/jobmill"));
    command.arg("dev");
    if given.is_none() {
        command.arg("--hopper").arg(&hopper);
    }
    command.args(&arguments.rest).current_dir(&root);
    become_command(command)
}

/// The value of `--hopper` among the arguments of `jobmill dev`.
fn given_hopper(arguments: &[OsString]) -> Option<PathBuf> {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        if text == "--hopper" {
            return arguments.next().map(PathBuf::from);
        }
        if let Some(value) = text.strip_prefix("--hopper=") {
            return Some(value.into());
        }
    }
    None
}

/// In place of this process, so that signals and the exit code are the server's own.
#[cfg(unix)]
fn become_command(mut command: Command) -> anyhow::Result<()> {
    use std::os::unix::process::CommandExt;
    let error = command.exec();
    Err(error).with_context(|| format!("{} could not be started", command.get_program().to_string_lossy()))
}

#[cfg(not(unix))]
fn become_command(mut command: Command) -> anyhow::Result<()> {
    let status = command.status().context("jobmill could not be started")?;
    std::process::exit(status.code().unwrap_or(1));
}

#[cfg(test)]
mod tests {
    use super::given_hopper;
    use std::path::PathBuf;

    #[test]
    fn the_hopper_is_found_in_either_spelling() {
        let hopper = |arguments: &[&str]| given_hopper(&arguments.iter().map(Into::into).collect::<Vec<_>>());
        assert_eq!(hopper(&["--listen", "127.0.0.1:0", "--hopper", "/tmp/h"]), Some(PathBuf::from("/tmp/h")));
        assert_eq!(hopper(&["--hopper=/tmp/h"]), Some(PathBuf::from("/tmp/h")));
        assert_eq!(hopper(&["--listen", "127.0.0.1:0"]), None);
    }
}
