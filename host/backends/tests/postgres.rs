//! Orders and the log of mails in a real PostgreSQL: tables of many shapes, and servers that are not as they should be.

#![allow(clippy::disallowed_methods, reason = "a server of another program is waited for by the machine's own clock")]

#[path = "../../../tests/support/postgres.rs"]
mod cluster;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster::{Cluster, PRISMA};
use jobmill_backends::{
    Amounts, Asked, EmailLog, EmailLogColumns, Faults, ItemColumns, OrderColumns, Orders, PostgresOrders,
    PostgresSettings, Secret,
};
use jobmill_core::mail::MailStatus;
use jobmill_core::order::{Money, Order, OrderError, OrderPatch, OrderStatus};
use jobmill_core::{Json, MailId, RunId, Timestamp};
use jobmill_store::MailSummary;

const ORDER: &str = r#"
INSERT INTO "Order" ("id", "status", "customerEmail", "customerName", "total", "createdAt", "updatedAt", "metadata")
VALUES ('o1', 'PAID', 'ada@example.com', 'Ada', 2900, '2026-03-01 09:00:00', '2026-03-01 09:00:00.5', '{"gift": true}');
INSERT INTO "OrderItem" VALUES ('i2', 'o1', 'LAMP-02', 'Lamp', 1, 900), ('i1', 'o1', 'MUG-07', 'Mug', 2, 1000);
"#;

/// 2026-03-01T09:00:00Z
const PLACED: u64 = 1_772_355_600_000;

fn now() -> Timestamp {
    Timestamp::from_millis(PLACED + 60_000)
}

const ASKED: Asked<'static> = Asked { idempotency_key: "run_1/order/o1", in_doubt: false };

#[expect(clippy::unnecessary_wraps, reason = "most columns are optional")]
fn some(name: &str) -> Option<String> {
    Some(name.to_owned())
}

fn database(url: String) -> PostgresSettings {
    PostgresSettings { url: Secret::new(url), timeout: Duration::from_secs(10), connections: 4 }
}

/// The tables as the configuration has them unless told otherwise.
fn prisma(url: String) -> PostgresOrders {
    PostgresOrders {
        database: database(url),
        orders: OrderColumns {
            table: "Order".to_owned(),
            id: "id".to_owned(),
            status: "status".to_owned(),
            customer_email: "customerEmail".to_owned(),
            customer_name: some("customerName"),
            total: some("total"),
            currency: some("currency"),
            created_at: "createdAt".to_owned(),
            updated_at: some("updatedAt"),
            fulfilled_at: some("fulfilledAt"),
            refunded_at: some("refundedAt"),
            metadata: some("metadata"),
            revision: None,
        },
        items: ItemColumns {
            table: "OrderItem".to_owned(),
            id: some("id"),
            order: "orderId".to_owned(),
            sku: some("sku"),
            name: some("name"),
            quantity: some("quantity"),
            unit_price: "unitPrice".to_owned(),
        },
        amounts: Amounts::Minor,
        currency: None,
        statuses: BTreeMap::new(),
    }
}

fn orders(settings: PostgresOrders) -> Orders {
    Orders::postgres(settings, Arc::new(Faults::default())).expect("usable settings")
}

/// A cluster with Prisma's tables and one order in them.
fn seeded() -> Option<Cluster> {
    let cluster = Cluster::start()?;
    cluster.sql(PRISMA);
    cluster.sql(ORDER);
    Some(cluster)
}

fn to(status: OrderStatus) -> OrderPatch {
    OrderPatch { status: Some(status), ..OrderPatch::default() }
}

async fn update(orders: &Orders, id: &str, patch: &OrderPatch) -> Result<Order, OrderError> {
    orders.update(id, patch, [], ASKED, now()).await
}

fn unavailable(result: Result<Order, OrderError>) -> String {
    match result {
        Err(OrderError::Unavailable(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_order_of_prisma_is_read_with_its_items() {
    let Some(cluster) = seeded() else { return };
    let orders = orders(prisma(cluster.url()));
    let order = orders.fetch("o1", [], now()).await.expect("an order");
    assert_eq!((order.status, order.customer_email.as_str()), (OrderStatus::Paid, "ada@example.com"));
    assert_eq!(order.customer_name.as_deref(), Some("Ada"));
    assert_eq!(order.total, Money { minor: 2900, currency: "EUR".to_owned() });
    let items: Vec<(&str, u32, i64)> =
        order.items.iter().map(|item| (item.sku.as_str(), item.quantity, item.unit_price.minor)).collect();
    assert_eq!(items, [("MUG-07", 2, 1000), ("LAMP-02", 1, 900)]);
    assert_eq!(
        order.created_at.as_millis(),
        PLACED,
        "a timestamp without a zone is UTC, whatever the server's zone is"
    );
    assert_eq!((order.fulfilled_at, order.metadata.as_str()), (None, "{\"gift\": true}"));
    assert_eq!(order.revision, PLACED + 500);
    assert!(orders.needs_intent());
    for id in ["o2", "", "o1'; --", "ö\0"] {
        assert_eq!(orders.fetch(id, [], now()).await, Err(OrderError::NotFound(id.to_owned())), "{id:?}");
    }
}

#[tokio::test]
async fn a_change_is_written_once_however_often_it_is_asked_for() {
    let Some(cluster) = seeded() else { return };
    let orders = orders(prisma(cluster.url()));
    let changed = update(&orders, "o1", &to(OrderStatus::Fulfilled)).await.expect("changed");
    assert_eq!((changed.status, changed.fulfilled_at), (OrderStatus::Fulfilled, Some(now())));
    let row = r#"SELECT "status", "fulfilledAt", "refundedAt", "updatedAt", xmin FROM "Order""#;
    let written = cluster.sql(row);
    assert!(written[0].starts_with("FULFILLED|2026-03-01 09:01:00||2026-03-01 09:01:00|"), "{written:?}");
    assert_eq!(orders.fetch("o1", [], now()).await, Ok(changed.clone()));
    assert_eq!(update(&orders, "o1", &to(OrderStatus::Fulfilled)).await, Ok(changed));
    assert_eq!(cluster.sql(row), written, "the row was not written again");
    let backwards = update(&orders, "o1", &to(OrderStatus::Paid)).await;
    assert!(matches!(backwards, Err(OrderError::InvalidTransition(_))), "{backwards:?}");
    assert_eq!(cluster.sql(row), written);
    assert_eq!(update(&orders, "o2", &to(OrderStatus::Paid)).await, Err(OrderError::NotFound("o2".to_owned())));
}

#[tokio::test]
async fn metadata_is_merged_and_only_what_changed_is_written() {
    let Some(cluster) = seeded() else { return };
    let metadata = Json::parse("{\"gift\":null,\"mailed\":[\"ä\"]}").expect("valid");
    let patch = OrderPatch { metadata: Some(metadata), ..OrderPatch::default() };
    update(&orders(prisma(cluster.url())), "o1", &patch).await.expect("changed");
    let written = cluster.sql(r#"SELECT "status", "metadata", "fulfilledAt" FROM "Order""#);
    assert_eq!(written, ["PAID|{\"mailed\": [\"ä\"]}|"]);
}

#[tokio::test]
async fn the_revision_is_the_time_of_the_last_change_where_there_is_no_column_for_it() {
    let Some(cluster) = seeded() else { return };
    let orders = orders(prisma(cluster.url()));
    let read = orders.fetch("o1", [], now()).await.expect("an order").revision;
    let expecting = |revision| OrderPatch { expected_revision: Some(revision), ..to(OrderStatus::Fulfilled) };
    let stale = update(&orders, "o1", &expecting(read - 1)).await;
    assert_eq!(stale, Err(OrderError::RevisionConflict(read)));
    let changed = update(&orders, "o1", &expecting(read)).await.expect("changed");
    assert!(changed.revision > read);
    let again = orders.update("o1", &expecting(read), [], ASKED, now()).await;
    assert_eq!(again, Err(OrderError::RevisionConflict(changed.revision)));
    let in_doubt = Asked { in_doubt: true, ..ASKED };
    assert_eq!(orders.update("o1", &expecting(read), [], in_doubt, now()).await, Ok(changed));
}

/// A shop that names everything otherwise, with ids that are UUIDs, decimal amounts, and a schema of its own.
const OTHER: &str = r#"
CREATE SCHEMA sales;
CREATE TABLE sales.bestellung (
    nr UUID PRIMARY KEY, lage VARCHAR(20) NOT NULL CHECK (lage <> 'STORNIERT'), mail TEXT NOT NULL,
    summe NUMERIC(10, 2), angelegt TIMESTAMPTZ NOT NULL, erledigt TIMESTAMPTZ, version BIGINT NOT NULL DEFAULT 1
);
CREATE TABLE sales."posten""liste" (bestellung UUID, artikel TEXT, preis NUMERIC(10, 4));
INSERT INTO sales.bestellung VALUES
    ('6f2b0e9e-0000-4000-8000-000000000001', 'BEZAHLT', 'ada@example.com', 12.5, '2026-03-01 10:00:00+01');
INSERT INTO sales."posten""liste" VALUES ('6f2b0e9e-0000-4000-8000-000000000001', 'MUG-07', 12.5000);
"#;

fn other(cluster: &Cluster) -> PostgresOrders {
    let columns = prisma(format!("{}?schema=sales", cluster.url()));
    PostgresOrders {
        orders: OrderColumns {
            table: "bestellung".to_owned(),
            id: "nr".to_owned(),
            status: "lage".to_owned(),
            customer_email: "mail".to_owned(),
            customer_name: None,
            total: some("summe"),
            currency: None,
            created_at: "angelegt".to_owned(),
            updated_at: None,
            fulfilled_at: some("erledigt"),
            refunded_at: None,
            metadata: None,
            revision: some("version"),
        },
        items: ItemColumns {
            table: "posten\"liste".to_owned(),
            id: None,
            order: "bestellung".to_owned(),
            sku: some("artikel"),
            name: None,
            quantity: None,
            unit_price: "preis".to_owned(),
        },
        amounts: Amounts::Major,
        currency: some("EUR"),
        statuses: BTreeMap::from([
            ("BEZAHLT".to_owned(), OrderStatus::Paid),
            ("FERTIG".to_owned(), OrderStatus::Fulfilled),
            ("STORNIERT".to_owned(), OrderStatus::Cancelled),
        ]),
        ..columns
    }
}

const NUMBER: &str = "6f2b0e9e-0000-4000-8000-000000000001";

#[tokio::test]
async fn tables_of_another_shape_are_read_and_written_in_their_own_words() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.sql(OTHER);
    let orders = orders(other(&cluster));
    let order = orders.fetch(NUMBER, [], now()).await.expect("an order");
    assert_eq!((order.status, order.revision, order.created_at.as_millis()), (OrderStatus::Paid, 1, PLACED));
    assert_eq!(order.total, Money { minor: 1250, currency: "EUR".to_owned() });
    let item = &order.items[0];
    assert_eq!(
        (item.sku.as_str(), item.name.as_str(), item.quantity, item.unit_price.minor),
        ("MUG-07", "MUG-07", 1, 1250)
    );
    let changed = update(&orders, NUMBER, &to(OrderStatus::Fulfilled)).await.expect("changed");
    assert_eq!((changed.revision, changed.fulfilled_at), (2, Some(now())));
    let written = cluster.sql("SELECT lage, extract(epoch FROM erledigt)::bigint, version FROM sales.bestellung");
    assert_eq!(written, [format!("FERTIG|{}|2", (PLACED + 60_000) / 1000)]);
    let missing = orders.fetch("no-uuid", [], now()).await;
    assert_eq!(missing, Err(OrderError::NotFound("no-uuid".to_owned())));
    let metadata = OrderPatch { metadata: Some(Json::empty_object()), ..OrderPatch::default() };
    let Err(OrderError::Denied(text)) = update(&orders, NUMBER, &metadata).await else { panic!("there is no column") };
    assert!(text.contains("orders.postgres.orders.metadata"), "{text}");
}

#[tokio::test]
async fn the_total_is_the_sum_of_the_items_where_there_is_no_column_for_it() {
    let Some(cluster) = seeded() else { return };
    let mut settings = prisma(cluster.url());
    settings.orders.total = None;
    let order = orders(settings).fetch("o1", [], now()).await.expect("an order");
    assert_eq!(order.total.minor, 2900);
}

#[tokio::test]
async fn what_the_database_refuses_is_no_transition_of_this_order() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.sql(OTHER);
    let refused = update(&orders(other(&cluster)), NUMBER, &to(OrderStatus::Cancelled)).await;
    let Err(OrderError::InvalidTransition(text)) = refused else { panic!("{refused:?}") };
    assert!(text.contains("bestellung_lage_check"), "{text}");
    assert_eq!(cluster.sql("SELECT lage FROM sales.bestellung"), ["BEZAHLT"]);
}

#[tokio::test]
async fn a_word_that_the_enum_does_not_have_is_told_with_the_key_that_says_it() {
    let Some(cluster) = seeded() else { return };
    let statuses = BTreeMap::from([("SHIPPED".to_owned(), OrderStatus::Fulfilled)]);
    let orders = orders(PostgresOrders { statuses, ..prisma(cluster.url()) });
    let text = unavailable(update(&orders, "o1", &to(OrderStatus::Fulfilled)).await);
    assert!(text.contains("SHIPPED") && text.contains("orders.postgres.statuses"), "{text}");
}

#[tokio::test]
async fn many_at_once_change_an_order_once() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.sql(OTHER);
    cluster.sql(
        "CREATE TABLE sales.changes (version BIGINT);
         CREATE RULE noted AS ON UPDATE TO sales.bestellung DO ALSO INSERT INTO sales.changes VALUES (new.version)",
    );
    let orders = Arc::new(orders(other(&cluster)));
    let mut under_way = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let orders = Arc::clone(&orders);
        under_way.spawn(async move { update(&orders, NUMBER, &to(OrderStatus::Fulfilled)).await });
    }
    for changed in under_way.join_all().await {
        assert_eq!(changed.expect("changed").revision, 2);
    }
    assert_eq!(cluster.sql("SELECT version FROM sales.changes"), ["2"], "the row was written once");
}

#[tokio::test]
async fn names_that_the_database_does_not_have_are_told_by_their_keys() {
    let Some(cluster) = seeded() else { return };
    let said = |change: fn(&mut PostgresOrders)| {
        let mut settings = prisma(cluster.url());
        change(&mut settings);
        let orders = orders(settings);
        async move { unavailable(orders.fetch("o1", [], now()).await) }
    };
    let text = said(|settings| settings.orders.table = "Orders".to_owned()).await;
    assert!(
        text.contains("\"Orders\" does not exist") && text.ends_with("check orders.postgres.orders.table"),
        "{text}"
    );
    let text = said(|settings| settings.orders.customer_name = some("client")).await;
    assert!(text.ends_with("check orders.postgres.orders.customer_name"), "{text}");
    let text = said(|settings| settings.items.order = "order_id".to_owned()).await;
    assert!(text.ends_with("check orders.postgres.items.order"), "{text}");
    let text = said(|settings| {
        settings.database.url = Secret::new(settings.database.url.expose().to_owned() + "?schema=nowhere");
    })
    .await;
    assert!(text.contains("nowhere") && text.contains("orders.postgres"), "{text}");
}

#[tokio::test]
async fn what_the_user_may_not_do_is_denied() {
    let Some(cluster) = seeded() else { return };
    cluster.sql("CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader");
    let orders = orders(prisma(cluster.url().replace("shop@", "reader@")));
    let denied = update(&orders, "o1", &to(OrderStatus::Fulfilled)).await;
    let Err(OrderError::Denied(text)) = denied else { panic!("{denied:?}") };
    assert!(text.contains("permission denied") && text.contains("orders.postgres.url"), "{text}");
    assert!(orders.fetch("o1", [], now()).await.is_ok());
}

#[tokio::test]
async fn a_row_that_another_holds_is_waited_for_no_longer_than_the_timeout() {
    let Some(cluster) = seeded() else { return };
    let holder = cluster.begin(r#"UPDATE "Order" SET "total" = 1"#);
    let locks = r#"SELECT count(*) FROM pg_locks WHERE relation = '"Order"'::regclass AND mode = 'RowExclusiveLock'"#;
    while cluster.sql(locks) != ["1"] {
        tokio::task::yield_now().await;
    }
    let mut settings = prisma(cluster.url());
    settings.database.timeout = Duration::from_millis(500);
    let orders = orders(settings);
    let text = unavailable(update(&orders, "o1", &to(OrderStatus::Fulfilled)).await);
    assert!(text.contains("lock timeout") || text.contains("statement timeout"), "{text}");
    assert!(orders.fetch("o1", [], now()).await.is_ok(), "readers don't wait");
    drop(holder);
    assert!(update(&orders, "o1", &to(OrderStatus::Fulfilled)).await.is_ok());
}

#[tokio::test]
async fn a_server_that_was_away_is_used_again() {
    let Some(mut cluster) = seeded() else { return };
    let orders = orders(prisma(cluster.url()));
    orders.fetch("o1", [], now()).await.expect("there");
    cluster.stop();
    for _ in 0..3 {
        unavailable(update(&orders, "o1", &to(OrderStatus::Fulfilled)).await);
    }
    cluster.restart();
    assert!(update(&orders, "o1", &to(OrderStatus::Fulfilled)).await.is_ok());
}

#[tokio::test]
async fn tls_is_kept_to_and_certificates_are_checked() {
    let Some(mut cluster) = seeded() else { return };
    let url = cluster.url();
    let fetch = async |query: &str| orders(prisma(format!("{url}?{query}"))).fetch("o1", [], now()).await;
    let text = unavailable(fetch("sslmode=require").await);
    assert!(text.contains("does not support TLS"), "{text}");
    let certificate = cluster.with_tls();
    let text = unavailable(fetch("sslmode=require").await);
    assert!(text.contains("certificate"), "{text}");
    let trusted = format!("sslmode=verify-full&sslrootcert={}", certificate.display());
    assert!(fetch(&trusted).await.is_ok());
    let encrypted =
        "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND application_name = 'jobmill'";
    let kept = orders(prisma(format!("{url}?{trusted}")));
    kept.fetch("o1", [], now()).await.expect("there");
    assert_eq!(cluster.sql(encrypted), ["1"]);
}

fn email_log() -> EmailLogColumns {
    EmailLogColumns {
        table: "EmailLog".to_owned(),
        id: "id".to_owned(),
        run: some("runId"),
        job: some("jobId"),
        kind: some("kind"),
        to: some("to"),
        subject: some("subject"),
        status: some("status"),
        message_id: some("messageId"),
        error: some("error"),
        attempts: some("attempts"),
        created_at: some("createdAt"),
        sent_at: some("sentAt"),
    }
}

fn mail(number: u8, status: MailStatus) -> MailSummary {
    MailSummary {
        id: MailId::from_bytes([number; 16]),
        run: RunId::from_bytes([7; 16]),
        job: "welcome-email".parse().expect("an id"),
        kind: "welcome".to_owned(),
        to: "ada@example.com".to_owned(),
        subject: "Willkommen, Zoë's \"Freundin\"".to_owned(),
        status,
        message_id: "a.b@shop.example".to_owned(),
        attempts: 1,
        created_at: Timestamp::from_millis(PLACED),
        sent_at: (status == MailStatus::Sent).then(now),
        error: (status == MailStatus::Failed).then(|| "550 no such user".to_owned()),
        reply: None,
    }
}

#[tokio::test]
async fn the_log_of_mails_has_one_row_a_mail_as_it_stands_last() {
    let Some(cluster) = seeded() else { return };
    let log = EmailLog::new(&database(cluster.url()), email_log()).expect("usable");
    let rows =
        r#"SELECT "status", "error", "attempts", "sentAt", "createdAt", "subject", xmin FROM "EmailLog" ORDER BY "id""#;
    let refused = log.write(&[mail(1, MailStatus::Sending), mail(2, MailStatus::Failed)]).await.expect("written");
    assert!(refused.is_empty());
    let first = cluster.sql(rows);
    assert!(first[0].starts_with("sending||1||2026-03-01 09:00:00|Willkommen, Zoë's \"Freundin\"|"), "{first:?}");
    assert!(first[1].starts_with("failed|550 no such user|1||"), "{first:?}");
    log.write(&[mail(1, MailStatus::Sent), mail(2, MailStatus::Failed)]).await.expect("written");
    let second = cluster.sql(rows);
    assert!(second[0].starts_with("sent||1|2026-03-01 09:01:00|"), "{second:?}");
    assert_eq!(second[1], first[1], "a row that says the same is not written again");
}

#[tokio::test]
async fn a_mail_that_the_table_does_not_take_keeps_no_other_back() {
    let Some(cluster) = seeded() else { return };
    cluster.sql(r#"ALTER TABLE "EmailLog" ADD CHECK ("status" <> 'suppressed')"#);
    let log = EmailLog::new(&database(cluster.url()), email_log()).expect("usable");
    let mails = [mail(1, MailStatus::Sent), mail(2, MailStatus::Suppressed), mail(3, MailStatus::Sent)];
    let refused = log.write(&mails).await.expect("written");
    assert_eq!(refused.iter().map(|refused| refused.mail).collect::<Vec<_>>(), [mails[1].id]);
    assert_eq!(cluster.sql(r#"SELECT count(*) FROM "EmailLog""#), ["2"]);
}

#[tokio::test]
async fn columns_of_the_log_can_be_others_or_left_out() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.sql("CREATE TABLE mails (mail TEXT UNIQUE, state TEXT)");
    let none = EmailLogColumns {
        table: "public.mails".to_owned(),
        id: "mail".to_owned(),
        run: None,
        job: None,
        kind: None,
        to: None,
        subject: None,
        status: some("state"),
        message_id: None,
        error: None,
        attempts: None,
        created_at: None,
        sent_at: None,
    };
    let log = EmailLog::new(&database(cluster.url()), none.clone()).expect("usable");
    log.write(&[mail(1, MailStatus::Captured)]).await.expect("written");
    assert_eq!(cluster.sql("SELECT state FROM mails"), ["captured"]);
    cluster.sql("ALTER TABLE mails DROP CONSTRAINT mails_mail_key");
    let error = log.write(&[mail(2, MailStatus::Sent)]).await.expect_err("no unique index").to_string();
    assert!(error.contains("orders.postgres.email_log.id"), "{error}");
    let log =
        EmailLog::new(&database(cluster.url()), EmailLogColumns { status: some("stand"), ..none }).expect("usable");
    let error = log.write(&[mail(2, MailStatus::Sent)]).await.expect_err("no such column").to_string();
    assert!(error.ends_with("check orders.postgres.email_log.status"), "{error}");
}
