//! One connection, one request on it, and its answer.
//! It chooses no address, and reads no meaning into a status.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use jobmill_core::limits;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Bounds, OutgoingError};

/// A connection that nothing was sent on.
pub(super) enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// Connects to the address. `host` is who it has to be.
    pub(super) async fn open(
        address: SocketAddr,
        host: &str,
        tls: Option<&TlsConnector>,
    ) -> Result<Self, OutgoingError> {
        let unreachable =
            |error: io::Error| OutgoingError::Unreachable { host: host.to_owned(), reason: error.to_string() };
        let stream = TcpStream::connect(address).await.map_err(unreachable)?;
        let Some(tls) = tls else { return Ok(Self::Plain(stream)) };
        let refused = |reason: String| OutgoingError::Tls { host: host.to_owned(), reason };
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
        let name = name.map_err(|error| refused(error.to_string()))?;
        let stream = tls.connect(name, stream).await.map_err(|error| refused(error.to_string()))?;
        Ok(Self::Tls(Box::new(stream)))
    }
}

/// Sends the request and reads the whole answer.
pub(super) async fn exchange(
    connection: Connection,
    request: Request<Bytes>,
    bounds: &Bounds,
) -> Result<Response<Bytes>, OutgoingError> {
    let request = addressed(request)?;
    match connection {
        Connection::Plain(stream) => talk(TokioIo::new(stream), request, bounds).await,
        Connection::Tls(stream) => talk(TokioIo::new(*stream), request, bounds).await,
    }
}

/// The request as it stands on the line: its path first, its host in a header, and its length as it is.
fn addressed(request: Request<Bytes>) -> Result<Request<Full<Bytes>>, OutgoingError> {
    let (mut parts, body) = request.into_parts();
    let authority = parts.uri.authority().ok_or(OutgoingError::NoHost)?;
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| OutgoingError::NoHost)?;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('?') { format!("/{path}") } else { path.to_owned() };
    parts.uri = path.parse::<Uri>().map_err(|_| OutgoingError::NoHost)?;
    for name in [CONTENT_LENGTH, TRANSFER_ENCODING] {
        parts.headers.remove(name);
    }
    parts.headers.insert(HOST, host);
    parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(Request::from_parts(parts, Full::new(body)))
}

async fn talk<S>(stream: S, request: Request<Full<Bytes>>, bounds: &Bounds) -> Result<Response<Bytes>, OutgoingError>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let broken = |error: hyper::Error| broken(&error);
    let mut builder = http1::Builder::new();
    builder.max_buf_size(limits::HTTP_HEAD_BYTES).max_headers(limits::HTTP_HEADERS);
    let (mut sender, connection) = builder.handshake(stream).await.map_err(broken)?;
    let answer = async {
        let first_byte = bounds.first_byte.min(limits::HTTP_TIMEOUT);
        let sent = timeout(first_byte, sender.send_request(request)).await;
        let answer = sent.map_err(|_| OutgoingError::AnswerTimeout(first_byte))?.map_err(broken)?;
        let (parts, body) = answer.into_parts();
        let between_bytes = bounds.between_bytes.min(limits::HTTP_TIMEOUT);
        let body = gather(body, between_bytes, bounds.body).await?;
        Ok(Response::from_parts(parts, body))
    };
    // How the connection ends is heard of by whoever waits for the answer.
    let connection = async {
        let _ = connection.await;
        pending::<Infallible>().await
    };
    tokio::select! {
        answer = answer => answer,
        never = connection => match never {},
    }
}

/// The whole body, if it keeps within its bounds. Trailers are not read.
async fn gather(mut body: Incoming, between_bytes: Duration, most: usize) -> Result<Bytes, OutgoingError> {
    if usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX) > most {
        return Err(OutgoingError::LargeBody(most));
    }
    let mut whole = BytesMut::new();
    loop {
        let frame = timeout(between_bytes, body.frame()).await;
        let Some(frame) = frame.map_err(|_| OutgoingError::AnswerTimeout(between_bytes))? else { break };
        let Ok(data) = frame.map_err(|error| broken(&error))?.into_data() else { continue };
        if whole.len() + data.len() > most {
            return Err(OutgoingError::LargeBody(most));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

fn broken(error: &hyper::Error) -> OutgoingError {
    if error.is_parse_too_large() {
        return OutgoingError::LargeHead;
    }
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    OutgoingError::Broken(format!("{error}{cause}"))
}
