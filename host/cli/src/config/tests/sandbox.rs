//! What the configuration says of sandboxes: limits of all jobs and of one, what one may reach, its settings; and the page on it.

use jobmill_core::job::Limit;

use super::*;

fn overrides(loaded: &Loaded, id: &str) -> JobOverrides {
    loaded.config.overrides().of(id)
}

#[test]
fn the_default_of_each_limit_is_that_of_the_engine() {
    let loaded = Setup::new("").load();
    // What is as the default has it is not said.
    assert_eq!(loaded.config.overrides(), jobmill_core::job::Overrides::default());
    for limit in Limit::ALL {
        let (value, from) = source(&loaded, &format!("limits.{limit}"));
        assert!(value.is_some() && from == "default", "{limit}");
    }
}

#[test]
fn limits_of_a_job_go_before_those_of_all_jobs() {
    let file = "[limits]\nmemory = \"16 MiB\"\nhost_calls = 50\n[jobs.ship.limits]\nmemory = \"256 MiB\"\n";
    let setup = Setup::new(file)
        .variable("JOBMILL_LIMITS__LOG", "1 KiB")
        .variable("JOBMILL_JOBS__SHIP__LIMITS__HANDLES", "200");
    let loaded = setup.load();
    let said = |id: &str| {
        let limits = overrides(&loaded, id).limits;
        [Limit::Memory, Limit::HostCalls, Limit::Log, Limit::Handles].map(|limit| limits.get(limit))
    };
    assert_eq!(said("ship"), [Some(256 << 20), Some(50), Some(1024), Some(200)]);
    assert_eq!(said("another"), [Some(16 << 20), Some(50), Some(1024), None]);
    assert_eq!(loaded.config.overrides().largest_limits().get(Limit::Memory), 256 << 20);
    assert_eq!(source(&loaded, "jobs.ship.limits.memory").0.as_deref(), Some("\"256 MiB\""));
    assert_eq!(source(&loaded, "limits.log").1, "variable JOBMILL_LIMITS__LOG");
}

#[test]
fn a_limit_that_cannot_be_is_named_with_its_place() {
    for (file, place, reason) in [
        ("[limits]\nmemory = \"2 GiB\"\n", "limits.memory is 2 GiB", "1 MiB to 1 GiB"),
        ("[jobs.ship.limits]\noutput = \"1 MiB\"\n", "jobs.ship.limits.output is 1 MiB", "0 B to 256 KiB"),
        ("[limits]\nmemory = \"much\"\n", "limits.memory", "64 MiB"),
        ("[jobs.ship.limits]\nlog = -1\n", "jobs.ship.limits.log", "whole number"),
        ("[limits]\nmemry = 1\n", "no key limits.memry", "did you mean limits.memory?"),
        ("[jobs.ship.limits]\nwaiting = 1\n", "no key jobs.ship.limits.waiting", ""),
    ] {
        let text = Setup::new(file).refused();
        assert!(text.contains(place) && text.contains(reason), "{text}");
    }
}

#[test]
fn what_a_job_may_reach_and_its_settings_are_read() {
    let file = r#"
[jobs.ship.allow]
orders = ["fetch"]
mail.to = ["@Example.com"]
http = ["api.example.com"]
[jobs.ship.config]
Url = "https://api.example.com"
pages = 3
fast = true
"#;
    let loaded = Setup::new(file).variable("JOBMILL_JOBS__SHIP__ALLOW__MAIL__KINDS", "[\"shipped\"]").load();
    let ship = overrides(&loaded, "ship");
    let lines = ship.allow.expect("said").lines();
    let expected = [
        "orders = [\"fetch\"]",
        "mail.kinds = [\"shipped\"]",
        "mail.to = [\"@example.com\"]",
        "http = [\"api.example.com\"]",
    ];
    assert_eq!(lines, expected);
    let config: Vec<_> = ship.config.expect("said").into_iter().collect();
    let told = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(config, [told("Url", "https://api.example.com"), told("fast", "true"), told("pages", "3")]);
    assert_eq!(source(&loaded, "jobs.ship.allow.http").0.as_deref(), Some("[\"api.example.com\"]"));
    assert_eq!(source(&loaded, "jobs.ship.config.Url").0.as_deref(), Some("\"https://api.example.com\""));
}

#[test]
fn what_cannot_be_allowed_is_named_with_its_place() {
    for (line, place, reason) in [
        ("orders = [\"delete\"]", "jobs.ship.allow.orders.0", "\"fetch\""),
        ("mail.to = [\"example.com\"]", "jobs.ship.allow.mail.to.0", "@example.com"),
        ("mail.cc = []", "no key jobs.ship.allow.mail.cc", ""),
        ("http = [\"ftp://a.example\"]", "jobs.ship.allow.http.0", "is no host"),
        ("files = []", "no key jobs.ship.allow.files", ""),
    ] {
        let text = Setup::new(&format!("[jobs.ship.allow]\n{line}\n")).refused();
        assert!(text.contains(place) && text.contains(reason), "{text}");
    }
    let text = Setup::new("[jobs.ship.config]\nlist = [1]\n").refused();
    assert!(text.contains("jobs.ship.config") && text.contains("a text, a number, true or false"), "{text}");
    let text = Setup::new("").variable("JOBMILL_JOBS__SHIP__CONFIG__URL", "x").refused();
    assert!(text.contains("upper from lower case"), "{text}");
}

const PAGE: &str = include_str!("../../../../../docs/sandbox.md");

#[test]
fn every_configuration_of_the_page_on_the_sandbox_can_be_used() {
    let blocks = PAGE.split("```").skip(1).step_by(2);
    let configurations: Vec<&str> = blocks.filter_map(|block| block.strip_prefix("toml\n")).collect();
    assert!(configurations.len() >= 2);
    for configuration in configurations {
        Setup::new(configuration).load();
    }
}

#[test]
fn the_page_on_the_sandbox_has_every_limit_with_its_default_and_its_most() {
    let shown = |limit: Limit, value: u64| {
        if limit.is_bytes() { limit.shown(value) } else { grouped(value) }
    };
    let rows: Vec<&str> =
        PAGE.lines().filter(|line| Limit::ALL.iter().any(|it| line.starts_with(&format!("| `{it}` |")))).collect();
    let expected = Limit::ALL.map(|limit| {
        format!("| `{limit}` | {} | {} |", shown(limit, limit.default_value()), shown(limit, limit.most()))
    });
    assert_eq!(rows.len(), expected.len());
    for (row, expected) in rows.into_iter().zip(expected) {
        assert!(row.starts_with(&expected), "{row} should begin with {expected}");
    }
}

/// A number as TOML may group it.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let begin = |at: usize| at > 0 && (digits.len() - at).is_multiple_of(3);
    digits.chars().enumerate().flat_map(|(at, digit)| begin(at).then_some('_').into_iter().chain([digit])).collect()
}
