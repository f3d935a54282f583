//! The listener over real sockets: it serves, bounds slow clients, and stops in order.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::world::{WATCHDOG, World, settings_with};

async fn listen(world: &World) -> (std::net::SocketAddr, JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let serving = tokio::spawn(jobmill_server::serve(listener, world.handle.clone(), settings_with(None)));
    (address, serving)
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    tokio::time::timeout(WATCHDOG, stream.read_to_end(&mut text)).await.expect("the end never came").expect("readable");
    String::from_utf8(text).expect("UTF-8")
}

async fn stopped(serving: JoinHandle<std::io::Result<()>>) {
    let ended = tokio::time::timeout(WATCHDOG, serving).await.expect("it never stopped");
    ended.expect("no panic").expect("no error");
}

#[tokio::test]
async fn a_stop_answers_what_is_under_way_and_closes_the_rest() {
    let world = World::start().await;
    let (address, serving) = listen(&world).await;
    let mut idle = TcpStream::connect(address).await.expect("connected");
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200");
    let mut waiting = TcpStream::connect(address).await.expect("connected");
    let body = "{\"payload\": 1}";
    let request = format!(
        "POST /api/v1/jobs/stuck/runs?wait=5m HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    waiting.write_all(request.as_bytes()).await.expect("sent");
    world.clock.is_awaited_in(Duration::from_mins(5)).await;
    world.handle.shutdown();
    assert!(read_to_end(&mut waiting).await.starts_with("HTTP/1.1 202"));
    read_to_end(&mut idle).await;
    stopped(serving).await;
    assert!(TcpStream::connect(address).await.is_err(), "nothing listens any more");
}

#[tokio::test]
async fn what_is_not_http_is_closed() {
    let world = World::start().await;
    let (address, serving) = listen(&world).await;
    for bytes in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"GET / HTTP/9.9\r\n\r\n", b"\0\0\0\0\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(bytes).await.expect("sent");
        let answer = read_to_end(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    let mut two_lengths = TcpStream::connect(address).await.expect("connected");
    let smuggled = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab";
    two_lengths.write_all(smuggled).await.expect("sent");
    assert!(read_to_end(&mut two_lengths).await.starts_with("HTTP/1.1 400"));
    world.handle.shutdown();
    stopped(serving).await;
}

/// On a clock that moves whenever everybody waits, so that the bounds pass at once.
#[tokio::test(start_paused = true)]
async fn slow_heads_and_idle_connections_are_closed_and_slow_bodies_answered() {
    let (world, _engine) = World::prepare(&[]);
    let (address, _serving) = listen(&world).await;
    let begun = tokio::time::Instant::now();
    let mut slow_head = TcpStream::connect(address).await.expect("connected");
    slow_head.write_all(b"GET /healthz HTTP/1.1\r\nhost: local").await.expect("sent");
    let mut nothing = Vec::new();
    slow_head.read_to_end(&mut nothing).await.expect("closed");
    assert_eq!(begun.elapsed().as_secs(), 10);
    let mut slow_body = TcpStream::connect(address).await.expect("connected");
    let head = "POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    slow_body.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = [0; 12];
    slow_body.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 408");
    let mut idle = TcpStream::connect(address).await.expect("connected");
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
    let mut answered = Vec::new();
    idle.read_to_end(&mut answered).await.expect("closed");
    assert!(answered.starts_with(b"HTTP/1.1 200"));
}
