//! `jobmill store check`: whether everything that is kept can be read back.
//! What a check looks at is the store's to know.

use jobmill_client::StoreCheck;
use jobmill_store::{Checked, Query as _};

use super::DataPlace;
use super::keeper::{Keeper, OwnStore};
use crate::client;
use crate::commands::Context;
use crate::failure::Failure;
use crate::output;

pub(super) fn check(place: &DataPlace, context: &Context) -> Result<(), Failure> {
    let (json, found) = match Keeper::find(place, &place.config()?, context)? {
        Keeper::Server(client) => {
            let answer = client.check_store()?;
            (answer.text().to_owned(), answer.into_value())
        }
        Keeper::Here(open) => {
            let found = read_through(open)?;
            (client::json(&found)?, found)
        }
    };
    context.output.document(&json, || {
        output::pairs(&[
            ("runs", Some(found.runs.to_string())),
            ("journal entries", Some(found.entries.to_string())),
            ("mails", Some(found.mails.to_string())),
            ("events without runs", Some(found.events.to_string())),
            ("webhook deliveries", Some(found.deliveries.to_string())),
            ("orders", Some(found.orders.to_string())),
            ("components", Some(found.components.to_string())),
            ("damage", Some("none".to_owned())),
        ])
    })
}

fn read_through(open: OwnStore) -> Result<StoreCheck, Failure> {
    let checked = open.ask(async {
        let mut checked = Checked::default();
        for record in open.store.export().await? {
            checked.add(&record?, &open.store).await?;
        }
        checked.add_components(&open.store).await?;
        Ok(checked)
    })?;
    open.close()?;
    let Checked { runs, entries, mails, events, deliveries, orders, components } = checked;
    Ok(StoreCheck { ok: true, runs, entries, mails, events, deliveries, orders, components })
}
