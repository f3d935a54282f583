//! Requests against servers of a few lines: whom they reach, how they are bounded, what stands on the line.
//! No test here reaches beyond this machine.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Mutex;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

const PATIENT: Bounds = Bounds {
    connect: limits::HTTP_TIMEOUT,
    first_byte: limits::HTTP_TIMEOUT,
    between_bytes: limits::HTTP_TIMEOUT,
    body: 1000,
};
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Gives the next of these answers to each question, and the last one from then on.
struct Scripted(Mutex<VecDeque<Vec<IpAddr>>>);

impl Resolve for Scripted {
    fn resolve<'a>(&'a self, _: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        let mut answers = self.0.lock().expect("no test panics here");
        let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Box::pin(async move { next.ok_or_else(|| io::Error::other("no such host")) })
    }
}

fn outgoing<const N: usize>(answers: [&[&str]; N]) -> Outgoing {
    let address = |text: &&str| text.parse().expect("an address");
    let answers = answers.iter().map(|answer| answer.iter().map(address).collect());
    Outgoing::new(Arc::new(Scripted(Mutex::new(answers.collect())))).expect("usable")
}

fn get(url: &str) -> Request<Bytes> {
    Request::get(url).body(Bytes::new()).expect("a request")
}

/// Answers the first request with these bytes, piece by piece; answers the request. After the last piece the connection stays open
/// for as long as the test does.
async fn answering(stream: impl AsyncRead + AsyncWrite + Unpin, pieces: Vec<Vec<u8>>) -> String {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = reader.read(&mut buffer).await.expect("a request");
        assert!(read > 0, "the request ends early");
        request.extend_from_slice(&buffer[..read]);
    }
    for piece in pieces {
        // Whoever had enough hangs up.
        if writer.write_all(&piece).await.is_err() {
            break;
        }
    }
    let _ = reader.read(&mut buffer).await;
    String::from_utf8(request).expect("text")
}

/// A server and its URL.
async fn server(pieces: &[&[u8]]) -> (tokio::task::JoinHandle<String>, u16) {
    let listener = TcpListener::bind((HERE, 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let pieces = pieces.iter().map(|piece| piece.to_vec()).collect();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        answering(stream, pieces).await
    });
    (serving, port)
}

async fn asked(pieces: &[&[u8]], bounds: &Bounds) -> Result<Response<Bytes>, OutgoingError> {
    let (_serving, port) = server(pieces).await;
    outgoing([]).send(get(&format!("http://127.0.0.1:{port}/")), Some(HERE), bounds).await
}

#[tokio::test]
async fn a_request_is_sent_as_it_is_and_answered_whole() {
    let (serving, port) = server(&[b"HTTP/1.1 201 Created\r\ncontent-length: 5\r\nx-a: 1\r\n\r\nhel", b"lo"]).await;
    let request = Request::post(format!("http://127.0.0.1:{port}/orders?a=1"))
        .header("x-b", "2")
        .header("content-length", "999")
        .body(Bytes::from_static(b"body"))
        .expect("a request");
    let answer = outgoing([]).send(request, Some(HERE), &PATIENT).await.expect("answered");
    assert_eq!((answer.status().as_u16(), &answer.body()[..]), (201, &b"hello"[..]));
    assert_eq!(answer.headers()["x-a"], "1");
    let sent = serving.await.expect("served").to_lowercase();
    assert!(sent.starts_with("post /orders?a=1 http/1.1\r\n"), "{sent}");
    for header in
        [format!("host: 127.0.0.1:{port}"), "x-b: 2".into(), "connection: close".into(), "content-length: 4".into()]
    {
        assert_eq!(sent.matches(&format!("\r\n{header}\r\n")).count(), 1, "{header} in {sent}");
    }
    assert_eq!(sent.matches("content-length").count(), 1, "{sent}");
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let redirect = b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n";
    let answer = asked(&[redirect], &PATIENT).await.expect("answered");
    assert_eq!(answer.status().as_u16(), 302);
    assert_eq!(answer.headers()["location"], "http://169.254.169.254/");
}

#[tokio::test]
async fn names_that_lead_into_private_networks_are_refused() {
    for answer in
        [&["10.0.0.1"][..], &["169.254.169.254"], &["127.0.0.1"], &["::1"], &["::ffff:10.0.0.1"], &["fd00::1"]]
    {
        let refused = outgoing([answer]).send(get("http://api.example.com/"), None, &PATIENT).await;
        assert!(matches!(refused, Err(OutgoingError::Private { .. })), "{answer:?}: {refused:?}");
    }
    // One address that is not everybody's condemns the others.
    let mixed = outgoing([&["1.1.1.1", "192.168.0.1"][..]]).send(get("http://api.example.com/"), None, &PATIENT).await;
    let private = OutgoingError::Private { host: "api.example.com".into(), address: [192, 168, 0, 1].into() };
    assert_eq!(mixed.expect_err("refused"), private);
    // An address that the operator wrote is no leave for names that lead there.
    let named = outgoing([&["127.0.0.1"][..]]).send(get("http://api.example.com/"), Some(HERE), &PATIENT).await;
    assert!(matches!(named, Err(OutgoingError::Private { .. })), "{named:?}");
}

#[tokio::test]
async fn addresses_are_reached_only_if_the_operator_wrote_them() {
    for (url, allowed) in
        [("http://127.0.0.1/", None), ("http://127.0.0.2/", Some(HERE)), ("http://[::1]/", Some(HERE))]
    {
        let refused = outgoing([]).send(get(url), allowed, &PATIENT).await;
        assert!(matches!(refused, Err(OutgoingError::Private { .. })), "{url}: {refused:?}");
    }
    for url in ["http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://127.1/"] {
        let refused = outgoing([&["1.1.1.1"][..]]).send(get(url), None, &PATIENT).await;
        assert!(matches!(refused, Err(OutgoingError::NumericHost(_))), "{url}: {refused:?}");
    }
}

#[tokio::test]
async fn a_name_is_looked_up_once_and_the_checked_address_is_the_one_that_is_reached() {
    // The second answer is what a host would say that changes its mind after the check.
    let rebinding = outgoing([&["1.1.1.1"][..], &["127.0.0.1"]]);
    let addresses = rebinding.addresses("api.example.com", None).await.expect("public");
    assert_eq!(addresses, [IpAddr::from([1, 1, 1, 1])]);
    let resolver = rebinding.addresses("api.example.com", None).await;
    assert!(matches!(resolver, Err(OutgoingError::Private { .. })), "{resolver:?}");
}

#[tokio::test]
async fn a_host_that_is_not_there_is_told() {
    let missing = outgoing([]).send(get("http://api.example.com/"), None, &PATIENT).await.expect_err("no host");
    assert!(matches!(missing, OutgoingError::NotFound { .. }) && !missing.may_have_arrived(), "{missing:?}");
    let port = TcpListener::bind((HERE, 0)).await.and_then(|listener| listener.local_addr()).expect("a port").port();
    let refused = outgoing([]).send(get(&format!("http://127.0.0.1:{port}/")), Some(HERE), &PATIENT).await;
    let refused = refused.expect_err("nobody listens");
    assert!(matches!(refused, OutgoingError::Unreachable { .. }) && !refused.may_have_arrived(), "{refused:?}");
}

#[tokio::test]
async fn answers_are_bounded() {
    let said = b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n";
    let error = asked(&[said], &PATIENT).await.expect_err("too large");
    assert_eq!(error, OutgoingError::LargeBody(1000));
    assert!(error.may_have_arrived());
    let chunk = format!("{:x}\r\n{}\r\n", 600, "x".repeat(600));
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let error = asked(&[head, chunk.as_bytes(), chunk.as_bytes()], &PATIENT).await.expect_err("too large");
    assert_eq!(error, OutgoingError::LargeBody(1000));
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(4 * limits::HTTP_HEAD_BYTES));
    assert_eq!(asked(&[long.as_bytes()], &PATIENT).await.expect_err("too large"), OutgoingError::LargeHead);
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: 1\r\n".repeat(limits::HTTP_HEADERS + 1));
    assert_eq!(asked(&[many.as_bytes()], &PATIENT).await.expect_err("too many"), OutgoingError::LargeHead);
}

#[tokio::test]
async fn slow_answers_are_given_up() {
    let short = Duration::from_millis(50);
    let hasty = Bounds { first_byte: short, ..PATIENT };
    assert_eq!(asked(&[], &hasty).await.expect_err("silent"), OutgoingError::AnswerTimeout(short));
    let hasty = Bounds { between_bytes: short, ..PATIENT };
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe";
    assert_eq!(asked(&[half], &hasty).await.expect_err("stuck"), OutgoingError::AnswerTimeout(short));
}

#[tokio::test]
async fn a_connection_that_breaks_may_have_carried_the_request() {
    let listener = TcpListener::bind((HERE, 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let serving = tokio::spawn(async move { drop(listener.accept().await) });
    let broken = outgoing([]).send(get(&format!("http://127.0.0.1:{port}/")), Some(HERE), &PATIENT).await;
    let broken = broken.expect_err("hung up");
    assert!(matches!(broken, OutgoingError::Broken(_)) && broken.may_have_arrived(), "{broken:?}");
    serving.await.expect("served");
}

/// Connects to a server with a certificate of this name, as if `host` led there.
async fn by_tls(
    certified: &str,
    host: &str,
) -> (Result<Response<Bytes>, OutgoingError>, tokio::task::JoinHandle<String>) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed([certified.to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(cert.der().to_vec())], key)
        .expect("a configuration");
    let listener = TcpListener::bind((HERE, 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        match TlsAcceptor::from(Arc::new(config)).accept(stream).await {
            Ok(stream) => {
                let name = stream.get_ref().1.server_name().map(str::to_owned).unwrap_or_default();
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec();
                format!("{name}\n{}", answering(stream, vec![answer]).await)
            }
            Err(error) => error.to_string(),
        }
    });
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().to_vec().into()).expect("an authority");
    let outgoing = Outgoing::trusting(roots, Arc::new(SystemResolver)).expect("usable");
    let opened = exchange::Connection::open(SocketAddr::new(HERE, port), host, Some(&outgoing.tls)).await;
    let answer = match opened {
        Ok(connection) => exchange::exchange(connection, get(&format!("https://{host}:{port}/")), &PATIENT).await,
        Err(error) => Err(error),
    };
    (answer, serving)
}

#[tokio::test]
async fn the_name_is_what_the_certificate_and_the_server_go_by() {
    let (answer, serving) = by_tls("api.example.com", "api.example.com").await;
    assert_eq!(answer.expect("answered").status().as_u16(), 200);
    let told = serving.await.expect("served");
    assert!(told.starts_with("api.example.com\n") && told.contains("host: api.example.com:"), "{told}");
    let (answer, _) = by_tls("other.example.com", "api.example.com").await;
    let error = answer.expect_err("another host");
    assert!(matches!(&error, OutgoingError::Tls { .. }) && !error.may_have_arrived(), "{error:?}");
}
