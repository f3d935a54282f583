//! Whoever is on duty is told of dead runs: of a group that appears, and of one that spikes.
//! What is news is decided in `news`; how a message leaves is the notifier's. Nothing is polled: changes wake it.
//!
//! A message is on record before it leaves, and its end after all receivers had it or were given up on. What a restart
//! finds unended is told again under the same id.

mod news;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use jobmill_core::notice::{GroupName, News, Notice, NoticeDelivery, NoticeMessage, NoticedGroup};
use jobmill_core::time::Sleep;
use jobmill_core::{Backoff, NoticeId, RunState, Timestamp, limits};
use jobmill_store::{DeadGroup, StoreError};
use tokio::task::JoinSet;

use self::news::Findings;
use crate::changes::{Heard, Listener};
use crate::handle::Handle;
use crate::patience::{is_passing, patiently};

/// From something that happens to the look at it: what happens within is one message, and there is one look in it at most.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two tries of one message: 1 s, 2 s, 4 s, … at most ten minutes.
const BACKOFF: Backoff =
    Backoff::Exponential { base: Duration::from_secs(1), factor: 2.0, max: Duration::from_mins(10), jitter: 0.0 };
/// Tries after the first. With the delays above they take 37 minutes.
const RETRIES: u32 = 12;

/// Carries messages to one receiver.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// The receiver, for the log.
    fn name(&self) -> String;

    /// Hands a message over, once.
    async fn deliver(&self, message: &NoticeMessage, now: Timestamp) -> NoticeDelivery;
}

impl Handle {
    /// Tells of groups of dead runs that appear, and of those that `spike` runs join within `limits::SPIKE_WINDOW`. Goes on
    /// until it is dropped, or until the store can't serve any more, which the engine's loop tells.
    pub async fn tell_of_dead(self, receivers: Vec<Arc<dyn Notifier>>, spike: usize) {
        if receivers.is_empty() {
            return;
        }
        self.ready().await;
        let duty = Duty { handle: self, receivers: receivers.into(), spike };
        match duty.watch().await {
            Ok(()) | Err(StoreError::Closed) => {}
            Err(error) => tracing::error!(%error, "nobody is told of dead runs until a restart"),
        }
    }
}

struct Duty {
    handle: Handle,
    receivers: Arc<[Arc<dyn Notifier>]>,
    spike: usize,
}

/// Messages on their way.
type UnderWay = JoinSet<Result<(), StoreError>>;

impl Duty {
    async fn watch(&self) -> Result<(), StoreError> {
        let clock = &*self.handle.clock;
        let mut changes = Listener::to(&*self.handle.store);
        let mut under_way = UnderWay::new();
        self.resume(&mut under_way).await?;
        let mut were_beyond = 0;
        loop {
            let (look_at, beyond) = self.look(&mut under_way).await?;
            if beyond > 0 && were_beyond == 0 {
                tracing::warn!(groups = beyond, "there are more groups of dead runs than anybody is told of");
            }
            were_beyond = beyond;
            let mut alarm: Sleep = match look_at {
                Some(at) => clock.sleep_until(at),
                None => Box::pin(std::future::pending()),
            };
            loop {
                tokio::select! {
                    heard = changes.next() => if may_be_news(&heard?) { break },
                    () = &mut alarm => break,
                    Some(told) = under_way.join_next() => {
                        told.unwrap_or_else(|error| Err(StoreError::Failed(format!("a notice failed: {error}"))))?;
                        break;
                    }
                }
            }
            clock.sleep(PAUSE).await;
            // The look that follows sees all of it.
            while changes.try_next().is_some() {}
        }
    }

    /// Looks at the groups once, and sends what is news on its way; answers when to look again if nothing happens, and how
    /// many groups are beyond the bound.
    async fn look(&self, under_way: &mut UnderWay) -> Result<(Option<Timestamp>, usize), StoreError> {
        let Handle { store, clock, .. } = &self.handle;
        let now = clock.now();
        let pulses = patiently(&**clock, is_passing, || store.dead_pulses(self.spike, now)).await?;
        let notices = patiently(&**clock, is_passing, || store.notices()).await?;
        let Findings { news, beyond, emptied, gone, look_at } = news::look(&pulses, &notices, self.spike, now);
        let mut known: BTreeMap<GroupName, Notice> = notices.into_iter().map(|it| (it.group(), it)).collect();
        let mut messages = Vec::new();
        if !news.is_empty() {
            let groups = patiently(&**clock, is_passing, || store.dead_groups()).await?;
            let room = limits::NOTICES_UNDER_WAY.saturating_sub(under_way.len());
            for (news, groups) in in_messages(&news, groups).into_iter().take(room) {
                let id = NoticeId::generate(now, &*self.handle.entropy);
                let begun = groups.iter().map(|group| {
                    let told_at = known.remove(&(group.job.clone(), group.fingerprint)).and_then(|it| it.told_at);
                    begun(group, id, news, told_at, now)
                });
                let begun: Vec<Notice> = begun.collect();
                messages.push((NoticeMessage { id, news, at: now, groups }, begun));
            }
        }
        let written: Vec<Notice> = messages.iter().flat_map(|(_, begun)| begun).cloned().chain(emptied).collect();
        if !written.is_empty() || !gone.is_empty() {
            patiently(&**clock, is_passing, || store.note(written.clone(), gone.clone())).await?;
        }
        for (message, begun) in messages {
            self.send(message, begun, under_way);
        }
        Ok((look_at, beyond))
    }

    /// Sends on their way what the last process did not end. What nobody needs to hear any more is dropped.
    async fn resume(&self, under_way: &mut UnderWay) -> Result<(), StoreError> {
        let Handle { store, clock, .. } = &self.handle;
        let notices = patiently(&**clock, is_passing, || store.notices()).await?;
        let mut unended: BTreeMap<NoticeId, Vec<Notice>> = BTreeMap::new();
        for notice in notices.into_iter().filter(|notice| notice.ended_at.is_none()) {
            unended.entry(notice.message).or_default().push(notice);
        }
        if unended.is_empty() {
            return Ok(());
        }
        let groups = patiently(&**clock, is_passing, || store.dead_groups()).await?;
        let mut gone = Vec::new();
        for (id, notices) in unended {
            let is_named = |group: &&DeadGroup| {
                notices.iter().any(|it| it.job == group.job && it.fingerprint == group.fingerprint)
            };
            let groups: Vec<NoticedGroup> = groups.iter().filter(is_named).map(noticed).collect();
            let is_there = |it: &Notice| groups.iter().any(|group| names(group, it));
            let (begun, dropped): (Vec<_>, Vec<_>) = notices.into_iter().partition(is_there);
            gone.extend(dropped.iter().map(Notice::group));
            if let Some(first) = begun.first() {
                let message = NoticeMessage { id, news: first.news, at: first.begun_at, groups };
                self.send(message, begun, under_way);
            }
        }
        if !gone.is_empty() {
            patiently(&**clock, is_passing, || store.note(Vec::new(), gone.clone())).await?;
        }
        Ok(())
    }

    /// Hands a message to all receivers, and puts on record when that has ended.
    fn send(&self, message: NoticeMessage, begun: Vec<Notice>, under_way: &mut UnderWay) {
        let (handle, receivers) = (self.handle.clone(), Arc::clone(&self.receivers));
        under_way.spawn(async move {
            let taken = join_all(receivers.iter().map(|receiver| tell(&handle, &**receiver, &message))).await;
            let now = handle.clock.now();
            let told_at = taken.contains(&true).then_some(now);
            let ended =
                begun.into_iter().map(|it| Notice { ended_at: Some(now), told_at: told_at.or(it.told_at), ..it });
            let ended: Vec<Notice> = ended.collect();
            patiently(&*handle.clock, is_passing, || handle.store.note(ended.clone(), Vec::new())).await
        });
    }
}

/// Hands a message to one receiver, again and again while it may take it later; answers whether it was taken.
async fn tell(handle: &Handle, receiver: &dyn Notifier, message: &NoticeMessage) -> bool {
    let (id, name) = (message.id, receiver.name());
    for retry in 0..=RETRIES {
        match receiver.deliver(message, handle.clock.now()).await {
            NoticeDelivery::Taken => {
                tracing::info!(%id, receiver = name, groups = message.groups.len(), "told of dead runs");
                return true;
            }
            NoticeDelivery::Refused(reason) => {
                tracing::error!(%id, receiver = name, reason, "a notice of dead runs was refused and is not tried again");
                return false;
            }
            NoticeDelivery::NotNow { reason, delay } if retry < RETRIES => {
                let delay = delay.unwrap_or_default().max(BACKOFF.delay(retry, 0.0)).min(LONGEST_DELAY);
                tracing::warn!(%id, receiver = name, reason, ?delay, "a notice of dead runs was not taken and is tried again");
                handle.clock.sleep(delay).await;
            }
            NoticeDelivery::NotNow { reason, .. } => {
                tracing::error!(%id, receiver = name, reason, "a notice of dead runs was not taken and is given up on");
            }
        }
    }
    false
}

/// No receiver makes us wait longer for the next try, whatever it asks for.
const LONGEST_DELAY: Duration = Duration::from_mins(10);

/// What is news by message: one of each kind, and more only where there are more groups than one message names. Groups that
/// have gone meanwhile are left out.
fn in_messages(news: &[(News, GroupName)], groups: Vec<DeadGroup>) -> Vec<(News, Vec<NoticedGroup>)> {
    let wanted: BTreeMap<&GroupName, News> = news.iter().map(|(news, group)| (group, *news)).collect();
    let mut by_news: BTreeMap<News, Vec<NoticedGroup>> = BTreeMap::new();
    for group in groups {
        if let Some(news) = wanted.get(&(group.job.clone(), group.fingerprint)) {
            by_news.entry(*news).or_default().push(noticed(&group));
        }
    }
    let mut messages = Vec::new();
    for (news, groups) in by_news {
        messages.extend(groups.chunks(limits::NOTICE_GROUPS).map(|some| (news, some.to_vec())));
    }
    messages
}

fn noticed(group: &DeadGroup) -> NoticedGroup {
    let first_line = group.message.lines().next().unwrap_or_default();
    NoticedGroup {
        job: group.job.clone(),
        fingerprint: group.fingerprint,
        error: limits::truncate(first_line, limits::NOTICE_ERROR_BYTES).to_owned(),
        kind: group.kind,
        count: group.count,
        first_seen: group.first_seen,
        last_seen: group.last_seen,
        example: group.example,
    }
}

fn names(group: &NoticedGroup, notice: &Notice) -> bool {
    group.job == notice.job && group.fingerprint == notice.fingerprint
}

/// The notice of a group that a message is about to tell of.
fn begun(group: &NoticedGroup, message: NoticeId, news: News, told_at: Option<Timestamp>, now: Timestamp) -> Notice {
    let (job, fingerprint) = (group.job.clone(), group.fingerprint);
    Notice { job, fingerprint, message, news, begun_at: now, ended_at: None, told_at, emptied: false }
}

/// Whether a run has become dead, or one that was may be so no more.
fn may_be_news(heard: &Heard) -> bool {
    let concerns = |state| match state {
        RunState::Dead | RunState::Scheduled | RunState::Available | RunState::Cancelled => true,
        RunState::Running | RunState::Retryable | RunState::Completed => false,
    };
    match heard {
        Heard::Changes(changes) => changes.iter().any(|change| concerns(change.state)),
        Heard::Missed => true,
    }
}
