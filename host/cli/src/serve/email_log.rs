//! Keeps the shop's table of mails as our own e-mail log is.
//! No mail waits for it: it follows what was done, and catches up when it could not.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use jobmill_backends::EmailLog;
use jobmill_core::{Clock as _, RunId, Timestamp};
use jobmill_engine::Handle;
use jobmill_store::{Change, MailFilter, MailSummary, StoreError};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::machine::SystemClock;

/// How far back a mail's last change can lie when it was missed: a run with its retries ends within it.
const CAUGHT_UP: Duration = Duration::from_hours(24);
/// From one catching up to the next: it reads a whole day, and most of what the feed calls perhaps missed was not.
const BETWEEN: Duration = Duration::from_mins(5);
/// After the first failure to write; doubles up to the last.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);
/// Runs whose changes are taken together.
const RUNS: usize = 1_000;
/// Mails of one transaction: as many as a database far away takes within its timeout.
const PAGE: usize = 20;

/// Follows until the engine stops.
pub(super) async fn follow(handle: Handle, log: EmailLog) {
    let (changes, now) = (handle.changes(), handle.now());
    // What an earlier process wrote last may be missing in the table.
    let mut follower = Follower { handle, log, changes, synced_at: now, caught_up_at: now, catch_up_at: Some(now) };
    loop {
        match follower.step().await {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return,
            Err(error) => {
                tracing::warn!(%error, "the e-mail log could not be read for the shop's table");
                follower.missed();
            }
        }
    }
}

struct Follower {
    handle: Handle,
    log: EmailLog,
    changes: broadcast::Receiver<Arc<[Change]>>,
    /// When the table was as the log was.
    synced_at: Timestamp,
    /// When it was last looked for what was missed.
    caught_up_at: Timestamp,
    /// When to look for what was missed; none when nothing was.
    catch_up_at: Option<Timestamp>,
}

impl Follower {
    /// Writes the mails of the runs that changed next, or catches up when it is time to.
    async fn step(&mut self) -> Result<ControlFlow<()>, StoreError> {
        let until_due = self.catch_up_at.map_or(Duration::MAX, |at| at.since(self.handle.now()));
        if until_due.is_zero() {
            self.catch_up().await?;
            return Ok(ControlFlow::Continue(()));
        }
        let began = self.handle.now();
        let mut runs = BTreeSet::new();
        tokio::select! {
            heard = self.changes.recv() => match heard {
                Ok(batch) => self.hear(&batch, &mut runs),
                Err(RecvError::Lagged(_)) => self.missed(),
                Err(RecvError::Closed) => return Ok(ControlFlow::Break(())),
            },
            () = SystemClock.sleep(until_due.min(BETWEEN)), if self.catch_up_at.is_some() => {}
        }
        while runs.len() < RUNS {
            match self.changes.try_recv() {
                Ok(batch) => self.hear(&batch, &mut runs),
                Err(TryRecvError::Lagged(_)) => self.missed(),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        for run in runs {
            self.write_run(run).await?;
        }
        if self.catch_up_at.is_none() {
            self.synced_at = began;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// An empty batch says that changes may have been missed.
    fn hear(&mut self, batch: &[Change], runs: &mut BTreeSet<RunId>) {
        runs.extend(batch.iter().map(|change| change.run));
        if batch.is_empty() {
            self.missed();
        }
    }

    fn missed(&mut self) {
        self.catch_up_at.get_or_insert(self.caught_up_at.after(BETWEEN));
    }

    async fn write_run(&self, run: RunId) -> Result<(), StoreError> {
        let filter = MailFilter { run: Some(run), ..MailFilter::default() };
        let mut after = None;
        loop {
            let page = self.handle.query().mails(&filter, after, PAGE).await?;
            self.write(&page.items).await;
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Writes the mails whose last change may have been missed.
    async fn catch_up(&mut self) -> Result<(), StoreError> {
        let began = self.handle.now();
        let since = self.synced_at.before(CAUGHT_UP).unwrap_or_default();
        (self.caught_up_at, self.catch_up_at) = (began, None);
        let mut after = None;
        loop {
            let mut page = self.handle.query().mails(&MailFilter::default(), after, PAGE).await?;
            let old = page.items.iter().position(|mail| mail.created_at < since);
            page.items.truncate(old.unwrap_or(page.items.len()));
            self.write(&page.items).await;
            after = page.next.filter(|_| old.is_none());
            if after.is_none() {
                break;
            }
        }
        self.synced_at = began;
        Ok(())
    }

    /// Writes these mails, however long it takes: what changes meanwhile waits in the feed, which keeps only so much.
    async fn write(&self, mails: &[MailSummary]) {
        if mails.is_empty() {
            return;
        }
        let mut retry = FIRST_RETRY;
        loop {
            match self.log.write(mails).await {
                Ok(refused) => {
                    if retry > FIRST_RETRY {
                        tracing::info!("the shop's table of mails is written again");
                    }
                    for mail in refused {
                        let (id, reason) = (mail.mail, mail.reason);
                        tracing::warn!(mail = %id, reason, "the shop's table of mails does not take this one; it is left out");
                    }
                    return;
                }
                Err(error) => {
                    if retry == FIRST_RETRY {
                        tracing::warn!(%error, "the shop's table of mails can't be written; it is tried until it can");
                    }
                    SystemClock.sleep(retry).await;
                    retry = (retry * 2).min(LAST_RETRY);
                }
            }
        }
    }
}
