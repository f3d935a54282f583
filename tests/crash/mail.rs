//! Mails through a mail server that fails at every stage of the conversation, from an engine that is killed meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::crash::kills::{READY_WITHIN, park};
use crate::crash::{ledger, setting};
use crate::support::random::{Random, rounds};
use crate::support::server::Server;
use crate::support::smtp::{Act, MailServer, Stage, Taken, everything_but_refusals_for_good};

/// An engine that is killed later than this after a reply has it on record. A sync of the disk takes part of it.
const ON_RECORD_WITHIN: Duration = Duration::from_secs(1);
/// What a mail server answers to a configuration that doesn't fit.
const MISFITS: [(Stage, Act); 2] = [
    (Stage::SignIn, Act::Say("535 5.7.8 bad credentials")),
    (Stage::Greeting, Act::Say("554 5.7.1 no service for you")),
];

/// The engine, the mails asked of it, and when it was killed.
struct Engine {
    server: Server,
    asked: usize,
    kills: Vec<Instant>,
}

impl Engine {
    /// A patient job, and bounds that a mail server which says nothing soon comes to.
    fn with(mail: &MailServer) -> Self {
        let address = mail.address;
        let server = setting::prepared(&format!(
            r#"
[mail]
mode = "smtp"
from = "shop@example.com"
in_doubt = "resend"
smtp = {{ url = "smtp://shop:secret@{address}", command_timeout = "2s", delivery_timeout = "5s" }}

[jobs]
welcome-email = {{ retries = 100, backoff = {{ kind = "fixed", delay = "20ms" }} }}
"#
        ));
        Self { server, asked: 0, kills: Vec::new() }
    }

    /// Asks for so many more mails, of which each has its own recipient.
    fn ask(&mut self, mails: usize) {
        for _ in 0..mails {
            let user = format!("u{}", self.asked);
            let payload = json!({ "userId": user, "email": format!("{user}@example.com") });
            self.server.enqueue("welcome-email", &payload);
            self.asked += 1;
        }
    }

    fn kill(&mut self) {
        self.kills.push(Instant::now());
        self.server.kill();
    }

    /// Starts it and kills it; the mails are asked for in between, if it comes to serve.
    fn live(&mut self, random: &mut Random, mails: usize) {
        self.server.begin();
        if random.percent(25) {
            park(Duration::from_millis(random.below(60)));
            assert_eq!(self.server.ended(), None, "it refused to start\n{}", self.server.log());
        } else {
            self.server.ready(READY_WITHIN).unwrap_or_else(|reason| panic!("{reason}"));
            self.ask(mails);
            park(Duration::from_millis(random.below(500)));
        }
        self.kill();
    }

    /// Whether the reply to this copy was lost: it did not go out, or its engine was killed before it was on record.
    fn lost_reply(&self, copy: &Taken) -> bool {
        let killed = self.kills.iter().find(|killed| **killed > copy.connected);
        !copy.answered || killed.is_some_and(|killed| *killed < copy.at + ON_RECORD_WITHIN)
    }
}

/// `MAIL_RUNS=1000 MAIL_KILLS=50 MAIL_MISFITS=4 cargo test -p jobmill-tests --test suite crash::mail::` is the whole of it.
/// Each misfit closes the way out for half a minute, so that without being asked the test has none.
#[test]
fn no_mail_is_lost_and_one_comes_twice_only_where_its_answer_was_lost() {
    let mut random = Random::of_this_run("mail");
    let [runs, kills, misfits] = [("MAIL_RUNS", 150), ("MAIL_KILLS", 6), ("MAIL_MISFITS", 0)]
        .map(|(variable, unless_said)| usize::try_from(rounds(variable, unless_said)).expect("small"));
    let mail = MailServer::start();
    mail.disturb(&mut random, everything_but_refusals_for_good());
    let mut engine = Engine::with(&mail);
    for kill in 0..kills {
        if kill * misfits % kills < misfits {
            let (stage, act) = MISFITS[usize::from(random.percent(50))];
            mail.meet(stage, act);
        }
        engine.live(&mut random, (runs - engine.asked) / (kills - kill));
    }
    engine.server.restart();
    engine.ask(runs - engine.asked);
    mail.until(|taken| taken.len() * 10 >= runs * 9);
    mail.calm();
    ledger::all_final(&engine.server);

    let struck = mail.struck();
    every_stage_was_cut(&struck, runs / 100);
    let misfits = struck.iter().filter(|met| MISFITS.contains(met)).count();
    let arrived = all_arrived_as_themselves(&mail, runs);
    let runs_of = ledger::pages(&engine.server, "/api/v1/runs");
    let log = ledger::pages(&engine.server, "/api/v1/mail");
    assert_eq!((runs_of.len(), log.len()), (runs, runs));
    let mut held = 0;
    for run in &runs_of {
        assert_eq!(run["state"], "completed", "{run:#}");
        held += attempts_held_by_a_misfit(run);
    }
    assert!(misfits == 0 || held > 0, "a misfit keeps mail back");
    let mut twice = 0;
    for logged in &log {
        let copies = &arrived[logged["to"].as_str().expect("an address")];
        assert_eq!(logged["status"], "sent", "{logged:#}");
        assert_eq!(copies[0].header("Message-ID").trim_matches(['<', '>']), logged["message_id"], "{logged:#}");
        assert!(logged["attempts"].as_u64() >= Some(copies.len() as u64), "{} copies: {logged:#}", copies.len());
        for copy in &copies[..copies.len() - 1] {
            let ago: Vec<_> = engine.kills.iter().map(|kill| kill.checked_duration_since(copy.at)).collect();
            assert!(
                engine.lost_reply(copy),
                "sent again though on record: {logged:#}\n{copies:#?}\nkilled {ago:?} after"
            );
        }
        if copies.len() > 1 {
            twice += 1;
            says_that_it_was_sent_again(&engine.server, logged);
        }
    }
    let (met, copies) = (struck.len(), mail.taken().len() - runs);
    println!(
        "{runs} mails, {kills} kills, {met} faults ({misfits} misfits, {held} attempts held by them): {twice} mails came again, in {copies} copies"
    );
    assert!(twice > 0, "what is cut after its end comes again");
}

/// Each mail arrived, in the name of one run; all of its copies are the same mail, and no two mails are. The copies by
/// recipient, in the order in which they came.
fn all_arrived_as_themselves(mail: &MailServer, runs: usize) -> BTreeMap<String, Vec<Taken>> {
    let mut arrived: BTreeMap<String, Vec<Taken>> = BTreeMap::new();
    for copy in mail.taken() {
        let to = copy.header("To").trim_matches(['<', '>']).to_owned();
        assert_eq!(copy.envelope[1..], [format!("RCPT TO:<{to}>")]);
        arrived.entry(to).or_default().push(copy);
    }
    let missing: Vec<usize> = (0..runs).filter(|user| !arrived.contains_key(&format!("u{user}@example.com"))).collect();
    assert!(missing.is_empty(), "lost: {missing:?}");
    assert_eq!(arrived.len(), runs, "mails that nobody asked for");
    let mut seen = BTreeSet::new();
    for (to, copies) in &arrived {
        for name in ["Message-ID", "Date"] {
            let values: BTreeSet<String> = copies.iter().map(|copy| copy.header(name)).collect();
            assert_eq!(values.len(), 1, "copies to {to} that differ in their {name}");
        }
        assert!(seen.insert(copies[0].header("Message-ID")), "{to} has the Message-ID of another mail");
    }
    arrived
}

fn every_stage_was_cut(struck: &[(Stage, Act)], times: usize) {
    use Stage::{Content, Data, End, Greeting, Hello, Recipient, Sender, SignIn};
    for stage in [Greeting, Hello, SignIn, Sender, Recipient, Data, Content, End] {
        let cuts = struck.iter().filter(|met| **met == (stage, Act::Cut)).count();
        println!("{stage:?}: cut {cuts} times");
        assert!(cuts >= times, "{stage:?} was cut {cuts} times, not {times}");
    }
}

/// The operator's configuration is no fault of a run: what it keeps back does not count as one of its attempts.
fn attempts_held_by_a_misfit(run: &Value) -> usize {
    let attempts = run["attempts"].as_array().expect("attempts");
    let held = attempts.iter().filter(|attempt| attempt["outcome"] == "held").count();
    for attempt in attempts {
        let text = attempt["error"]["message"].as_str().unwrap_or_default();
        let is_misfit = text.contains("535 5.7.8") || text.contains("554 5.7.1");
        assert_eq!(attempt["outcome"] == "held", is_misfit, "{run:#}");
    }
    assert!(run["attempt"].as_u64() <= Some((attempts.len() - held) as u64), "{run:#}");
    held
}

/// In the run's log. Lines of an attempt that died went with it; the next one then found the mail on record as sent.
fn says_that_it_was_sent_again(server: &Server, logged: &Value) {
    let run = logged["run"].as_str().expect("a run");
    let lines = server.get(&format!("/api/v1/runs/{run}/logs")).text;
    let is_said = lines.contains("It is sent again as the same mail");
    assert!(is_said || server.run_of(run)["output"]["delivery"] == "already-sent", "{logged:#}\n{lines}");
}
