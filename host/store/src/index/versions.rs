//! Which versions of each job were loaded: the newest, and no more than their bounds.
//! They are kept among the other controls; what they say of themselves is not looked at.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jobmill_core::job::{JobVersion, Pin};
use jobmill_core::{JobId, Timestamp, Version, limits};

use super::Index;
use crate::control::{Control, ControlKey};
use crate::log::Place;

/// A version in the order of its job.
#[derive(Debug, Clone, Copy)]
struct Row {
    last_loaded_at: Timestamp,
    version: Version,
    weight: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Versions {
    /// Of each job, newest first; never none.
    jobs: BTreeMap<JobId, Vec<Row>>,
}

impl Versions {
    /// A version as it is from now on; answers those that have no room any more.
    fn put(&mut self, loaded: &JobVersion) -> Vec<ControlKey> {
        let row = Row { last_loaded_at: loaded.last_loaded_at, version: loaded.version, weight: loaded.weight() };
        let rows = self.jobs.entry(loaded.job.clone()).or_default();
        rows.retain(|other| other.version != row.version);
        rows.push(row);
        rows.sort_unstable_by_key(|row| Reverse((row.last_loaded_at, row.version)));
        let mut bytes = 0;
        let kept = rows.iter().enumerate().take_while(|(at, row)| {
            bytes += row.weight;
            *at == 0 || (*at < limits::VERSIONS && bytes <= limits::VERSIONS_BYTES)
        });
        let kept = kept.count();
        let gone = rows.split_off(kept);
        let mut keys: Vec<ControlKey> = gone.iter().map(|row| key(&loaded.job, row)).collect();
        if self.jobs.len() > limits::VERSIONS_JOBS {
            let newest = |rows: &[Row]| rows.first().map(|row| row.last_loaded_at);
            let idlest = self.jobs.iter().min_by_key(|(_, rows)| newest(rows)).map(|(job, _)| job.clone());
            if let Some((job, rows)) = idlest.and_then(|idlest| self.jobs.remove_entry(&idlest)) {
                keys.extend(rows.iter().map(|row| key(&job, row)));
            }
        }
        keys
    }
}

fn key(job: &JobId, row: &Row) -> ControlKey {
    ControlKey::Version(job.clone(), row.version)
}

impl Index {
    /// A version as it is from now on. What has no room any more goes: nothing is written of that, as whoever reads the log
    /// comes to the same.
    pub(super) fn put_version(&mut self, version: &JobVersion, place: Place) {
        let control = Control::Version(Box::new(version.clone()));
        self.live += usize::from(self.controls.insert(control.key(), (control, place)).is_none());
        for key in self.versions.put(version) {
            self.remove_control(&key);
        }
    }

    /// The pins, by job.
    pub(crate) fn pins(&self) -> impl Iterator<Item = &Pin> {
        self.controls().filter_map(|control| match control {
            Control::Pinned(pin) => Some(&**pin),
            _ => None,
        })
    }

    /// The versions whose components have room: those that serve or are pinned, and of the others the newest of each job,
    /// the last loaded first, as far as the bounds allow.
    pub(crate) fn components_with_room(&self, serving: &BTreeSet<Version>) -> BTreeSet<Version> {
        let mut room: BTreeSet<Version> = self.pins().map(|pin| pin.version).chain(serving.iter().copied()).collect();
        let rows = self.versions.jobs.iter().flat_map(|(job, rows)| rows.iter().enumerate().map(move |row| (job, row)));
        let sized = rows.filter_map(|(job, (at, row))| match self.control(&key(job, row))? {
            Control::Version(version) => Some((version.last_loaded_at, version.version, version.size, at)),
            _ => None,
        });
        let (held, mut others): (Vec<_>, Vec<_>) = sized.partition(|(_, version, ..)| room.contains(version));
        let mut bytes: u64 = held.iter().map(|(_, _, size, _)| size).sum();
        others.retain(|(.., at)| *at < limits::VERSIONS_WITH_BYTES);
        others.sort_unstable_by_key(|(loaded, version, ..)| Reverse((*loaded, *version)));
        for (_, version, size, _) in others {
            bytes = bytes.saturating_add(size);
            if bytes > limits::COMPONENTS_KEPT_BYTES {
                break;
            }
            room.insert(version);
        }
        room
    }

    /// The versions of a job, the last loaded first.
    pub(crate) fn versions(&self, job: &JobId) -> Vec<JobVersion> {
        let rows = self.versions.jobs.get(job).into_iter().flatten();
        let versions = rows.filter_map(|row| match self.control(&key(job, row))? {
            Control::Version(version) => Some((**version).clone()),
            _ => None,
        });
        versions.collect()
    }
}
