//! Why runs are left as they are, as a page tells it: beside the run's link, and without the words of the API.
//! What is decided about them is the store's word.

use jobmill_core::RunId;
use jobmill_engine::Handle;
use jobmill_store::MailInDoubt;

use crate::error::Problem;
use crate::pages::dead::NAMED;

/// A run, and why it is left as it is.
pub(super) type Reason = (RunId, String);

/// The first of these for people.
pub(super) async fn named(skipped: Vec<Reason>, handle: &Handle) -> Result<Vec<Reason>, Problem> {
    let mut named = Vec::with_capacity(skipped.len().min(NAMED));
    for (id, reason) in skipped.into_iter().take(NAMED) {
        let mails = handle.query().mails_in_doubt(id).await?;
        let in_doubt = MailInDoubt { run: id, mails };
        let words = if in_doubt.to_string() == reason {
            let mails = in_doubt.mails.iter().map(|mail| format!("{} (Message-ID {})", mail.to, mail.message_id));
            let mails = mails.collect::<Vec<_>>().join(", ");
            format!("may have sent mail to {mails}: it is in doubt until somebody looks at the mail server")
        } else {
            // The link beside it says which run it is.
            reason.strip_prefix(&id.to_string()).unwrap_or(&reason).trim_start().to_owned()
        };
        named.push((id, words));
    }
    Ok(named)
}
