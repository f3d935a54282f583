//! What the shop's endpoint is asked, and what becomes of each of its answers: against a server of the test's own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use jobmill_core::Json;
use jobmill_core::order::Money;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::{Asked, Faults, Orders};

const NOW: u64 = 1_772_355_600_000;

/// A request as it came in.
#[derive(Debug, Clone)]
struct Received {
    line: String,
    headers: String,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// What the server does with a request.
enum Reply {
    /// Answers with this status line, these headers and this body.
    Answer(&'static str, String, String),
    /// Answers nothing.
    Silence,
    /// Closes the connection.
    Cut,
}

fn answer(status: &'static str, body: impl Into<String>) -> Reply {
    Reply::Answer(status, String::new(), body.into())
}

fn with_header(status: &'static str, header: &str) -> Reply {
    Reply::Answer(status, format!("{header}\r\n"), "{}".to_owned())
}

/// The shop.
struct Shop {
    address: std::net::SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Shop {
    /// Answers one request after the other as the script says.
    async fn serving(script: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let received = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new(script.into_iter().collect::<VecDeque<_>>()));
        let kept = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Self::session(stream, Arc::clone(&script), Arc::clone(&kept)));
            }
        });
        Self { address, received }
    }

    async fn session(
        stream: TcpStream,
        script: Arc<Mutex<VecDeque<Reply>>>,
        received: Arc<Mutex<Vec<Received>>>,
    ) -> Option<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let (mut line, mut headers) = (String::new(), String::new());
            stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
            loop {
                let mut header = String::new();
                stream.read_line(&mut header).await.ok()?;
                if header.trim().is_empty() {
                    break;
                }
                headers.push_str(&header);
            }
            let mut request = Received { line: line.trim().to_owned(), headers, body: String::new() };
            let length = request.header("content-length").map_or(0, |length| length.parse().expect("a length"));
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.ok()?;
            request.body = String::from_utf8(body).expect("text");
            received.lock().expect("not poisoned").push(request);
            let reply =
                script.lock().expect("not poisoned").pop_front().expect("a request that the script does not expect");
            match reply {
                Reply::Answer(status, headers, body) => {
                    let length = body.len();
                    let text = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
                    stream.write_all(text.as_bytes()).await.ok()?;
                }
                Reply::Silence => std::future::pending().await,
                Reply::Cut => return None,
            }
        }
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().expect("not poisoned").clone()
    }

    fn lines(&self) -> Vec<String> {
        self.received().into_iter().map(|request| request.line).collect()
    }

    fn orders(&self) -> Orders {
        let settings = HttpOrders { base_url: format!("http://{}/orders/", self.address), ..settings() };
        Orders::http(settings, Arc::new(Faults::default())).expect("usable settings")
    }
}

fn pointer(text: &str) -> jobmill_core::flow::Pointer {
    text.to_owned().try_into().expect("a pointer")
}

fn settings() -> HttpOrders {
    HttpOrders {
        base_url: "https://shop.example/orders".to_owned(),
        token: Some(Secret::new("hunter2")),
        timeout: Duration::from_secs(5),
        fields: OrderFields {
            status: pointer("/state"),
            customer_email: pointer("/customer/email"),
            customer_name: pointer("/customer/name"),
            items: pointer("/lines"),
            total: pointer("/total/minor"),
            currency: pointer("/total/currency"),
            created_at: pointer("/created_at"),
            fulfilled_at: pointer("/fulfilled_at"),
            refunded_at: pointer("/refunded_at"),
            metadata: pointer("/metadata"),
            revision: pointer("/revision"),
            item_sku: pointer("/article/number"),
            item_name: pointer("/article/name"),
            item_quantity: pointer("/pieces"),
            item_unit_price: pointer("/price"),
            item_currency: pointer("/currency"),
        },
        statuses: BTreeMap::from([("COMPLETE".to_owned(), OrderStatus::Fulfilled)]),
    }
}

fn order(state: &str, revision: u64) -> String {
    format!(
        r#"{{ "state": "{state}", "customer": {{ "email": "ada@example.com", "name": null }},
            "lines": [{{ "article": {{ "number": "MUG-07", "name": "Mug" }}, "pieces": 2, "price": 1450 }}],
            "total": {{ "minor": 2900, "currency": "EUR" }}, "created_at": "2026-03-01T09:00:00Z",
            "metadata": {{ "gift": true }}, "revision": {revision} }}"#
    )
}

fn now() -> Timestamp {
    Timestamp::from_millis(NOW)
}

const ASKED: Asked<'static> = Asked { idempotency_key: "run_1/order/o1", in_doubt: false };
const IN_DOUBT: Asked<'static> = Asked { in_doubt: true, ..ASKED };

fn fulfilled() -> OrderPatch {
    OrderPatch { status: Some(OrderStatus::Fulfilled), ..OrderPatch::default() }
}

fn at_revision(revision: u64) -> OrderPatch {
    OrderPatch { expected_revision: Some(revision), ..fulfilled() }
}

#[tokio::test]
async fn an_order_is_read_where_the_configuration_says() {
    let shop = Shop::serving([answer("200 OK", order("paid", 7))]).await;
    let read = shop.orders().fetch("o1", [], now()).await.expect("an order");
    assert_eq!((read.id.as_str(), read.status, read.revision), ("o1", OrderStatus::Paid, 7));
    assert_eq!((read.customer_email.as_str(), read.customer_name), ("ada@example.com", None));
    assert_eq!(read.total, Money { minor: 2900, currency: "EUR".to_owned() });
    let item = &read.items[0];
    assert_eq!((item.sku.as_str(), item.name.as_str(), item.quantity), ("MUG-07", "Mug", 2));
    assert_eq!(item.unit_price, Money { minor: 1450, currency: "EUR".to_owned() });
    assert_eq!(read.created_at, now());
    let request = &shop.received()[0];
    assert_eq!(request.line, "GET /orders/o1 HTTP/1.1");
    assert_eq!(request.header("authorization"), Some("Bearer hunter2"));
}

#[tokio::test]
async fn an_id_never_leaves_its_place_in_the_path() {
    let shop = Shop::serving((0..5).map(|_| answer("404 Not Found", ""))).await;
    for id in ["../admin", "a b?c=d#e", "ä/ö", "..", "100%\r\nx: y"] {
        assert_eq!(shop.orders().fetch(id, [], now()).await, Err(OrderError::NotFound(id.to_owned())));
    }
    let expected = ["%2E%2E%2Fadmin", "a%20b%3Fc%3Dd%23e", "%C3%A4%2F%C3%B6", "%2E%2E", "100%25%0D%0Ax%3A%20y"];
    assert_eq!(shop.lines(), expected.map(|segment| format!("GET /orders/{segment} HTTP/1.1")));
}

#[tokio::test]
async fn a_change_is_asked_for_in_the_shop_s_words_under_its_key() {
    let shop = Shop::serving([answer("200 OK", order("paid", 7)), answer("200 OK", order("COMPLETE", 8))]).await;
    let metadata = Some(Json::parse("{\"gift\":null}").expect("valid"));
    let patch = OrderPatch { metadata, ..at_revision(7) };
    let changed = shop.orders().update("o1", &patch, [], ASKED, now()).await.expect("changed");
    assert_eq!((changed.status, changed.revision), (OrderStatus::Fulfilled, 8));
    let request = &shop.received()[1];
    assert_eq!(request.line, "PATCH /orders/o1 HTTP/1.1");
    assert_eq!(request.header("idempotency-key"), Some("run_1/order/o1"));
    assert_eq!(request.header("if-match"), Some("\"7\""));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.body, r#"{"metadata":{"gift":null},"status":"COMPLETE"}"#);
}

#[tokio::test]
async fn without_an_expected_revision_none_is_sent() {
    let shop = Shop::serving([answer("200 OK", order("paid", 7)), answer("200 OK", order("COMPLETE", 8))]).await;
    shop.orders().update("o1", &fulfilled(), [], ASKED, now()).await.expect("changed");
    assert_eq!(shop.received()[1].header("if-match"), None);
    assert_eq!(shop.received()[1].body, r#"{"status":"COMPLETE"}"#);
}

#[tokio::test]
async fn an_order_that_is_so_already_or_may_not_become_so_is_not_asked_to_change() {
    let shop = Shop::serving([answer("200 OK", order("COMPLETE", 8)), answer("200 OK", order("refunded", 9))]).await;
    let orders = shop.orders();
    let same = orders.update("o1", &fulfilled(), [], ASKED, now()).await.expect("unchanged");
    assert_eq!((same.status, same.revision), (OrderStatus::Fulfilled, 8));
    let backwards = orders.update("o1", &fulfilled(), [], ASKED, now()).await;
    assert!(matches!(backwards, Err(OrderError::InvalidTransition(_))), "{backwards:?}");
    assert_eq!(shop.lines(), ["GET /orders/o1 HTTP/1.1", "GET /orders/o1 HTTP/1.1"]);
}

#[tokio::test]
async fn a_change_that_is_answered_without_an_order_is_looked_at_afterwards() {
    for reply in [answer("204 No Content", ""), answer("200 OK", "{\"ok\":true}"), answer("202 Accepted", "thanks")] {
        let shop =
            Shop::serving([answer("200 OK", order("paid", 7)), reply, answer("200 OK", order("COMPLETE", 8))]).await;
        let changed = shop.orders().update("o1", &fulfilled(), [], ASKED, now()).await.expect("changed");
        assert_eq!((changed.status, changed.revision), (OrderStatus::Fulfilled, 8));
        assert_eq!(shop.lines()[2], "GET /orders/o1 HTTP/1.1");
    }
}

/// What an update comes to whose `PATCH` is answered so.
async fn refused(reply: Reply) -> OrderError {
    let shop = Shop::serving([answer("200 OK", order("paid", 7)), reply]).await;
    shop.orders().update("o1", &fulfilled(), [], ASKED, now()).await.expect_err("refused")
}

#[tokio::test]
async fn each_status_is_an_error_of_its_class() {
    let of_class = |status: &'static str, class: fn(&OrderError) -> bool, says: &'static str| async move {
        let error = refused(answer(status, "{\"detail\":\"no stock\"}")).await;
        assert!(class(&error) && error.to_string().contains(says), "{status}: {error:?}");
    };
    let unavailable: fn(&OrderError) -> bool = |error| matches!(error, OrderError::Unavailable(_));
    let denied: fn(&OrderError) -> bool = |error| matches!(error, OrderError::Denied(_));
    for status in ["404 Not Found", "410 Gone"] {
        of_class(status, |error| matches!(error, OrderError::NotFound(_)), "o1").await;
    }
    of_class("422 Unprocessable Content", |error| matches!(error, OrderError::InvalidTransition(_)), "no stock").await;
    of_class("401 Unauthorized", denied, "orders.http.token").await;
    of_class("403 Forbidden", denied, "orders.http.token").await;
    of_class("400 Bad Request", denied, "400 Bad Request to PATCH (no stock)").await;
    of_class("405 Method Not Allowed", denied, "orders.http.base_url").await;
    of_class("429 Too Many Requests", |error| *error == OrderError::RateLimited(None), "slow down").await;
    for status in ["500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable", "408 Request Timeout"] {
        of_class(status, unavailable, "no stock").await;
    }
}

#[tokio::test]
async fn a_delay_is_told_in_seconds_or_as_a_date() {
    let seconds = refused(with_header("429 Too Many Requests", "retry-after: 90")).await;
    assert_eq!(seconds, OrderError::RateLimited(Some(Duration::from_secs(90))));
    let date = refused(with_header("429 Too Many Requests", "retry-after: Sun, 01 Mar 2026 09:01:00 GMT")).await;
    assert_eq!(date, OrderError::RateLimited(Some(Duration::from_mins(1))));
    let past = refused(with_header("429 Too Many Requests", "retry-after: Sun, 01 Mar 2026 08:00:00 GMT")).await;
    assert_eq!(past, OrderError::RateLimited(Some(Duration::ZERO)));
    let nonsense = refused(with_header("429 Too Many Requests", "retry-after: soon")).await;
    assert_eq!(nonsense, OrderError::RateLimited(None));
}

#[tokio::test]
async fn a_conflict_tells_the_revision_that_the_order_has_now() {
    for status in ["409 Conflict", "412 Precondition Failed"] {
        let body = refused(answer(status, "{\"revision\":9}")).await;
        assert_eq!(body, OrderError::RevisionConflict(9));
        let tag = refused(with_header(status, "etag: \"10\"")).await;
        assert_eq!(tag, OrderError::RevisionConflict(10));
        let shop = Shop::serving([
            answer("200 OK", order("paid", 7)),
            answer(status, ""),
            answer("200 OK", order("paid", 11)),
        ]);
        let shop = shop.await;
        let looked_up = shop.orders().update("o1", &at_revision(7), [], ASKED, now()).await;
        assert_eq!(looked_up, Err(OrderError::RevisionConflict(11)));
    }
}

#[tokio::test]
async fn a_change_in_doubt_that_is_refused_counts_as_made_when_the_order_shows_it() {
    let shop = Shop::serving([answer("200 OK", order("COMPLETE", 8)), answer("200 OK", order("COMPLETE", 8))]).await;
    let made = shop.orders().update("o1", &at_revision(7), [], IN_DOUBT, now()).await.expect("made before");
    assert_eq!(made.revision, 8);
    let shop = Shop::serving([answer("200 OK", order("COMPLETE", 8))]).await;
    let first_try = shop.orders().update("o1", &at_revision(7), [], ASKED, now()).await;
    assert_eq!(first_try, Err(OrderError::RevisionConflict(8)));
    let shop = Shop::serving([answer("200 OK", order("paid", 8)), answer("200 OK", order("paid", 8))]).await;
    let not_made = shop.orders().update("o1", &at_revision(7), [], IN_DOUBT, now()).await;
    assert_eq!(not_made, Err(OrderError::RevisionConflict(8)));
}

#[tokio::test]
async fn an_answer_that_is_no_order_says_what_is_missing_where() {
    let said = |text: String| async move {
        let shop = Shop::serving([answer("200 OK", text)]).await;
        match shop.orders().fetch("o1", [], now()).await {
            Err(OrderError::Unavailable(text)) => text,
            other => panic!("{other:?}"),
        }
    };
    let whole = order("paid", 7);
    for (part, instead, says) in [
        ("\"email\"", "\"mail\"", "nothing at /customer/email"),
        ("\"pieces\": 2", "\"pieces\": \"two\"", "something else than a whole number at /pieces of item 0"),
        ("\"pieces\": 2", "\"pieces\": -2", "a number of pieces at /pieces of item 0"),
        ("2900", "29.00", "a whole number at /total/minor"),
        ("2026-03-01T09:00:00Z", "yesterday", "an RFC 3339 time at /created_at"),
        ("{ \"gift\": true }", "[]", "an object at /metadata"),
        ("paid", "on hold", "\"on hold\", which orders.http.statuses does not name"),
    ] {
        assert!(whole.contains(part), "{part}");
        let text = said(whole.replacen(part, instead, 1)).await;
        assert!(text.contains(says), "{text}");
    }
    assert!(said("<html>".to_owned()).await.contains("6 bytes that are no JSON"));
    assert!(said("[]".to_owned()).await.contains("nothing at"));
    let large = format!("\"{}\"", "x".repeat(ANSWER_BYTES));
    assert!(said(large).await.contains("larger than"));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Shop::serving([]).await;
    let location = format!("location: http://{}/orders/o1", elsewhere.address);
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let shop = Shop::serving([with_header(status, &location)]).await;
        let Err(OrderError::Unavailable(text)) = shop.orders().fetch("o1", [], now()).await else { panic!("followed") };
        assert!(text.contains("redirects are not followed") && text.contains("base_url"), "{text}");
    }
    assert!(elsewhere.received().is_empty());
}

#[tokio::test]
async fn silence_and_a_shop_that_is_gone_are_unavailable() {
    let shop = Shop::serving([Reply::Silence, Reply::Cut]).await;
    let patience = Duration::from_millis(100);
    let settings = HttpOrders { base_url: format!("http://{}", shop.address), timeout: patience, ..settings() };
    let orders = Orders::http(settings.clone(), Arc::new(Faults::default())).expect("usable");
    let silent = orders.fetch("o1", [], now()).await;
    let said = "the order source did not answer within 100ms".to_owned();
    assert_eq!(silent, Err(OrderError::Unavailable(said)));
    assert!(matches!(orders.fetch("o1", [], now()).await, Err(OrderError::Unavailable(_))));
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let settings = HttpOrders { base_url: format!("http://{closed}"), ..settings };
    let orders = Orders::http(settings, Arc::new(Faults::default())).expect("usable");
    let Err(OrderError::Unavailable(text)) = orders.fetch("o1", [], now()).await else { panic!("answered") };
    assert!(text.contains("refused"), "{text}");
}

#[test]
fn settings_that_cannot_be_used_are_named_by_their_key_and_not_repeated() {
    let base_url = |url: &str| HttpSource::new(HttpOrders { base_url: url.to_owned(), ..settings() }).map(drop);
    for url in [
        "",
        "shop.example/orders",
        "ftp://shop.example",
        "http://shop.example/orders",
        "https://u:hunter2@shop.example",
        "https://shop.example/orders?key=hunter2",
    ] {
        let refused = base_url(url).expect_err(url);
        assert!(refused.key == "orders.http.base_url" && !refused.reason.contains("hunter2"), "{url}: {refused}");
    }
    for url in ["https://shop.example", "http://localhost:3000/api/", "http://[::1]:3000", "http://127.0.0.2/x"] {
        assert_eq!(base_url(url), Ok(()), "{url}");
    }
    let token = HttpSource::new(HttpOrders { token: Some(Secret::new("a\nb")), ..settings() }).map(drop);
    assert_eq!(token.expect_err("refused").key, "orders.http.token");
    let timeout = HttpSource::new(HttpOrders { timeout: Duration::ZERO, ..settings() }).map(drop);
    assert_eq!(timeout.expect_err("refused").key, "orders.http.timeout");
}
