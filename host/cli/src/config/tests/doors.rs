//! Who may come in: API tokens and webhooks of the configuration, and how long events are remembered.
//! No secret is shown, whatever is wrong with it.

use jobmill_core::token::{Scope, SecretDigest};

use super::*;

fn now() -> Timestamp {
    Timestamp::from_millis(1_772_355_600_000)
}

fn failure(result: Result<impl std::fmt::Debug, Failure>) -> String {
    let Err(Failure::Said(report)) = result else { panic!("it was accepted") };
    assert_eq!(report.exit, Exit::Usage);
    report.render()
}

#[test]
fn tokens_are_declared_with_their_limits_and_have_the_same_ids_after_each_start() {
    let file = r#"
[[server.tokens]]
name = "shop"
scope = "enqueue"
secret = "0123456789abcdef"
rate_limit = { limit = 100, period = "1m" }
max_waiting = 500
[[server.tokens]]
name = "grafana"
scope = "read"
secret = "fedcba9876543210"
"#;
    let config = Setup::new(file).load().config;
    let tokens = config.tokens(now()).expect("good ones");
    let [shop, grafana] = tokens.as_slice() else { panic!("{} tokens", tokens.len()) };
    assert_eq!((shop.name.as_str(), shop.scope, shop.max_waiting), ("shop", Scope::Enqueue, Some(500)));
    assert_eq!(shop.digest, SecretDigest::of("0123456789abcdef"));
    assert_eq!(shop.rate_limit, Some(RateLimit { limit: 100, period: Duration::from_mins(1), key: None }));
    assert_eq!((grafana.scope, grafana.rate_limit.is_none(), grafana.created_at), (Scope::Read, true, now()));
    assert_ne!(shop.id, grafana.id);
    let again = config.tokens(Timestamp::from_millis(0)).expect("good ones");
    assert_eq!([again[0].id, again[1].id], [shop.id, grafana.id]);
    assert!(shop.id.to_string().starts_with("tok_0000000000"), "{}", shop.id);
}

#[test]
fn a_token_that_cannot_be_used_is_named_and_its_secret_is_not() {
    let token = |members: &str| format!("[server]\ntokens = [{{ {members} }}]\n");
    let refused = |members: &str, place: &str, reason: &str| {
        let text = Setup::new(&token(members)).refused();
        assert!(text.contains(place) && text.contains(reason) && !text.contains("hunter"), "{text}");
    };
    refused("name = \" \", scope = \"read\", secret = \"hunter2\"", "server.tokens.0.name", "what the token is for");
    refused("name = \"a\", scope = \"all\", secret = \"hunter2\"", "server.tokens.0.scope", "\"operate\"");
    refused("name = \"a\", scope = \"read\"", "server.tokens.0", "\"secret\" is missing");
    refused("name = \"a\", scope = \"read\", secret = [\"hunter2\"]", "server.tokens.0.secret", "{ env");
    refused("name = \"a\", scope = \"read\", secret = \"hunter2\", ttl = 1", "server.tokens.0", "\"ttl\"");
    let rate = "name = \"a\", scope = \"read\", secret = \"hunter2\", rate_limit = { limit = 1, period = \"2d\" }";
    refused(rate, "server.tokens.0.rate_limit.period", "24h");
    let twice = "name = \"a\", scope = \"read\", secret = \"hunter2hunter2hunter2\"";
    refused(&format!("{twice} }}, {{ {twice}"), "server.tokens.1.name", "its own");
    let same = twice.replace("\"a\"", "\"b\"");
    let loaded = Setup::new(&token(&format!("{twice} }}, {{ {same}"))).load();
    let text = failure(loaded.config.tokens(now()));
    assert!(text.contains("\"b\" has the same secret as \"a\"") && !text.contains("hunter"), "{text}");
    let short = Setup::new(&token("name = \"a\", scope = \"read\", secret = \"hunter2\"")).load();
    let text = failure(short.config.tokens(now()));
    assert!(text.contains("shorter than 16 characters") && !text.contains("hunter"), "{text}");
    let text = Setup::new("").variable("JOBMILL_SERVER__TOKENS", "hunter2").refused();
    assert!(text.contains("JOBMILL_SERVER__TOKENS is not a list") && !text.contains("hunter"), "{text}");
}

#[test]
fn tokens_are_shown_without_their_secrets() {
    let file = "[server]\ntokens = [{ name = \"a\", scope = \"read\", secret = \"hunter2\" }, \
                { name = \"b\", scope = \"read\", secret = { env = \"JOBMILL_SHOP_TOKEN\" } }]\n";
    // A variable that the file names may be called anything.
    let loaded = Setup::new(file).variable("JOBMILL_SHOP_TOKEN", "hunter3").load();
    let shown = source(&loaded, "server.tokens").0.expect("set");
    assert!(shown.contains("\"(secret)\"") && shown.contains("env = \"JOBMILL_SHOP_TOKEN\""), "{shown}");
    let everything = format!("{:?} {:?}", loaded.config, loaded.shown());
    assert!(!everything.contains("hunter"), "{everything}");
}

#[test]
fn a_public_address_is_no_matter_of_the_configuration_alone() {
    // Tokens of the store open it as well, and only whoever opens the store knows them.
    let loaded = Setup::new("[server]\nlisten = \"0.0.0.0:8288\"\n").load();
    assert_eq!(loaded.config.server.listen.port(), 8288);
}

#[test]
fn webhooks_are_read_with_their_secrets_and_their_maps() {
    let file = r#"
[webhooks.shop]
kind = "stripe"
secrets = ["whsec_hunter2", { env = "JOBMILL_NO_SUCH_SECRET" }]
[webhooks.mail]
kind = "standard"
secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
map = { "email.bounced" = { suppress = "/data/to", when = { "/data/bounce/type" = "Permanent" } } }
[webhooks.mail.map."order.paid"]
event = "email/purchase-confirmation"
data = { orderId = ["/data/id", "/id"], customerEmail = "/data/email" }
"#;
    let loaded = Setup::new(file.replace("map = {", "# map = {").as_str()).load();
    let text = failure(loaded.config.webhooks().map(|endpoints| endpoints.len()));
    assert!(text.contains("webhooks.shop.secrets.1") && text.contains("JOBMILL_NO_SUCH_SECRET"), "{text}");
    let text = source(&loaded, "webhooks.shop.secrets").0.expect("set");
    assert_eq!(text, "[\"(secret)\", { env = \"JOBMILL_NO_SUCH_SECRET\" }]");
    assert_eq!(source(&loaded, "webhooks.mail.kind").0.as_deref(), Some("\"standard\""));
    assert!(source(&loaded, "webhooks.mail.map").0.is_some_and(|map| map.contains("/data/email")));
    let everything = format!("{:?} {:?}", loaded.config, loaded.shown());
    assert!(!everything.contains("hunter") && !everything.contains("MfKQ9r8GK"), "{everything}");
    let alone = file.split("[webhooks.mail]").nth(1).and_then(|rest| rest.split("[webhooks.mail.map").next());
    let endpoints = Setup::new(&format!("[webhooks.mail]{}", alone.expect("a section"))).load().config.webhooks();
    let endpoints = endpoints.expect("good ones");
    assert_eq!((endpoints.len(), endpoints[0].name(), endpoints[0].kind().as_str()), (1, "mail", "standard"));
}

#[test]
fn a_webhook_that_cannot_be_used_is_named_with_its_place() {
    let refused = |section: &str, place: &str| {
        let text = Setup::new(&format!("[webhooks.shop]\n{section}\n")).refused();
        assert!(text.contains(place) && !text.contains("hunter"), "{text}");
    };
    refused("secrets = [\"hunter2\"]", "\"kind\" is missing");
    refused("kind = \"paddle\"\nsecrets = [\"hunter2\"]", "webhooks.shop.kind");
    refused("kind = \"stripe\"\nsecrets = \"hunter2\"", "webhooks.shop.secrets");
    refused("kind = \"stripe\"\nsecret = \"hunter2\"", "did you mean webhooks.shop.secrets?");
    refused(
        "kind = \"stripe\"\nmap = { \"a.b\" = { event = \"x\", data = { a = \"no pointer\" } } }",
        "webhooks.shop.map",
    );
    refused("kind = \"stripe\"\nmap = { \"a.b\" = { evnt = \"x\" } }", "webhooks.shop.map");
    let loaded = Setup::new("[webhooks.shop]\nkind = \"stripe\"\n").load();
    let text = failure(loaded.config.webhooks().map(|endpoints| endpoints.len()));
    assert!(text.contains("webhooks.shop.secrets"), "{text}");
    let text = Setup::new("").variable("JOBMILL_WEBHOOKS__SHOP__MAP", "{}").refused();
    assert!(text.contains("JOBMILL_WEBHOOKS__SHOP__MAP") && text.contains("jobmill.toml"), "{text}");
}

#[test]
fn an_events_id_is_remembered_no_longer_than_its_runs_are_kept() {
    let window = |file: &str| Setup::new(file).load().config.event_id_window();
    assert_eq!(window(""), Duration::from_hours(24));
    assert_eq!(window("[events]\nid_window = \"30d\"\n"), Duration::from_hours(30 * 24));
    let refused = |file: &str, reason: &str| {
        let text = Setup::new(file).refused();
        assert!(text.contains("events.id_window") && text.contains(reason), "{text}");
    };
    refused("[events]\nid_window = \"59s\"\n", "from 1m to 30d");
    refused("[events]\nid_window = \"31d\"\n", "from 1m to 30d");
    refused("[events]\nid_window = \"soon\"\n", "not a duration");
    let kept = "[retention]\ncompleted = \"3d\"\ncancelled = \"2d\"\ndead = \"never\"\n";
    refused(&format!("{kept}[events]\nid_window = \"49h\"\n"), "retention.cancelled, which is 48h");
    assert_eq!(window(&format!("{kept}[events]\nid_window = \"48h\"\n")), Duration::from_hours(48));
}

#[test]
fn deliveries_are_kept_for_as_long_as_their_senders_may_repeat_them() {
    let kept = |file: &str| Setup::new(file).load().config.retention().deliveries;
    assert_eq!(kept(""), Some(Duration::from_hours(30 * 24)));
    assert_eq!(kept("[retention]\ndeliveries = \"7d\"\n"), Some(Duration::from_hours(7 * 24)));
    assert_eq!(kept("[retention]\ndeliveries = \"never\"\n"), None);
    for (value, said) in [("6d", "at least 7d"), ("always", "\"never\"")] {
        let text = Setup::new(&format!("[retention]\ndeliveries = \"{value}\"\n")).refused();
        assert!(text.contains("retention.deliveries") && text.contains(said), "{text}");
    }
}
