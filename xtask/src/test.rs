//! `cargo xtask test`: every check there is, in the order in which a mistake shows soonest.
//! It needs no step before it; what the tests use (components, the binary) it builds.

use std::env;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};
use cargo_metadata::MetadataCommand;

use crate::jobs::build_into;
use crate::tidy;
use crate::workspace::{root, say};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run only the tests whose names contain this
    filter: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec()?;
    step("format", &["fmt", "--all", "--check"], &[])?;
    say("tidy");
    tidy::check()?;
    build_into(metadata.target_directory.join("components").as_std_path())?;
    step("clippy", &["clippy", "--quiet", "--workspace", "--all-targets"], &["-D", "warnings"])?;
    // Built together with the tests, so that features are unified once and nothing is compiled twice.
    step("build", &["build", "--quiet", "--workspace", "--bins", "--tests"], &[])?;
    let filter: Vec<&str> = arguments.filter.as_deref().into_iter().collect();
    step("test", &["test", "--quiet", "--workspace"], &filter)
}

fn step(name: &str, arguments: &[&str], after: &[&str]) -> anyhow::Result<()> {
    say(name);
    let started = started();
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(root());
    if !after.is_empty() {
        command.arg("--").args(after);
    }
    let status = command.status().context("cargo could not be started")?;
    if !status.success() {
        bail!("{name} failed: cargo {}", arguments.join(" "));
    }
    say(&format!("{name} took {} s", started.elapsed().as_secs()));
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "how long a step took is for whoever waits, not for a decision")]
fn started() -> Instant {
    Instant::now()
}
