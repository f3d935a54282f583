//! The page about schedules as a test, and the schedule compared with a walk over every minute.
//! It says nothing about runs: what is made of a due instant is the scheduler's.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::ToSpan as _;
use proptest::prelude::*;

use super::*;

fn cron(text: &str) -> CronExpression {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn at(text: &str) -> Timestamp {
    format!("{}:00Z", text.trim_matches(['*', ' '])).parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn expressions_fire_as_the_page_about_schedules_says() {
    let mut rows = 0;
    for line in include_str!("../../../../docs/schedules.md").lines().filter(|line| line.starts_with("| `TZ=")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let expression = cron(cells[0].trim_matches('`'));
        let mut before = at(cells[1]);
        for due in cells[2].split(',').map(at) {
            assert_eq!(expression.next_after(before), Some(due), "{line}");
            assert_eq!(expression.latest(before, due), Some(due), "{line}");
            let a_moment_earlier = due.before(Duration::from_millis(1)).expect("later than 1970");
            assert_eq!(expression.latest(before, a_moment_earlier), None, "{line}");
            before = due;
        }
        rows += 1;
    }
    assert_eq!(rows, 30);
}

#[test]
fn without_a_zone_it_is_utc() {
    let midday = at("2026-07-01 12:00");
    for text in ["0 12 * * *", "TZ=UTC 0 12 * * *", " CRON_TZ=Etc/UTC  0 12 * * * ", "0 12 ? * *"] {
        assert_eq!(cron(text).next_after(at("2026-07-01 00:00")), Some(midday), "{text}");
    }
}

#[test]
fn due_instants_are_strictly_later_to_the_millisecond() {
    let hourly = cron("@hourly");
    let due = at("2026-07-01 12:00");
    let a_moment_earlier = due.before(Duration::from_millis(1)).expect("later than 1970");
    assert_eq!(hourly.next_after(a_moment_earlier), Some(due));
    assert_eq!(hourly.next_after(due), Some(at("2026-07-01 13:00")));
    assert_eq!(hourly.next_after(due.after(Duration::from_millis(1))), Some(at("2026-07-01 13:00")));
    assert_eq!(hourly.latest(due, at("2026-07-01 12:59")), None);
    assert_eq!(hourly.latest(due, due), None);
}

#[test]
fn the_latest_of_years_is_one_search() {
    let expression = cron("TZ=America/New_York * * * * *");
    // In the repeated hour nothing is due, so the latest is the last minute of the first one.
    assert_eq!(expression.latest(Timestamp::default(), at("2026-11-01 06:30")), Some(at("2026-11-01 05:59")));
    assert_eq!(cron("0 0 29 2 *").latest(at("1996-03-01 00:00"), at("2024-02-28 00:00")), Some(at("2020-02-29 00:00")));
    assert_eq!(cron("0 0 1 1 *").latest(Timestamp::default(), Timestamp::default()), None);
}

#[test]
fn days_and_weekdays_are_alternatives_unless_joined() {
    let after = at("2026-03-01 12:00");
    let next = |text: &str| cron(text).next_after(after);
    assert_eq!(next("0 9 15 * MON"), Some(at("2026-03-02 09:00")));
    assert_eq!(next("0 9 3 * FRI"), Some(at("2026-03-03 09:00")));
    assert_eq!(next("0 9 15-21 * +mon"), Some(at("2026-03-16 09:00")));
    assert_eq!(next("0 9 * * 7"), Some(at("2026-03-08 09:00")));
    assert_eq!(next("0 9 * * 0"), next("0 9 * * SUN"));
    assert_eq!(next("0 9 * * FRI#L"), Some(at("2026-03-27 09:00")));
    assert_eq!(next("0 9 L FEB-APR *"), Some(at("2026-03-31 09:00")));
    assert_eq!(next("0 9 */2 * SAT"), Some(at("2026-03-03 09:00")));
    assert_eq!(next("0 9 1-7 * +MON"), Some(at("2026-03-02 09:00")));
    assert_eq!(next("0 9 * * MON#2"), Some(at("2026-03-09 09:00")));
    assert_eq!(next("0 9 15W * *"), Some(at("2026-03-16 09:00")));
    assert_eq!(next("0 9 LW MAY *"), Some(at("2026-05-29 09:00")));
    assert_eq!(next("0 9 29 2 *"), Some(at("2028-02-29 09:00")));
    assert_eq!(cron("0 0 29 2 *").next_after(at("2096-03-01 00:00")), Some(at("2104-02-29 00:00")));
}

#[test]
fn what_is_refused_says_what_is_wrong() {
    for (text, message) in [
        ("", "\"\" has 0 fields; write five,"),
        ("0 0 * * * *", "\"0 0 * * * *\" has 6 fields; write five,"),
        ("TZ=Europe/Berlin", "\"\" has 0 fields"),
        ("TZ=Europe/Atlantis 0 0 * * *", "\"Europe/Atlantis\" is no time zone; write"),
        ("TZ=../../etc/passwd 0 0 * * *", "\"../../etc/passwd\" is no time zone"),
        ("@fortnightly", "\"@fortnightly\" is not known; write @hourly,"),
        ("0 24 * * *", "the hour \"24\" of \"0 24 * * *\" can't be read: Number out of bounds;"),
        ("0 0 * MON *", "the month \"MON\" of \"0 0 * MON *\" can't be read: \"MON\" is no number or name"),
        ("0 0 * JANFEB *", "the month \"JANFEB\""),
        ("0 0 * 1FEB *", "the month \"1FEB\""),
        ("1,,2 0 * * *", "the minute \"1,,2\" of \"1,,2 0 * * *\" can't be read: there is nothing at one side"),
        ("*/0 * * * *", "the minute \"*/0\" of \"*/0 * * * *\" can't be read: Step cannot be zero;"),
        ("0 0 * * FRI-MON", "the weekday \"FRI-MON\""),
        ("0 0 30 2 *", "\"0 0 30 2 *\" never fires: no month has such a day"),
        ("0 0 31 4,6,9,11 *", "\"0 0 31 4,6,9,11 *\" never fires"),
    ] {
        let refusal = text.parse::<CronExpression>().expect_err(text).to_string();
        assert!(refusal.starts_with(message), "{refusal}");
    }
    let long = format!("{} * * * *", "1,".repeat(100));
    assert_eq!(long.parse::<CronExpression>(), Err(CronError::TooLong(208)));
}

#[test]
fn expressions_are_stored_as_their_text() {
    let text = "\"TZ=Europe/Berlin  30 2 * * *\"";
    let expression: CronExpression = serde_json::from_str(text).expect("an expression");
    assert_eq!(serde_json::to_string(&expression).expect("a text"), text);
    assert_eq!(format!("\"{expression}\""), text);
    assert!(serde_json::from_str::<CronExpression>("\"TZ=Nowhere * * * * *\"").is_err());
}

/// A field as text, with the values that it stands for.
fn field(from: u8, to: u8) -> impl Strategy<Value = (String, BTreeSet<u8>)> {
    prop_oneof![
        3 => Just(("*".to_owned(), (from..=to).collect())),
        3 => (from..=to).prop_map(|value| (value.to_string(), BTreeSet::from([value]))),
        2 => (2..=to / 2).prop_map(move |step| (format!("*/{step}"), (from..=to).step_by(step.into()).collect())),
        1 => (from..=to, from..=to).prop_map(|(a, b)| (format!("{a},{b}"), BTreeSet::from([a, b]))),
        1 => (from..=to, from..=to)
            .prop_map(|(a, b)| (a.min(b), a.max(b)))
            .prop_map(|(a, b)| (format!("{a}-{b}"), (a..=b).collect())),
    ]
}

const ZONES: [&str; 10] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Havana",
    "Asia/Beirut",
    "America/St_Johns",
    "Africa/Casablanca",
    "Pacific/Apia",
    "Africa/Cairo",
    "Asia/Kolkata",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Around a change of the zone's clock, what is due equals what a walk over every minute finds.
    #[test]
    fn due_instants_are_those_of_a_walk_over_every_minute(
        minute in field(0, 59), hour in field(0, 23), day in field(1, 31), weekday in field(0, 7),
        zone in prop::sample::select(&ZONES[..]), around in 946_684_800_i64..2_200_000_000,
        spans in prop::collection::vec((0..4_320_i64, 0..4_320_i64), 8),
    ) {
        let expression = cron(&format!("TZ={zone} {} {} {} * {}", minute.0, hour.0, day.0, weekday.0));
        let matches = |wall: DateTime| {
            let day_given = (day.0 != "*", day.1.contains(&wall.day().unsigned_abs()));
            let sunday = wall.weekday().to_sunday_zero_offset().unsigned_abs();
            let on_weekday = weekday.1.contains(&sunday) || (sunday == 0 && weekday.1.contains(&7));
            let weekday_given = (weekday.0 != "*", on_weekday);
            let on_day = match (day_given, weekday_given) {
                ((true, day), (true, weekday)) => day || weekday,
                ((_, day), (_, weekday)) => day && weekday,
            };
            on_day && hour.1.contains(&wall.hour().unsigned_abs()) && minute.1.contains(&wall.minute().unsigned_abs())
        };

        let around = jiff::Timestamp::from_second(around - around % 60).expect("a second");
        let change = expression.zone.following(around).next().map_or(around, |change| change.timestamp());
        // The walk begins a day before what is compared, so that it knows which minutes have come before.
        let (begin, end) = (change - 60.hours(), change + 36.hours());
        let (mut shown, mut due) = (BTreeSet::new(), BTreeSet::new());
        let mut previous = expression.zone.to_datetime(begin);
        let mut now = begin;
        while now <= end {
            let wall = expression.zone.to_datetime(now);
            let mut skipped = previous + 1.minute();
            while skipped < wall {
                if matches(skipped) { due.insert(timestamp(now).expect("later than 1970")); }
                skipped += 1.minute();
            }
            if shown.insert(wall) && matches(wall) { due.insert(timestamp(now).expect("later than 1970")); }
            previous = wall;
            now += 1.minute();
        }

        let first = timestamp(change - 36.hours()).expect("later than 1970");
        let last = timestamp(end).expect("later than 1970");
        let walked: Vec<Timestamp> = due.range(first.after(Duration::from_millis(1))..=last).copied().collect();
        let all = std::iter::successors(expression.next_after(first), |due| expression.next_after(*due));
        let found: Vec<Timestamp> = all.take_while(|due| *due <= last).collect();
        prop_assert_eq!(&found, &walked);
        for (after, until) in spans {
            let later = |minutes: i64| first.after(Duration::from_secs(minutes.unsigned_abs() * 60));
            let (after, until) = (later(after.min(until)), later(after.max(until)));
            let within: Vec<Timestamp> = walked.iter().copied().filter(|due| after < *due && *due <= until).collect();
            prop_assert_eq!(expression.latest(after, until), within.last().copied(), "in ({}, {}]", after, until);
            let next = expression.next_after(after).filter(|due| *due <= until);
            prop_assert_eq!(next, within.first().copied(), "in ({}, {}]", after, until);
        }
    }

    /// Whatever is written, reading it ends with an expression that fires or with a refusal.
    #[test]
    fn any_text_is_read_or_refused(text in "[-0-9*/,#?LW+@ A-Za-z]{0,24}|([0-9*/,#?LW-]{1,6} ){4}[0-9*LW#+-]{1,5}") {
        if let Ok(expression) = text.parse::<CronExpression>() {
            let first = expression.next_after(Timestamp::default());
            prop_assert!(first.is_some());
            prop_assert!(expression.next_after(first.unwrap_or_default()) > first);
        }
    }
}
