//! Whether mail may leave at all: closed while the mail server does not take our mail, tried again by one mail at a time.
//! It sends nothing and reads no clock: it is told what happened, and when.

use std::time::Duration;

use jobmill_core::MailId;
use tokio::time::Instant;

use super::Hold;

/// How long the outlet stays closed at first.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// The longest that it stays closed between two tries: an operator who has mended the configuration waits no longer.
const LONGEST_PAUSE: Duration = Duration::from_mins(15);
/// How long the other mails wait for what becomes of the one that tries.
const PROBE_WAIT: Duration = Duration::from_secs(5);

/// Why no mail leaves just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailOutage {
    /// What the mail server said, or what about it doesn't fit.
    pub reason: String,
    /// Since when.
    pub since: Instant,
    /// When the next mail is let through to try; in the past while one is at it.
    pub next_try: Instant,
}

/// What a delivery says about the mail server, whatever it says about the mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// It takes our mail; this one it may have refused.
    Working,
    /// It doesn't take our mail, for this reason.
    Misconfigured(String),
    /// It could not be asked.
    Unknown,
}

/// What a finding has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// Closed, for this reason.
    Closed(String),
    /// Open again, after this long.
    Opened(Duration),
}

/// The way out of the house.
#[derive(Debug)]
pub(super) struct Outlet {
    closed: Option<Closed>,
    /// How long a mail that tries has for it. Its run may have ended before it was sent.
    probe_time: Duration,
}

#[derive(Debug)]
struct Closed {
    outage: MailOutage,
    pause: Duration,
    probe: Option<(MailId, Instant)>,
}

impl Outlet {
    /// Open.
    pub(super) fn new(probe_time: Duration) -> Self {
        Self { closed: None, probe_time }
    }

    /// Why no mail leaves; none when the outlet is open.
    pub(super) fn outage(&self) -> Option<&MailOutage> {
        self.closed.as_ref().map(|closed| &closed.outage)
    }

    /// What keeps this mail back.
    pub(super) fn hold(&self, now: Instant, mail: MailId) -> Option<Hold> {
        let closed = self.closed.as_ref()?;
        let reason = || format!("the mail server does not take mail from us: {}", closed.outage.reason);
        let held = |delay| Some(Hold { delay, reason: reason(), whole_outlet: true });
        let rest = closed.outage.next_try.saturating_duration_since(now);
        if !rest.is_zero() {
            return held(rest);
        }
        match closed.probe {
            Some((probe, since)) if probe != mail && now < since + self.probe_time => held(PROBE_WAIT),
            _ => None,
        }
    }

    /// This mail, which nothing keeps back, is on its way.
    pub(super) fn let_through(&mut self, now: Instant, mail: MailId) {
        if let Some(closed) = &mut self.closed {
            closed.probe = Some((mail, now));
        }
    }

    /// Learns from what became of this mail.
    pub(super) fn learn(&mut self, now: Instant, mail: MailId, finding: Finding) -> Change {
        match (&mut self.closed, finding) {
            (None, Finding::Working | Finding::Unknown) => Change::None,
            (None, Finding::Misconfigured(reason)) => {
                let outage = MailOutage { reason: reason.clone(), since: now, next_try: now + FIRST_PAUSE };
                self.closed = Some(Closed { outage, pause: FIRST_PAUSE, probe: None });
                Change::Closed(reason)
            }
            (Some(closed), Finding::Working) => {
                let lasted = now.saturating_duration_since(closed.outage.since);
                self.closed = None;
                Change::Opened(lasted)
            }
            (Some(closed), finding) => {
                // Mails that set out before the outlet closed find the same; that makes it no worse.
                if closed.probe.is_some_and(|(probe, _)| probe == mail) {
                    closed.probe = None;
                    if let Finding::Misconfigured(reason) = finding {
                        closed.outage.reason = reason;
                        closed.pause = (closed.pause * 2).min(LONGEST_PAUSE);
                    }
                    closed.outage.next_try = now + closed.pause;
                }
                Change::None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROBE_TIME: Duration = Duration::from_mins(1);

    fn mail(number: u8) -> MailId {
        MailId::from_bytes([number; 16])
    }

    fn misconfigured() -> Finding {
        Finding::Misconfigured("535 no".to_owned())
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// How long this mail is held, or that it is on its way.
    fn ask(outlet: &mut Outlet, now: Instant, number: u8) -> Option<Duration> {
        let hold = outlet.hold(now, mail(number));
        if hold.is_none() {
            outlet.let_through(now, mail(number));
        }
        hold.map(|hold| {
            assert!(hold.whole_outlet && hold.reason.ends_with("from us: 535 no"), "{hold:?}");
            hold.delay
        })
    }

    #[test]
    fn a_server_that_does_not_take_our_mail_closes_the_outlet() {
        let (mut outlet, start) = (Outlet::new(PROBE_TIME), Instant::now());
        assert_eq!(ask(&mut outlet, start, 1), None);
        assert_eq!(outlet.learn(start, mail(1), misconfigured()), Change::Closed("535 no".to_owned()));
        let outage = outlet.outage().expect("closed");
        assert_eq!((outage.since, outage.next_try), (start, start + FIRST_PAUSE));
        assert_eq!(ask(&mut outlet, start + seconds(10), 2), Some(seconds(20)));
        // What set out with the first finds the same, and changes nothing.
        assert_eq!(outlet.learn(start + seconds(10), mail(3), misconfigured()), Change::None);
        assert_eq!(ask(&mut outlet, start + seconds(10), 1), Some(seconds(20)));
    }

    #[test]
    fn one_mail_at_a_time_tries_and_the_pause_doubles_up_to_a_quarter_of_an_hour() {
        let (mut outlet, mut now) = (Outlet::new(PROBE_TIME), Instant::now());
        outlet.learn(now, mail(1), misconfigured());
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let pause = ask(&mut outlet, now, 1).expect("closed");
            pauses.push(pause.as_secs());
            now += pause;
            assert_eq!(ask(&mut outlet, now, 2), None);
            assert_eq!(ask(&mut outlet, now, 3), Some(PROBE_WAIT));
            // The mail that tries may ask again: its attempt was cut off before it was sent.
            assert_eq!(ask(&mut outlet, now, 2), None);
            assert_eq!(outlet.learn(now, mail(2), misconfigured()), Change::None);
        }
        assert_eq!(pauses, [30, 60, 120, 240, 480, 900, 900]);
    }

    #[test]
    fn a_mail_that_tries_and_is_never_sent_makes_room_for_another() {
        let (mut outlet, start) = (Outlet::new(PROBE_TIME), Instant::now());
        outlet.learn(start, mail(1), misconfigured());
        let due = start + FIRST_PAUSE;
        assert_eq!(ask(&mut outlet, due, 2), None);
        assert_eq!(ask(&mut outlet, due + seconds(59), 3), Some(PROBE_WAIT));
        assert_eq!(ask(&mut outlet, due + PROBE_TIME, 3), None);
    }

    #[test]
    fn a_server_that_takes_or_judges_a_mail_opens_the_outlet_and_the_next_pause_is_short_again() {
        let (mut outlet, start) = (Outlet::new(PROBE_TIME), Instant::now());
        outlet.learn(start, mail(1), misconfigured());
        let due = start + FIRST_PAUSE;
        assert_eq!(ask(&mut outlet, due, 2), None);
        outlet.learn(due, mail(2), misconfigured());
        let again = due + FIRST_PAUSE * 2;
        assert_eq!(ask(&mut outlet, again, 3), None);
        assert_eq!(outlet.learn(again, mail(3), Finding::Working), Change::Opened(seconds(90)));
        assert_eq!((ask(&mut outlet, again, 4), outlet.outage()), (None, None));
        outlet.learn(again, mail(4), misconfigured());
        assert_eq!(ask(&mut outlet, again, 5), Some(FIRST_PAUSE));
    }

    #[test]
    fn a_server_that_could_not_be_asked_is_asked_again_after_the_same_pause() {
        let (mut outlet, start) = (Outlet::new(PROBE_TIME), Instant::now());
        outlet.learn(start, mail(1), misconfigured());
        let due = start + FIRST_PAUSE;
        assert_eq!(ask(&mut outlet, due, 2), None);
        assert_eq!(outlet.learn(due, mail(2), Finding::Unknown), Change::None);
        assert_eq!(ask(&mut outlet, due, 3), Some(FIRST_PAUSE));
    }

    proptest! {
        /// Whatever happens in whatever order: nobody is held for longer than the longest pause, and a closed outlet
        /// has at most one mail trying that is not overdue.
        #[test]
        fn nobody_is_held_for_ever_and_one_tries_at_a_time(
            steps in prop::collection::vec((0_u64..400, 0_u8..6, 0_u8..4), 1..200),
        ) {
            let (mut outlet, mut now) = (Outlet::new(PROBE_TIME), Instant::now());
            let mut trying: Vec<(u8, Instant)> = Vec::new();
            for (wait, number, step) in steps {
                now += seconds(wait);
                trying.retain(|(_, since)| now < *since + PROBE_TIME);
                let finding = match step {
                    0 => {
                        let closed = outlet.outage().is_some();
                        if let Some(hold) = outlet.hold(now, mail(number)) {
                            prop_assert!(!hold.delay.is_zero() && hold.delay <= LONGEST_PAUSE);
                            continue;
                        }
                        outlet.let_through(now, mail(number));
                        trying.retain(|(other, _)| *other != number);
                        if closed {
                            prop_assert!(trying.is_empty(), "{:?}", trying);
                            trying.push((number, now));
                        }
                        continue;
                    }
                    1 => Finding::Working,
                    2 => misconfigured(),
                    _ => Finding::Unknown,
                };
                trying.retain(|(other, _)| *other != number);
                if outlet.learn(now, mail(number), finding) != Change::None {
                    trying.clear();
                }
            }
        }
    }
}
