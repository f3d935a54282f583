//! `cargo xtask jobs`: make sure that jobs can be compiled, then build those of this repository into the hopper.
//! It needs no step before it, and nothing of the host but the forge.

use crate::workspace::{root, say};
use anyhow::Context;
use jobmill_forge::{Packages, Profile, Toolchain, build, discover, install};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The directory that the components go to [default: hopper/ of the repository]
    #[arg(long, value_name = "DIR")]
    hopper: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let hopper = arguments.hopper.clone().unwrap_or_else(|| root().join("hopper"));
    build_into(&hopper)
}

/// Build the jobs and put them into the hopper.
pub(crate) fn build_into(hopper: &Path) -> anyhow::Result<()> {
    let jobs = discover(&root().join("jobs")).context("the jobs of the repository are missing")?;
    let toolchain = Toolchain::find(Packages::Install, &mut |line| say(line))?;
    say(&toolchain.summary());
    let components = build(&toolchain, &jobs, Profile::Development, &mut |line| eprintln!("{line}"))?;
    for component in &components {
        let installed = install(component, hopper)?;
        let state = if installed.changed { "built" } else { "unchanged" };
        say(&format!("{state} {} ({} KiB)", installed.path.display(), installed.size.div_ceil(1024)));
    }
    Ok(())
}
