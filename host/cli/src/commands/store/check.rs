//! `jobmill store check`: whether everything that is kept can be read back.
//! What a check looks at is the store's to know.

use jobmill_store::{Checked, Query as _};
use serde::{Deserialize, Serialize};

use super::DataPlace;
use super::keeper::{Keeper, OwnStore};
use crate::client;
use crate::commands::Context;
use crate::failure::Failure;
use crate::output;

/// The answer, as the server gives it.
#[derive(Debug, Serialize, Deserialize)]
struct CheckView {
    ok: bool,
    runs: u64,
    entries: u64,
    mails: u64,
    events: u64,
    orders: u64,
}

pub(super) fn check(place: &DataPlace, context: &Context) -> Result<(), Failure> {
    let json = match Keeper::find(place, &place.config()?, context)? {
        Keeper::Server(client) => client.get(&["store", "check"], &[])?.text,
        Keeper::Here(open) => client::json(&read_through(open)?)?,
    };
    let found: CheckView = client::read(&json)?;
    context.output.document(&json, || {
        output::pairs(&[
            ("runs", Some(found.runs.to_string())),
            ("journal entries", Some(found.entries.to_string())),
            ("mails", Some(found.mails.to_string())),
            ("events without runs", Some(found.events.to_string())),
            ("orders", Some(found.orders.to_string())),
            ("damage", Some("none".to_owned())),
        ])
    })
}

fn read_through(open: OwnStore) -> Result<CheckView, Failure> {
    let checked = open.ask(async {
        let mut checked = Checked::default();
        for record in open.store.export().await? {
            checked.add(&record?, &open.store).await?;
        }
        Ok(checked)
    })?;
    open.close()?;
    let Checked { runs, entries, mails, events, orders } = checked;
    Ok(CheckView { ok: true, runs, entries, mails, events, orders })
}
