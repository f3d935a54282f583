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
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::terminal;

/// Compile job crates to components, check them, and put them into the hopper
///
/// A component that the engine would not load is not put there.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
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

const EXAMPLE: &str = "\
Example:
  jobmill build
  jobmill build jobs/welcome-email --release --hopper /srv/jobmill/hopper";

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
        let mut note = |line: &str| context.output.note(&line.dimmed().to_string());
        let toolchain = Toolchain::find(Packages::Keep, &mut note).map_err(|error| failed(&error))?;
        context.output.note(&toolchain.summary());
        let profile = if self.release { Profile::Release } else { Profile::Development };
        let components = compile(&toolchain, &crates, profile, context.output)?;
        let check = Examiner::new(config.overrides())?;
        let mut progress = Progress::begin(context.output);
        let mut built = Vec::new();
        let mut exit = Exit::Done;
        for (done, component) in (0..).zip(&components) {
            progress.tell(Some((done, components.len() as u64)), || format!("checking {}", component.name));
            match check_and_install(&check, component, &config.hopper.dir) {
                Ok((examined, installed)) => {
                    progress.clear();
                    if context.output.format == Format::Table {
                        output::data(&line(&examined, &installed))?;
                    }
                    built.push(described(&examined, installed)?);
                }
                Err(Failure::Said(report)) => {
                    progress.clear();
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

/// Compiles the crates. What cargo does is said as it does it: on one line at a terminal, but for what it warns of.
fn compile(
    toolchain: &Toolchain,
    crates: &[JobCrate],
    profile: Profile,
    output: Output,
) -> Result<Vec<Component>, Failure> {
    let mut progress = Progress::begin(output);
    let mut compiled = 0_usize;
    let mut hear = |line: &str| {
        if terminal::can_replace_notes() && line.trim_start().starts_with("Compiling ") {
            compiled += 1;
            let crate_name = line.trim_start().trim_start_matches("Compiling ").to_owned();
            progress.tell(None, || format!("compiling {crate_name}, {} so far", output::count(compiled, "crate")));
        } else {
            progress.note(&line.dimmed().to_string());
        }
    };
    jobmill_forge::build(toolchain, crates, profile, &mut hear).map_err(|error| failed(&error))
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
