//! What the configuration promises: the order of its layers, errors that name what to change, no secret shown.
//! Files are written into a directory of each test's own.

mod doors;
mod job_secrets;
mod sandbox;

use std::time::Duration;

use jobmill_core::flow::{BreakerSettings, CancelOn, CatchUp, Concurrency, Debounce, Pointer, RateLimit, UniqueStates};
use jobmill_core::job::Switch;
use jobmill_core::limits;

use super::layers::{FILE_NAME, Sources};
use super::*;
use crate::failure::Exit;

struct Setup {
    directory: tempfile::TempDir,
    sources: Sources,
}

impl Setup {
    fn new(file: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join(FILE_NAME), file).expect("written");
        let sources = Sources { command: "up", directory: directory.path().to_owned(), ..Sources::default() };
        Self { directory, sources }
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.sources.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn flag(mut self, path: &'static str, flag: &'static str, value: &str) -> Self {
        self.sources.flags.push((path, flag, value.to_owned()));
        self
    }

    fn load(&self) -> Loaded {
        Loaded::read(&self.sources).expect("a good configuration")
    }

    fn refused(&self) -> String {
        let Err(Failure::Said(report)) = Loaded::read(&self.sources) else { panic!("it was accepted") };
        assert_eq!(report.exit, Exit::Usage);
        report.render()
    }
}

fn source(loaded: &Loaded, key: &str) -> (Option<String>, String) {
    let shown = loaded.shown().into_iter().find(|shown| shown.key == key).expect("a known key");
    (shown.value, shown.source)
}

#[test]
fn flags_go_before_variables_before_the_file_before_the_defaults() {
    let file = "[engine]\nconcurrency = 2\nshutdown_grace = \"5s\"\n[server]\nlisten = \"127.0.0.1:1\"\n";
    let setup = Setup::new(file)
        .variable("JOBMILL_ENGINE__CONCURRENCY", "3")
        .variable("JOBMILL_HOPPER__AUTO_ROLLBACK", "true")
        .variable("JOBMILL_SERVER__LISTEN", "127.0.0.1:2")
        .flag("server.listen", "--listen", "127.0.0.1:3");
    let loaded = setup.load();
    assert_eq!(loaded.config.server.listen.port(), 3);
    assert_eq!(loaded.config.engine.concurrency.get(), 3);
    assert_eq!(loaded.config.engine.shutdown_grace, Duration::from_secs(5));
    assert_eq!(loaded.config.hopper.quiet(), Duration::from_millis(300));
    let file = setup.directory.path().join(FILE_NAME).display().to_string();
    let said = |key: &str, value: &str, from: &str| {
        assert_eq!(source(&loaded, key), (Some(value.to_owned()), from.to_owned()));
    };
    said("server.listen", "\"127.0.0.1:3\"", "flag --listen");
    said("engine.concurrency", "3", "variable JOBMILL_ENGINE__CONCURRENCY");
    said("engine.shutdown_grace", "\"5s\"", &file);
    said("hopper.quiet_ms", "300", "default");
    said("hopper.auto_rollback", "true", "variable JOBMILL_HOPPER__AUTO_ROLLBACK");
    assert_eq!(source(&loaded, "mail.mode"), (None, "not set".to_owned()));
}

#[test]
fn an_unknown_key_is_named_with_its_file_and_the_nearest_known_one() {
    let text = Setup::new("[server]\nlisen = \"127.0.0.1:1\"\n").refused();
    assert!(text.contains(FILE_NAME) && text.contains("no key server.lisen"), "{text}");
    assert!(text.contains("did you mean server.listen?"), "{text}");
    let text = Setup::new("[jobs.welcome-email]\nretrys = 1\n").refused();
    assert!(text.contains("did you mean jobs.welcome-email.retries?"), "{text}");
    let text = Setup::new("[tokens]\nname = 1\n").refused();
    assert!(text.contains("no key tokens"), "{text}");
}

#[test]
fn an_unknown_variable_is_refused_like_an_unknown_key() {
    let text = Setup::new("").variable("JOBMILL_SERVER__LISEN", "x").refused();
    assert!(text.contains("JOBMILL_SERVER__LISEN") && text.contains("did you mean JOBMILL_SERVER__LISTEN?"), "{text}");
    Setup::new("").variable("JOBMILL_SERVER", "http://127.0.0.1:1").variable("OTHER_THING", "1").load();
}

#[test]
fn short_variables_and_those_of_jobs_reach_their_keys() {
    let loaded = Setup::new("")
        .variable("JOBMILL_DATA", "/srv/data")
        .variable("JOBMILL_HOPPER", "/srv/hopper")
        .variable("JOBMILL_JOBS__WELCOME_EMAIL__RETRIES", "7")
        .variable("JOBMILL_JOBS__WELCOME_EMAIL__BACKOFF__KIND", "fixed")
        .variable("JOBMILL_JOBS__WELCOME_EMAIL__BACKOFF__DELAY", "5s")
        .load();
    assert_eq!(loaded.config.store_path(), PathBuf::from("/srv/data/store"));
    assert_eq!(loaded.config.hopper.dir, PathBuf::from("/srv/hopper"));
    let job = &loaded.config.jobs[&"welcome-email".parse::<JobId>().expect("an id")];
    assert_eq!(job.retries, Some(7));
    assert_eq!(job.backoff, Some(jobmill_core::Backoff::Fixed { delay: Duration::from_secs(5) }));
    assert_eq!(source(&loaded, "jobs.welcome-email.retries").0.as_deref(), Some("7"));
}

fn job(loaded: &Loaded, id: &str) -> JobOverrides {
    loaded.config.jobs[&id.parse::<JobId>().expect("an id")].clone()
}

#[test]
fn every_tunable_of_a_job_is_read() {
    let file = r#"
[jobs.ship]
concurrency = [{ limit = 1, key = "/customer/id" }, { limit = 10 }]
rate_limit = { limit = 100, period = "1m", key = "/customer/id" }
debounce = { period = "10s", max_wait = "1m" }
unique_key = "/order/id"
unique_for = "1h"
unique_states = "unfinished"
cron = ["0 9 * * MON"]
cron_catch_up = "skip"
expires = "2h"
cancel_on = [{ event = "order/cancelled", match = "/order/id" }]
max_waiting = 500
breaker = { failures = 0.5, window = "1m", min_attempts = 20, pause = "30s" }
"#;
    let loaded = Setup::new(file).load();
    let pointer = |text: &str| Pointer::try_from(text.to_owned()).expect("a pointer");
    let customer = || Some(pointer("/customer/id"));
    let seconds = Duration::from_secs;
    let expected = JobOverrides {
        concurrency: Some(vec![Concurrency { limit: 1, key: customer() }, Concurrency { limit: 10, key: None }]),
        rate_limit: Some(Switch::On(RateLimit { limit: 100, period: seconds(60), key: customer() })),
        debounce: Some(Switch::On(Debounce { period: seconds(10), max_wait: Some(seconds(60)), key: None })),
        unique_key: Some(Switch::On(pointer("/order/id"))),
        unique_for: Some(seconds(3_600)),
        unique_states: Some(UniqueStates::Unfinished),
        cron: Some(vec!["0 9 * * MON".to_owned()]),
        cron_catch_up: Some(CatchUp::Skip),
        expires: Some(seconds(7_200)),
        cancel_on: Some(vec![CancelOn { event: "order/cancelled".to_owned(), pointer: pointer("/order/id") }]),
        max_waiting: Some(500),
        breaker: Some(BreakerSettings { failures: 0.5, window: seconds(60), min_attempts: 20, pause: seconds(30) }),
        ..JobOverrides::default()
    };
    assert_eq!(job(&loaded, "ship"), expected);
    let shown = |key: &str| source(&loaded, key).0.unwrap_or_default();
    assert_eq!(shown("jobs.ship.concurrency"), "[{ key = \"/customer/id\", limit = 1 }, { limit = 10 }]");
    assert_eq!(shown("jobs.ship.rate_limit.period"), "\"1m\"");
    assert_eq!(shown("jobs.ship.breaker.failures"), "0.5");
}

#[test]
fn a_variable_sets_a_list_and_switches_off() {
    let loaded = Setup::new("[jobs.ship-it]\nrate_limit = { limit = 1, period = \"1s\" }\n")
        .variable("JOBMILL_JOBS__SHIP_IT__CONCURRENCY", "[{ limit = 2 }]")
        .variable("JOBMILL_JOBS__SHIP_IT__CRON", "[]")
        .variable("JOBMILL_JOBS__SHIP_IT__RATE_LIMIT", "off")
        .variable("JOBMILL_JOBS__SHIP_IT__DEBOUNCE__PERIOD", "10s")
        .load();
    let job = job(&loaded, "ship-it");
    assert_eq!(job.concurrency, Some(vec![Concurrency { limit: 2, key: None }]));
    assert_eq!((job.cron, job.rate_limit), (Some(vec![]), Some(Switch::Off)));
    let period = Duration::from_secs(10);
    assert_eq!(job.debounce, Some(Switch::On(Debounce { period, max_wait: None, key: None })));
    for text in ["2", "[{ limit = 2 }", "off"] {
        let said = Setup::new("").variable("JOBMILL_JOBS__SHIP__CONCURRENCY", text).refused();
        assert!(said.contains("JOBMILL_JOBS__SHIP__CONCURRENCY") && said.contains("a list"), "{said}");
    }
}

#[test]
fn a_tunable_that_cannot_be_used_is_named_with_its_place() {
    let refused = |line: &str, place: &str, reason: &str| {
        let text = Setup::new(&format!("[jobs.ship]\n{line}\n")).refused();
        assert!(text.contains(place) && text.contains(reason), "{text}");
    };
    refused("concurrency = [{ limit = 1, keys = \"/id\" }]", "jobs.ship.concurrency.0", "\"keys\"");
    refused("concurrency = [{ key = \"/id\" }]", "jobs.ship.concurrency.0", "\"limit\" is missing");
    refused("concurrency = [{ limit = 1, key = \"id\" }]", "jobs.ship.concurrency.0.key", "no JSON Pointer");
    refused("rate_limit = { limit = -1, period = \"1m\" }", "jobs.ship.rate_limit.limit", "-1");
    refused("rate_limit = { limit = 1, per = \"1m\" }", "jobs.ship.rate_limit.per", "did you mean");
    refused("rate_limit = \"none\"", "jobs.ship.rate_limit", "or \"off\"");
    refused("unique_key = \"id\"", "jobs.ship.unique_key", "or \"off\"");
    refused("unique_states = \"some\"", "jobs.ship.unique_states", "\"all\" or \"unfinished\"");
    refused("breaker = { failures = 0.5 }", "jobs.ship.breaker", "\"window\" is missing");
    refused("cancel_on = [{ event = \"a\" }]", "jobs.ship.cancel_on.0", "\"match\" is missing");
}

#[test]
fn queues_and_what_waits_have_their_limits() {
    let defaults = Setup::new("").load();
    assert_eq!(defaults.config.waiting(), limits::WAITING_DEFAULT);
    assert!(defaults.config.queue_limits().is_empty());
    let loaded = Setup::new("[limits]\nwaiting = 10\n[queues.slow]\nconcurrency = 4\n[queues.mail]\n")
        .variable("JOBMILL_QUEUES__VERY_SLOW__CONCURRENCY", "1")
        .load();
    assert_eq!(loaded.config.waiting(), 10);
    assert_eq!(loaded.config.queue_limits(), BTreeMap::from([("slow".to_owned(), 4), ("very-slow".to_owned(), 1)]));
    assert_eq!(source(&loaded, "queues.slow.concurrency").0.as_deref(), Some("4"));
    for (file, place) in [
        ("[limits]\nwaiting = 0\n", "limits.waiting"),
        ("[queues.slow]\nconcurrency = 0\n", "queues.slow.concurrency"),
        ("[queues.slow]\nlimit = 1\n", "queues.slow.limit"),
        ("[queues.\"A B\"]\nconcurrency = 1\n", "queues"),
    ] {
        let text = Setup::new(file).refused();
        assert!(text.contains(place), "{text}");
    }
}

#[test]
fn a_value_of_the_wrong_kind_is_named_with_its_place() {
    let text = Setup::new("[engine]\nconcurrency = \"many\"\n").refused();
    assert!(text.contains("engine.concurrency") && text.contains(FILE_NAME), "{text}");
    let text = Setup::new("").variable("JOBMILL_ENGINE__CONCURRENCY", "many").refused();
    assert!(text.contains("JOBMILL_ENGINE__CONCURRENCY is \"many\", not a whole number"), "{text}");
    let text = Setup::new("[engine]\nshutdown_grace = \"long\"\n").refused();
    assert!(text.contains("engine.shutdown_grace") && text.contains("not a duration"), "{text}");
    let text = Setup::new("[store]\nkind = \"postgres\"\n").refused();
    assert!(text.contains("store.kind") && text.contains("\"sled\""), "{text}");
    let text = Setup::new("[engine\n").refused();
    assert!(text.contains("is not TOML") && text.contains("line 1"), "{text}");
    let text = Setup::new("server = 3\n").refused();
    assert!(text.contains("server"), "{text}");
}

#[test]
fn runs_are_kept_for_a_span_or_never_taken_out() {
    let days = |days: u64| Some(Duration::from_hours(24 * days));
    let kept = |file: &str| Setup::new(file).load().config.retention();
    let usual = Retention {
        completed: days(30),
        cancelled: days(30),
        dead: days(180),
        mail: None,
        deliveries: days(30),
        audit: days(90),
    };
    assert_eq!(kept(""), usual);
    let file = "[retention]\ncompleted = \"24h\"\ndead = \"never\"\n";
    assert_eq!(kept(file), Retention { completed: days(1), dead: None, ..usual });
    assert_eq!(kept("[retention]\nmail = \"1h\"\n").mail, Some(Duration::from_hours(1)));
    assert_eq!(kept("[retention]\naudit = \"1h\"\n").audit, Some(Duration::from_hours(1)));
    assert_eq!(kept("[retention]\naudit = \"never\"\n").audit, None);
    for (value, said) in [("23h59m", "at least 24h"), ("always", "\"never\"")] {
        let text = Setup::new(&format!("[retention]\ncompleted = \"{value}\"\n")).refused();
        assert!(text.contains("retention.completed") && text.contains(said), "{text}");
    }
}

#[test]
fn the_development_mailbox_keeps_the_newest_mails() {
    let kept = |file: &str| Setup::new(file).load().config.captured_mails();
    assert_eq!((kept(""), kept("[retention]\ncaptured = 20\n")), (jobmill_core::limits::CAPTURED_MAILS, 20));
    assert!(Setup::new("[retention]\ncaptured = 0\n").refused().contains("retention.captured"));
    assert!(Setup::new("[retention]\nmail = \"always\"\n").refused().contains("\"never\""));
}

#[test]
fn captured_mails_leave_only_for_those_who_are_named() {
    let file = "[mail]\nsmtp = { url = \"smtp://127.0.0.1\" }\nrelease = { allow = [\"Ada@example.com\", \"*@Shop.example\"] }\n";
    let loaded = Setup::new(file).load();
    let allow = &loaded.config.mail.release.as_ref().expect("said").allow;
    let is_named = |address: &str| allow.iter().any(|allowed| allowed.names(address));
    for address in ["ada@example.com", "ADA@example.com", "eve@shop.example"] {
        assert!(is_named(address), "{address}");
    }
    for address in ["eve@example.com", "joada@example.com", "eve@sub.shop.example", "eve@shop.example.org"] {
        assert!(!is_named(address), "{address}");
    }
    for wrong in ["*", "*@", "example.com", "a*@example.com", "*@*.example.com", "*@a@b.c"] {
        let file = format!("[mail]\nsmtp = {{ url = \"smtp://127.0.0.1\" }}\nrelease = {{ allow = [{wrong:?}] }}\n");
        assert!(Setup::new(&file).refused().contains("mail.release"), "{wrong}");
    }
    let text = Setup::new("[mail]\nrelease = { allow = [\"ada@example.com\"] }\n").refused();
    assert!(text.contains("mail.smtp.url is not set"), "{text}");
}

#[test]
fn the_store_is_durable_unless_told_otherwise() {
    assert_eq!(Setup::new("").load().config.store.durability, Durability::Full);
    let relaxed = Setup::new("[store]\ndurability = \"relaxed\"\n").load();
    assert_eq!(relaxed.config.store.durability, Durability::Relaxed);
    let text = Setup::new("[store]\ndurability = \"none\"\n").refused();
    assert!(text.contains("store.durability") && text.contains("\"relaxed\""), "{text}");
}

#[test]
fn up_wants_mail_said_and_shows_the_lines_to_add() {
    let Err(Failure::Said(report)) = Setup::new("[mail]\nmode = \"capture\"\n").load().config.mail_said() else {
        panic!("it was accepted")
    };
    let text = report.render();
    assert!(text.contains("[mail]") && text.contains("from = "), "{text}");
    let said = Setup::new("[mail]\nmode = \"capture\"\nfrom = \"Shop <shop@example.com>\"\n").load();
    let (mode, from) = said.config.mail_said().expect("said");
    assert_eq!(
        (mode, from.address.as_str(), from.name.as_deref()),
        (MailMode::Capture, "shop@example.com", Some("Shop"))
    );
}

#[test]
fn a_mail_server_and_how_mails_are_signed_are_read() {
    let file = r#"
[mail]
smtp = { url = "smtp://mail.example", ca = "/etc/ca.pem", command_timeout = "5s", delivery_timeout = "1m30s" }
dkim = { domain = "example.com", selector = "jobmill", key = { file = "/run/secrets/dkim.pem" } }
"#;
    let loaded = Setup::new(file).load();
    let smtp = loaded.config.mail.smtp.as_ref().expect("said");
    assert_eq!(smtp.ca.as_deref(), Some(std::path::Path::new("/etc/ca.pem")));
    assert_eq!(smtp.command_timeout, Some(Duration::from_secs(5)));
    assert_eq!(smtp.delivery_timeout, Some(Duration::from_secs(90)));
    let dkim = loaded.config.mail.dkim.as_ref().expect("said");
    assert_eq!((dkim.domain.as_str(), dkim.selector.as_str()), ("example.com", "jobmill"));
    assert_eq!(source(&loaded, "mail.dkim.key").0.as_deref(), Some("{ file = \"/run/secrets/dkim.pem\" }"));
    for (section, place) in [
        ("smtp = { url = \"smtp://mail.example\", command_timeout = \"0s\" }", "mail.smtp.command_timeout is 0"),
        ("smtp = { url = \"smtp://mail.example\", delivery_timeout = \"long\" }", "mail.smtp"),
        ("dkim = { domain = \"example.com\", selector = \"jobmill\" }", "\"key\" is missing"),
        ("dkim = { domain = \"example.com\", selektor = \"jobmill\" }", "did you mean mail.dkim.selector?"),
    ] {
        let text = Setup::new(&format!("[mail]\n{section}\n")).refused();
        assert!(text.contains(place), "{text}");
    }
    let text = Setup::new("[mail.dkim]\ndomain = \"a.example\"\nselector = \"a\"\nkey = [\"hunter2\"]\n").refused();
    assert!(text.contains("mail.dkim.key") && !text.contains("hunter2"), "{text}");
}

#[test]
fn the_shop_s_orders_are_where_the_file_says() {
    let defaults = Setup::new("").load().config.orders;
    assert_eq!(defaults.source, orders::OrderSource::Embedded);
    assert_eq!(defaults.postgres.orders.customer_email, "customerEmail");
    assert_eq!((defaults.postgres.orders.revision.name(), defaults.postgres.email_log.table), (None, None));
    let file = r#"
[orders]
source = "postgres"
postgres = { url = "postgres://u:hunter2@localhost/shop", amounts = "major", orders = { table = "orders", metadata = "" }, statuses = { COMPLETE = "fulfilled" } }
[orders.http]
token = "hunter2"
fields = { customer_email = "/customer/email" }
"#;
    let loaded = Setup::new(file).variable("JOBMILL_ORDERS__POSTGRES__ITEMS__UNIT_PRICE", "price").load();
    let postgres = &loaded.config.orders.postgres;
    assert_eq!((postgres.orders.table.as_str(), postgres.orders.metadata.name()), ("orders", None));
    assert_eq!((postgres.orders.id.as_str(), postgres.items.unit_price.as_str()), ("id", "price"));
    assert_eq!(loaded.config.orders.http.fields.customer_email.as_str(), "/customer/email");
    assert_eq!(source(&loaded, "orders.postgres.statuses.COMPLETE").0.as_deref(), Some("\"fulfilled\""));
    assert_eq!(source(&loaded, "orders.postgres.url").0.as_deref(), Some("(secret)"));
    let everything = format!("{:?} {:?}", loaded.config, loaded.shown());
    assert!(!everything.contains("hunter"), "{everything}");
    let confined = loaded.config.confined_to(PathBuf::from("/tmp")).orders;
    assert_eq!(confined.source, orders::OrderSource::Embedded);
}

#[test]
fn every_configuration_of_the_page_on_orders_can_be_used() {
    let page = include_str!("../../../../docs/orders.md");
    let blocks = page.split("```").skip(1).step_by(2);
    let configurations: Vec<&str> = blocks.filter_map(|block| block.strip_prefix("toml\n")).collect();
    assert_eq!(configurations.len(), 3);
    for configuration in configurations {
        Setup::new(configuration).load();
    }
}

#[test]
fn an_order_source_that_cannot_be_used_is_named_by_its_key() {
    let refused = |file: &str, place: &str, reason: &str| {
        let text = Setup::new(file).refused();
        assert!(text.contains(place) && text.contains(reason), "{text}");
    };
    refused("[orders]\nsource = \"http\"\n", "orders.http.base_url is not set", "add: http = ");
    refused("[orders]\nsource = \"postgres\"\n", "orders.postgres.url is not set", "DATABASE_URL");
    refused("[orders]\nsource = \"mysql\"\n", "orders.source", "\"postgres\"");
    refused("[orders.http.fields]\ncustomer_mail = \"/x\"\n", "orders.http.fields.customer_mail", "did you mean");
    refused("[orders.http.fields]\ntotal = \"total\"\n", "orders.http.fields.total", "no JSON Pointer");
    refused(
        "[orders.postgres.orders]\ntabel = \"x\"\n",
        "orders.postgres.orders.tabel",
        "orders.postgres.orders.table",
    );
    refused("[orders.http]\nstatuses = { DONE = \"done\" }\n", "orders.http.statuses.DONE", "\"fulfilled\"");
    refused("[orders.postgres]\namounts = \"cents\"\n", "orders.postgres.amounts", "\"major\"");
    let text = Setup::new("").variable("JOBMILL_ORDERS__HTTP__STATUSES__DONE", "fulfilled").refused();
    assert!(text.contains("JOBMILL_ORDERS__HTTP__STATUSES__DONE") && text.contains("jobmill.toml"), "{text}");
    let text = Setup::new("[orders.http]\ntoken = [\"hunter2\"]\n").refused();
    assert!(text.contains("orders.http.token") && !text.contains("hunter2"), "{text}");
}

#[test]
fn secrets_are_shown_by_their_place_only() {
    let file = "[mail]\nmode = \"smtp\"\nsmtp = { url = \"smtp://u:hunter2@mail.example\", password = { env = \"JOBMILL_SMTP_PASSWORD\" } }\n";
    // A variable that the file names may be called anything.
    let loaded = Setup::new(file).variable("JOBMILL_SMTP_PASSWORD", "hunter3").load();
    assert_eq!(source(&loaded, "mail.smtp.url").0.as_deref(), Some("(secret)"));
    assert_eq!(source(&loaded, "mail.smtp.password").0.as_deref(), Some("{ env = \"JOBMILL_SMTP_PASSWORD\" }"));
    let everything = format!("{:?} {:?}", loaded.config, loaded.shown());
    assert!(!everything.contains("hunter"), "{everything}");
}

#[test]
fn a_wrong_secret_is_not_repeated_in_the_error() {
    let text = Setup::new("[mail.smtp]\nurl = [\"hunter2\"]\n").refused();
    assert!(text.contains("mail.smtp.url") && !text.contains("hunter2"), "{text}");
}

#[test]
fn the_commented_file_holds_every_default() {
    let commented = Setup::new(COMMENTED).load();
    let defaults = Setup::new("").load();
    for (one, other) in commented.shown().iter().zip(defaults.shown()) {
        assert_eq!((&one.key, &one.value), (&other.key, &other.value));
        let said = one.source.ends_with(FILE_NAME);
        assert_eq!(said, keys::KEYS.iter().any(|key| key.path == one.key && key.default.is_some()), "{}", one.key);
    }
}

#[test]
fn every_key_and_every_example_of_the_commented_file_can_be_used() {
    // Uncommented one by one, since two examples of a key exclude each other.
    let examples: Vec<usize> = (0..COMMENTED.lines().count()).filter(|at| example(line(*at)).is_some()).collect();
    assert!(examples.len() > 8, "{examples:?}");
    let mut mentioned = String::from(COMMENTED);
    for at in examples {
        let mut text = String::new();
        for (position, line) in COMMENTED.lines().enumerate() {
            let named = ["# [jobs.", "# [queues.", "# [webhooks.", "# [secrets."]
                .iter()
                .any(|section| line.starts_with(section));
            let section = named.then(|| line.trim_start_matches("# "));
            let shown = if position == at { example(line) } else { None };
            text.push_str(section.or(shown).unwrap_or(line));
            text.push('\n');
        }
        let text = text.replace("mode = \"smtp\" ", "mode = \"capture\" ");
        // Mail leaves only with a mail server.
        let text = text.replace("\nrelease = ", "\nsmtp = { url = \"smtp://127.0.0.1\" }\nrelease = ");
        // A webhook has a kind, whatever else is shown of it.
        let text = match line(at) {
            kind if kind.starts_with("# kind = ") => text,
            _ => text.replace("[webhooks.shop]\n", "[webhooks.shop]\nkind = \"stripe\"\n"),
        };
        mentioned.push_str(&text);
        Setup::new(&text).load();
    }
    for key in keys::KEYS.iter().filter(|key| !key.path.ends_with('*')) {
        let name = key.path.rsplit('.').next().unwrap_or_default();
        assert!(mentioned.contains(&format!("{name} = ")), "{} is not in the commented file", key.path);
    }
}

fn line(at: usize) -> &'static str {
    COMMENTED.lines().nth(at).unwrap_or_default()
}

/// The key and value that a comment shows.
fn example(line: &'static str) -> Option<&'static str> {
    let text = line.strip_prefix("# ")?;
    let (name, _) = text.split_once(" = ")?;
    name.chars().all(|character| character.is_ascii_lowercase() || character == '_').then_some(text)
}
