//! The three jobs, unchanged, on a shop whose orders are in its own PostgreSQL, in the tables that Prisma makes.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::WATCHDOG;
use crate::support::postgres::{Cluster, PRISMA};
use crate::support::server::{Server, pause};
use crate::support::smtp::{MailServer, Reply};

const ORDERS: &str = r#"
INSERT INTO "Order" ("id", "status", "customerEmail", "customerName", "total", "updatedAt") SELECT
    'order_' || n, 'PAID', 'user' || n || '@example.com', 'Zoë', 2900, now() FROM generate_series(1, 20) AS n;
INSERT INTO "OrderItem" SELECT 'item_' || n, 'order_' || n, 'MUG-07', 'Mug <b>', 2, 1450 FROM generate_series(1, 20) AS n;
"#;

/// The shop's database with twenty paid orders.
fn shop() -> Option<Cluster> {
    let cluster = Cluster::start()?;
    cluster.sql(PRISMA);
    cluster.sql(ORDERS);
    Some(cluster)
}

fn serve(cluster: &Cluster, mail: &MailServer) -> Server {
    Server::up(&format!(
        r#"
[mail]
mode = "smtp"
from = "Shop <shop@example.com>"
smtp = {{ url = "smtp://{}" }}
[orders]
source = "postgres"
[orders.postgres]
url = "{}"
timeout = "2s"
email_log = {{ table = "EmailLog" }}
"#,
        mail.address,
        cluster.url()
    ))
}

fn payload(order: usize) -> Value {
    json!({ "orderId": format!("order_{order}"), "customerEmail": format!("user{order}@example.com") })
}

/// What the shop's table of mails answers, once it has so many rows that no mail is under way in.
fn until_logged(cluster: &Cluster, rows: usize) {
    let settled = r#"SELECT count(*) FROM "EmailLog" WHERE "status" <> 'sending'"#;
    let started = Instant::now();
    while cluster.sql(settled) != [rows.to_string()] {
        assert!(started.elapsed() < WATCHDOG, "{:?}", cluster.sql(r#"SELECT * FROM "EmailLog""#));
        pause();
    }
}

#[test]
fn the_three_jobs_run_unchanged_on_the_shop_s_tables() {
    let Some(cluster) = shop() else { return };
    let mail = MailServer::start();
    let server = serve(&cluster, &mail);
    let order =
        r#"SELECT "status", "fulfilledAt" IS NOT NULL, "refundedAt" IS NOT NULL FROM "Order" WHERE "id" = 'order_1'"#;
    for (job, row) in [("purchase-confirmation", "FULFILLED|t|f"), ("refund-notification", "REFUNDED|t|t")] {
        let run = server.finished(&server.enqueue(job, &payload(1)));
        assert_eq!((&run["state"], &run["attempt"]), (&json!("completed"), &json!(1)), "{run:#}");
        assert_eq!(cluster.sql(order), [row]);
    }
    let welcome = json!({ "userId": "u_1", "email": "ada@example.com" });
    assert_eq!(server.finished(&server.enqueue("welcome-email", &welcome))["state"], "completed");
    assert!(mail.wait(3)[0].contains("29.00"), "{:?}", mail.mails()[0]);
    let missing = json!({ "orderId": "order_none", "customerEmail": "user@example.com" });
    let run = server.finished(&server.enqueue("purchase-confirmation", &missing));
    assert_eq!((&run["state"], &run["attempt"]), (&json!("dead"), &json!(1)), "{run:#}");
    assert_eq!(cluster.sql(r#"SELECT count(*) FROM "Order" WHERE "status" <> 'PAID'"#), ["1"]);
}

#[test]
fn the_doctor_says_whether_the_shop_s_tables_are_as_the_configuration_says() {
    let Some(cluster) = shop() else { return };
    let server = serve(&cluster, &MailServer::start());
    let orders = || {
        let said = server.run(&["-o", "json", "doctor"]);
        let said: Value = serde_json::from_slice(&said.stdout).expect("JSON");
        let findings = said["items"].as_array().expect("items").clone();
        findings.into_iter().find(|finding| finding["check"] == "orders").expect("it looks at the orders")
    };
    assert_eq!(orders()["verdict"], "good");
    cluster.sql(r#"ALTER TABLE "Order" RENAME COLUMN "customerEmail" TO "email""#);
    let finding = orders();
    let detail = finding["detail"].as_str().expect("a text");
    assert!(finding["verdict"] == "wrong" && detail.contains("orders.postgres.orders.customer_email"), "{finding:#}");
}

#[test]
fn the_shop_finds_its_failures_in_its_own_table() {
    let Some(cluster) = shop() else { return };
    let mail = MailServer::start();
    mail.script([Reply::Recipient("550 5.1.1 no such user"), Reply::End("451 4.3.0 try again later")]);
    let server = serve(&cluster, &mail);
    let gone = server.enqueue("purchase-confirmation", &payload(1));
    assert_eq!(server.finished(&gone)["state"], "dead");
    for order in 2..6 {
        let run = server.finished(&server.enqueue("purchase-confirmation", &payload(order)));
        assert_eq!(run["state"], "completed", "{run:#}");
    }
    until_logged(&cluster, 5);
    let failed =
        cluster.sql(r#"SELECT "to", "runId", "jobId", "kind", "error" FROM "EmailLog" WHERE "status" = 'failed'"#);
    assert_eq!(failed.len(), 1, "{failed:?}");
    let row = format!("user1@example.com|{gone}|purchase-confirmation|purchase-confirmation|");
    assert!(failed[0].starts_with(&row) && failed[0].contains("550"), "{failed:?}");
    let ours = server.mails();
    for mail in &ours {
        let id = mail["id"].as_str().expect("an id");
        let row =
            cluster.sql(&format!(r#"SELECT "status", "attempts", "messageId" FROM "EmailLog" WHERE "id" = '{id}'"#));
        let (status, attempts) = (mail["status"].as_str().expect("a text"), &mail["attempts"]);
        let message_id = mail["message_id"].as_str().expect("a text").trim_matches(['<', '>']);
        assert_eq!(row, [format!("{status}|{attempts}|{message_id}")]);
    }
    assert_eq!(ours.len(), 5);
}

#[test]
fn a_database_that_is_away_loses_nothing() {
    let Some(mut cluster) = shop() else { return };
    let mail = MailServer::start();
    let mut server = serve(&cluster, &mail);
    let mut runs: Vec<String> = (1..6).map(|order| server.enqueue("purchase-confirmation", &payload(order))).collect();
    server.finished(&runs[0]);
    cluster.stop();
    runs.extend((6..11).map(|order| server.enqueue("purchase-confirmation", &payload(order))));
    let welcome = json!({ "userId": "u_1", "email": "ada@example.com" });
    let other = server.enqueue("welcome-email", &welcome);
    assert_eq!(server.finished(&other)["state"], "completed", "no mail waits for the shop's table");
    server.until(&runs[9], |run| run["state"] == "retryable");
    // The engine is restarted as well, so that what was not written yet has only our own log to come from.
    server.kill();
    server.restart();
    cluster.restart();
    for run in &runs {
        let run = server.finished(run);
        assert_eq!(run["state"], "completed", "{run:#}");
    }
    assert_eq!(cluster.sql(r#"SELECT count(*) FROM "Order" WHERE "status" = 'FULFILLED'"#), ["10"]);
    until_logged(&cluster, 11);
    assert_eq!(mail.mails().len(), 11, "one mail each");
    assert_eq!(cluster.sql(r#"SELECT DISTINCT "status" FROM "EmailLog""#), ["sent"]);
}
