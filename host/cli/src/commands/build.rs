//! `jobmill build`: compile job crates, check the components, put them into the hopper.
//! How a crate is compiled is the forge's; whether a component is good is the runtime's to say.

use std::path::{Path, PathBuf};

use clap::Args;
use jobmill_forge::{Component, ForgeError, Installed, JobCrate, Packages, Profile, Toolchain};
use owo_colors::OwoColorize as _;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::Context;
use crate::args::Format;
use crate::config::arguments::{ConfigFile, Places};
use crate::examine::{Examined, Examiner};
use crate::failure::{Exit, Failure};
use crate::output;

/// Compile job crates to components, check them, and put them into the hopper
///
/// A component that the engine would not load is not put there.
#[derive(Debug, Args)]
pub(crate) struct Build {
    /// Job crates, or directories of job crates; the working directory, or ./jobs in it
    #[arg(value_name = "DIR")]
    directories: Vec<PathBuf>,
    /// The directory of compiled jobs
    #[arg(long, value_name = "DIR")]
    hopper: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigFile,
    /// Without the names of functions, which the trace of a trap shows: smaller files
    #[arg(long)]
    release: bool,
}

#[derive(Serialize)]
struct Built {
    id: String,
    version: String,
    size: u64,
    path: PathBuf,
    changed: bool,
}

impl Build {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        let places = Places { file: self.config, hopper: self.hopper, ..Places::default() };
        let config = places.load("build", &[])?.config;
        let crates = crates(&self.directories)?;
        let mut progress = |line: &str| context.output.note(&line.dimmed().to_string());
        let toolchain = Toolchain::find(Packages::Keep, &mut progress).map_err(|error| failed(&error))?;
        context.output.note(&toolchain.summary());
        let profile = if self.release { Profile::Release } else { Profile::Development };
        let components =
            jobmill_forge::build(&toolchain, &crates, profile, &mut progress).map_err(|error| failed(&error))?;
        let check = Examiner::new(config.jobs)?;
        let mut built = Vec::new();
        let mut exit = Exit::Done;
        for component in &components {
            match check_and_install(&check, component, &config.hopper.dir) {
                Ok((examined, installed)) => {
                    if context.output.format == Format::Table {
                        output::data(&line(&examined, &installed))?;
                    }
                    built.push(described(&examined, installed)?);
                }
                Err(Failure::Said(report)) => {
                    output::say(&report.render());
                    exit = Exit::Failed;
                }
                Err(gone @ Failure::ReaderGone) => return Err(gone),
            }
        }
        if context.output.format != Format::Table {
            context.output.list(&built, None, "", || Ok(String::new()))?;
        }
        Ok(exit)
    }
}

fn crates(directories: &[PathBuf]) -> Result<Vec<JobCrate>, Failure> {
    if directories.is_empty() {
        let here = Path::new(".");
        return match jobmill_forge::discover(here) {
            Err(ForgeError::NoJobs { .. }) => jobmill_forge::discover(&here.join("jobs")).map_err(|_| {
                Failure::usage("no-jobs", "there is no job crate here or in ./jobs")
                    .advise("name its directory, or make one with `jobmill new NAME`")
            }),
            found => found.map_err(|error| failed(&error)),
        };
    }
    let found: Result<Vec<_>, _> = directories.iter().map(|directory| jobmill_forge::discover(directory)).collect();
    Ok(found.map_err(|error| failed(&error))?.into_iter().flatten().collect())
}

fn check_and_install(check: &Examiner, component: &Component, hopper: &Path) -> Result<(Examined, Installed), Failure> {
    let examined = check.examine(&component.path)?;
    let installed = jobmill_forge::install(component, hopper).map_err(|error| failed(&error))?;
    Ok((examined, installed))
}

fn line(examined: &Examined, installed: &Installed) -> String {
    let (size, path) = (output::size(installed.size), installed.path.display());
    let unchanged = if installed.changed { "" } else { "  unchanged" };
    format!("{} {}  {}  {size}  {path}{unchanged}", "✓".green(), examined.job.id, examined.version)
}

fn described(examined: &Examined, installed: Installed) -> Result<Box<RawValue>, Failure> {
    let built = Built {
        id: examined.job.id.to_string(),
        version: examined.version.to_string(),
        size: installed.size,
        path: installed.path,
        changed: installed.changed,
    };
    to_raw_value(&built).map_err(|error| Failure::new("build", format!("the report can't be written: {error}")))
}

fn failed(error: &ForgeError) -> Failure {
    Failure::new("build-failed", error.to_string())
}
