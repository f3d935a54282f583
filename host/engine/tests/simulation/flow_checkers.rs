//! What must hold of flow control at every claim, at every commit and for every run that waits.
//! It changes nothing; what is true, `flow_model` says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jobmill_core::journal::{Enqueued, EntryKind, Started};
use jobmill_core::{Clock as _, EventKey, JobId, RunId, Timestamp};
use jobmill_store::{AuditFilter, Control, Page, Query, Record, WaitingBounds, WaitingCause};

use crate::findings::Findings;
use crate::flow_model::{Asking, is_told, nanoseconds_of};
use crate::truth::Told;
use crate::watched_log::Watch;
use crate::world::World;

impl Watch {
    /// A run begins at `now`: nothing stops it, and its bucket says what is left.
    pub(crate) fn check_limits(&mut self, run: RunId, started: &Started, now: Timestamp, findings: &Findings) {
        let Some(told) = self.durable.runs.get(&run) else { return };
        let Some(asking) = Asking::of(told) else { return };
        let causes = self.causes(asking, now);
        findings
            .require(causes.is_empty(), || format!("{run} of {} was claimed at {now}, against {causes:?}", asking.job));
        let bucket = self.flow.started(run, asking, now);
        let kept = started.bucket.map(nanoseconds_of);
        findings
            .require(bucket == kept, || format!("the start of {run} leaves the bucket at {kept:?}, not at {bucket:?}"));
    }

    /// A commit writes these records: what it decides was decided on how things stood before it.
    pub(crate) fn check_group(&self, group: &[Record], findings: &Findings) {
        self.check_waiting(group, findings);
        self.check_quiet(group, findings);
        self.check_cancels(group, findings);
        self.check_made_due(group, findings);
    }

    /// Nothing is due before its time unless somebody asked for it.
    fn check_made_due(&self, group: &[Record], findings: &Findings) {
        for record in group {
            let Record::Journal { run, entries, .. } = record else { continue };
            let is_made_due = entries.iter().any(|entry| matches!(entry.kind, EntryKind::MadeDue { .. }));
            let is_asked = !is_made_due || self.made_due.contains(run);
            findings.require(is_asked, || format!("{run} was made due, and nobody asked for it"));
        }
    }

    /// Enqueues that this group brings, in their order.
    fn enqueues<'a>(&'a self, group: &'a [Record]) -> impl Iterator<Item = (RunId, &'a Enqueued)> {
        group.iter().filter_map(|record| match record {
            Record::Journal { run, first: 0, entries } if !self.written.runs.contains_key(run) => {
                let EntryKind::Enqueued(enqueued) = &entries.first()?.kind else { return None };
                Some((*run, &**enqueued))
            }
            _ => None,
        })
    }

    /// Unfinished runs that are not under way.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (&RunId, &Told)> {
        let runs = self.durable.runs.iter();
        runs.filter(|(run, told)| told.standing.state.is_waiting() && !self.is_under_way(**run, told))
    }

    /// How many due runs go before this one and share every limit with it.
    fn position(&self, asking: Asking<'_>, run: RunId, told: &Told, now: Timestamp) -> Option<usize> {
        let place = |run: RunId, told: &Told| {
            let waits = Duration::from_mins(10) * u32::from(told.enqueued()?.priority);
            Some((told.standing.due.after(waits), run))
        };
        let own = place(run, told)?;
        let shares = |told: &Told| {
            Asking::of(told).is_some_and(|it| (it.job, it.queue, it.keys) == (asking.job, asking.queue, asking.keys))
        };
        let due = self.waiting().filter(|(_, told)| told.standing.is_due(now) && shares(told));
        Some(due.filter(|(run, told)| place(**run, told).is_some_and(|it| it < own)).count())
    }

    /// No more runs wait than may.
    fn check_waiting(&self, group: &[Record], findings: &Findings) {
        let mut of_job: BTreeMap<&JobId, usize> = BTreeMap::new();
        for enqueued in self.waiting().filter_map(|(_, told)| told.enqueued()) {
            *of_job.entry(&enqueued.job).or_default() += 1;
        }
        for (run, enqueued) in self.enqueues(group) {
            let count = of_job.entry(&enqueued.job).or_default();
            *count += 1;
            let (count, all) = (*count, of_job.values().sum::<usize>());
            let WaitingBounds { of_job, in_all } = self.bounds.get(&run).copied().unwrap_or_default();
            let is_within = |count: usize, bound: Option<u32>| bound.is_none_or(|bound| count <= bound as usize);
            findings.require(is_within(count, of_job) && is_within(all, in_all), || {
                format!("{run} was taken as one of {count} and {all} that wait; {of_job:?} and {in_all:?} may")
            });
        }
    }

    /// One run waits for enqueues of a kind to be quiet.
    fn check_quiet(&self, group: &[Record], findings: &Findings) {
        let mut quiet: BTreeMap<(&JobId, Option<&str>), RunId> = BTreeMap::new();
        let kind = |enqueued| Told::debounced_by(enqueued);
        let is_taken_back = |run: RunId| group.iter().any(|record| cancels(record, run));
        let waiting = self.waiting().filter(|(run, told)| told.journal.len() == 1 && !is_taken_back(**run));
        for (run, told) in waiting {
            quiet.extend(told.enqueued().and_then(kind).map(|kind| (kind, *run)));
        }
        for (run, enqueued) in self.enqueues(group) {
            let Some(kind) = kind(enqueued).filter(|_| !is_taken_back(run)) else { continue };
            let other = quiet.insert(kind, run);
            findings
                .require(other.is_none(), || format!("{run} waits for {kind:?} to be quiet, and so does {other:?}"));
        }
        for record in group {
            let Record::Journal { run, first: 0, entries } = record else { continue };
            let Some(told) = self.written.runs.get(run).filter(|told| told.journal != *entries) else { continue };
            findings
                .require(!self.is_under_way(*run, told), || format!("the payload of {run} was replaced while it ran"));
        }
    }

    /// What an event takes back does not wait any more once the event is on record.
    fn check_cancels(&self, group: &[Record], findings: &Findings) {
        let events: BTreeSet<EventKey> = group
            .iter()
            .filter_map(|record| match record {
                Record::Event { reference, .. } => Some(reference.key),
                Record::Journal { run, entries, .. } if !self.written.runs.contains_key(run) => {
                    let EntryKind::Enqueued(enqueued) = &entries.first()?.kind else { return None };
                    enqueued.event.as_ref().map(|event| event.key)
                }
                _ => None,
            })
            .filter(|event| !self.written.happenings.events.contains_key(event))
            .collect();
        for record in group {
            self.check_taken_back(record, findings);
        }
        for event in events {
            let marks = self.cancels.get(&event).map_or(&[][..], |(_, marks)| marks.as_slice());
            let is_marked = |told: &Told| {
                let terms = told.enqueued().and_then(|enqueued| enqueued.terms.as_ref());
                terms.is_some_and(|terms| terms.marks.iter().any(|mark| marks.contains(mark)))
            };
            // A payload that took the place of the marked one in the same command is not marked.
            let is_as_before =
                |(run, told): &(&RunId, &Told)| !group.iter().any(|record| replaces(record, **run, told));
            for (run, _) in self.waiting().filter(|(_, told)| is_marked(told)).filter(is_as_before) {
                findings.require(group.iter().any(|record| cancels(record, *run)), || {
                    format!("the event {event} does not cancel {run}")
                });
            }
        }
    }
}

/// Whether the record puts another enqueue in the place of the run's own.
fn replaces(record: &Record, run: RunId, told: &Told) -> bool {
    matches!(record, Record::Journal { run: it, first: 0, entries } if *it == run && *entries != told.journal)
}

/// Whether the record takes this run back.
fn cancels(record: &Record, run: RunId) -> bool {
    let Record::Journal { run: it, entries, .. } = record else { return false };
    *it == run && entries.iter().any(|entry| matches!(entry.kind, EntryKind::Cancelled { .. }))
}

impl Watch {
    /// What says that an event took it back has a mark of that event.
    fn check_taken_back(&self, record: &Record, findings: &Findings) {
        let Record::Journal { run, first, entries } = record else { return };
        let Some(told) = self.written.runs.get(run).filter(|told| *first as usize == told.journal.len()) else {
            return;
        };
        let terms = told.enqueued().and_then(|enqueued| enqueued.terms.as_ref());
        for entry in entries {
            let EntryKind::Cancelled { reason } = &entry.kind else { continue };
            let Some(rest) = reason.strip_prefix("event ") else { continue };
            let by =
                self.cancels.values().filter(|(event, _)| rest.starts_with(&format!("{} ({})", event.name, event.id)));
            let mut marks = by.flat_map(|(_, marks)| marks);
            let is_meant = terms.is_some_and(|terms| marks.any(|mark| terms.marks.contains(mark)));
            findings.require(is_meant, || format!("{run} was cancelled, as {reason}, and has no mark of it"));
        }
    }
}

impl World {
    /// What a waiting run is said to wait for is what it waits for.
    pub(crate) fn check_waiting_for(&self, looking: &crate::chance::Chance) {
        let Some(life) = self.life.as_ref().filter(|_| !self.is_failing) else { return };
        let (watch, now) = (self.log.watch(), self.clock.now());
        if watch.is_refusing {
            return;
        }
        let waiting: Vec<RunId> = watch.waiting().map(|(run, _)| *run).collect();
        let Some(run) = looking.one_of(&waiting) else { return };
        let Some((told, asking)) = watch.durable.runs.get(&run).and_then(|told| Some((told, Asking::of(told)?))) else {
            return;
        };
        let store: &dyn Query = &**life.store();
        let Ok(Some(said)) = Self::now(store.waiting_for(run, now)) else {
            return self.findings.report(|| format!("{run} waits for nothing"));
        };
        let position = watch.position(asking, run, told, now);
        // What was found due in this life stands in line although the clock was set back.
        let is_in_line = self.clock_went_back || said.position == position.filter(|_| told.standing.is_due(now));
        let holds = match &said.cause {
            WaitingCause::Due(at) => !told.standing.is_due(now) && told.standing.due == *at,
            cause => {
                let causes = watch.causes(asking, now);
                told.standing.is_due(now) && is_told(cause, &causes, &watch.durable.controls, asking)
            }
        };
        self.findings.require(holds && is_in_line, || {
            let causes = watch.causes(asking, now);
            format!("{run} is said to wait for {said:?} at {now}; it is {:?} and waits for {causes:?}", told.standing)
        });
    }

    /// What operators said is in force after a start, and schedules have come as far as they had.
    pub(crate) fn check_controls(&self) {
        let Some(life) = &self.life else { return };
        let store: &dyn Query = &**life.store();
        let now = self.clock.now();
        let queues = Self::now(store.queues(now)).unwrap_or_default();
        let schedules = Self::now(store.schedules()).unwrap_or_default();
        let none = Page { items: Vec::new(), next: None };
        let suppressions = Self::now(store.suppressions(None, usize::MAX - 1)).unwrap_or(none);
        for control in self.log.watch().durable.controls.all() {
            let is_kept = match control {
                Control::Queue { name, control } => queues.iter().any(|queue| {
                    queue.name == *name && queue.paused == control.paused && queue.concurrency == control.concurrency
                }),
                Control::Job { job, control } => {
                    Self::now(store.job_flow(job, now)).is_ok_and(|flow| flow.paused == control.paused)
                }
                Control::Schedule(schedule) => schedules.contains(schedule),
                Control::Suppression(suppression) => suppressions.items.contains(suppression),
                Control::SuppressionLifted(digest) => suppressions.items.iter().all(|it| it.digest != *digest),
                Control::Token(token) => Self::now(store.tokens()).is_ok_and(|tokens| tokens.contains(token)),
                Control::Audit(entry) => {
                    let filter = AuditFilter::default();
                    let page = Self::now(store.audit(&filter, None, usize::MAX - 1));
                    page.is_ok_and(|page| page.items.contains(entry))
                }
                // The simulation has nobody on duty, and rolls nothing back.
                Control::AuditGone(_)
                | Control::Notice(_)
                | Control::NoticeGone { .. }
                | Control::Pinned(_)
                | Control::Unpinned(_) => true,
                Control::Version(version) => {
                    Self::now(store.versions(&version.job)).is_ok_and(|versions| versions.contains(version))
                }
            };
            self.findings.require(is_kept, || format!("{control:?} was forgotten over a start"));
        }
    }

    /// Runs that could begin now: due, and stopped by nothing.
    pub(crate) fn beginners(&self) -> BTreeSet<RunId> {
        let (watch, now) = (self.log.watch(), self.clock.now());
        let may_begin = |told: &Told| {
            let causes = Asking::of(told).map(|asking| watch.causes(asking, now));
            told.standing.is_due(now)
                && told.standing.expires.is_none_or(|at| at > now)
                && causes.is_some_and(|it| it.is_empty())
        };
        watch.waiting().filter(|(_, told)| may_begin(told)).map(|(run, _)| *run).collect()
    }
}
