//! `jobmill completions`: the completions of a shell, on the standard output.
//! It installs nothing.

use clap::{Args, Command, CommandFactory as _};
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
        clap_complete::generate(self.shell, &mut offered(), "jobmill", &mut script);
        output::data(String::from_utf8_lossy(&script).trim_end())?;
        Ok(Exit::Done)
    }
}

/// The command line without the commands that no help shows; shells would offer them all the same.
fn offered() -> Command {
    let all = CommandLine::command();
    let shown = all.get_subcommands().filter(|command| !command.is_hide_set());
    Command::new("jobmill")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .args(all.get_arguments())
        .subcommands(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_but_the_hidden_ones_is_offered() {
        let names =
            |command: &Command| command.get_subcommands().map(|it| it.get_name().to_owned()).collect::<Vec<_>>();
        let mut shown = names(&CommandLine::command());
        shown.retain(|name| name != "compile");
        assert_eq!(names(&offered()), shown);
    }
}
