//! `jobmill completions`: the completions of a shell, on the standard output.
//! It installs nothing.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::args::CommandLine;
use crate::failure::{Exit, Failure};
use crate::output;

/// Print the completions of a shell
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

const EXAMPLE: &str = "\
Example:
  jobmill completions bash > ~/.local/share/bash-completion/completions/jobmill";

impl Completions {
    pub(crate) fn carry_out(self) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut CommandLine::command(), "jobmill", &mut script);
        output::data(String::from_utf8_lossy(&script).trim_end())?;
        Ok(Exit::Done)
    }
}
