//! The least of an HTTP/1.1 client: one request after the other on a connection that is kept.
//! It understands this server's answers and no others: a length in the head, nothing in chunks, no redirects.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::machine;

/// Bytes of the head of an answer.
const HEAD_BYTES: usize = 16 * 1024;
/// The server closes what is quiet for 10 s; what is quieter than this is not trusted to be open.
const IDLE: Duration = Duration::from_secs(5);

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status code.
    pub(super) status: u16,
    /// The body.
    pub(super) body: String,
}

/// A connection to the server.
#[derive(Debug)]
pub(super) struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    used: Instant,
}

impl Connection {
    /// Connects.
    pub(super) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        // A request goes out when it is written, not when the answer before it has been acknowledged.
        stream.set_nodelay(true)?;
        Ok(Self { address, stream, used: machine::moment() })
    }

    /// Posts JSON and reads the answer.
    pub(super) async fn post(&mut self, path: &str, json: &str) -> io::Result<Answer> {
        if machine::moment() - self.used > IDLE {
            *self = Self::open(self.address).await?;
        }
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
            self.address,
            json.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        let answer = self.answer().await?;
        self.used = machine::moment();
        Ok(answer)
    }

    async fn answer(&mut self) -> io::Result<Answer> {
        let mut received = Vec::with_capacity(1024);
        loop {
            if let Some(head) = head_of(&received)? {
                while received.len() < head.bytes + head.length {
                    self.receive(&mut received).await?;
                }
                let body = received.split_off(head.bytes);
                let body = String::from_utf8(body).map_err(|_| invalid("a body that is not UTF-8"))?;
                return Ok(Answer { status: head.status, body });
            }
            if received.len() > HEAD_BYTES {
                return Err(invalid("a head that is too long"));
            }
            self.receive(&mut received).await?;
        }
    }

    async fn receive(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        match self.stream.read_buf(into).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// What the head of an answer says.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    /// Bytes of the head itself.
    bytes: usize,
    status: u16,
    /// Bytes of the body.
    length: usize,
}

/// The head at the beginning of what was received; none while it is incomplete.
fn head_of(received: &[u8]) -> io::Result<Option<Head>> {
    const END: &[u8] = b"\r\n\r\n";
    let Some(end) = received.windows(END.len()).position(|window| window == END) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&received[..end]).map_err(|_| invalid("a head that is not text"))?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let length = lines.filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        if name.eq_ignore_ascii_case("content-length") { value.trim().parse().ok() } else { None }
    });
    match (status, length) {
        (Some(status), Some(length)) => Ok(Some(Head { bytes: end + END.len(), status, length })),
        _ => Err(invalid("a head without status and length")),
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the server sent {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let answer = b"HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        for cut in 0..answer.len() - 2 {
            assert_eq!(head_of(&answer[..cut]).expect("not wrong"), None, "{cut} bytes");
        }
        let head = head_of(answer).expect("good").expect("whole");
        assert_eq!(head, Head { bytes: answer.len() - 2, status: 202, length: 2 });
    }

    #[test]
    fn an_answer_without_a_length_is_not_understood() {
        for answer in ["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "SMTP ready\r\n\r\n"] {
            assert!(head_of(answer.as_bytes()).is_err(), "{answer}");
        }
    }
}
