//! What events start, once, and webhook deliveries, which are events with something beside them.
//! How the runs come in is in `enqueue`; which jobs listen is the engine's to say.

use std::collections::{HashMap, HashSet};

use jobmill_core::delivery::{Delivery, DeliveryOutcome};
use jobmill_core::{EventId, EventKey, RunId, Timestamp};

use super::enqueue::{Intake, Unanswered};
use super::{Decision, name_of, suppress};
use crate::committer::Commit;
use crate::index::{DeliveryName, EventRow};
use crate::log::Record;
use crate::store::{NewDelivery, NewEvent, Published, Received};

/// Events that this command publishes, by key and by given id.
#[derive(Default)]
struct Here<'events> {
    answers: Vec<Published>,
    keys: HashMap<EventKey, usize>,
    given: HashMap<&'events EventId, Vec<(&'events NewEvent, usize)>>,
}

impl<'events> Here<'events> {
    /// The answer to the same event that was published before, here or earlier.
    fn known(&self, commit: &Commit<'_>, event: &NewEvent, now: Timestamp) -> Option<Published> {
        let reference = &event.reference;
        let again = |row: &EventRow| Published {
            key: row.reference.key,
            id: row.reference.id.clone(),
            runs: row.runs.to_vec(),
            replayed: true,
        };
        if let Some(row) = commit.index.event(reference.key) {
            return Some(again(row));
        }
        let is_same = |row: &&EventRow| row.reference.name == reference.name && is_remembered(row, event, now);
        // An id that says a key of its own is in no list of given ones.
        let same = commit.index.events_given(&reference.id).filter(is_same);
        if let Some(row) = same.max_by_key(|row| (row.received_at, row.reference.key)) {
            return Some(again(row));
        }
        let of_id = self.given.get(&reference.id).into_iter().flatten();
        let same = of_id.filter(|(other, _)| other.reference.name == reference.name).map(|(_, at)| at);
        let at = self.keys.get(&reference.key).or_else(|| same.min())?;
        self.answers.get(*at).map(|first| Published { replayed: true, ..first.clone() })
    }

    /// Runs of events of another name with the same id: a job that has one of them does not run again.
    fn relatives(&self, commit: &Commit<'_>, event: &NewEvent, now: Timestamp) -> Vec<RunId> {
        if !event.reference.has_given_id() {
            return Vec::new();
        }
        let id = &event.reference.id;
        let earlier = commit.index.events_given(id).filter(|row| is_remembered(row, event, now));
        let here = self.given.get(id).into_iter().flatten().filter_map(|(_, at)| self.answers.get(*at));
        earlier.flat_map(|row| row.runs.iter().copied()).chain(here.flat_map(|it| it.runs.iter().copied())).collect()
    }

    fn add(&mut self, event: &'events NewEvent, answer: Published) {
        let at = self.answers.len();
        if !answer.replayed {
            self.keys.insert(event.reference.key, at);
            if event.reference.has_given_id() {
                self.given.entry(&event.reference.id).or_default().push((event, at));
            }
        }
        self.answers.push(answer);
    }
}

fn is_remembered(row: &EventRow, event: &NewEvent, now: Timestamp) -> bool {
    now.since(row.received_at) < event.id_window
}

/// Publish: all or nothing. An event that is known starts nothing.
pub(crate) fn publish(commit: &mut Commit<'_>, events: &[NewEvent], now: Timestamp) -> Decision<Vec<Published>> {
    if events.iter().any(|event| is_touched(commit, event)) {
        return Decision::Later;
    }
    let mut intake = Intake::new(commit, now);
    match take(&mut intake, events, now) {
        Ok(answers) => finish(intake, events, Vec::new(), answers),
        Err(Unanswered::Later) => Decision::Later,
        Err(Unanswered::Refused(error)) => Decision::Refuse(error),
    }
}

fn is_touched(commit: &Commit<'_>, event: &NewEvent) -> bool {
    let touched = &commit.touched;
    touched.events.contains(&event.reference.key) || touched.event_ids.contains(&event.reference.id)
}

fn take(intake: &mut Intake<'_, '_>, events: &[NewEvent], now: Timestamp) -> Result<Vec<Published>, Unanswered> {
    let mut here = Here { answers: Vec::with_capacity(events.len()), ..Here::default() };
    for event in events {
        let answer = if let Some(answer) = here.known(intake.commit, event, now) {
            answer
        } else {
            let relatives = here.relatives(intake.commit, event, now);
            let runs = start(intake, event, &relatives)?;
            let (key, id) = (event.reference.key, event.reference.id.clone());
            Published { key, id, runs, replayed: false }
        };
        here.add(event, answer);
    }
    Ok(here.answers)
}

/// What an event takes back and what it starts; answers the runs, in the order of their ids.
fn start(intake: &mut Intake<'_, '_>, event: &NewEvent, relatives: &[RunId]) -> Result<Vec<RunId>, Unanswered> {
    intake.cancel(event)?;
    let mut runs = Vec::with_capacity(event.runs.len());
    let mut tell = true;
    for run in &event.runs {
        if let Some(relative) = relatives.iter().find(|id| intake.job_of(**id).is_some_and(|job| *job == run.job)) {
            tell = false;
            runs.push(*relative);
            continue;
        }
        let (answer, is_told) = intake.take_of_event(run, &event.reference)?;
        // What a later event may replace, or what was there before, does not tell of this event.
        tell &= is_told;
        runs.push(answer);
    }
    runs.sort_unstable();
    runs.dedup();
    if !tell || runs.is_empty() {
        let (reference, data) = (event.reference.clone(), event.data.clone());
        intake.records.push(Record::Event { reference, data, received_at: intake.now, runs: runs.clone() });
    }
    Ok(runs)
}

fn finish<Answer>(
    mut intake: Intake<'_, '_>,
    events: &[NewEvent],
    mut beside: Vec<Record>,
    answer: Answer,
) -> Decision<Answer> {
    intake.records.append(&mut beside);
    let touched = &mut intake.commit.touched;
    // What is refused in the end has touched nothing that another command may not decide in the next commit.
    touched.events.extend(events.iter().map(|event| event.reference.key));
    touched.event_ids.extend(events.iter().map(|event| event.reference.id.clone()));
    intake.finish(answer)
}

/// Takes a webhook delivery in, once, with all that it comes to.
pub(crate) fn receive(commit: &mut Commit<'_>, new: &NewDelivery, now: Timestamp) -> Decision<Received> {
    let delivery = &new.delivery;
    let name = name_of(delivery);
    let is_touched =
        commit.touched.deliveries.contains(&name) || new.event.as_ref().is_some_and(|event| is_touched(commit, event));
    if is_touched {
        return Decision::Later;
    }
    if let Some(received) = known(commit, new, &name, now) {
        return Decision::Write(Vec::new(), received);
    }
    let mut beside = Vec::new();
    let mut stopped = HashSet::new();
    // An address that is named twice is stopped once.
    for suppression in new.suppressions.iter().filter(|it| stopped.insert(it.digest)) {
        match suppress(commit, suppression) {
            Decision::Write(mut records, _) => beside.append(&mut records),
            Decision::Later => return Decision::Later,
            Decision::Refuse(error) => return Decision::Refuse(error),
        }
    }
    let replays = commit.index.delivery(delivery.id).map_or(delivery.replays, |row| row.summary.replays + 1);
    let events = new.event.as_slice();
    let mut intake = Intake::new(commit, now);
    let published = match take(&mut intake, events, now) {
        Ok(published) => published.into_iter().next(),
        Err(Unanswered::Later) => return Decision::Later,
        Err(Unanswered::Refused(error)) => return Decision::Refuse(error),
    };
    let outcome = published.as_ref().map(|event| DeliveryOutcome::Published { event: event.key });
    let outcome = outcome.unwrap_or_else(|| delivery.outcome.clone());
    beside.push(Record::Delivery(Delivery { outcome, replays, ..delivery.clone() }));
    intake.commit.touched.deliveries.insert(name);
    let runs = published.map(|event| event.runs).unwrap_or_default();
    finish(intake, events, beside, Received { id: delivery.id, is_repeat: false, runs })
}

/// The answer to a delivery with which nothing is to be done: one that its sender had delivered before, or that an operator
/// wants once more and that is gone.
fn known(commit: &Commit<'_>, new: &NewDelivery, name: &DeliveryName, now: Timestamp) -> Option<Received> {
    if new.replay {
        let is_gone = commit.index.delivery(new.delivery.id).is_none();
        return is_gone.then(|| Received { id: new.delivery.id, is_repeat: true, runs: Vec::new() });
    }
    let row = commit.index.delivery_known(name).filter(|row| now.since(row.summary.received_at) < new.window)?;
    let runs = match &row.summary.outcome {
        DeliveryOutcome::Published { event } => commit.index.event(*event).map(|row| row.runs.to_vec()),
        _ => None,
    };
    Some(Received { id: row.summary.id, is_repeat: true, runs: runs.unwrap_or_default() })
}
