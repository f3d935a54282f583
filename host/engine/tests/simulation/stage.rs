//! What jobs reach outside the store: a mail server, the side effects of steps, the process that they can take down.
//! It outlives every process, and finds what is done twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use jobmill_core::journal::{EffectKey, Entry, EntryKind};
use jobmill_core::mail::MailStatus;
use jobmill_core::order::Order;
use jobmill_core::{RunId, Timestamp};

use crate::chance::Chance;
use crate::findings::Findings;
use crate::watched_log::WatchedLog;

/// No cancel takes longer than this to reach its attempt where nothing fails.
const CANCEL_REACHES: Duration = Duration::from_secs(15);

/// What the mail server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Taken,
    Refused,
    /// It was taken, and the answer was lost.
    Lost,
}

/// See the module.
pub(crate) struct Stage {
    chance: Chance,
    findings: Findings,
    log: WatchedLog,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The number of the process, from 1.
    life: u64,
    may_kill: bool,
    kill: bool,
    /// How often each run took a process down.
    kills: BTreeMap<RunId, usize>,
    /// How often a crash may have taken a start along.
    lost_notes: usize,
    /// Since when there are no faults.
    calm_since: Option<Timestamp>,
    /// Steps whose completion was acknowledged.
    steps: BTreeSet<(RunId, String)>,
    mails: BTreeMap<(RunId, EffectKey), HandedOver>,
}

/// A mail as the mail server knows it.
struct HandedOver {
    message_id: String,
    /// By the attempt with this lease in this life.
    by: (u64, u64),
    /// That attempt was stopped before it could end by itself.
    cut: bool,
    /// As its settlement was acknowledged.
    settled: Option<MailStatus>,
}

impl Stage {
    pub(crate) fn new(chance: Chance, findings: Findings, log: WatchedLog, may_kill: bool) -> Self {
        let state = Mutex::new(State { may_kill, ..State::default() });
        Self { chance, findings, log, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    pub(crate) fn chance(&self) -> &Chance {
        &self.chance
    }

    /// A new process.
    pub(crate) fn begin_life(&self) {
        let mut state = self.state();
        state.kill = false;
        state.life += 1;
    }

    /// Faults are over: attempts end well from now on.
    pub(crate) fn calm_down(&self, now: Timestamp) {
        self.state().calm_since = Some(now);
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.state().calm_since.is_some()
    }

    /// A crash took the notes along.
    pub(crate) fn lose_notes(&self) {
        self.state().lost_notes += 1;
    }

    pub(crate) fn may_kill(&self) -> bool {
        self.state().may_kill
    }

    /// An attempt takes the process down: each time it has used up an attempt.
    pub(crate) fn kill(&self, run: RunId) {
        let mut state = self.state();
        state.kill = true;
        let kills = state.kills.entry(run).or_default();
        *kills += 1;
        let kills = *kills;
        let told = self.log.watch().told(run);
        let is_start = |entry: &&Entry| matches!(entry.kind, EntryKind::Started(_));
        let starts = told.map_or(0, |told| told.journal.iter().filter(is_start).count());
        self.findings.require(kills <= starts + state.lost_notes, || {
            format!("{run} took the process down {kills} times and used up {starts} attempts")
        });
    }

    /// An attempt took too long: not because a cancel did not reach it.
    pub(crate) fn timed_out(&self, run: RunId, now: Timestamp) {
        let Some(calm_since) = self.state().calm_since else { return };
        let told = self.log.watch().told(run);
        let last = told.and_then(|told| told.journal.into_iter().rfind(|entry| decides(&entry.kind)));
        let Some(Entry { at, kind: EntryKind::CancelRequested { .. } }) = last else { return };
        let waited = now.since(at.max(calm_since));
        self.findings.require(waited < CANCEL_REACHES, || {
            format!("a cancel of {run} did not reach its attempt within {waited:?}")
        });
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.state().kill
    }

    pub(crate) fn order(&self, id: &str) -> Option<Order> {
        self.log.watch().durable.orders.get(id).cloned()
    }

    /// A step's code begins.
    pub(crate) fn executes_step(&self, run: RunId, name: &str) {
        let done = self.state().steps.contains(&(run, name.to_owned()));
        self.findings.require(!done, || format!("{name} of {run} was completed and is executed again"));
    }

    /// A step's completion was acknowledged.
    pub(crate) fn completed_step(&self, run: RunId, name: &str) {
        self.state().steps.insert((run, name.to_owned()));
        let watch = self.log.watch();
        let is_it = |kind: &EntryKind| matches!(kind, EntryKind::StepCompleted { name: it, .. } if it == name);
        let durable = watch.durable.runs.get(&run);
        let there = durable.is_some_and(|told| told.journal.iter().any(|entry| is_it(&entry.kind)));
        self.findings.require(there, || format!("{name} of {run} was acknowledged and is not durable"));
    }

    /// A mail arrives at the mail server.
    pub(crate) fn hand_over(&self, run: RunId, lease: u64, key: &EffectKey, message_id: &str) -> Answer {
        let mut state = self.state();
        let by = (state.life, lease);
        self.findings.require(self.is_intended(run, key, message_id), || {
            format!("a mail of {run} was handed over, and no durable intent says so")
        });
        if let Some(before) = state.mails.get(&(run, key.clone())) {
            self.findings.require(before.message_id == message_id, || format!("a mail of {run} has a second id"));
            let done = before.settled.is_some_and(MailStatus::is_done);
            self.findings
                .require(!done, || format!("a mail of {run} was sent, is on record as sent, and is sent again"));
            let excused = before.settled.is_some() || before.cut || before.by.0 != by.0;
            self.findings.require(excused && before.by != by, || {
                format!("a mail of {run} was handed over again, and nothing had cut its attempt off")
            });
        }
        let handed = HandedOver { message_id: message_id.to_owned(), by, cut: false, settled: None };
        state.mails.insert((run, key.clone()), handed);
        if state.calm_since.is_some() {
            return Answer::Taken;
        }
        match self.chance.below(8) {
            0 => Answer::Refused,
            1 => Answer::Lost,
            _ => Answer::Taken,
        }
    }

    /// Whether the last durable word about a mail is this intent.
    fn is_intended(&self, run: RunId, key: &EffectKey, message_id: &str) -> bool {
        let watch = self.log.watch();
        let Some(told) = watch.durable.runs.get(&run) else { return false };
        let about = told.journal.iter().rev().find_map(|entry| match &entry.kind {
            EntryKind::MailIntended { key: it, mail } if it == key => Some(mail.message_id == message_id),
            EntryKind::MailSettled { key: it, .. } if it == key => Some(false),
            _ => None,
        });
        about == Some(true)
    }

    /// A mail's settlement was acknowledged.
    pub(crate) fn settled(&self, run: RunId, key: &EffectKey, status: MailStatus) {
        if let Some(handed) = self.state().mails.get_mut(&(run, key.clone())) {
            handed.settled = Some(status);
        }
    }

    /// An attempt is stopped.
    pub(crate) fn cut(&self, run: RunId, lease: u64) {
        let mut state = self.state();
        let by = (state.life, lease);
        let of_attempt = state.mails.iter_mut().filter(|((it, _), handed)| *it == run && handed.by == by);
        of_attempt.for_each(|(_, handed)| handed.cut = true);
    }
}

/// Whether an entry begins an attempt or asks for its end.
fn decides(kind: &EntryKind) -> bool {
    matches!(kind, EntryKind::Started(_) | EntryKind::CancelRequested { .. })
}
