//! The flags that name places and the configuration file, as every command that needs the configuration takes them.
//! It reads nothing; `layers` does.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Loaded;
use super::keys::PREFIX;
use super::layers::Sources;
use crate::failure::Failure;

/// Where the configuration is.
#[derive(Debug, Default, Args)]
pub(crate) struct ConfigFile {
    /// The configuration file; ./jobmill.toml if there
    #[arg(long, value_name = "FILE", env = "JOBMILL_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
}

/// Where the configuration and what it names is.
#[derive(Debug, Default, Args)]
pub(crate) struct Places {
    /// The configuration file.
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// The address to listen on
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// The directory of compiled jobs
    #[arg(long, value_name = "DIR")]
    pub(crate) hopper: Option<PathBuf>,
    /// The data directory
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// What `jobmill dev` adds to the defaults: no mail leaves, and it has a sender.
pub(crate) const DEVELOPMENT: [(&str, &str); 2] =
    [("mail.mode", "capture"), ("mail.from", "Demo Shop <shop@example.com>")];

impl Places {
    /// The configuration that holds for a command with these defaults of its own.
    pub(crate) fn load(
        &self,
        command: &'static str,
        defaults: &[(&'static str, &'static str)],
    ) -> Result<Loaded, Failure> {
        let mut flags = Vec::new();
        if let Some(listen) = &self.listen {
            flags.push(("server.listen", "--listen", listen.clone()));
        }
        for (path, flag, directory) in [("hopper.dir", "--hopper", &self.hopper), ("data", "--data", &self.data)] {
            if let Some(directory) = directory {
                flags.push((path, flag, text(directory, flag)?));
            }
        }
        Loaded::read(&Sources {
            command,
            command_defaults: defaults.to_vec(),
            file: self.file.config.clone(),
            directory: PathBuf::from("."),
            variables: variables()?,
            flags,
        })
    }
}

fn text(path: &Path, flag: &str) -> Result<String, Failure> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Failure::usage("configuration", format!("{flag} {} is not UTF-8", path.display())))
}

/// The process's own `JOBMILL_*` variables.
fn variables() -> Result<Vec<(String, String)>, Failure> {
    let ours = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        name.starts_with(PREFIX).then_some((name, value))
    });
    ours.map(|(name, value)| match value.into_string() {
        Ok(value) => Ok((name, value)),
        Err(_) => Err(Failure::usage("configuration", format!("the variable {name} is not UTF-8"))),
    })
    .collect()
}
