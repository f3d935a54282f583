//! Leading lanes through their gates, and choosing from those that nothing stops.
//! It takes no run in or out; the index does, by the verbs of `Flow`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jobmill_core::RunId;
use jobmill_core::Timestamp;
use jobmill_core::breaker::BreakerState;

use super::gate::Limit;
use super::{BUCKETS_MIN, Before, Chosen, Flow, GateId, JobFlow, JobRules, LaneId, Place, Standing, value_at};

impl Flow {
    /// Chooses runs to begin at `now`, at most so many: queue by queue in turn, in each the run that is next.
    pub(crate) fn choose(&mut self, now: Timestamp, most: usize, eligible: impl Fn(RunId) -> bool) -> Vec<Chosen> {
        let mut chosen = Vec::new();
        let mut aside = Vec::new();
        if self.chosen_at.is_none_or(|chosen_at| now < chosen_at) {
            self.settle(now);
        }
        self.chosen_at = Some(now);
        self.let_in(now);
        while chosen.len() < most {
            let Some((name, place, id)) = self.next_open() else { break };
            let offer = self.take_down(id);
            if self.stopping_gate(id, offer, now).is_some() {
                self.lead(id, offer, now);
            } else if !eligible(place.1) {
                self.remove(id, place);
                self.decline(offer);
                aside.push((id, place));
            } else {
                chosen.push(self.take(id, place, offer, now));
                self.served = Some(name);
                self.lead(id, None, now);
            }
            // What became free, or was not taken, is for the next.
            self.let_in(now);
        }
        for (id, place) in aside {
            self.add(id, place);
        }
        self.drop_full_buckets(now);
        chosen
    }

    fn take(&mut self, id: LaneId, place: Place, offer: Option<GateId>, now: Timestamp) -> Chosen {
        if let Some(gate) = offer {
            self.gates[gate].offered -= 1;
        }
        self.lanes[id].ready.remove(&place);
        self.queue_of(id).ready -= 1;
        self.hold(id);
        let lane = &self.lanes[id];
        let (job, keys) = (lane.key.job.clone(), Arc::clone(&lane.key.keys));
        let taken = lane.gates.iter().find_map(|gate| match &self.gates[*gate].limit {
            Limit::Rate(rate, bucket) => Some((*bucket, rate.take(*bucket, now))),
            _ => None,
        });
        let of_keys = || self.jobs.get(&job).and_then(|flow| flow.buckets.get(&keys)).copied().unwrap_or_default();
        let before = taken.map(|(of_value, _)| Before { of_value, of_keys: of_keys() });
        let bucket = taken.map(|(_, after)| after);
        if let Some(after) = bucket {
            self.took(&job, &keys, after);
        }
        self.started(&job, place.1);
        Chosen { run: place.1, place, lane: id, bucket, before }
    }

    /// A chosen run did not begin after all. Of several the last that was chosen comes first.
    pub(crate) fn put_back(&mut self, chosen: &Chosen, now: Timestamp) {
        self.release(chosen.lane);
        self.add(chosen.lane, chosen.place);
        let key = self.lanes[chosen.lane].key.clone();
        if let Some(flow) = self.jobs.get_mut(&key.job) {
            flow.breaker.abandoned(chosen.run, now);
        }
        let gates = self.lanes[chosen.lane].gates.clone();
        for gate in gates {
            if let (Limit::Rate(rate, bucket), Some(before)) = (&mut self.gates[gate].limit, chosen.before) {
                *bucket = before.of_value;
                let value = value_at(&key.keys, rate.key.as_ref());
                if let Some(flow) = self.jobs.get_mut(&key.job) {
                    flow.by_value.insert(value, before.of_value);
                    flow.buckets.insert(Arc::clone(&key.keys), before.of_keys);
                }
            }
        }
        self.recheck_job(&key.job);
    }

    /// The lane whose first run is next: of the next queue in turn that may begin one.
    fn next_open(&self) -> Option<(Arc<str>, Place, LaneId)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let after = self.served.as_ref().map_or(Unbounded, |name| Excluded(Arc::clone(name)));
        let in_turn = self.queues.range::<Arc<str>, _>((after, Unbounded)).chain(self.queues.iter());
        in_turn
            .filter(|(name, queue)| queue.may_begin(name, &self.rules))
            .find_map(|(name, queue)| queue.open.first().map(|(place, id)| (Arc::clone(name), *place, *id)))
    }

    /// Leads lanes on, as far as there is room.
    fn let_in(&mut self, now: Timestamp) {
        self.follow_queues();
        while let Some((at, gate)) = self.times.first().copied().filter(|(at, _)| *at <= now) {
            self.times.remove(&(at, gate));
            self.roomy.insert(gate);
        }
        loop {
            while let Some(id) = self.unplaced.pop_first() {
                self.lead(id, None, now);
            }
            let Some(gate) = self.roomy.pop_first() else { return };
            while let Some(id) = self.next_waiting(gate) {
                if !self.has_room(gate, 0, now) {
                    self.expect(gate, now);
                    break;
                }
                self.take_down(id);
                self.gates[gate].offered += 1;
                self.lead(id, Some(gate), now);
            }
        }
    }

    /// A queue that lets none begin keeps no room from others; one that does so again is thought of at the gates.
    fn follow_queues(&mut self) {
        let mut promised = BTreeSet::new();
        for (name, queue) in &mut self.queues {
            if queue.may_begin(name, &self.rules) {
                self.roomy.append(&mut queue.passed_over);
            } else {
                promised.append(&mut queue.promised);
            }
        }
        for id in promised {
            if let Standing::Open(place, offer) = self.lanes[id].standing {
                self.lanes[id].standing = Standing::Open(place, None);
                self.decline(offer);
            }
        }
    }

    /// The lane at a gate whose first run is next, of those queues that let runs begin.
    fn next_waiting(&mut self, id: GateId) -> Option<LaneId> {
        let mut next: Option<(Place, LaneId)> = None;
        for (name, waiting) in &self.gates.get(id)?.waiting {
            let queue = self.queues.get_mut(name)?;
            if !queue.may_begin(name, &self.rules) {
                queue.passed_over.insert(id);
                continue;
            }
            next = next.into_iter().chain(waiting.first().copied()).min();
        }
        next.map(|(_, lane)| lane)
    }

    /// Leads a lane that stands nowhere to the first gate that stops it, or to the open lanes of its queue.
    fn lead(&mut self, id: LaneId, offer: Option<GateId>, now: Timestamp) {
        let Some(place) = self.lanes[id].ready.first().copied() else {
            self.decline(offer);
            return;
        };
        if let Some(gate) = self.stopping_gate(id, offer, now) {
            self.decline(offer);
            self.lanes[id].standing = Standing::Waiting(place, gate);
            let queue = Arc::clone(&self.lanes[id].key.queue);
            self.gates[gate].waiting.entry(queue).or_default().insert((place, id));
            self.expect(gate, now);
        } else {
            self.lanes[id].standing = Standing::Open(place, offer);
            let queue = self.queue_of(id);
            queue.open.insert((place, id));
            if offer.is_some() {
                queue.promised.insert(id);
            }
        }
    }

    fn stopping_gate(&self, id: LaneId, offer: Option<GateId>, now: Timestamp) -> Option<GateId> {
        let gates = self.lanes[id].gates.iter().copied();
        gates.into_iter().find(|gate| !self.has_room(*gate, u32::from(offer == Some(*gate)), now))
    }

    /// Whether a gate has room for one more lane than it has let in, of which `own` are the one that asks.
    fn has_room(&self, gate: GateId, own: u32, now: Timestamp) -> bool {
        let gate = &self.gates[gate];
        let breaker = || self.jobs.get(&gate.key.job).map(|flow| &flow.breaker);
        gate.has_room(breaker, gate.offered - own, now)
    }

    /// Notes when a gate at which lanes wait gets room by itself.
    fn expect(&mut self, id: GateId, now: Timestamp) {
        let gate = &self.gates[id];
        let at = match &gate.limit {
            Limit::Rate(rate, bucket) => rate.next(*bucket, now),
            Limit::Held(hold, _) if hold.holds(now) => hold.until,
            Limit::Breaker(settings) | Limit::Held(_, Some(settings)) => {
                match self.jobs.get(&gate.key.job).map(|flow| flow.breaker.state(settings, now)) {
                    Some(BreakerState::Open { until }) => until,
                    _ => return,
                }
            }
            Limit::Closed | Limit::Open | Limit::Held(_, None) | Limit::AtOnce(_) => return,
        };
        // What is free now is promised to others; whether they take it is known at the next choice.
        self.times.insert((at.max(now.after(Duration::from_millis(1))), id));
    }

    /// Room that was offered is not taken.
    fn decline(&mut self, offer: Option<GateId>) {
        if let Some(gate) = offer {
            self.gates[gate].offered -= 1;
            self.roomy.insert(gate);
        }
    }

    /// Takes an open lane out of its queue's open lanes; answers the gate that let it in.
    fn take_down(&mut self, id: LaneId) -> Option<GateId> {
        match std::mem::replace(&mut self.lanes[id].standing, Standing::Idle) {
            Standing::Idle => None,
            Standing::Open(place, offer) => {
                let queue = self.queue_of(id);
                queue.open.remove(&(place, id));
                queue.promised.remove(&id);
                offer
            }
            Standing::Waiting(place, gate) => {
                self.gates[gate].no_longer_waits(&self.lanes[id].key.queue, (place, id));
                None
            }
        }
    }

    /// Takes a lane from where it stands.
    pub(super) fn lift(&mut self, id: LaneId) {
        let offer = self.take_down(id);
        self.decline(offer);
    }

    /// The clock was set back, or may have been while nobody looked: what was to last until then lasts no longer than it
    /// would from now on, and what gates were expected to do then, they do sooner.
    fn settle(&mut self, now: Timestamp) {
        for (job, flow) in &mut self.jobs {
            if let Some(rules) = self.rules.jobs.get(job) {
                flow.settle(rules, now);
            }
        }
        for (_, gate) in &mut self.gates {
            if let Limit::Rate(rate, bucket) = &mut gate.limit {
                *bucket = rate.settle(*bucket, now);
            }
        }
        self.times.clear();
        self.roomy.extend(self.gates.iter().filter(|(_, gate)| !gate.waiting.is_empty()).map(|(id, _)| id));
    }

    fn drop_full_buckets(&mut self, now: Timestamp) {
        for flow in self.jobs.values_mut().filter(|flow| flow.buckets.len() > flow.buckets_bound.max(BUCKETS_MIN)) {
            flow.buckets.retain(|_, bucket| !bucket.is_full(now));
            flow.by_value.retain(|_, bucket| !bucket.is_full(now));
            flow.buckets_bound = flow.buckets.len() * 2;
        }
    }
}

impl JobFlow {
    /// Lets buckets and breaker take no longer than these rules say from `now` on.
    pub(super) fn settle(&mut self, rules: &JobRules, now: Timestamp) {
        if let Some(rate) = &rules.rate_limit {
            self.buckets.values_mut().chain(self.by_value.values_mut()).for_each(|it| *it = rate.settle(*it, now));
        }
        if let Some(settings) = &rules.breaker {
            self.breaker.settle(settings, now);
        }
    }
}
