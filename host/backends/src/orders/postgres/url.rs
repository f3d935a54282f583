//! The URL of the shop's database, as libpq and Prisma write it.
//! It connects to nothing.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::orders::http::is_loopback;
use crate::secret::Secret;

/// What a URL says.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) config: Config,
    /// Where tables are that name no schema.
    pub(super) schema: Option<String>,
    /// The authority to trust instead of the usual ones.
    pub(super) root_certificate: Option<PathBuf>,
}

/// Settings of Prisma's own pool and of its TLS library, which say nothing about the database.
const OF_PRISMA: [&str; 7] = [
    "connection_limit",
    "pool_timeout",
    "pgbouncer",
    "socket_timeout",
    "statement_cache_size",
    "sslaccept",
    "pool_mode",
];

/// Reads a URL. The error is the end of a sentence and repeats nothing of it: it may hold a password.
pub(super) fn address(url: &Secret) -> Result<Address, String> {
    let url = url.expose().trim();
    if !(url.starts_with("postgresql://") || url.starts_with("postgres://")) {
        return Err("has to begin with postgresql://".to_owned());
    }
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut schema, mut root_certificate, mut mode) = (None, None, None);
    let mut passed_on = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded =
            || percent_decode_str(value).decode_utf8().map(String::from).map_err(|_| "is not UTF-8".to_owned());
        match name {
            "schema" => schema = Some(decoded()?),
            "sslmode" => mode = Some(decoded()?),
            "sslrootcert" if value == "system" => {}
            "sslrootcert" => root_certificate = Some(PathBuf::from(decoded()?)),
            name if OF_PRISMA.contains(&name) => {}
            _ => passed_on.push(pair),
        }
    }
    let url = if passed_on.is_empty() { place.to_owned() } else { format!("{place}?{}", passed_on.join("&")) };
    let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("is no usable URL{cause}; write it like \"postgresql://user:password@host:5432/shop\"")
    })?;
    if config.get_hosts().is_empty() {
        return Err("names no host".to_owned());
    }
    config.ssl_mode(ssl_mode(mode.as_deref(), &config)?);
    Ok(Address { config, schema: schema.filter(|schema| !schema.is_empty()), root_certificate })
}

/// Certificates are always checked. What another machine could listen to is encrypted unless the URL says `disable`.
fn ssl_mode(said: Option<&str>, config: &Config) -> Result<SslMode, String> {
    match said {
        Some("disable") => Ok(SslMode::Disable),
        Some("require" | "verify-ca" | "verify-full") => Ok(SslMode::Require),
        None | Some("allow" | "prefer") => {
            let here = |host: &Host| match host {
                Host::Tcp(name) => is_loopback(name),
                Host::Unix(_) => true,
            };
            Ok(if config.get_hosts().iter().all(here) { SslMode::Disable } else { SslMode::Require })
        }
        Some(_) => Err("has an sslmode that is none; it can be disable, require or verify-full".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Address, String> {
        address(&Secret::new(url))
    }

    #[test]
    fn a_url_of_prisma_is_read() {
        let url = "postgresql://shop:p%40ss@db.example:6432/shop?schema=sales&connection_limit=5&pgbouncer=true&sslmode=verify-full&sslrootcert=/ca.pem";
        let address = read(url).expect("usable");
        assert_eq!(address.schema.as_deref(), Some("sales"));
        assert_eq!(address.root_certificate, Some(PathBuf::from("/ca.pem")));
        assert_eq!((address.config.get_user(), address.config.get_ports()), (Some("shop"), &[6432][..]));
        assert_eq!(address.config.get_password(), Some(&b"p@ss"[..]));
        assert_eq!(address.config.get_ssl_mode(), SslMode::Require);
    }

    #[test]
    fn only_this_machine_is_reached_without_tls_unless_the_url_says_so() {
        let mode = |url: &str| read(url).expect("usable").config.get_ssl_mode();
        for host in ["localhost", "127.0.0.1", "%2Frun%2Fpostgresql", "[::1]"] {
            assert_eq!(mode(&format!("postgres://{host}/shop")), SslMode::Disable, "{host}");
            assert_eq!(mode(&format!("postgres://{host}/shop?sslmode=require")), SslMode::Require, "{host}");
        }
        assert_eq!(mode("postgres://db.example/shop"), SslMode::Require);
        assert_eq!(mode("postgres://db.example/shop?sslmode=prefer"), SslMode::Require);
        assert_eq!(mode("postgres://db.example/shop?sslmode=disable"), SslMode::Disable);
    }

    #[test]
    fn a_url_that_is_none_is_refused_without_being_repeated() {
        for url in [
            "mysql://u:hunter2@db/shop",
            "prisma://u:hunter2@db/shop",
            "postgresql://u:hunter2@db:port/shop",
            "postgresql://u:hunter2@db/shop?sslmode=hunter2",
            "postgresql://u:hunter2@db/shop?frobnicate=1",
            "postgresql:///shop?user=hunter2",
        ] {
            let refused = read(url).expect_err(url);
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }
}
