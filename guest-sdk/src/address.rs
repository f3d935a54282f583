//! E-mail addresses: checked when a payload is read, so that a job never holds a bad one.
//! It does not look anything up: whether somebody reads mail there is not known here.

use core::{fmt, str::FromStr};
use email_address::{EmailAddress, Options};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A valid e-mail address, without a display name: `ada@example.com`.
///
/// In a payload's schema it is `{ "type": "string", "format": "email" }`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Email(String);

/// The text is not an e-mail address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an e-mail address ({reason}); it has to look like name@example.com")]
pub struct InvalidEmail {
    text: String,
    reason: String,
}

impl Email {
    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Email {
    type Error = InvalidEmail;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match EmailAddress::parse_with_options(&text, Options::default().without_display_text()) {
            Ok(_) => Ok(Self(text)),
            Err(error) => Err(InvalidEmail { text, reason: error.to_string() }),
        }
    }
}

impl FromStr for Email {
    type Err = InvalidEmail;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl From<Email> for String {
    fn from(email: Email) -> Self {
        email.0
    }
}

impl AsRef<str> for Email {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl JsonSchema for Email {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Email".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "email" })
    }
}

/// An address with the name of who reads mail there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mailbox {
    /// The address; checked by the host when the message is sent.
    pub address: String,
    /// The display name.
    pub name: Option<String>,
}

impl Mailbox {
    /// The mailbox at `address`, without a name.
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), name: None }
    }

    /// The same mailbox with a display name, when there is one. Control characters in it become spaces.
    #[must_use]
    pub fn named(mut self, name: Option<impl AsRef<str>>) -> Self {
        self.name = name.map(|name| one_line(name.as_ref())).filter(|name| !name.is_empty());
        self
    }
}

impl From<Email> for Mailbox {
    fn from(email: Email) -> Self {
        Self::new(email)
    }
}

impl From<&Email> for Mailbox {
    fn from(email: &Email) -> Self {
        Self::new(email.as_str())
    }
}

impl From<&str> for Mailbox {
    fn from(address: &str) -> Self {
        Self::new(address)
    }
}

impl From<String> for Mailbox {
    fn from(address: String) -> Self {
        Self::new(address)
    }
}

/// The text as it can stand in a header: no control characters, each run of white space one space.
pub(crate) fn one_line(text: &str) -> String {
    let words = text.split(|letter: char| letter.is_whitespace() || letter.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{Email, Mailbox};

    #[test]
    fn accepts_addresses_and_nothing_else() {
        assert_eq!("ada@example.com".parse::<Email>().unwrap().as_str(), "ada@example.com");
        assert!("grüße@example.com".parse::<Email>().is_ok());
        for text in ["", "ada", "ada@", "@example.com", "Ada <ada@example.com>", "a@b\r\nBcc: eve@example.com"] {
            assert!(text.parse::<Email>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_refusal_names_the_text_and_the_reason() {
        let error = "ada".parse::<Email>().unwrap_err().to_string();
        assert!(error.starts_with("\"ada\" is not an e-mail address ("), "{error}");
    }

    #[test]
    fn a_mailbox_takes_a_name_when_there_is_one() {
        let email: Email = "ada@example.com".parse().unwrap();
        assert_eq!(Mailbox::from(&email).named(Some("Ada")).name.as_deref(), Some("Ada"));
        assert_eq!(Mailbox::from(&email).named(None::<String>).name, None);
        assert_eq!(Mailbox::from(&email).named(Some(" \n")).name, None);
    }
}
