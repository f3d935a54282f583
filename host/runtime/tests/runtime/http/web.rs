//! A server that guests send requests to, and the names of these tests.
//! It does not know what a test is about; what sends them is `ask`.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use jobmill_backends::Resolve;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What every job here has for a secret, under the name `token`.
pub(crate) const SECRET: &str = "s3cr3t-t0ken";

/// The names of these tests. None leads anywhere.
pub(crate) struct Names;

impl Resolve for Names {
    fn resolve<'a>(&'a self, host: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        Box::pin(async move {
            let addresses: &[&str] = match host {
                "private.example" => &["10.0.0.1"],
                "mixed.example" => &["1.1.1.1", "127.0.0.1"],
                _ => return Err(io::Error::other("there is no such name")),
            };
            Ok(addresses.iter().map(|address| address.parse().expect("an address")).collect())
        })
    }
}

/// A server that gives these answers, one a connection, and then hangs up on everybody.
pub(crate) struct Server {
    /// Where it is, such as `127.0.0.1:4711`.
    pub(crate) authority: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// An answer of `""` is none: the connection ends.
    pub(crate) async fn answering(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let authority = listener.local_addr().expect("an address").to_string();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let (kept, answers) =
            (Arc::clone(&requests), answers.iter().map(|&answer| answer.to_owned()).collect::<Vec<_>>());
        tokio::spawn(async move {
            let mut answers = answers.into_iter();
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = read(&mut stream).await;
                kept.lock().expect("no panic").push(request);
                let answer = answers.next().unwrap_or_default();
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { authority, requests }
    }

    /// What was asked so far, each as it stood on the line.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }
}

/// The value of a header of a request.
pub(crate) fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let lines = request.lines().take_while(|line| !line.is_empty());
    lines
        .filter_map(|line| line.split_once(": "))
        .find(|(own, _)| own.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// An answer with this body.
pub(crate) fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

async fn read(stream: &mut TcpStream) -> String {
    let (mut request, mut buffer) = (String::new(), [0; 4096]);
    loop {
        if let Some((head, body)) = request.split_once("\r\n\r\n") {
            let length = header(head, "content-length").map_or(0, |length| length.parse().expect("a number"));
            if body.len() >= length {
                return request;
            }
        }
        let read = stream.read(&mut buffer).await.expect("a request");
        assert!(read > 0, "the request ends early: {request}");
        request.push_str(std::str::from_utf8(&buffer[..read]).expect("text"));
    }
}
