//! How fast mail may go to a domain whose servers have asked to slow down: each held mail has a place in a line.
//! It sends nothing and reads no clock: it is told what happened, and when.

use std::collections::HashMap;
use std::time::Duration;

use jobmill_core::MailId;
use tokio::time::Instant;

/// The interval at the first refusal; a domain whose interval falls below it is free again.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest interval between two mails to a domain.
const LONGEST: Duration = Duration::from_mins(5);
/// A domain that no mail went to for this long has forgotten why it slowed us.
const FORGOTTEN: Duration = Duration::from_hours(1);
/// Domains that are slowed at once. Of more, those that hold nothing back are forgotten first.
const DOMAINS: usize = 10_000;
/// Places in the line of one domain that are remembered. Mails behind them have none, and line up when they come again.
const PLACES: usize = 100_000;

/// The pace of every slowed domain.
#[derive(Debug, Default)]
pub(super) struct Pace {
    domains: HashMap<String, Line>,
}

/// The line before one domain.
///
/// A mail's turn is computed when it comes, not when it lines up: the interval changes meanwhile. So a line that has
/// been told to come slower does, one that may go faster does, and a mail that was held twice has kept its place.
#[derive(Debug)]
struct Line {
    interval: Duration,
    /// When the next mail may go.
    clear_at: Instant,
    /// When the domain last asked to slow down.
    refused_at: Instant,
    places: HashMap<MailId, u64>,
    /// The place whose turn is next.
    head: u64,
    /// The place that is given next.
    tail: u64,
}

impl Pace {
    /// How long this mail has to wait, lining it up; zero when it may go, which takes its turn.
    pub(super) fn admit(&mut self, now: Instant, domain: &str, mail: MailId) -> Duration {
        let domain = domain.to_ascii_lowercase();
        let Some(line) = self.domains.get_mut(&domain) else { return Duration::ZERO };
        if line.is_forgotten(now) {
            self.domains.remove(&domain);
            return Duration::ZERO;
        }
        line.admit(now, mail)
    }

    /// The domain has refused this mail, which set out at `started`; how long it has to wait.
    pub(super) fn refused(&mut self, now: Instant, started: Instant, domain: &str, mail: MailId) -> Duration {
        let domain = domain.to_ascii_lowercase();
        if !self.domains.contains_key(&domain) {
            self.make_room(now);
        }
        let line = self.domains.entry(domain).or_insert_with(|| Line::new(now));
        // Mails that were under way together are refused together: that is one request to slow down.
        if started > line.refused_at {
            line.interval = (line.interval * 2).min(LONGEST);
            line.refused_at = now;
        }
        line.clear_at = line.clear_at.max(now + line.interval);
        let place = line.line_up(mail);
        line.expected(place).saturating_duration_since(now)
    }

    /// The domain has taken a mail that set out at `started`.
    pub(super) fn taken(&mut self, started: Instant, domain: &str) {
        let domain = domain.to_ascii_lowercase();
        let Some(line) = self.domains.get_mut(&domain) else { return };
        // What was under way when the domain asked to slow down says nothing about the pace since.
        if started <= line.refused_at {
            return;
        }
        line.interval /= 2;
        if line.interval < SHORTEST {
            self.domains.remove(&domain);
        }
    }

    /// Whether mails to this domain are slowed.
    #[cfg(test)]
    fn interval(&self, domain: &str) -> Option<Duration> {
        self.domains.get(domain).map(|line| line.interval)
    }

    fn make_room(&mut self, now: Instant) {
        if self.domains.len() < DOMAINS {
            return;
        }
        self.domains.retain(|_, line| !line.is_forgotten(now));
        while self.domains.len() >= DOMAINS {
            let nearest_to_free = self.domains.iter().min_by_key(|(_, line)| line.places.len());
            let Some(domain) = nearest_to_free.map(|(domain, _)| domain.clone()) else { return };
            self.domains.remove(&domain);
        }
    }
}

impl Line {
    fn new(now: Instant) -> Self {
        Self { interval: SHORTEST, clear_at: now, refused_at: now, places: HashMap::new(), head: 0, tail: 0 }
    }

    fn is_forgotten(&self, now: Instant) -> bool {
        now >= self.clear_at + FORGOTTEN && now >= self.expected(self.tail) + FORGOTTEN
    }

    fn admit(&mut self, now: Instant, mail: MailId) -> Duration {
        let place = self.line_up(mail);
        let ahead = u32::try_from(place.saturating_sub(self.head)).unwrap_or(u32::MAX);
        // Those ahead who have not come by now (their runs were cancelled, say) have let their turns pass.
        if now < self.clear_at + self.interval.saturating_mul(ahead) {
            return self.expected(place).saturating_duration_since(now).max(SHORTEST);
        }
        self.places.remove(&mail);
        self.head = self.head.max(place + 1);
        self.clear_at = now + self.interval;
        Duration::ZERO
    }

    /// The place of this mail: its old one, or the last.
    fn line_up(&mut self, mail: MailId) -> u64 {
        if let Some(place) = self.places.get(&mail) {
            return *place;
        }
        let place = self.tail;
        if self.places.len() < PLACES {
            self.places.insert(mail, place);
            self.tail += 1;
        }
        place
    }

    /// When this place's turn comes if the domain takes all mails before it, each of which halves the interval. A mail
    /// that comes too early waits once more; one that was sent away for too long would come when nobody is left.
    fn expected(&self, place: u64) -> Instant {
        let mut ahead = u32::try_from(place.saturating_sub(self.head)).unwrap_or(u32::MAX);
        let (mut at, mut interval) = (self.clear_at, self.interval);
        while ahead > 0 && interval > SHORTEST {
            at += interval;
            interval /= 2;
            ahead -= 1;
        }
        at + SHORTEST.saturating_mul(ahead)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const DOMAIN: &str = "example.com";

    fn mail(number: u32) -> MailId {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        MailId::from_bytes(bytes)
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_domain_that_never_complained_is_free() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert!((0..1_000).all(|number| pace.admit(now, DOMAIN, mail(number)).is_zero()));
        assert!(pace.domains.is_empty());
    }

    #[test]
    fn the_interval_doubles_with_each_refusal_up_to_five_minutes_and_halves_with_each_mail_taken() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        let mut intervals = Vec::new();
        for number in 0..11 {
            let delay = pace.refused(now, now, DOMAIN, mail(number));
            assert!(!delay.is_zero());
            intervals.push(pace.interval(DOMAIN).expect("slowed").as_secs());
            now += seconds(3_000);
        }
        assert_eq!(intervals, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        for halves in [150_000, 75_000, 37_500, 18_750, 9_375, 4_687, 2_343, 1_171] {
            pace.taken(now, DOMAIN);
            assert_eq!(pace.interval(DOMAIN).expect("slowed").as_millis(), halves);
        }
        pace.taken(now, DOMAIN);
        assert_eq!(pace.interval(DOMAIN), None);
        assert!(pace.admit(now, DOMAIN, mail(99)).is_zero());
    }

    #[test]
    fn mails_that_were_under_way_together_count_once() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let now = start + seconds(5);
        let delays: Vec<u64> = (0..64).map(|number| pace.refused(now, start, DOMAIN, mail(number)).as_secs()).collect();
        assert_eq!(pace.interval(DOMAIN), Some(SHORTEST));
        assert_eq!(delays, (1..=64).collect::<Vec<u64>>());
        // Nor does one that was taken at the same time say anything about the pace since.
        pace.taken(start, DOMAIN);
        assert_eq!(pace.interval(DOMAIN), Some(SHORTEST));
    }

    #[test]
    fn only_the_domain_is_slowed_and_its_case_does_not_matter() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.refused(now, now, "Example.COM", mail(0));
        assert!(!pace.admit(now, "example.com", mail(1)).is_zero());
        assert!(pace.admit(now, "example.org", mail(2)).is_zero());
        assert!(pace.admit(now, "sub.example.com", mail(3)).is_zero());
    }

    #[test]
    fn a_mail_that_comes_at_its_time_passes_and_one_that_comes_early_keeps_its_place() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.refused(now, now, DOMAIN, mail(0));
        let told = [1, 2, 3].map(|number| pace.admit(now, DOMAIN, mail(number)));
        assert_eq!(told, [seconds(2), seconds(3), seconds(4)]);
        assert_eq!(pace.admit(now + seconds(1), DOMAIN, mail(3)), seconds(3));
        assert!(pace.admit(now + seconds(1), DOMAIN, mail(0)).is_zero());
        assert!(pace.admit(now + seconds(2), DOMAIN, mail(1)).is_zero());
        // The second does not come; the third does not wait for it.
        assert!(pace.admit(now + seconds(4), DOMAIN, mail(3)).is_zero());
        // It comes late, and is sent when there is room.
        assert_eq!(pace.admit(now + seconds(4), DOMAIN, mail(2)), seconds(1));
        assert!(pace.admit(now + seconds(5), DOMAIN, mail(2)).is_zero());
    }

    #[test]
    fn ten_thousand_held_mails_come_back_one_by_one_and_faster_once_the_domain_takes_them() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let mut now = start;
        // Slowed to the longest interval.
        for number in 0..10 {
            pace.refused(now, now, DOMAIN, mail(number));
            now += seconds(1_000);
        }
        let mut waiting: BTreeMap<Instant, u32> = BTreeMap::new();
        let schedule = |waiting: &mut BTreeMap<Instant, u32>, at: Instant, number: u32| {
            let mut at = at;
            while waiting.contains_key(&at) {
                at += Duration::from_nanos(1);
            }
            waiting.insert(at, number);
        };
        let begun = now;
        for number in 0..10_000 {
            let delay = pace.admit(now, DOMAIN, mail(number));
            schedule(&mut waiting, now + delay, number);
        }
        let (mut asked, mut passed, mut in_second) = (0_u32, 0_u32, BTreeMap::<u64, u32>::new());
        while let Some((at, number)) = waiting.pop_first() {
            asked += 1;
            let delay = pace.admit(at, DOMAIN, mail(number));
            if delay.is_zero() {
                passed += 1;
                *in_second.entry((at - begun).as_secs()).or_default() += 1;
                pace.taken(at, DOMAIN);
                now = at;
            } else {
                schedule(&mut waiting, at + delay, number);
            }
        }
        assert_eq!(passed, 10_000);
        assert!(asked < 40_000, "{asked}");
        assert!(*in_second.values().max().expect("some") <= 3, "{in_second:?}");
        assert!(now - begun < Duration::from_hours(4), "{:?}", now - begun);
    }

    #[test]
    fn a_domain_that_nobody_wrote_to_for_an_hour_is_free_again() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.refused(now, now, DOMAIN, mail(0));
        assert!(!pace.admit(now, DOMAIN, mail(1)).is_zero());
        let later = now + seconds(10) + FORGOTTEN;
        assert!(pace.admit(later, DOMAIN, mail(2)).is_zero());
        assert!(pace.domains.is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        for number in 0..u32::try_from(DOMAINS).expect("fits") + 100 {
            pace.refused(now, now, &format!("{number}.example"), mail(number));
        }
        assert_eq!(pace.domains.len(), DOMAINS);
        let last = format!("{}.example", DOMAINS + 99);
        for number in 0..u32::try_from(PLACES).expect("fits") + 100 {
            pace.admit(now, &last, mail(number));
        }
        assert_eq!(pace.domains[&last].places.len(), PLACES);
    }

    proptest! {
        /// Mails that come back when they are told to all get through, whatever the domain says to each.
        #[test]
        fn everybody_gets_through_in_the_end(answers in prop::collection::vec(any::<bool>(), 1..120), mails in 1_u32..60) {
            let (mut pace, start) = (Pace::default(), Instant::now());
            pace.refused(start, start, DOMAIN, mail(0));
            let mut waiting: Vec<(Instant, u32)> = (0..mails).map(|number| (start, number)).collect();
            let (mut answers, mut last_passed, mut steps) = (answers.into_iter(), None, 0);
            while let Some(next) = waiting.iter().enumerate().min_by_key(|(_, entry)| **entry).map(|(at, _)| at) {
                let (at, number) = waiting.swap_remove(next);
                steps += 1;
                prop_assert!(steps < 200_000, "{} are still waiting", waiting.len());
                let interval = pace.interval(DOMAIN);
                let mut delay = pace.admit(at, DOMAIN, mail(number));
                if delay.is_zero() {
                    if let (Some(interval), Some(last)) = (interval, last_passed) {
                        prop_assert!(at >= last + interval.min(SHORTEST));
                    }
                    last_passed = Some(at);
                    // After these it takes everything.
                    if answers.next().unwrap_or(true) {
                        pace.taken(at, DOMAIN);
                        continue;
                    }
                    delay = pace.refused(at, at, DOMAIN, mail(number));
                }
                prop_assert!(!delay.is_zero());
                waiting.push((at + delay, number));
            }
        }
    }
}
