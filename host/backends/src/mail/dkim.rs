//! Signs mails with DKIM (RFC 6376, relaxed/relaxed), by RSA or Ed25519 (RFC 8463).
//! It publishes no key and verifies nothing; the domain's DNS and the receiver do.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jobmill_core::Timestamp;
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use crate::secret::Secret;

/// How mails are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DkimSettings {
    /// The domain that signs: the sender's own, or one above it.
    pub domain: String,
    /// Which of the domain's keys; its public half is in DNS at `SELECTOR._domainkey.DOMAIN`.
    pub selector: String,
    /// The private key in PEM: RSA of 2048 to 4096 bits, or Ed25519.
    pub key: Secret,
}

/// Settings by which no mail can be signed. The texts never repeat the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DkimSettingsError {
    /// Not a domain.
    #[error("{0:?} is not a domain; write it like \"example.com\"")]
    Domain(String),
    /// A domain whose signature says nothing about the sender.
    #[error("{domain:?} can't sign for a sender at {sender:?}; name that domain, or one above it")]
    Foreign {
        /// The domain that was to sign.
        domain: String,
        /// The sender's domain.
        sender: String,
    },
    /// Not a selector.
    #[error("{0:?} is not a selector; it is a name in DNS like \"jobmill\"")]
    Selector(String),
    /// Not a key.
    #[error("the key {0}; `openssl genrsa 2048` makes one")]
    Key(&'static str),
}

/// Header fields that are signed. Those marked with `true` are signed as many times as they are there and once more, so
/// that none can be added to a signed mail. The others are only there where the mail has them (RFC 8058 wants them signed).
const SIGNED: [(&str, bool); 11] = [
    ("from", true),
    ("to", true),
    ("cc", true),
    ("reply-to", true),
    ("subject", true),
    ("date", true),
    ("message-id", true),
    ("mime-version", true),
    ("content-type", true),
    ("list-unsubscribe", false),
    ("list-unsubscribe-post", false),
];

/// Names of fields in a header line.
const NAMES_A_LINE: usize = 4;
/// Columns of base64 in a header line.
const LINE: usize = 72;

/// Signs the mails of one domain.
pub(super) struct Signer {
    domain: String,
    selector: String,
    key: Key,
    random: SystemRandom,
}

enum Key {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    /// Reads the key. `sender` is the domain of the address that mails are from.
    pub(super) fn new(settings: &DkimSettings, sender: &str) -> Result<Self, DkimSettingsError> {
        let (domain, sender) = (settings.domain.to_ascii_lowercase(), sender.to_ascii_lowercase());
        if !is_name(&domain) {
            return Err(DkimSettingsError::Domain(settings.domain.clone()));
        }
        // A name without a dot is nobody's: every sender is below it.
        let above = domain.contains('.') && sender.ends_with(&format!(".{domain}"));
        if sender != domain && !above {
            return Err(DkimSettingsError::Foreign { domain, sender });
        }
        if !is_name(&settings.selector) {
            return Err(DkimSettingsError::Selector(settings.selector.clone()));
        }
        let key = Key::from_pem(settings.key.expose())?;
        Ok(Self { domain, selector: settings.selector.clone(), key, random: SystemRandom::new() })
    }

    /// The mail with its signature before it. `at` is the mail's own time: a mail that is sent again is the same mail.
    pub(super) fn sign(&self, mail: &[u8], at: Timestamp) -> Result<Vec<u8>, String> {
        let (fields, body) = parts(mail);
        let names = signed_names(&fields);
        let lines: Vec<String> = names.chunks(NAMES_A_LINE).map(|names| names.join(":")).collect();
        let lines = lines.join(":\r\n  ");
        let unsigned = format!(
            "DKIM-Signature: v=1; a={}; c=relaxed/relaxed; d={};\r\n s={}; t={};\r\n h={lines};\r\n bh={};\r\n b=",
            self.key.algorithm(),
            self.domain,
            self.selector,
            at.as_millis() / 1_000,
            BASE64.encode(digest::digest(&digest::SHA256, &relaxed_body(body))),
        );
        let signature = self.key.sign(&signed_text(&fields, &names, &unsigned), &self.random)?;
        let mut signed = unsigned.into_bytes();
        for (at, character) in BASE64.encode(signature).into_bytes().into_iter().enumerate() {
            if at > 0 && at % LINE == 0 {
                signed.extend_from_slice(b"\r\n  ");
            }
            signed.push(character);
        }
        signed.extend_from_slice(b"\r\n");
        signed.extend_from_slice(mail);
        Ok(signed)
    }
}

impl Key {
    fn from_pem(pem: &str) -> Result<Self, DkimSettingsError> {
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| DkimSettingsError::Key("is no private key in PEM (-----BEGIN PRIVATE KEY-----)"))?;
        let rsa = match &key {
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(key) => {
                // OpenSSL writes the first version of PKCS#8, which has no public key to check the private one against.
                if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der()) {
                    return Ok(Self::Ed25519(key));
                }
                RsaKeyPair::from_pkcs8(key.secret_pkcs8_der())
            }
            _ => return Err(DkimSettingsError::Key("is neither RSA nor Ed25519")),
        };
        rsa.map(Self::Rsa).map_err(|_| DkimSettingsError::Key("is neither Ed25519 nor RSA of 2048 to 4096 bits"))
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "rsa-sha256",
            Self::Ed25519(_) => "ed25519-sha256",
        }
    }

    fn sign(&self, text: &[u8], random: &SystemRandom) -> Result<Vec<u8>, String> {
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, random, text, &mut signature)
                    .map_err(|_| "the key of mail.dkim can't sign".to_owned())?;
                Ok(signature)
            }
            // What is signed is the hash (RFC 8463, section 3).
            Self::Ed25519(key) => Ok(key.sign(digest::digest(&digest::SHA256, text).as_ref()).as_ref().to_vec()),
        }
    }
}

/// Labels of letters, digits and hyphens (and the underscores of DNS), between dots.
fn is_name(text: &str) -> bool {
    let in_label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.len() <= 253 && text.split('.').all(|label| !label.is_empty() && label.bytes().all(in_label))
}

/// The header fields, each with its line end, and the body.
fn parts(mail: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let (mut fields, mut start, mut at) = (Vec::new(), 0, 0);
    while let Some(length) = mail[at..].windows(2).position(|pair| pair == b"\r\n") {
        let next = at + length + 2;
        if length == 0 {
            return (fields, &mail[next..]);
        }
        // A line that begins with white space belongs to the field before it.
        if !matches!(mail.get(next), Some(b' ' | b'\t')) {
            fields.push(&mail[start..next]);
            start = next;
        }
        at = next;
    }
    (fields, &[])
}

fn name_of(field: &[u8]) -> String {
    let name = field.split(|byte| *byte == b':').next().unwrap_or_default();
    String::from_utf8_lossy(name).trim().to_ascii_lowercase()
}

fn signed_names(fields: &[&[u8]]) -> Vec<&'static str> {
    let mut names = Vec::new();
    for (name, sealed) in SIGNED {
        let there = fields.iter().filter(|field| name_of(field) == name).count();
        names.extend(std::iter::repeat_n(name, there + usize::from(sealed)));
    }
    names
}

/// What is signed: the named fields, of several with a name the last first, and the signature's own without its value.
fn signed_text(fields: &[&[u8]], names: &[&str], unsigned: &str) -> Vec<u8> {
    let mut left: Vec<&[u8]> = fields.to_vec();
    let mut text = Vec::new();
    for name in names {
        if let Some(place) = left.iter().rposition(|field| name_of(field) == *name) {
            text.extend(relaxed_field(left.remove(place)));
            text.extend_from_slice(b"\r\n");
        }
    }
    text.extend(relaxed_field(unsigned.as_bytes()));
    text
}

/// RFC 6376, section 3.4.2, without the line end.
fn relaxed_field(field: &[u8]) -> Vec<u8> {
    let colon = field.iter().position(|byte| *byte == b':').unwrap_or(field.len());
    let (name, value) = field.split_at(colon);
    let mut relaxed = name_of(name).into_bytes();
    relaxed.push(b':');
    let words = value.get(1..).unwrap_or_default().split(|byte| b" \t\r\n".contains(byte));
    for (at, word) in words.filter(|word| !word.is_empty()).enumerate() {
        if at > 0 {
            relaxed.push(b' ');
        }
        relaxed.extend_from_slice(word);
    }
    relaxed
}

/// RFC 6376, section 3.4.4.
fn relaxed_body(body: &[u8]) -> Vec<u8> {
    let mut relaxed: Vec<u8> = Vec::with_capacity(body.len() + 2);
    let mut end = 0;
    for line in body.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut space = false;
        for &byte in line {
            match byte {
                b' ' | b'\t' => space = true,
                _ => {
                    if std::mem::take(&mut space) {
                        relaxed.push(b' ');
                    }
                    relaxed.push(byte);
                }
            }
        }
        let empty = relaxed.ends_with(b"\r\n") || relaxed.is_empty();
        relaxed.extend_from_slice(b"\r\n");
        if !empty {
            end = relaxed.len();
        }
    }
    // Empty lines at the end do not count.
    relaxed.truncate(end);
    relaxed
}

#[cfg(test)]
mod tests;
