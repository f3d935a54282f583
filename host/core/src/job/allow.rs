//! What the operator lets a job reach: operations on orders, mails, hosts on the network. Whoever is refused is told which line of
//! the configuration would allow it.
//! It reaches nothing, and resolves no names.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::JobId;
use crate::limits;
use crate::mail::{Mailbox, Message};

/// What a job may reach: every order and mail unless the operator narrows it, and nothing of the network unless hosts are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Allow {
    /// Operations on orders; none: all of them.
    pub orders: Option<Vec<OrderOperation>>,
    /// Mails; none: all of them.
    pub mail: Option<MailAllow>,
    /// Hosts that HTTP requests may go to.
    pub http: Vec<HostRule>,
}

/// What a job does with orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderOperation {
    /// Reads one.
    Fetch,
    /// Changes one.
    Update,
}

impl fmt::Display for OrderOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fetch => "fetch",
            Self::Update => "update",
        })
    }
}

/// Which mails a job may send. What is not said is not narrowed; an empty list allows none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MailAllow {
    /// By what they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<String>>,
    /// By their recipient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Vec<AddressRule>>,
    /// By where answers go. The sender is the operator's alone: `mail.from`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Vec<AddressRule>>,
}

/// An address, or a domain such as `@example.com`. Compared without case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressRule(String);

impl AddressRule {
    fn admits(&self, address: &str) -> bool {
        let address = address.to_lowercase();
        if self.0.starts_with('@') { address.ends_with(&self.0) } else { address == self.0 }
    }
}

impl TryFrom<String> for AddressRule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let domain = text.strip_prefix('@').or_else(|| text.split_once('@').map(|(_, domain)| domain));
        if domain.is_none_or(|domain| domain.is_empty() || domain.contains('@')) {
            return Err(format!("{text:?} is no address and no domain; write \"ada@example.com\" or \"@example.com\""));
        }
        Ok(Self(text.to_lowercase()))
    }
}

impl From<AddressRule> for String {
    fn from(rule: AddressRule) -> Self {
        rule.0
    }
}

/// By what a host is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Encrypted.
    Https,
    /// In the clear.
    Http,
}

impl Scheme {
    fn port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Https => "",
            Self::Http => "http://",
        }
    }
}

/// A host that requests may go to: `api.example.com`, `*.example.com`, `api.example.com:8443`, and where it speaks no TLS
/// `http://api.example.com`. A private address is reached only where the operator writes the address itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostRule {
    scheme: Scheme,
    /// In lower case; begins with `*.` where every name below is meant.
    host: String,
    port: u16,
}

impl HostRule {
    /// Whether a request may go there.
    pub fn admits(&self, scheme: Scheme, host: &str, port: u16) -> bool {
        let host = host.to_lowercase();
        let is_host = match self.host.strip_prefix('*') {
            Some(end) => host.len() > end.len() && host.ends_with(end),
            None => host == self.host,
        };
        is_host && scheme == self.scheme && port == self.port
    }

    /// The address that the operator wrote, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.trim_matches(['[', ']']).parse().ok()
    }
}

impl FromStr for HostRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || {
            format!(
                "{text:?} is no host; write it like \"api.example.com\", \"*.example.com\" or \"api.example.com:8443\""
            )
        };
        let (scheme, rest) = match text.split_once("://") {
            None => (Scheme::Https, text),
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(_) => return Err(refuse()),
        };
        // The colons of an IPv6 address stand in brackets.
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| refuse())?),
            _ => (rest, scheme.port()),
        };
        let name = host.strip_prefix("*.").unwrap_or(host);
        let bracketed = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let valid = if let Some(address) = bracketed {
            address.parse::<std::net::Ipv6Addr>().is_ok()
        } else {
            let is_label = |label: &str| {
                !label.is_empty()
                    && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            };
            name.len() <= 253 && name.split('.').all(is_label)
        };
        if !valid || port == 0 {
            return Err(refuse());
        }
        Ok(Self { scheme, host: host.to_lowercase(), port })
    }
}

impl TryFrom<String> for HostRule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.scheme.prefix(), self.host)?;
        if self.port == self.scheme.port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl From<HostRule> for String {
    fn from(rule: HostRule) -> Self {
        rule.to_string()
    }
}

/// What a job tried to reach and may not, with the line of the configuration that would allow it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not allowed for {job}; to allow it, say in jobmill.toml: {}", in_its_section(job, line))]
pub struct Denied {
    /// The job.
    pub job: JobId,
    /// What it tried.
    pub what: String,
    /// What would have to stand under `[jobs.ID.allow]`; or with a section of its own before it.
    pub line: String,
}

fn in_its_section(job: &JobId, line: &str) -> String {
    if line.starts_with('[') { line.to_owned() } else { format!("[jobs.{job}.allow] {line}") }
}

impl Allow {
    /// Whether the job may do this with orders.
    pub fn order(&self, job: &JobId, operation: OrderOperation) -> Result<(), Denied> {
        let Some(allowed) = self.orders.as_ref().filter(|allowed| !allowed.contains(&operation)) else { return Ok(()) };
        let line = format!("orders = {}", list(allowed.iter().chain([&operation])));
        Err(Denied { job: job.clone(), what: format!("to {operation} an order"), line })
    }

    /// Whether the job may send this mail.
    pub fn mail(&self, job: &JobId, message: &Message) -> Result<(), Denied> {
        let Some(allowed) = &self.mail else { return Ok(()) };
        let denied = |what: String, line: String| Err(Denied { job: job.clone(), what, line });
        if let Some(kinds) = allowed.kinds.as_ref().filter(|kinds| !kinds.contains(&message.kind)) {
            let kind = limits::truncate(&message.kind, limits::KEY_BYTES);
            let line = format!("mail.kinds = {}", list(kinds.iter().map(String::as_str).chain([kind])));
            return denied(format!("a mail of the kind {kind:?}"), line);
        }
        let refused = |rules: &Option<Vec<AddressRule>>, mailbox: &Mailbox| {
            let rules = rules.as_ref().filter(|rules| !rules.iter().any(|rule| rule.admits(&mailbox.address)))?;
            let address = limits::truncate(&mailbox.address, limits::KEY_BYTES);
            Some((address.to_owned(), list(rules.iter().map(|rule| rule.0.as_str()).chain([address]))))
        };
        if let Some((address, all)) = refused(&allowed.to, &message.to) {
            return denied(format!("a mail to {address}"), format!("mail.to = {all}"));
        }
        match message.reply_to.as_ref().and_then(|reply_to| refused(&allowed.reply_to, reply_to)) {
            Some((address, all)) => denied(format!("a mail answered to {address}"), format!("mail.reply_to = {all}")),
            None => Ok(()),
        }
    }

    /// What it says, as the lines of the configuration; none where everything of orders and mail is allowed, and no host.
    pub fn lines(&self) -> Vec<String> {
        let orders = self.orders.as_ref().map(|listed| format!("orders = {}", list(listed)));
        let mail = self.mail.iter().flat_map(|mail| {
            let addresses = |name: &str, rules: &Option<Vec<AddressRule>>| {
                rules.as_ref().map(|rules| format!("mail.{name} = {}", list(rules.iter().map(|rule| &rule.0))))
            };
            let kinds = mail.kinds.as_ref().map(|kinds| format!("mail.kinds = {}", list(kinds)));
            [kinds, addresses("to", &mail.to), addresses("reply_to", &mail.reply_to)]
        });
        let http = (!self.http.is_empty()).then(|| format!("http = {}", list(&self.http)));
        orders.into_iter().chain(mail.flatten()).chain(http).collect()
    }

    /// The rule by which the job may send a request there.
    pub fn http(&self, job: &JobId, scheme: Scheme, host: &str, port: u16) -> Result<&HostRule, Denied> {
        if let Some(rule) = self.http.iter().find(|rule| rule.admits(scheme, host, port)) {
            return Ok(rule);
        }
        let host = limits::truncate(host, limits::KEY_BYTES);
        let wanted = HostRule { scheme, host: host.to_lowercase(), port }.to_string();
        let all: Vec<String> = self.http.iter().map(ToString::to_string).chain([wanted.clone()]).collect();
        let what = format!("an HTTP request to {wanted}");
        Err(Denied { job: job.clone(), what, line: format!("http = {}", list(all)) })
    }
}

/// A list as TOML writes it.
fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| format!("{:?}", item.to_string())).collect();
    format!("[{}]", items.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn allow(value: Value) -> Result<Allow, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    fn job() -> JobId {
        "sync".parse().expect("an id")
    }

    fn message(kind: &str, to: &str) -> Message {
        Message {
            kind: kind.to_owned(),
            to: Mailbox { address: to.to_owned(), name: None },
            reply_to: Some(Mailbox { address: "help@shop.example".to_owned(), name: None }),
            subject: String::new(),
            text: String::new(),
            html: None,
            attachments: Vec::new(),
            headers: Vec::new(),
        }
    }

    #[test]
    fn nothing_said_allows_orders_and_mail_and_no_host() {
        let allow = Allow::default();
        assert_eq!(allow.order(&job(), OrderOperation::Update), Ok(()));
        assert_eq!(allow.mail(&job(), &message("any", "ada@example.com")), Ok(()));
        let denied = allow.http(&job(), Scheme::Https, "API.example.com", 443).expect_err("denied");
        assert_eq!(
            denied.to_string(),
            "an HTTP request to api.example.com is not allowed for sync; to allow it, say in jobmill.toml: \
             [jobs.sync.allow] http = [\"api.example.com\"]"
        );
    }

    #[test]
    fn what_is_narrowed_says_the_line_that_would_widen_it() {
        let allow = allow(json!({
            "orders": ["fetch"],
            "mail": { "kinds": ["welcome"], "to": ["@Example.com"], "reply_to": ["help@shop.example"] },
            "http": ["api.example.com"],
        }))
        .expect("valid");
        assert_eq!(allow.order(&job(), OrderOperation::Fetch), Ok(()));
        let line = |denied: Result<(), Denied>| denied.expect_err("denied").line;
        assert_eq!(line(allow.order(&job(), OrderOperation::Update)), r#"orders = ["fetch", "update"]"#);
        assert_eq!(allow.mail(&job(), &message("welcome", "Ada@EXAMPLE.com")), Ok(()));
        assert_eq!(
            line(allow.mail(&job(), &message("refund", "ada@example.com"))),
            r#"mail.kinds = ["welcome", "refund"]"#
        );
        assert_eq!(
            line(allow.mail(&job(), &message("welcome", "eve@notexample.com"))),
            r#"mail.to = ["@example.com", "eve@notexample.com"]"#
        );
        let mut elsewhere = message("welcome", "ada@example.com");
        elsewhere.reply_to = Some(Mailbox { address: "eve@evil.example".to_owned(), name: None });
        assert!(line(allow.mail(&job(), &elsewhere)).starts_with("mail.reply_to"));
        let other = allow.http(&job(), Scheme::Http, "api.example.com", 80).expect_err("denied");
        assert_eq!(other.line, r#"http = ["api.example.com", "http://api.example.com"]"#);
    }

    #[test]
    fn a_rule_admits_its_host_and_no_other() {
        let rule = |text: &str| text.parse::<HostRule>().expect("a rule");
        let below = rule("*.Example.com");
        assert!(
            below.admits(Scheme::Https, "api.EXAMPLE.com", 443) && below.admits(Scheme::Https, "a.b.example.com", 443)
        );
        for other in ["example.com", ".example.com", "evilexample.com", "example.com.evil.org"] {
            assert!(!below.admits(Scheme::Https, other, 443), "{other}");
        }
        assert!(!below.admits(Scheme::Https, "api.example.com", 8443));
        assert!(!below.admits(Scheme::Http, "api.example.com", 443));
        assert!(rule("api.example.com:8443").admits(Scheme::Https, "api.example.com", 8443));
        assert_eq!(rule("http://127.0.0.1:9000").address(), Some([127, 0, 0, 1].into()));
        assert_eq!(rule("[::1]:9000").address(), Some(std::net::Ipv6Addr::LOCALHOST.into()));
        for text in ["api.example.com", "http://a.example:8080", "[::1]", "*.example.com:1"] {
            assert_eq!(rule(text).to_string(), text);
        }
        assert_eq!(rule("https://api.example.com:443").to_string(), "api.example.com");
    }

    #[test]
    fn what_is_no_host_and_no_address_is_refused() {
        for text in ["", "*", "*.", "a b", "ftp://a.example", "a.example/path", "user@a.example", "a.example:x", "a..b"]
        {
            assert!(text.parse::<HostRule>().is_err(), "{text}");
        }
        for (wrong, told) in [
            (json!({ "mail": { "to": ["example.com"] } }), "@example.com"),
            (json!({ "orders": ["delete"] }), "`fetch` or `update`"),
            (json!({ "files": [] }), "unknown field `files`"),
        ] {
            let error = allow(wrong).expect_err("refused");
            assert!(error.contains(told), "{error}");
        }
    }
}
