//! What goes wrong with the machine and the process, and how it is mended.
//! It draws whether and how; which faults a seed has, its scenario says.

use std::time::Duration;

use jobmill_core::Clock as _;
use jobmill_store::Kept;

use crate::chance::Chance;
use crate::scenario::Fault;
use crate::world::{RIGHT, World};

impl World {
    /// One of the faults that this seed has.
    pub(crate) fn strike(&mut self) {
        let Some(fault) = self.chance.one_of(&self.scenario.faults.clone()) else { return };
        self.findings.note(|| format!("fault: {fault:?}"));
        match fault {
            Fault::ProcessDeath if self.chance.one_in(3) => self.crash(true),
            Fault::PowerCut if self.chance.one_in(3) => self.crash(false),
            Fault::DiskFull => {
                self.is_full = true;
                self.log.memory().fill(true);
            }
            Fault::DiskLow => self.log.watch().is_low = true,
            Fault::SyncFails if self.chance.one_in(3) => {
                self.is_failing = true;
                self.log.memory().fail_syncs(true);
            }
            Fault::AppendFails if self.chance.one_in(3) => {
                self.is_failing = true;
                self.log.memory().fail_appends(true);
            }
            // What ends a process is rarer than the rest.
            Fault::ProcessDeath | Fault::PowerCut | Fault::SyncFails | Fault::AppendFails => {}
            Fault::ReleaseFails => self.log.watch().keeps_blocks = self.chance.one_in(2),
            Fault::ClockSet => self.set_clock(),
            Fault::Drift => self.clock_rate = 700 + self.chance.below(600),
            Fault::Day => {
                self.clock.pass(Duration::from_hours(25), RIGHT);
                self.prune();
            }
            Fault::LateEnds => self.write_late(),
            Fault::Components => self.change_components(&self.chance.clone()),
            Fault::MissedChanges => {
                if let Some(life) = &mut self.life {
                    life.miss_changes();
                }
            }
            Fault::Shutdown => {
                if let Some(life) = self.life.as_mut().filter(|life| life.is_serving()) {
                    life.shut_down();
                }
            }
        }
    }

    /// The process or the machine is gone, sometimes in the middle of a commit.
    fn crash(&mut self, notes: bool) {
        if self.chance.one_in(2)
            && let Some(life) = &mut self.life
        {
            self.is_failing = true;
            self.log.memory().fail_syncs(true);
            life.commit();
        }
        self.die(notes);
    }

    /// The process is gone; without `process_only` the machine is.
    pub(crate) fn die(&mut self, process_only: bool) {
        let unsynced = self.log.unsynced();
        let groups = if self.chance.one_in(2) { unsynced } else { self.chance.index(unsynced + 1) };
        let notes = process_only || self.chance.one_in(2);
        if !notes {
            self.stage.lose_notes();
        }
        self.findings.note(|| format!("dies, keeping {groups} of {unsynced} groups; notes: {notes}"));
        if let Some(life) = self.life.take() {
            self.gone.extend(life.leases());
        }
        self.clients.clear();
        self.log.memory().fail_syncs(false);
        self.log.memory().fail_appends(false);
        self.log.crash(Kept { groups, notes });
        self.is_failing = false;
    }

    /// Somebody makes room on the disk before long.
    pub(crate) fn make_room(&mut self) {
        if self.is_full && self.chance.one_in(60) {
            self.findings.note(|| "the disk has room again".to_owned());
            self.is_full = false;
            self.log.memory().fill(false);
        }
        if self.chance.one_in(100) {
            self.log.watch().is_low = false;
        }
    }

    fn set_clock(&mut self) {
        let now = self.clock.now();
        let minutes = Duration::from_secs(self.chance.below(3_600));
        let to = match self.chance.below(6) {
            0 | 1 => now.after(Duration::from_hours(25)),
            2 | 3 => now.after(minutes),
            _ => now.before(minutes).unwrap_or(now),
        };
        self.clock_went_back |= to < now;
        self.clock.set(to);
    }

    pub(crate) fn change_components(&mut self, chance: &Chance) {
        let job = chance.below(self.scenario.jobs);
        let version = if chance.one_in(3) { None } else { Some(chance.below(3)) };
        self.versions.insert(job, version);
        self.load();
    }

    fn load(&mut self) {
        let jobs = self.scenario.load(&self.versions, &self.stage, self.clock.now());
        if let Some(life) = &mut self.life {
            life.load(jobs);
        }
    }

    /// Faults are over, and what they broke is mended.
    pub(crate) fn heal(&mut self) {
        self.is_full = false;
        self.log.memory().fill(false);
        self.log.watch().is_low = false;
        self.log.watch().keeps_blocks = false;
        if self.is_failing {
            self.die(true);
        }
        self.clock_rate = RIGHT;
        self.stage.calm_down(self.clock.now());
        self.versions.values_mut().for_each(|version| *version = Some(version.unwrap_or(0)));
        self.load();
    }
}
