//! Mails to a real mail server that is killed while it takes and delivers them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::crash::kills::park;
use crate::crash::{ledger, setting};
use crate::support::WATCHDOG;
use crate::support::random::{Random, rounds};
use crate::support::server::{Server, pause};
use crate::support::smtp::exim::Exim;

/// The longest that the mail server lives, in milliseconds: about as long as a kill's share of the mails takes.
const LIVES_FOR: u64 = 150;

fn sending_to(exim: &Exim) -> Server {
    let mut server = setting::prepared(&format!(
        r#"
[mail]
mode = "smtp"
from = "shop@example.com"
smtp = {{ url = "smtp://127.0.0.1:{}" }}

[jobs]
welcome-email = {{ retries = 100, backoff = {{ kind = "fixed", delay = "100ms" }} }}
"#,
        exim.port
    ));
    server.restart();
    server
}

fn ask(server: &Server, number: u64) {
    let payload = json!({ "userId": format!("u{number}"), "email": format!("u{number}@example.com") });
    server.enqueue("welcome-email", &payload);
}

/// `EXIM_MAILS=1000 EXIM_KILLS=50 cargo test -p jobmill-tests --test suite mail_exim` is the whole of it.
#[test]
fn a_real_mail_server_that_is_killed_gets_every_mail_and_copies_are_the_same_mail() {
    let mut random = Random::of_this_run("exim");
    let [mails, kills] = [("EXIM_MAILS", 100), ("EXIM_KILLS", 6)].map(|(variable, number)| rounds(variable, number));
    let Some(mut exim) = Exim::start() else { return };
    let server = sending_to(&exim);
    let mut asked = 0;
    for kill in 0..kills {
        let until = mails * (kill + 1) / kills;
        std::thread::scope(|scope| {
            scope.spawn(|| (asked..until).for_each(|number| ask(&server, number)));
            park(Duration::from_millis(random.below(LIVES_FOR)));
            exim.kill();
            exim.restart();
        });
        asked = until;
    }
    ledger::all_final(&server);
    let begun = Instant::now();
    while exim.queued() > 0 {
        assert!(begun.elapsed() < WATCHDOG, "{} mails are still queued\n{}", exim.queued(), exim.account());
        pause();
    }
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let delivered = exim.delivered();
    for mail in &delivered {
        let value = |name: &str| mail.lines().find_map(|line| line.strip_prefix(name)).expect("a header").to_owned();
        ids.entry(value("To: ")).or_default().insert(value("Message-ID: "));
    }
    let missing: Vec<u64> = (0..mails).filter(|number| !ids.contains_key(&format!("u{number}@example.com"))).collect();
    assert!(missing.is_empty(), "lost: {missing:?}");
    assert_eq!(ids.len() as u64, mails, "mails that nobody asked for");
    assert!(ids.values().all(|copies| copies.len() == 1), "copies that are not the same mail: {ids:?}");
    assert_eq!(ids.values().flatten().collect::<BTreeSet<_>>().len(), ids.len(), "mails that share a Message-ID");
    let log = ledger::pages(&server, "/api/v1/mail");
    assert!(log.iter().all(|mail| mail["status"] == "sent"), "{log:#?}");
    let again = log.iter().filter(|mail| mail["attempts"] != 1).count();
    println!(
        "{mails} mails, {kills} kills: {again} mails were tried again, {} came again",
        delivered.len() as u64 - mails
    );
}
