//! Where the mail server is and how it is spoken to, from one URL.
//! It resolves no name and opens no connection.

use std::net::IpAddr;
use std::time::Duration;

use crate::secret::Secret;

use super::dkim::DkimSettings;

/// How long one exchange with the mail server may take, unless said otherwise.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a delivery may take in all, unless said otherwise.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// How the connection is kept private.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte (`smtps://`).
    Tls,
    /// TLS after STARTTLS; a server that does not offer it gets nothing (`smtp://`).
    StartTls,
    /// None. Only for a server on this machine (`smtp://` and a loopback address).
    Plain,
}

/// Who we are to the mail server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// How to reach the mail server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpSettings {
    /// How the connection is kept private.
    pub security: Security,
    /// The server's name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who we are to it; none to send without signing in.
    pub credentials: Option<Credentials>,
    /// How long one exchange may take, connecting included.
    pub command_timeout: Duration,
    /// How long a delivery may take in all.
    pub delivery_timeout: Duration,
    /// Certificates in PEM that the server's has to lead back to; none for the public authorities.
    pub authority: Option<String>,
    /// How mails are signed; none to send them unsigned.
    pub dkim: Option<DkimSettings>,
}

/// A URL that names no mail server. The texts never repeat the URL, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SmtpUrlError {
    /// Not `smtp://` or `smtps://`.
    #[error("the mail server's URL must begin with smtp:// or smtps://")]
    Scheme,
    /// No host.
    #[error("the mail server's URL names no host; write smtp://host or smtp://user:password@host:port")]
    Host,
    /// Not a port.
    #[error("the port in the mail server's URL must be a number from 1 to 65535")]
    Port,
    /// A user without a password.
    #[error("the mail server's URL names a user without a password; write user:password@host")]
    Password,
    /// User or password are not percent-encoded text.
    #[error("the {0} in the mail server's URL is not percent-encoded UTF-8; write % as %25, @ as %40 and : as %3A")]
    Encoding(&'static str),
    /// Something after the host and port.
    #[error("the mail server's URL ends after the host and port; take away what follows")]
    Rest,
}

impl SmtpSettings {
    /// Reads `smtp://[user:password@]host[:port]` (port 587 with STARTTLS; on a loopback host port 25 without) or
    /// `smtps://…` (port 465). User and password are percent-encoded.
    pub fn from_url(url: &str) -> Result<Self, SmtpUrlError> {
        let (encrypted, rest) = match url.split_once("://") {
            Some(("smtp", rest)) => (false, rest),
            Some(("smtps", rest)) => (true, rest),
            _ => return Err(SmtpUrlError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // A password may hold any character once encoded, so the last @ is the one before the host.
        let (user, authority) = rest.rsplit_once('@').map_or((None, rest), |(user, host)| (Some(user), host));
        let credentials = user.map(credentials).transpose()?;
        let (host, port) = host_and_port(authority)?;
        let (security, default_port) = match (encrypted, is_loopback(&host)) {
            (true, _) => (Security::Tls, 465),
            (false, false) => (Security::StartTls, 587),
            (false, true) => (Security::Plain, 25),
        };
        Ok(Self {
            security,
            host,
            port: port.unwrap_or(default_port),
            credentials,
            command_timeout: COMMAND_TIMEOUT,
            delivery_timeout: DELIVERY_TIMEOUT,
            authority: None,
            dkim: None,
        })
    }
}

fn credentials(text: &str) -> Result<Credentials, SmtpUrlError> {
    let (user, password) = text.split_once(':').ok_or(SmtpUrlError::Password)?;
    let user = percent_decoded(user).ok_or(SmtpUrlError::Encoding("user"))?;
    let password = percent_decoded(password).ok_or(SmtpUrlError::Encoding("password"))?;
    Ok(Credentials { user, password: Secret::new(password) })
}

/// Splits `host`, `host:port`, `[address]` or `[address]:port`.
fn host_and_port(authority: &str) -> Result<(String, Option<u16>), SmtpUrlError> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').ok_or(SmtpUrlError::Host)?,
        None => authority.split_at(authority.find([':', '/', '?', '#']).unwrap_or(authority.len())),
    };
    let named = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte));
    if !named {
        return Err(SmtpUrlError::Host);
    }
    let port = match rest.strip_prefix(':') {
        Some(port) => {
            let end = port.find(['/', '?', '#']).unwrap_or(port.len());
            if end < port.len() {
                return Err(SmtpUrlError::Rest);
            }
            Some(port.parse().ok().filter(|port| *port > 0).ok_or(SmtpUrlError::Port)?)
        }
        None if rest.is_empty() => None,
        None => return Err(SmtpUrlError::Rest),
    };
    Ok((host.to_owned(), port))
}

/// Whether the host is this machine, so that nobody can listen in between.
fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// RFC 3986, section 2.1.
fn percent_decoded(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
            let (high, low) = (digit()?, digit()?);
            decoded.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> SmtpSettings {
        SmtpSettings::from_url(url).expect(url)
    }

    #[test]
    fn a_url_says_security_host_port_and_who_we_are() {
        let settings = read("smtps://shop%40example.com:p%3Aa%40ss%25@mail.example.com:2465");
        assert_eq!(
            (settings.security, settings.host.as_str(), settings.port),
            (Security::Tls, "mail.example.com", 2465)
        );
        let credentials = settings.credentials.expect("signs in");
        assert_eq!((credentials.user.as_str(), credentials.password.expose()), ("shop@example.com", "p:a@ss%"));
        assert_eq!((settings.command_timeout, settings.delivery_timeout), (COMMAND_TIMEOUT, DELIVERY_TIMEOUT));
    }

    #[test]
    fn starttls_is_required_unless_the_server_is_on_this_machine() {
        let of = |url: &str| (read(url).security, read(url).port);
        assert_eq!(of("smtp://mail.example.com"), (Security::StartTls, 587));
        assert_eq!(of("smtp://10.0.0.1:25"), (Security::StartTls, 25));
        assert_eq!(of("smtps://mail.example.com/"), (Security::Tls, 465));
        for host in ["localhost", "LocalHost", "127.0.0.1", "127.8.8.8", "[::1]"] {
            assert_eq!(of(&format!("smtp://{host}")), (Security::Plain, 25), "{host}");
            assert_eq!(of(&format!("smtps://{host}:1025")), (Security::Tls, 1025), "{host}");
        }
        assert_eq!(of("smtp://localhost.example.com"), (Security::StartTls, 587));
        assert_eq!(read("smtp://[::1]:1025").host, "::1");
    }

    #[test]
    fn what_is_wrong_with_a_url_is_named() {
        let refused = |url: &str| SmtpSettings::from_url(url).expect_err(url);
        for url in ["", "mail.example.com", "http://mail.example.com", "SMTP//x"] {
            assert_eq!(refused(url), SmtpUrlError::Scheme, "{url}");
        }
        for url in ["smtp://", "smtp://:25", "smtp://a:b@", "smtp://a b", "smtp://[::1", "smtp://a:b@c d"] {
            assert_eq!(refused(url), SmtpUrlError::Host, "{url}");
        }
        for url in ["smtp://host:", "smtp://host:0", "smtp://host:65536", "smtp://host:x"] {
            assert_eq!(refused(url), SmtpUrlError::Port, "{url}");
        }
        assert_eq!(refused("smtp://user@host"), SmtpUrlError::Password);
        assert_eq!(refused("smtp://us%zzer:p@host"), SmtpUrlError::Encoding("user"));
        assert_eq!(refused("smtp://user:p%f@host"), SmtpUrlError::Encoding("password"));
        assert_eq!(refused("smtp://user:%ff@host"), SmtpUrlError::Encoding("password"));
        for url in ["smtp://host/path", "smtp://host?tls=no", "smtp://host:25/x", "smtp://[::1]x"] {
            assert_eq!(refused(url), SmtpUrlError::Rest, "{url}");
        }
    }

    #[test]
    fn a_password_shows_in_no_error_and_in_no_debug_text() {
        for url in [
            "smtp://u:hunter2@",
            "smtp://u:hunter2@h:x",
            "smtp://u:hunter2%@h",
            "ftp://u:hunter2@h",
            "smtp://hunter2@h",
        ] {
            let error = SmtpSettings::from_url(url).expect_err(url);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{url}");
        }
        assert!(!format!("{:?}", read("smtp://u:hunter2@h")).contains("hunter2"));
    }
}
