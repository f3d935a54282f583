//! `cargo xtask screenshots`: the README's pictures, made anew, or every page in every state for people who work on pages.
//! What the pictures show is in `tests/npm/screenshots.mjs`; this builds what that needs, and runs it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use cargo_metadata::MetadataCommand;

use crate::jobs::build_into;
use crate::workspace::{root, say};

/// What npm goes by.
const PACKAGE: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Every page in every state at two widths, in the light and in the dark, into this directory, instead of the README's
    /// pictures
    #[arg(long, value_name = "DIR")]
    all: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let root = root();
    let metadata = MetadataCommand::new().manifest_path(root.join("Cargo.toml")).no_deps().exec()?;
    let target = metadata.target_directory.into_std_path_buf();
    let components = target.join("components");
    build_into(&components)?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    done(Command::new(cargo).args(["build", "--quiet", "--package", "jobmill-cli"]).current_dir(&root))?;

    let directory = target.join("screenshots");
    let shim = wall_clock(&root, &directory)?;
    let scripts = scripts(&root.join("tests/npm"), &directory.join("npm"))?;
    let work = directory.join("shop");
    if work.exists() {
        fs::remove_dir_all(&work).with_context(|| format!("{} can't be emptied", work.display()))?;
    }
    fs::create_dir_all(&work).with_context(|| format!("{} can't be made", work.display()))?;

    let out = arguments.all.clone().unwrap_or_else(|| root.join("docs/images"));
    fs::create_dir_all(&out).with_context(|| format!("{} can't be made", out.display()))?;
    let out = out.canonicalize()?;
    let mut command = Command::new("node");
    command.arg(scripts.join("screenshots.mjs")).arg(target.join("debug/jobmill")).arg(chromium()?);
    command.args([&shim, &components, &work, &out]);
    if arguments.all.is_some() {
        command.arg("all");
    }
    done(&mut command)?;
    say(&format!("the pictures are in {}", out.display()));
    Ok(())
}

/// Runs a command that says itself what fails.
fn done(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("{name} could not be started; is it installed?"))?;
    if !status.success() {
        bail!("{name} failed; the errors are above");
    }
    Ok(())
}

/// The library that moves the wall clock, so that pictures tell the same times whenever they are made.
fn wall_clock(root: &Path, directory: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(directory).with_context(|| format!("{} can't be made", directory.display()))?;
    let library = directory.join("wall_clock.so");
    let source = root.join("tests/crash/shims/wall_clock.c");
    done(
        Command::new("cc").args(["-std=gnu11", "-O1", "-fPIC", "-shared", "-o"]).args([&library, &source]).arg("-ldl"),
    )?;
    Ok(library)
}

/// The scripts of the tests with what they depend on, as their lock says.
fn scripts(source: &Path, to: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(to).with_context(|| format!("{} can't be made", to.display()))?;
    let read = |directory: &Path| PACKAGE.map(|file| fs::read(directory.join(file)).ok());
    let is_installed = to.join("node_modules").exists() && read(source) == read(to);
    let files = fs::read_dir(source)?.collect::<Result<Vec<_>, _>>()?;
    for path in files.iter().map(fs::DirEntry::path).filter(|path| path.is_file()) {
        let name = path.file_name().unwrap_or_default();
        fs::copy(&path, to.join(name)).with_context(|| format!("{} can't be copied", path.display()))?;
    }
    if !is_installed {
        done(Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(to))?;
    }
    Ok(to.to_owned())
}

/// Where the distributions put it.
fn chromium() -> anyhow::Result<PathBuf> {
    let named = env::var_os("CHROMIUM").map(PathBuf::from);
    let usual = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].map(PathBuf::from);
    let found = named.into_iter().chain(usual).find(|path| path.exists());
    found.context("Chromium is missing: on Debian `apt-get install chromium`; elsewhere name it in CHROMIUM")
}
