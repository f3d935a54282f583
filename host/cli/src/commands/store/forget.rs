//! `jobmill store forget`: deletes whatever carries an e-mail address, or a value in a payload, from the files too.
//! What carries it is the store's to find.

use clap::Args;
use jobmill_client::{Forget as Request, Forgotten as ForgottenView, Skipped};
use jobmill_core::flow::Pointer;
use jobmill_store::{Forget, Forgotten, Store as _};

use super::keeper::{Keeper, OwnStore};
use super::{DataPlace, and_others};
use crate::client;
use crate::commands::Context;
use crate::failure::Failure;
use crate::output::count;

/// Delete whatever carries an e-mail address, or a value in a payload
///
/// Runs with their payloads, mails and logs, and events are deleted, the customer of orders is blanked, and the files of
/// the store are written anew. Nothing else is served for as long as that takes: some seconds for a million runs.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct ForgetArguments {
    #[command(flatten)]
    pub(super) place: DataPlace,
    /// The address, wherever it stands, in any case
    #[arg(long, value_name = "ADDRESS", required_unless_present = "pointer")]
    email: Option<String>,
    /// Where the value stands in payloads: a JSON Pointer
    #[arg(long, value_name = "POINTER", requires = "value")]
    pointer: Option<String>,
    /// The value
    #[arg(long, value_name = "VALUE", requires = "pointer")]
    value: Option<String>,
    /// Only say what it would be
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLE: &str = "\
Example:
  jobmill store forget --email ann@example.com --dry-run
  jobmill store forget --pointer /userId --value 4711";

pub(super) fn forget(arguments: &ForgetArguments, context: &Context) -> Result<(), Failure> {
    let ForgetArguments { place, email, pointer, value, dry_run } = arguments;
    let config = place.config()?;
    let (email, pointer, value) = (email.as_deref(), pointer.as_deref(), value.as_deref());
    let view: ForgottenView = match Keeper::find(place, &config, context)? {
        Keeper::Server(client) => client.forget(&Request { email, pointer, value, dry_run: *dry_run })?.into_value(),
        Keeper::Here(open) => forget_here(open, arguments)?,
    };
    context.output.document(&client::json(&view)?, || sentence(&view))
}

fn forget_here(open: OwnStore, arguments: &ForgetArguments) -> Result<ForgottenView, Failure> {
    let value = match (&arguments.pointer, &arguments.value) {
        (Some(pointer), Some(value)) => {
            let pointer = Pointer::try_from(pointer.clone());
            let pointer = pointer.map_err(|error| Failure::usage("pointer", error.to_string()))?;
            Some((pointer, value.clone()))
        }
        _ => None,
    };
    let what = Forget { email: arguments.email.clone(), value };
    let Forgotten { runs, dead, mails, events, deliveries, orders, suppressions, audit, running } =
        open.ask(open.store.forget(what, arguments.dry_run))?;
    open.close()?;
    let skip = |id: jobmill_core::RunId| Skipped { id, reason: "it was under way".to_owned() };
    let skipped = running.into_iter().map(skip).collect();
    Ok(ForgottenView {
        runs,
        dead,
        mails,
        events,
        deliveries,
        orders,
        suppressions,
        audit,
        skipped,
        dry_run: arguments.dry_run,
    })
}

fn sentence(view: &ForgottenView) -> String {
    let what = format!(
        "{} ({} dead), {}, {}, the customer of {} and the address of {}{}",
        count(view.runs, "run"),
        view.dead,
        count(view.mails, "mail"),
        count(view.events, "event"),
        count(view.orders, "order"),
        count(view.suppressions, "suppression"),
        and_others(view.deliveries, view.audit)
    );
    let text = if view.dry_run { format!("would forget {what}") } else { format!("forgot {what}") };
    let left = view.skipped.iter().map(|skipped| format!("left {}: {}", skipped.id, skipped.reason));
    std::iter::once(text).chain(left).collect::<Vec<_>>().join("\n")
}
