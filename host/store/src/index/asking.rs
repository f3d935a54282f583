//! What the index is asked: which runs a filter names, what waits, and what stops it.
//! It changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use jobmill_core::token::Token;
use jobmill_core::{DeliveryId, EventId, EventKey, JobId, RunHead, RunId, RunState, Timestamp, limits};

use super::{DeliveryName, DeliveryRow, EventRow, Index, Row, lists, row};
use crate::control::{Control, ControlKey, Schedule};
use crate::flow::{self, Blocker, LaneId};
use crate::log::{Place, Record};
use crate::query::{
    Activity, Counts, DeadFilter, DeliveryFilter, EventFilter, JobFlowView, Neighbours, QueueView, RunFilter,
    WaitingCause, WaitingFor,
};

/// Runs that are named as the holders of a limit.
const HOLDERS_SHOWN: usize = 10;

impl Index {
    /// Whether a record other than of a journal still counts.
    pub(crate) fn counts_still(&self, record: &Record, place: Place) -> bool {
        match record {
            Record::Event { reference, .. } => {
                self.events.row(reference.key).is_some_and(|row| row.place == Some(place))
            }
            Record::Delivery(delivery) => self.deliveries.row(delivery.id).is_some_and(|row| row.place == place),
            Record::Order(order) => self.orders.get(&order.id).is_some_and(|(_, kept)| *kept == place),
            Record::MailCleared { .. } => self.mails.cleared_at() == Some(place),
            Record::Control(control) => self.controls.get(&control.key()).is_some_and(|(_, kept)| *kept == place),
            Record::Journal { .. }
            | Record::Pruned { .. }
            | Record::PrunedEvents { .. }
            | Record::PrunedDeliveries { .. }
            | Record::Floor { .. } => false,
        }
    }

    /// What is kept beside the runs.
    pub(crate) fn controls(&self) -> impl Iterator<Item = &Control> {
        self.controls.values().map(|(control, _)| control)
    }

    /// What is kept under this key.
    pub(crate) fn control(&self, key: &ControlKey) -> Option<&Control> {
        self.controls.get(key).map(|(control, _)| control)
    }

    /// What was done lately.
    pub(crate) fn activity(&self, now: Timestamp) -> Activity {
        self.activity.told(now)
    }

    /// How far each schedule has come.
    pub(crate) fn schedules(&self) -> impl Iterator<Item = &Schedule> {
        self.controls().filter_map(|control| match control {
            Control::Schedule(schedule) => Some(schedule),
            _ => None,
        })
    }

    /// Every queue as it is now.
    pub(crate) fn queues(&self, now: Timestamp) -> Vec<QueueView> {
        let mut overdue: BTreeMap<&str, usize> = BTreeMap::new();
        for head in self.lists.overdue(now, |id| self.head(id)) {
            *overdue.entry(&head.queue).or_default() += 1;
        }
        let queues = self.lists.flow.queues().map(|(name, control, concurrency, held, ready)| QueueView {
            name: name.to_string(),
            concurrency,
            running: held as usize,
            waiting: ready + overdue.get(&**name).copied().unwrap_or_default(),
            paused: control.paused.clone(),
        });
        queues.collect()
    }

    /// Whether runs of a job may begin.
    pub(crate) fn job_flow(&self, job: &JobId, now: Timestamp) -> JobFlowView {
        let flow = &self.lists.flow;
        JobFlowView { paused: flow.job_control(job).paused, breaker: flow.breaker(job, now) }
    }

    /// What a waiting run waits for.
    pub(crate) fn waiting_for(&self, id: RunId, now: Timestamp) -> Option<WaitingFor> {
        let row = self.row(id).filter(|row| row.head.state.is_waiting())?;
        if row.head.state_at(now) != RunState::Available {
            return Some(WaitingFor { cause: WaitingCause::Due(row.head.scheduled_at), position: None });
        }
        let lane = row.lane?;
        let cause = match self.lists.flow.blocker(lane, now) {
            None => WaitingCause::Room,
            Some(blocker) => {
                let holders = self.holders(&row.head.job, &blocker);
                WaitingCause::Blocked(blocker, holders)
            }
        };
        Some(WaitingFor { cause, position: self.position(row, lane, now) })
    }

    /// The runs that hold a concurrency limit.
    fn holders(&self, job: &JobId, blocker: &Blocker) -> Vec<RunId> {
        let Blocker::Concurrency(limit, value) = blocker else { return Vec::new() };
        let running = self.lists.of_job(job, RunState::Running);
        let holds =
            |id: &RunId| self.row(*id).is_some_and(|row| flow::value_at(&row.keys, limit.key.as_ref()) == *value);
        running.filter(holds).take(HOLDERS_SHOWN).collect()
    }

    /// Due runs of the same lane that go before this one.
    fn position(&self, row: &Row, lane: LaneId, now: Timestamp) -> Option<usize> {
        let most = limits::POSITION_COUNTED + 1;
        let place = flow::place(&row.head);
        let ready = self.lists.flow.before(lane, place, most);
        // What has become due since the last claim looked stands in line too.
        let overdue = self.lists.overdue(now, |id| self.head(id)).take(most);
        let goes_before =
            |head: &&RunHead| flow::place(head) < place && self.row(head.id).is_some_and(|row| row.lane == Some(lane));
        Some(ready + overdue.filter(goes_before).count()).filter(|position| *position < most)
    }

    /// Waiting runs whose time to begin is over, the longest first.
    pub(crate) fn lapsed(&self, now: Timestamp) -> impl Iterator<Item = RunId> + '_ {
        self.lists.expiring.iter().take_while(move |(at, _)| *at <= now).map(|(_, id)| *id)
    }

    /// Runs that a filter names, newest first, before `after`.
    pub(crate) fn matching<'index>(
        &'index self,
        filter: &'index RunFilter,
        after: Option<RunId>,
        now: Timestamp,
    ) -> impl Iterator<Item = &'index RunHead> {
        self.candidates(filter, after, now).filter(move |head| row::matches(filter, head, now))
    }

    /// How many of the runs that a filter names in any state show each; none where it takes looking at more than `most`.
    pub(crate) fn counts_of(&self, filter: &RunFilter, most: usize, now: Timestamp) -> Option<Counts> {
        let filter = RunFilter { state: None, ..filter.clone() };
        if filter == (RunFilter { job: filter.job.clone(), ..RunFilter::default() }) {
            return Some(self.counts(filter.job.as_ref(), now));
        }
        let mut counts = Counts::default();
        for (looked_at, head) in self.candidates(&filter, None, now).enumerate() {
            if looked_at == most {
                return None;
            }
            if row::matches(&filter, head, now) {
                counts.0[head.state_at(now) as usize] += 1;
            }
        }
        Some(counts)
    }

    /// Runs among which are all that a filter names, newest first, before `after`.
    fn candidates<'index>(
        &'index self,
        filter: &'index RunFilter,
        after: Option<RunId>,
        now: Timestamp,
    ) -> impl Iterator<Item = &'index RunHead> {
        let id: Option<EventId> = filter.event.as_ref().and_then(|event| event.parse().ok());
        let runs: Vec<RunId> =
            id.iter().flat_map(|id| self.events.meant(id)).flat_map(|row| &row.runs).copied().collect();
        let candidates = self.lists.candidates(filter, Some(&*runs).filter(|runs| !runs.is_empty()), after, now);
        candidates.filter_map(|id| self.head(id))
    }

    /// The runs of the same job next to this one.
    pub(crate) fn neighbours(&self, run: RunId) -> Neighbours {
        self.head(run).map(|head| self.lists.neighbours(&head.job, run)).unwrap_or_default()
    }

    /// Dead runs that a filter names, in each group the longest dead first. Of runs that it names by id also those that
    /// are not dead, so that whoever named them can be told.
    pub(crate) fn dead<'index>(
        &'index self,
        filter: &'index DeadFilter,
    ) -> Box<dyn Iterator<Item = &'index RunHead> + 'index> {
        if let Some(ids) = &filter.ids {
            let named = lists::newest_first(ids).into_iter().filter_map(|id| self.head(id));
            return Box::new(named.filter(|head| lists::in_group(filter, &lists::group(head))));
        }
        Box::new(self.lists.dead(filter).filter_map(|id| self.head(id)))
    }

    /// Final runs whose time to be kept is over, in no particular order.
    pub(crate) fn expired<'index>(
        &'index self,
        retention: &'index crate::store::Retention,
        now: Timestamp,
    ) -> impl Iterator<Item = RunId> + 'index {
        let of_state = retention.ages().into_iter().filter_map(move |(state, age)| {
            let youngest = now.before(age.max(limits::UNIQUE_WINDOW))?;
            Some(self.lists.enqueued_before(state, youngest).filter(move |id| {
                let head = self.head(*id);
                head.and_then(|head| head.finished_at).is_some_and(|finished| finished <= youngest)
                    && head.is_some_and(|head| !self.keys.is_held_by(head, now))
            }))
        });
        of_state.flatten()
    }

    /// How many runs show each state at `now`; of one job, or of all.
    pub(crate) fn counts(&self, job: Option<&JobId>, now: Timestamp) -> Counts {
        self.lists.counts(job, now, |id| self.head(id))
    }

    /// The next time after `now` at which a run becomes due, expires, or is let through by a limit.
    pub(crate) fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        [self.lists.next_due(now), self.lists.flow.next_time(now), self.lists.next_expiry(now)]
            .into_iter()
            .flatten()
            .min()
    }

    /// The event.
    pub(crate) fn event(&self, key: EventKey) -> Option<&EventRow> {
        self.events.row(key)
    }

    /// Events that were given this id.
    pub(crate) fn events_given(&self, id: &EventId) -> impl Iterator<Item = &EventRow> {
        self.events.given(id)
    }

    /// The newest event that this id may mean.
    pub(crate) fn event_meant(&self, id: &EventId) -> Option<&EventRow> {
        self.events.meant(id).max_by_key(|row| (row.received_at, row.reference.key))
    }

    /// Events that a filter names, newest first, before `after`.
    pub(crate) fn events_matching<'index>(
        &'index self,
        filter: &'index EventFilter,
        after: Option<EventKey>,
    ) -> impl Iterator<Item = &'index EventRow> {
        self.events.matching(filter, after)
    }

    /// Events with records of their own, which no run of theirs tells of, and where those are.
    pub(crate) fn events_alone(&self) -> impl Iterator<Item = (&EventRow, Place)> {
        self.events.alone()
    }

    /// Of these, those that were recorded by a time, oldest first.
    pub(crate) fn events_alone_until(&self, time: Timestamp) -> impl Iterator<Item = &EventRow> {
        self.events.alone_until(time)
    }

    /// The delivery.
    pub(crate) fn delivery(&self, id: DeliveryId) -> Option<&DeliveryRow> {
        self.deliveries.row(id)
    }

    /// The newest delivery that a sender gave this id at an endpoint.
    pub(crate) fn delivery_known(&self, name: &DeliveryName) -> Option<&DeliveryRow> {
        self.deliveries.known(name)
    }

    /// Deliveries that a filter names, newest first, before `after`.
    pub(crate) fn deliveries_matching<'index>(
        &'index self,
        filter: &'index DeliveryFilter,
        after: Option<DeliveryId>,
    ) -> impl Iterator<Item = &'index DeliveryRow> {
        self.deliveries.matching(filter, after)
    }

    /// Every delivery, oldest first.
    pub(crate) fn deliveries(&self) -> impl Iterator<Item = &DeliveryRow> {
        self.deliveries.all()
    }

    /// Deliveries that came in before a time, oldest first.
    pub(crate) fn deliveries_before(&self, time: Timestamp) -> impl Iterator<Item = &DeliveryRow> {
        self.deliveries.before(time)
    }

    /// The API tokens, revoked ones too, by id.
    pub(crate) fn tokens(&self) -> Arc<[Token]> {
        Arc::clone(&self.tokens)
    }
}
