//! `jobmill config`: what holds and where it is said; a commented file to begin with.
//! It changes no setting.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use clap::Subcommand;
use comfy_table::Cell;
use serde_json::value::{RawValue, to_raw_value};

use super::Context;
use crate::config::COMMENTED;
use crate::config::arguments::Places;
use crate::config::layers::FILE_NAME;
use crate::failure::{Exit, Failure};
use crate::output;

/// The configuration
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// What holds for `jobmill up`, and where each value is from
    Show {
        #[command(flatten)]
        places: Places,
    },
    /// Write a commented jobmill.toml with every default
    Init {
        /// The file to write; ./jobmill.toml unless said otherwise
        #[arg(long, value_name = "FILE", env = "JOBMILL_CONFIG", hide_env_values = true, default_value = FILE_NAME)]
        config: std::path::PathBuf,
    },
}

impl ConfigCommand {
    pub(crate) fn carry_out(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Show { places } => show(&places, context)?,
            Self::Init { config } => init(&config, context)?,
        }
        Ok(Exit::Done)
    }
}

fn show(places: &Places, context: &Context) -> Result<(), Failure> {
    let shown = places.load("up", &[])?.shown();
    let items: Result<Vec<Box<RawValue>>, _> = shown.iter().map(to_raw_value).collect();
    let items = items.map_err(|error| Failure::new("configuration", format!("a value can't be shown: {error}")))?;
    context.output.list(&items, None, "", || {
        let rows = shown.iter().map(|line| {
            let value = line.value.as_deref().unwrap_or("–");
            vec![Cell::new(&line.key), output::text_cell(value), output::text_cell(&line.source)]
        });
        Ok(output::table(&["KEY", "VALUE", "SOURCE"], rows.collect()))
    })
}

fn init(path: &Path, context: &Context) -> Result<(), Failure> {
    let name = path.display();
    let written = OpenOptions::new().write(true).create_new(true).open(path).and_then(|mut file| {
        file.write_all(COMMENTED.as_bytes())?;
        file.sync_all()
    });
    match written {
        Ok(()) => {
            context.output.note(&format!("wrote {name}"));
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(Failure::new("exists", format!("{name} is there already; nothing was changed"))
                .advise("write another file with --config FILE"))
        }
        Err(error) => Err(Failure::new("unwritable", format!("{name} can't be written: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::CommandLine;

    #[test]
    fn a_file_that_is_there_is_not_overwritten() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(FILE_NAME);
        let global = CommandLine::try_parse_from(["jobmill", "-q"]).expect("parses").global;
        let context = Context::new(global, |exit| panic!("left with {exit:?}"));
        init(&path, &context).expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("there"), COMMENTED);
        let Err(failure) = init(&path, &context) else { panic!("overwritten") };
        assert_eq!(failure.code(), "exists");
    }
}
