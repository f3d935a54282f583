//! HTTP requests of jobs: one connection each, to an address that was checked, followed nowhere, bounded in time and size.
//! It doesn't know who may send what; the runtime does.

mod address;
mod exchange;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jobmill_core::limits;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

pub use hyper::header;
pub use hyper::{HeaderMap, Method, Request, Response, Uri};

/// Looks names up.
pub trait Resolve: Send + Sync {
    /// The addresses of a host, as they are found out once for a request.
    fn resolve<'a>(&'a self, host: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;
}

/// Looks names up as the machine does.
#[derive(Debug, Clone, Copy)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        Box::pin(async move {
            // The look-up wants a port, which is no part of the question.
            let found = tokio::net::lookup_host((host, 443)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// What sends requests.
pub struct Outgoing {
    resolver: Arc<dyn Resolve>,
    tls: TlsConnector,
}

/// How long and how large an exchange may be. No span is longer than `limits::HTTP_TIMEOUT`, and neither are all together.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Looking the host up, connecting, agreeing on a key.
    pub connect: Duration,
    /// From the request to the head of the answer.
    pub first_byte: Duration,
    /// Between two pieces of the answer.
    pub between_bytes: Duration,
    /// Bytes of the answer's body.
    pub body: usize,
}

/// A request got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutgoingError {
    /// It goes nowhere that a request can go.
    #[error("the request names no host")]
    NoHost,
    /// The host is written as a number, which is no name and no address.
    #[error("{0:?} is no host name")]
    NumericHost(String),
    /// There is no such host, or nobody to ask.
    #[error("the host {host} is not found: {reason}")]
    NotFound {
        /// Which.
        host: String,
        /// What the look-up says.
        reason: String,
    },
    /// The host has an address that is not everybody's.
    #[error("the host {host} has the address {address}, which is not a public one")]
    Private {
        /// Which.
        host: String,
        /// The address.
        address: IpAddr,
    },
    /// Nothing takes the connection.
    #[error("no connection to {host}: {reason}")]
    Unreachable {
        /// Which.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// It isn't who it should be, or speaks another language.
    #[error("no encrypted connection to {host}: {reason}")]
    Tls {
        /// Which.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// Connecting took too long.
    #[error("connecting took longer than {0:?}")]
    ConnectTimeout(Duration),
    /// The answer took too long.
    #[error("the answer took longer than {0:?}")]
    AnswerTimeout(Duration),
    /// The head of the answer is too large.
    #[error(
        "the head of the answer is larger than {} bytes or {} headers",
        limits::HTTP_HEAD_BYTES,
        limits::HTTP_HEADERS
    )]
    LargeHead,
    /// The body of the answer is too large.
    #[error("the body of the answer is larger than {0} bytes")]
    LargeBody(usize),
    /// The connection broke, or what came was no HTTP.
    #[error("the connection broke before the whole answer came: {0}")]
    Broken(String),
}

impl OutgoingError {
    /// Whether the request may have arrived all the same.
    pub fn may_have_arrived(&self) -> bool {
        matches!(self, Self::AnswerTimeout(_) | Self::LargeHead | Self::LargeBody(_) | Self::Broken(_))
    }
}

impl Outgoing {
    /// With the authorities that TLS trusts everywhere.
    pub fn new(resolver: Arc<dyn Resolve>) -> io::Result<Self> {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
        Self::trusting(roots, resolver)
    }

    fn trusting(roots: RootCertStore, resolver: Arc<dyn Resolve>) -> io::Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { resolver, tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Sends a request, whose URI says where to, and gets the whole answer. Redirects are answers like others.
    ///
    /// `allowed` is an address that the operator wrote: where the host is that very address, it is reached whatever it is.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        allowed: Option<IpAddr>,
        bounds: &Bounds,
    ) -> Result<Response<Bytes>, OutgoingError> {
        let in_all = limits::HTTP_TIMEOUT;
        let connecting = bounds.connect.min(in_all);
        let whole = async {
            let connection = timeout(connecting, self.connect(request.uri(), allowed));
            let connection = connection.await.map_err(|_| OutgoingError::ConnectTimeout(connecting))??;
            exchange::exchange(connection, request, bounds).await
        };
        timeout(in_all, whole).await.map_err(|_| OutgoingError::AnswerTimeout(in_all))?
    }

    async fn connect(&self, uri: &Uri, allowed: Option<IpAddr>) -> Result<exchange::Connection, OutgoingError> {
        let host = uri.host().ok_or(OutgoingError::NoHost)?;
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let addresses = self.addresses(host, allowed).await?;
        let tls = is_tls.then_some(&self.tls);
        let mut last = OutgoingError::Unreachable { host: host.to_owned(), reason: "it has no address".to_owned() };
        for address in addresses.into_iter().take(limits::HTTP_ADDRESSES) {
            // To the address that was checked: looked up again, the name could have another.
            match exchange::Connection::open(SocketAddr::new(address, port), host, tls).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Every address of the host, if all of them may be reached. One that may not condemns the others: whoever answers for the
    /// name chooses among them.
    async fn addresses(&self, host: &str, allowed: Option<IpAddr>) -> Result<Vec<IpAddr>, OutgoingError> {
        let found = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) if allowed == Some(address) => return Ok(vec![address]),
            Ok(address) => vec![address],
            Err(_) if address::looks_like_address(host) => return Err(OutgoingError::NumericHost(host.to_owned())),
            Err(_) => self
                .resolver
                .resolve(host)
                .await
                .map_err(|error| OutgoingError::NotFound { host: host.to_owned(), reason: error.to_string() })?,
        };
        match found.iter().find(|address| !address::is_public(**address)) {
            Some(address) => Err(OutgoingError::Private { host: host.to_owned(), address: *address }),
            None => Ok(found),
        }
    }
}
