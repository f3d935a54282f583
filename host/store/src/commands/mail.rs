//! What operators do about mail: addresses that get none, mails in doubt, mails that leave the development mailbox.
//! It sends nothing; the entries say what was sent, by whoever sent it.

use std::sync::Arc;

use jobmill_core::journal::{EffectKey, EntryKind};
use jobmill_core::mail::{InDoubtChoice, Mail, MailStatus};
use jobmill_core::suppression::{AddressDigest, Suppression, SuppressionSource};
use jobmill_core::{MailId, RunId, RunState, Timestamp, limits};

use super::{Decision, journal};
use crate::committer::Commit;
use crate::control::{Control, ControlKey};
use crate::index::Index;
use crate::log::Record;
use crate::mailing::{NotReleased, Settlement, Suppressed};

/// An address gets no mail. Whoever said so first is who is asked why; a reason that is given later takes the place of
/// the first.
pub(crate) fn suppress(commit: &mut Commit<'_>, suppression: &Suppression) -> Decision<Suppressed> {
    let key = ControlKey::Suppression(suppression.digest);
    if commit.touched.controls.contains(&key) {
        return Decision::Later;
    }
    let before = commit.index.suppressed(suppression.digest);
    let after = match before {
        None => suppression.clone(),
        // A mail that was on its way when somebody said it.
        Some(before) if !matches!(suppression.source, SuppressionSource::Operator(_)) => before.clone(),
        Some(before) => Suppression {
            address: suppression.address.clone(),
            reason: suppression.reason.clone().or_else(|| before.reason.clone()),
            ..before.clone()
        },
    };
    let is_new = before.is_none();
    let records = if before == Some(&after) {
        Vec::new()
    } else {
        commit.touched.controls.insert(key);
        vec![Record::Control(Control::Suppression(after.clone()))]
    };
    Decision::Write(records, Suppressed { suppression: after, is_new })
}

/// An address gets mail again; answers what was said of it.
pub(crate) fn lift(commit: &mut Commit<'_>, digest: AddressDigest) -> Decision<Option<Suppression>> {
    let key = ControlKey::Suppression(digest);
    if commit.touched.controls.contains(&key) {
        return Decision::Later;
    }
    let Some(before) = commit.index.suppressed(digest).cloned() else {
        return Decision::Write(Vec::new(), None);
    };
    commit.touched.controls.insert(key);
    Decision::Write(vec![Record::Control(Control::SuppressionLifted(digest))], Some(before))
}

/// Empties the e-mail log.
pub(crate) fn clear_mail(commit: &Commit<'_>) -> Decision<usize> {
    let (count, newest) = commit.index.mail_log();
    let records = newest.map(|up_to| Record::MailCleared { up_to }).into_iter().collect();
    Decision::Write(records, count)
}

/// What an operator says became of the mails in doubt of a run.
pub(super) fn decided(
    index: &Index,
    run: RunId,
    choice: Option<InDoubtChoice>,
) -> impl Iterator<Item = EntryKind> + use<'_> {
    let (status, error) = match choice {
        Some(InDoubtChoice::Resend) => (MailStatus::Failed, Some("to be sent again, as an operator decided")),
        Some(InDoubtChoice::Sent) | None => (MailStatus::Sent, None),
    };
    let doubtful = choice.into_iter().flat_map(move |_| index.mails.doubtful(run));
    doubtful.map(move |(key, _)| EntryKind::MailSettled {
        key: key.clone(),
        status,
        reply: None,
        error: error.map(str::to_owned),
    })
}

/// A captured mail is about to leave.
pub(crate) fn begin_release(
    commit: &mut Commit<'_>,
    run: RunId,
    key: &EffectKey,
    mail: &Arc<Mail>,
    now: Timestamp,
) -> Decision<Result<(), NotReleased>> {
    if commit.touched.runs.contains(&run) {
        return Decision::Later;
    }
    if let Err(refused) = releasable(commit.index, run, mail.id) {
        return Decision::Write(Vec::new(), Err(refused));
    }
    commit.touched.runs.insert(run);
    let intended = EntryKind::MailIntended { key: key.clone(), mail: Arc::clone(mail) };
    Decision::Write(vec![journal(commit, run, now, [intended])], Ok(()))
}

fn releasable(index: &Index, run: RunId, mail: MailId) -> Result<(), NotReleased> {
    let (row, status) = (index.row(run), index.mails.row(mail).map(|row| row.status));
    let (Some(row), Some(status)) = (row, status) else {
        return Err(NotReleased::UnknownMail(mail));
    };
    if row.head.state == RunState::Running {
        return Err(NotReleased::UnderWay(run));
    }
    if status != MailStatus::Captured {
        return Err(NotReleased::NotCaptured(mail, status));
    }
    // This entry and the one that says what became of it.
    if row.entries as usize + 2 > limits::JOURNAL_ENTRIES {
        return Err(NotReleased::JournalFull(run));
    }
    Ok(())
}

/// What became of a mail that was to leave. When its run went on meanwhile, an attempt may have settled it.
pub(crate) fn end_release(
    commit: &mut Commit<'_>,
    run: RunId,
    key: &EffectKey,
    settlement: &Settlement,
    now: Timestamp,
) -> Decision<()> {
    if commit.touched.runs.contains(&run) {
        return Decision::Later;
    }
    if !commit.index.mails.doubtful(run).any(|(known, _)| known == key) {
        return Decision::Write(Vec::new(), ());
    }
    commit.touched.runs.insert(run);
    let Settlement { status, reply, error } = settlement.clone();
    let settled = EntryKind::MailSettled { key: key.clone(), status, reply, error };
    Decision::Write(vec![journal(commit, run, now, [settled])], ())
}
