//! Who has a store: the Jobmill that runs on its data directory, or nobody, so that it is opened here.
//! It asks and writes nothing.

use jobmill_client::Client;
use jobmill_store::{LogStore, Store as _, StoreError};

use super::DataPlace;
use crate::args::Global;
use crate::client;
use crate::commands::Context;
use crate::config::Config;
use crate::failure::Failure;
use crate::serve::{DataDirectory, Holder, open_store};

/// Who has the store.
pub(super) enum Keeper {
    /// A Jobmill, which is asked.
    Server(Client),
    /// Nobody else.
    Here(OwnStore),
}

/// A store that this process has open.
pub(in crate::commands) struct OwnStore {
    pub(in crate::commands) store: LogStore,
    tasks: tokio::runtime::Runtime,
    /// Given up last.
    _data: DataDirectory,
}

impl Keeper {
    /// Finds out: a server that was named is asked; otherwise the data directory tells.
    pub(super) fn find(place: &DataPlace, config: &Config, context: &Context) -> Result<Self, Failure> {
        if place.is_elsewhere(context) {
            return client::patient(&context.global).map(Self::Server);
        }
        match holder(config)? {
            Holder::Process { address: Some(address), .. } => {
                let global = Global { server: format!("http://{address}"), ..context.global.clone() };
                client::patient(&global).map(Self::Server)
            }
            Holder::Process { number, address: None } => {
                let text = format!("the process {number} has {} and answers nothing yet", config.data.display());
                Err(Failure::new("data-in-use", text).advise("wait for it, or stop it"))
            }
            Holder::Nobody if config.store_path().exists() => OwnStore::open(config).map(Self::Here),
            Holder::Nobody => {
                let text = format!("there is no store in {}", config.store_path().display());
                Err(Failure::not_found("no-store", text)
                    .advise("name a data directory with --data, or a running Jobmill with --server"))
            }
        }
    }
}

impl OwnStore {
    /// Opens it, or creates it; refused while another process has the data directory.
    pub(in crate::commands) fn open(config: &Config) -> Result<Self, Failure> {
        let data = DataDirectory::open(&config.data)?;
        let tasks = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| Failure::new("no-threads", format!("what asks the store can't be started: {error}")))?;
        Ok(Self { store: open_store(config)?, tasks, _data: data })
    }

    /// Waits for an answer of the store.
    pub(in crate::commands) fn ask<T>(
        &self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Failure> {
        self.tasks.block_on(answer).map_err(failed)
    }

    /// Makes everything durable and gives it up.
    pub(in crate::commands) fn close(self) -> Result<(), Failure> {
        self.ask(self.store.close())
    }
}

fn holder(config: &Config) -> Result<Holder, Failure> {
    DataDirectory::holder(&config.data).map_err(|error| {
        let text = format!("the data directory {} can't be looked at: {error}", config.data.display());
        Failure::new("data-directory", text).advise("make it readable for this user, or name another with --data")
    })
}

/// Refuses while another process has the store; nothing is opened or created.
pub(in crate::commands) fn refuse_in_use(config: &Config) -> Result<(), Failure> {
    match holder(config)? {
        Holder::Nobody => Ok(()),
        Holder::Process { number, .. } => {
            let text = format!("the data directory {} is in use by the process {number}", config.data.display());
            Err(Failure::new("data-in-use", text)
                .advise("stop that process first, or name another directory with --data"))
        }
    }
}

/// What an error of the store means for a command.
pub(super) fn failed(error: StoreError) -> Failure {
    match error {
        StoreError::Damaged(reason) => Failure::new("store-damaged", reason),
        other => Failure::new("store", other.to_string()),
    }
}
