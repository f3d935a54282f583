//! What a job promises about its settings: who is heard first, and that whatever is wrong is named with who said it.
//! No component is loaded.

use super::*;

const MILLISECOND: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_hours(24);

fn descriptor() -> Descriptor {
    Descriptor { id: "welcome-email".to_owned(), title: "Welcome".to_owned(), ..Descriptor::default() }
}

fn job(descriptor: Descriptor, overrides: &JobOverrides) -> Job {
    Job::new(descriptor, overrides).expect("valid")
}

fn pointer(text: &str) -> Pointer {
    Pointer::try_from(text.to_owned()).expect("a pointer")
}

#[test]
fn what_nobody_says_is_the_default() {
    let job = job(descriptor(), &JobOverrides::default());
    assert_eq!((job.retries.value, job.priority.value, &*job.queue.value), (3, 5, "default"));
    assert_eq!((job.backoff.value, job.timeout.value), (Backoff::default(), Duration::from_secs(30)));
    assert_eq!((job.retries.source, job.max_attempts()), (Source::Default, 4));
    assert_eq!((job.concurrency.value, job.concurrency.source), (vec![], Source::Default));
    assert_eq!((job.rate_limit.value, job.debounce.value, job.unique_key.value), (None, None, None));
    assert_eq!((job.unique_for.value, job.unique_states.value), (DAY, UniqueStates::All));
    assert_eq!((job.cron.value, job.cron_catch_up.value), (vec![], CatchUp::Once));
    assert_eq!((job.expires.value, job.cancel_on.value), (None, vec![]));
    assert_eq!((job.max_waiting.value, job.breaker.value), (None, None));
}

#[test]
fn the_operator_overrides_the_component() {
    let described = Descriptor { retries: Some(1), priority: Some(2), ..descriptor() };
    let overrides = JobOverrides { retries: Some(7), ..JobOverrides::default() };
    let job = job(described, &overrides);
    assert_eq!(job.retries, Setting { value: 7, source: Source::Configuration });
    assert_eq!(job.priority, Setting { value: 2, source: Source::Component });
}

fn flowing() -> Descriptor {
    let key = || Some("/orderId".to_owned());
    Descriptor {
        triggers: vec![Trigger::Cron("0 9 * * *".to_owned()), Trigger::Event("order/placed".to_owned())],
        concurrency: vec![
            descriptor::Concurrency { limit: 1, key: key() },
            descriptor::Concurrency { limit: 8, key: None },
        ],
        rate_limit: Some(descriptor::RateLimit { limit: 100, period: DAY, key: key() }),
        debounce: Some(descriptor::Debounce { period: MILLISECOND, max_wait: Some(MILLISECOND), key: key() }),
        unique_key: key(),
        unique_for: Some(2 * DAY),
        ..descriptor()
    }
}

#[test]
fn the_component_is_heard_where_the_operator_says_nothing() {
    let job = job(flowing(), &JobOverrides::default());
    let key = Some(pointer("/orderId"));
    let limits = [Concurrency { limit: 1, key: key.clone() }, Concurrency { limit: 8, key: None }];
    assert_eq!((job.concurrency.value.as_slice(), job.concurrency.source), (limits.as_slice(), Source::Component));
    assert_eq!(job.rate_limit.value, Some(RateLimit { limit: 100, period: DAY, key: key.clone() }));
    let debounce = Debounce { period: MILLISECOND, max_wait: Some(MILLISECOND), key: key.clone() };
    assert_eq!(job.debounce, Setting { value: Some(debounce), source: Source::Component });
    assert_eq!(job.unique_key, Setting { value: key, source: Source::Component });
    assert_eq!(job.unique_for, Setting { value: 2 * DAY, source: Source::Component });
    assert_eq!(job.cron, Setting { value: vec!["0 9 * * *".to_owned()], source: Source::Component });
    assert!(job.listens_to("order/placed"));
}

#[test]
fn the_operator_switches_off_what_the_component_asks_for() {
    let overrides = JobOverrides {
        concurrency: Some(vec![]),
        rate_limit: Some(Switch::Off),
        debounce: Some(Switch::Off),
        unique_key: Some(Switch::Off),
        cron: Some(vec![]),
        ..JobOverrides::default()
    };
    let job = job(flowing(), &overrides);
    assert_eq!(job.concurrency, Setting { value: vec![], source: Source::Configuration });
    assert_eq!(job.rate_limit, Setting { value: None, source: Source::Configuration });
    assert_eq!(job.debounce, Setting { value: None, source: Source::Configuration });
    assert_eq!(job.unique_key, Setting { value: None, source: Source::Configuration });
    assert_eq!(job.cron, Setting { value: vec![], source: Source::Configuration });
    assert_eq!(job.triggers, [Trigger::Event("order/placed".to_owned())]);
}

#[test]
fn the_operators_crons_replace_the_components() {
    let overrides = JobOverrides { cron: Some(vec!["30 6 * * 1".to_owned()]), ..JobOverrides::default() };
    let job = job(flowing(), &overrides);
    let triggers = [Trigger::Event("order/placed".to_owned()), Trigger::Cron("30 6 * * 1".to_owned())];
    assert_eq!((job.triggers.as_slice(), job.cron.source), (triggers.as_slice(), Source::Configuration));
}

#[test]
fn every_bad_member_is_named() {
    let bad = |change: &dyn Fn(&mut Descriptor), named: &str| {
        let mut described = descriptor();
        change(&mut described);
        let error = Job::new(described, &JobOverrides::default()).expect_err(named).to_string();
        assert!(error.starts_with("describe: ") && error.contains(named), "{error}");
    };
    bad(&|d| d.id = "../x".to_owned(), "job id");
    bad(&|d| d.title = "a\nb".to_owned(), "title");
    bad(&|d| d.retries = Some(101), "retries 101 must be 0 to 100");
    bad(&|d| d.priority = Some(10), "priority 10 must be 0 to 9");
    bad(&|d| d.timeout = Some(Duration::ZERO), "timeout 0s must be 1ms to 1h");
    bad(&|d| d.timeout = Some(Duration::from_secs(3601)), "timeout 1h1s must be 1ms to 1h");
    bad(&|d| d.queue = Some("A B".to_owned()), "queue");
    bad(&|d| d.triggers = vec![Trigger::Event("a b".to_owned())], "event name");
    bad(&|d| d.payload_schema = Some("{".to_owned()), "payload-schema");
    bad(&|d| d.unique_key = Some("id".to_owned()), "unique-key: \"id\" is no JSON Pointer");
    bad(&|d| d.unique_for = Some(Duration::ZERO), "unique-for 0s must be 1ms to 720h");
    bad(&|d| d.triggers = vec![Trigger::Cron(String::new())], "cron: \"\" has 0 fields");
    bad(&|d| d.triggers = vec![Trigger::Cron("* ".repeat(129))], "cron: a cron expression of 258 bytes is too long");
    bad(&|d| d.triggers = vec![Trigger::Cron("0 9 * * *".to_owned()); 11], "cron has 11 entries and may have 10");
    let key = || Some("id".to_owned());
    let limited = |limit| vec![descriptor::Concurrency { limit, key: None }];
    bad(&|d| d.concurrency = vec![descriptor::Concurrency { limit: 1, key: key() }], "concurrency: \"id\" is no");
    bad(&|d| d.concurrency = limited(0), "concurrency limit 0 must be 1 to 100000");
    let rate = |limit, period, key| Some(descriptor::RateLimit { limit, period, key });
    bad(&|d| d.rate_limit = rate(1, DAY, key()), "rate-limit: \"id\" is no JSON Pointer");
    bad(&|d| d.rate_limit = rate(0, DAY, None), "rate-limit limit 0 must be 1 to 1000000");
    let quiet = |max_wait, key| Some(descriptor::Debounce { period: DAY, max_wait, key });
    bad(&|d| d.debounce = quiet(None, key()), "debounce: \"id\" is no JSON Pointer");
    bad(&|d| d.debounce = quiet(Some(MILLISECOND), None), "debounce max-wait 1ms must be 24h to 720h");
}

/// What is refused, and where the configuration said it.
fn refused(change: impl FnOnce(&mut JobOverrides), named: &str) {
    let mut overrides = JobOverrides::default();
    change(&mut overrides);
    let error = Job::new(descriptor(), &overrides).expect_err(named).to_string();
    assert_eq!(error, format!("configuration: {named}"));
}

fn accepted(change: impl FnOnce(&mut JobOverrides)) {
    let mut overrides = JobOverrides::default();
    change(&mut overrides);
    job(descriptor(), &overrides);
}

#[test]
fn concurrency_has_1_to_100_000_runs_and_4_keys() {
    let limit = |limit, key: Option<&str>| Concurrency { limit, key: key.map(pointer) };
    let five = ["/a", "/b", "/c", "/d", "/e"].map(|key| limit(1, Some(key)));
    accepted(|o| o.concurrency = Some(five[..4].to_vec()));
    accepted(|o| o.concurrency = Some(vec![limit(1, None), limit(100_000, Some("/a"))]));
    refused(|o| o.concurrency = Some(five.to_vec()), "concurrency has 5 entries and may have 4");
    for bad in [0, 100_001] {
        refused(
            |o| o.concurrency = Some(vec![limit(bad, None)]),
            &format!("concurrency limit {bad} must be 1 to 100000"),
        );
    }
    refused(
        |o| o.concurrency = Some(vec![limit(1, Some("/a")), limit(2, None), limit(3, Some("/a"))]),
        "concurrency limits /a twice; keep the smaller limit",
    );
    refused(
        |o| o.concurrency = Some(vec![limit(1, None), limit(2, None)]),
        "concurrency limits the whole job twice; keep the smaller limit",
    );
}

#[test]
fn a_rate_limit_has_1_to_1_000_000_starts_in_at_most_a_day() {
    let rate = |limit, period| Some(Switch::On(RateLimit { limit, period, key: None }));
    accepted(|o| o.rate_limit = rate(1, MILLISECOND));
    accepted(|o| o.rate_limit = rate(1_000_000, DAY));
    for bad in [0, 1_000_001] {
        refused(|o| o.rate_limit = rate(bad, DAY), &format!("rate_limit limit {bad} must be 1 to 1000000"));
    }
    refused(|o| o.rate_limit = rate(1, Duration::ZERO), "rate_limit period 0s must be 1ms to 24h");
    refused(|o| o.rate_limit = rate(1, DAY + MILLISECOND), "rate_limit period 24h1ms must be 1ms to 24h");
}

#[test]
fn a_debounce_is_quiet_for_at_most_a_week_and_waits_for_at_most_30_days() {
    let quiet = |period, max_wait| Some(Switch::On(Debounce { period, max_wait, key: None }));
    accepted(|o| o.debounce = quiet(MILLISECOND, None));
    accepted(|o| o.debounce = quiet(7 * DAY, Some(7 * DAY)));
    accepted(|o| o.debounce = quiet(7 * DAY, Some(30 * DAY)));
    refused(|o| o.debounce = quiet(Duration::ZERO, None), "debounce period 0s must be 1ms to 168h");
    refused(|o| o.debounce = quiet(7 * DAY + MILLISECOND, None), "debounce period 168h1ms must be 1ms to 168h");
    refused(|o| o.debounce = quiet(2 * DAY, Some(DAY)), "debounce max_wait 24h must be 48h to 720h");
    refused(|o| o.debounce = quiet(DAY, Some(31 * DAY)), "debounce max_wait 744h must be 24h to 720h");
}

#[test]
fn unique_keys_and_due_times_stand_for_a_while() {
    accepted(|o| o.unique_for = Some(MILLISECOND));
    accepted(|o| o.unique_for = Some(30 * DAY));
    refused(|o| o.unique_for = Some(Duration::ZERO), "unique_for 0s must be 1ms to 720h");
    refused(|o| o.unique_for = Some(Duration::from_micros(500)), "unique_for 500µs must be 1ms to 720h");
    refused(|o| o.unique_for = Some(31 * DAY), "unique_for 744h must be 1ms to 720h");
    accepted(|o| o.expires = Some(MILLISECOND));
    accepted(|o| o.expires = Some(365 * DAY));
    refused(|o| o.expires = Some(Duration::ZERO), "expires 0s must be 1ms to 8760h");
    refused(|o| o.expires = Some(366 * DAY), "expires 8784h must be 1ms to 8760h");
}

#[test]
fn at_most_10_events_cancel_and_10_crons_start() {
    let cancel = |event: &str| CancelOn { event: event.to_owned(), pointer: pointer("/id") };
    accepted(|o| o.cancel_on = Some(vec![cancel("order/refunded"); 10]));
    refused(|o| o.cancel_on = Some(vec![cancel("order/refunded"); 11]), "cancel_on has 11 entries and may have 10");
    refused(
        |o| o.cancel_on = Some(vec![cancel("a b")]),
        "cancel_on: the event name \"a b\" has white space or a control character",
    );
    let cron = || "0 9 * * *".to_owned();
    accepted(|o| o.cron = Some(vec![cron(); 10]));
    refused(|o| o.cron = Some(vec![cron(); 11]), "cron has 11 entries and may have 10");
}

#[test]
fn at_least_one_run_may_wait() {
    accepted(|o| o.max_waiting = Some(1));
    refused(|o| o.max_waiting = Some(0), "max_waiting 0 must be at least 1");
}

#[test]
fn a_breaker_judges_a_share_of_some_attempts_over_some_time() {
    let second = Duration::from_secs(1);
    let good = BreakerSettings { failures: 0.5, window: second, min_attempts: 1, pause: second };
    accepted(|o| o.breaker = Some(good));
    let most = BreakerSettings { failures: 1.0, window: DAY, min_attempts: 10_000, pause: DAY };
    accepted(|o| o.breaker = Some(most));
    for failures in [0.0, -0.1, 1.1, f64::NAN, f64::INFINITY] {
        refused(
            |o| o.breaker = Some(BreakerSettings { failures, ..good }),
            &format!("breaker failures {failures} must be above 0 and at most 1"),
        );
    }
    for (span, said) in [(Duration::from_millis(999), "999ms"), (DAY + second, "24h1s")] {
        let window = BreakerSettings { window: span, ..good };
        refused(|o| o.breaker = Some(window), &format!("breaker window {said} must be 1s to 24h"));
        let pause = BreakerSettings { pause: span, ..good };
        refused(|o| o.breaker = Some(pause), &format!("breaker pause {said} must be 1s to 24h"));
    }
    for min_attempts in [0, 10_001] {
        refused(
            |o| o.breaker = Some(BreakerSettings { min_attempts, ..good }),
            &format!("breaker min_attempts {min_attempts} must be 1 to 10000"),
        );
    }
}
