//! Which groups of dead runs are news, by how they stand and what was told before; pure.
//! It writes no message and keeps no record; the task around it does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jobmill_core::notice::{GroupName, News, Notice};
use jobmill_core::{Timestamp, limits};
use jobmill_store::DeadPulse;

/// Of one group nobody is told more often: who was told an hour ago knows.
const HUSH: Duration = Duration::from_hours(1);
/// A group that no run joined for this long was dealt with, and is new when it comes back.
const QUIET: Duration = Duration::from_hours(24);

/// What a look at the groups comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Groups that somebody is to be told of now.
    pub(super) news: Vec<(News, GroupName)>,
    /// Groups that are new, and not on record because too many are.
    pub(super) beyond: usize,
    /// Notices of groups that have become empty, as they are to be kept.
    pub(super) emptied: Vec<Notice>,
    /// Groups that are gone, and whose notices keep nobody quiet any more.
    pub(super) gone: Vec<GroupName>,
    /// When to look again if nothing happens: something is news then.
    pub(super) look_at: Option<Timestamp>,
}

/// Looks at the groups. A spike are `spike` runs or more within `limits::SPIKE_WINDOW`.
pub(super) fn look(pulses: &[DeadPulse], notices: &[Notice], spike: usize, now: Timestamp) -> Findings {
    let known: BTreeMap<GroupName, &Notice> = notices.iter().map(|notice| (notice.group(), notice)).collect();
    let there: BTreeSet<GroupName> = pulses.iter().map(DeadPulse::group).collect();
    let mut found = Findings::default();
    let mut room = limits::NOTICES.saturating_sub(notices.len());
    for pulse in pulses {
        let group = pulse.group();
        let Some(notice) = known.get(&group) else {
            if room > 0 {
                room -= 1;
                found.news.push((News::Appeared, group));
            } else {
                found.beyond += 1;
            }
            continue;
        };
        // What is on its way is told with the numbers of when it was made.
        let Some(ended_at) = notice.ended_at else { continue };
        let news = if notice.emptied || has_returned(pulse, notice) {
            News::Appeared
        } else if pulse.recent >= spike {
            News::Spiked
        } else {
            continue;
        };
        let free_at = ended_at.after(HUSH);
        if free_at <= now { found.news.push((news, group)) } else { found.look_again(free_at) }
    }
    for notice in notices.iter().filter(|notice| !there.contains(&notice.group())) {
        let Some(ended_at) = notice.ended_at else { continue };
        // It is kept for as long as it keeps somebody from being told again.
        if ended_at.after(HUSH) <= now {
            found.gone.push(notice.group());
        } else if !notice.emptied {
            found.emptied.push(Notice { emptied: true, ..notice.clone() });
        }
    }
    found
}

/// Whether the group was quiet until runs joined it of which nobody was told. Where no run from before is left, the last
/// message says until when it was not quiet.
fn has_returned(pulse: &DeadPulse, notice: &Notice) -> bool {
    let quiet_since = pulse.before.unwrap_or(notice.begun_at);
    pulse.lately_since > notice.begun_at && pulse.lately_since.since(quiet_since) >= QUIET
}

impl Findings {
    fn look_again(&mut self, at: Timestamp) {
        self.look_at = Some(self.look_at.map_or(at, |earlier| earlier.min(at)));
    }
}

#[cfg(test)]
mod tests {
    use jobmill_core::NoticeId;

    use super::*;

    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_772_355_600_000 + seconds * 1_000)
    }

    fn group(number: u64) -> GroupName {
        ("welcome".parse().expect("a job id"), number)
    }

    /// A group whose only runs became dead at this time.
    fn pulse(number: u64, lately_since: u64) -> DeadPulse {
        let (job, fingerprint) = group(number);
        DeadPulse { job, fingerprint, recent: 1, lately_since: at(lately_since), before: None }
    }

    /// Somebody was told of the group then.
    fn told(number: u64, seconds: u64) -> Notice {
        let (job, fingerprint) = group(number);
        let time = at(seconds);
        let message = NoticeId::from_bytes([1; 16]);
        let news = News::Appeared;
        let (ended_at, told_at) = (Some(time), Some(time));
        Notice { job, fingerprint, message, news, begun_at: time, ended_at, told_at, emptied: false }
    }

    fn news(pulse: DeadPulse, notice: Option<Notice>, now: u64) -> (Option<News>, Option<Timestamp>) {
        let notices: Vec<Notice> = notice.into_iter().collect();
        let found = look(&[pulse], &notices, 50, at(now));
        (found.news.first().map(|(news, _)| *news), found.look_at)
    }

    #[test]
    fn what_is_news_of_one_group() {
        let many = |pulse: DeadPulse| DeadPulse { recent: 50, ..pulse };
        let after = |pulse: DeadPulse, before: u64| DeadPulse { before: Some(at(before)), ..pulse };
        let emptied = |notice: Notice| Notice { emptied: true, ..notice };
        let under_way = |notice: Notice| Notice { ended_at: None, ..notice };
        let (appeared, spiked) = (Some(News::Appeared), Some(News::Spiked));
        let then = |seconds| Some(at(seconds));
        for (why, group, notice, now, wanted) in [
            ("nobody was told", pulse(1, 0), None, 0, (appeared, None)),
            ("nobody was told, and it is large", many(pulse(1, 0)), None, 0, (appeared, None)),
            ("somebody was told", pulse(1, 0), Some(told(1, 0)), DAY, (None, None)),
            ("somebody is being told", many(pulse(1, 0)), Some(under_way(told(1, 0))), 2 * HOUR, (None, None)),
            ("it has grown", after(pulse(1, HOUR), 0), Some(told(1, 0)), 2 * HOUR, (None, None)),
            ("one run short of a spike", DeadPulse { recent: 49, ..pulse(1, 0) }, Some(told(1, 0)), HOUR, (None, None)),
            ("a spike", many(pulse(1, 0)), Some(told(1, 0)), HOUR, (spiked, None)),
            ("a spike within the hour", many(pulse(1, 0)), Some(told(1, 0)), HOUR - 1, (None, then(HOUR))),
            ("it came back", pulse(1, 2 * HOUR), Some(emptied(told(1, 0))), 2 * HOUR, (appeared, None)),
            ("it came back in large", many(pulse(1, HOUR)), Some(emptied(told(1, 0))), HOUR, (appeared, None)),
            ("it came back within the hour", pulse(1, 60), Some(emptied(told(1, 0))), 61, (None, then(HOUR))),
            ("a day of quiet", after(pulse(1, DAY), 0), Some(told(1, 0)), DAY, (appeared, None)),
            ("not quite a day", after(pulse(1, DAY - 1), 0), Some(told(1, 0)), DAY, (None, None)),
            ("quiet, and told since", after(pulse(1, DAY), 0), Some(told(1, DAY)), 2 * DAY, (None, None)),
            ("quiet, the old ones are gone", pulse(1, DAY), Some(told(1, 0)), DAY, (appeared, None)),
            ("the old ones were put back", pulse(1, HOUR), Some(told(1, 0)), 2 * HOUR, (None, None)),
            ("nobody looked for days", after(pulse(1, DAY), 0), Some(told(1, 0)), 9 * DAY, (appeared, None)),
        ] {
            assert_eq!(news(group, notice, now), wanted, "{why}");
        }
    }

    #[test]
    fn each_group_is_looked_at_by_itself() {
        let pulses = [pulse(1, 0), DeadPulse { recent: 50, ..pulse(2, 0) }, pulse(3, 0), pulse(4, 0)];
        let notices = [told(2, 0), told(3, 0), Notice { emptied: true, ..told(4, MINUTE) }];
        let found = look(&pulses, &notices, 50, at(HOUR));
        assert_eq!(found.news, [(News::Appeared, group(1)), (News::Spiked, group(2))]);
        assert_eq!(found.look_at, Some(at(HOUR + MINUTE)));
    }

    #[test]
    fn a_notice_outlives_its_group_by_no_more_than_its_hour() {
        let emptied = Notice { emptied: true, ..told(1, 0) };
        let under_way = Notice { ended_at: None, ..told(1, 0) };
        for (notice, now, kept, gone) in [
            (told(1, 0), MINUTE, vec![emptied.clone()], vec![]),
            (emptied.clone(), MINUTE, vec![], vec![]),
            (told(1, 0), HOUR, vec![], vec![group(1)]),
            (emptied, HOUR, vec![], vec![group(1)]),
            (under_way, DAY, vec![], vec![]),
        ] {
            let found = look(&[], std::slice::from_ref(&notice), 50, at(now));
            assert_eq!((found.emptied, found.gone), (kept, gone), "{notice:?}");
        }
    }

    #[test]
    fn no_more_groups_are_kept_than_the_bound_allows() {
        let many = limits::NOTICES as u64;
        let notices: Vec<Notice> = (0..many - 1).map(|number| told(number, 0)).collect();
        let pulses: Vec<DeadPulse> = (0..many + 2).map(|number| pulse(number, 0)).collect();
        let found = look(&pulses, &notices, 50, at(1));
        assert_eq!((found.news.len(), found.beyond), (1, 2));
    }
}
