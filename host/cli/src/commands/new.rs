//! `jobmill new`: start a job crate.
//! What is written is the forge's.

use std::path::PathBuf;

use clap::Args;
use jobmill_forge::{ForgeError, JobName, SdkDependency};

use super::Context;
use crate::failure::{Exit, Failure};
use crate::output;

/// Start a job crate, with a passing test
#[derive(Debug, Args)]
pub(crate) struct New {
    /// The job's id, which is also the crate's name
    #[arg(value_name = "NAME")]
    name: String,
    /// The directory to write; ./NAME unless said otherwise
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

impl New {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        let name: JobName = self.name.parse().map_err(refused)?;
        let directory = self.path.unwrap_or_else(|| PathBuf::from(&self.name));
        let made = jobmill_forge::scaffold(&name, &directory).map_err(refused)?;
        output::data(&made.directory.display().to_string())?;
        let sdk = match &made.sdk {
            SdkDependency::Checkout(path) => format!("the SDK is that of this checkout, {}", path.display()),
            SdkDependency::Vendored(path) => format!("the SDK came along, in {}", path.display()),
        };
        context.output.note(&format!("wrote the job {name}; {sdk}"));
        context.output.note("next:");
        context.output.note(&format!("  cargo test --manifest-path {}/Cargo.toml", made.directory.display()));
        context.output.note(&format!("  jobmill build {}", made.directory.display()));
        Ok(Exit::Done)
    }
}

fn refused(error: ForgeError) -> Failure {
    match error {
        ForgeError::BadName { .. } => Failure::usage("bad-name", error.to_string()),
        ForgeError::Exists { .. } => Failure::new("exists", error.to_string()),
        other => Failure::new("not-written", other.to_string()),
    }
}
