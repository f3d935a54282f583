//! Signing secrets: what a sender's dashboard shows, read as the key that it signs with.
//! It reads no file and no variable; what it is given it never shows, in no error either.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit as _};
use sha2::Sha256;

use crate::kind::WebhookKind;

/// HMAC-SHA256 with a key and nothing to sign yet.
pub(crate) type Signer = Hmac<Sha256>;

/// What a secret of Standard Webhooks begins with, or not.
pub(crate) const PREFIX: &str = "whsec_";
/// Bytes of a key, as Standard Webhooks say.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Some senders leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What is wrong with a secret, for the operator; white space around it is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("is empty")]
    Empty,
    #[error(
        "is a key of Stripe's API; deliveries are signed with the secret of the endpoint, which begins with whsec_"
    )]
    ApiKey,
    #[error(
        "is a public key (whpk_), and signatures with those are not checked; have the sender sign with a secret that \
         begins with whsec_"
    )]
    PublicKey,
    #[error("is not base64; copy it as the sender shows it, such as whsec_MfKQ…")]
    NotBase64,
    #[error("has {0} bytes once decoded, where 24 to 64 belong; copy it whole, as the sender shows it")]
    Length(usize),
    #[error("can't be used as a key")]
    Key,
}

/// The key that a secret stands for.
pub(crate) fn signer(kind: WebhookKind, secret: &str) -> Result<Signer, SecretError> {
    let secret = secret.trim();
    if secret.is_empty() {
        return Err(SecretError::Empty);
    }
    let key = match kind {
        WebhookKind::Stripe => stripe(secret)?,
        WebhookKind::Standard => standard(secret)?,
    };
    Signer::new_from_slice(&key).map_err(|_| SecretError::Key)
}

/// Stripe signs with the text itself, `whsec_` included.
fn stripe(secret: &str) -> Result<Vec<u8>, SecretError> {
    if ["sk_", "rk_", "pk_"].iter().any(|prefix| secret.starts_with(prefix)) {
        return Err(SecretError::ApiKey);
    }
    Ok(secret.as_bytes().to_vec())
}

fn standard(secret: &str) -> Result<Vec<u8>, SecretError> {
    if secret.starts_with("whpk_") {
        return Err(SecretError::PublicKey);
    }
    let digits = secret.strip_prefix(PREFIX).unwrap_or(secret);
    if digits.is_empty() {
        return Err(SecretError::Empty);
    }
    let key = BASE64.decode(digits).map_err(|_| SecretError::NotBase64)?;
    if KEY_BYTES.contains(&key.len()) { Ok(key) } else { Err(SecretError::Length(key.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_nobody_signs_with_is_refused_with_its_reason() {
        use WebhookKind::{Standard, Stripe};
        let of = |bytes: usize| base64::prelude::BASE64_STANDARD.encode(vec![7; bytes]);
        for (kind, secret, wanted) in [
            (Stripe, String::new(), SecretError::Empty),
            (Stripe, " \n".to_owned(), SecretError::Empty),
            (Stripe, "sk_live_51H".to_owned(), SecretError::ApiKey),
            (Standard, "\t".to_owned(), SecretError::Empty),
            (Standard, "whsec_".to_owned(), SecretError::Empty),
            (Standard, format!("whpk_{}", of(32)), SecretError::PublicKey),
            (Standard, format!("whsk_{}", of(32)), SecretError::NotBase64),
            (Standard, "whsec_not base64!".to_owned(), SecretError::NotBase64),
            (Standard, of(23), SecretError::Length(23)),
            (Standard, format!("whsec_{}", of(65)), SecretError::Length(65)),
        ] {
            assert_eq!(signer(kind, &secret).map(|_| ()), Err(wanted), "{secret:?}");
        }
    }

    #[test]
    fn secrets_are_taken_with_and_without_prefix_padding_and_white_space() {
        for bytes in [24, 25, 26, 64] {
            let padded = base64::prelude::BASE64_STANDARD.encode(vec![7; bytes]);
            let bare = padded.trim_end_matches('=');
            for secret in [padded.clone(), bare.to_owned(), format!("whsec_{padded}"), format!(" whsec_{bare}\r\n")] {
                assert!(signer(WebhookKind::Standard, &secret).is_ok(), "{secret:?}");
            }
        }
    }
}
