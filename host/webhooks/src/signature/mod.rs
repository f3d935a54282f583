//! Signatures of deliveries: what the headers claim, whether it is fresh, and whether one of our secrets made it.
//! It looks at no body; what is signed is bytes here.

mod standard;
mod stripe;

use std::time::Duration;

use hmac::Mac as _;
use hmac::digest::{CtOutput, Output};
use jobmill_core::Timestamp;
use sha2::Sha256;

use crate::kind::WebhookKind;
use crate::secret::Signer;

/// How far the sender's clock and ours may be apart, both ways. Within it a delivery could be played back; ids see to that.
pub const TOLERANCE: Duration = Duration::from_mins(5);

/// Signatures of a delivery that are looked at. A sender that is rolling its secret sends two or three.
pub(crate) const SIGNATURES: usize = 16;
/// Parts of a header that are looked at, whatever scheme they are of.
const PARTS: usize = 64;

/// Why a delivery is refused. Its text is the same for every reason, so that it tells nothing to whoever tries;
/// [`Refused::reason`] and `Debug` tell the host's log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the signature of this delivery can't be accepted")]
pub struct Refused(Reason);

impl Refused {
    /// The reason, for the host's log only.
    pub fn reason(&self) -> String {
        self.0.to_string()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Reason {
    #[error("the header {0} is missing")]
    Missing(&'static str),
    #[error("the headers are missing, svix-id, svix-timestamp and svix-signature or the same with webhook-")]
    MissingStandard,
    #[error("the header {0} is not what this kind of webhook sends")]
    Malformed(&'static str),
    #[error("it has no signature of the scheme v1; no other counts")]
    NoSignature,
    #[error("it was signed {0} s ago; at most {max} s are allowed, so see to the clock here", max = TOLERANCE.as_secs())]
    Late(u64),
    #[error(
        "it was signed {0} s ahead of the clock here; at most {max} s are allowed, so see to the clock here",
        max = TOLERANCE.as_secs()
    )]
    Early(u64),
    #[error(
        "no signature matches: the secret is of another endpoint, or something on the way here changed the body; \
         signatures looked at: {signatures}, secrets: {secrets}"
    )]
    NoMatch { signatures: usize, secrets: usize },
}

pub(crate) type Signature = CtOutput<Signer>;

/// What the headers of a delivery claim.
#[derive(Debug)]
pub(crate) struct Claim<'h> {
    /// The delivery's id, where the kind has it in a header.
    pub(crate) id: Option<&'h str>,
    /// When it was signed, as it was written and signed: seconds since the Unix epoch.
    timestamp: &'h str,
    /// The header that this stands in.
    timestamp_header: &'static str,
    signatures: Vec<Signature>,
}

/// Whether one of `signers` made a signature over these headers and `body`, not long before or after `now`.
pub(crate) fn check<'h>(
    kind: WebhookKind,
    signers: &[Signer],
    header: impl Fn(&str) -> Option<&'h [u8]>,
    body: &[u8],
    now: Timestamp,
) -> Result<Claim<'h>, Refused> {
    let claim = match kind {
        WebhookKind::Stripe => stripe::read(header),
        WebhookKind::Standard => standard::read(header),
    };
    let claim = claim.map_err(Refused)?;
    claim.check_age(now).map_err(Refused)?;
    claim.check_signatures(signers, body).map_err(Refused)?;
    Ok(claim)
}

impl Claim<'_> {
    fn check_age(&self, now: Timestamp) -> Result<(), Reason> {
        let signed_at = seconds(self.timestamp).ok_or(Reason::Malformed(self.timestamp_header))?;
        let now = now.as_millis() / 1_000;
        if now.abs_diff(signed_at) <= TOLERANCE.as_secs() {
            Ok(())
        } else if signed_at < now {
            Err(Reason::Late(now - signed_at))
        } else {
            Err(Reason::Early(signed_at - now))
        }
    }

    /// Each secret signs once, however many signatures were sent: hashing the body is what costs.
    fn check_signatures(&self, signers: &[Signer], body: &[u8]) -> Result<(), Reason> {
        if self.signatures.is_empty() {
            return Err(Reason::NoSignature);
        }
        for signer in signers {
            let wanted = sign(signer, self.id, self.timestamp, body);
            // The comparison of a `CtOutput` takes the same time wherever the two differ.
            if self.signatures.contains(&wanted) {
                return Ok(());
            }
        }
        Err(Reason::NoMatch { signatures: self.signatures.len(), secrets: signers.len() })
    }
}

/// The signature over a body, when it was signed and, where the kind has one, its id.
pub(crate) fn sign(signer: &Signer, id: Option<&str>, timestamp: &str, body: &[u8]) -> Signature {
    let mut signer = signer.clone();
    if let Some(id) = id {
        signer.update(id.as_bytes());
        signer.update(b".");
    }
    signer.update(timestamp.as_bytes());
    signer.update(b".");
    signer.update(body);
    signer.finalize()
}

/// Whole seconds: digits and nothing else, so that one instant has one spelling but for zeros in front.
fn seconds(text: &str) -> Option<u64> {
    let digits = (1..=12).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

fn signature(bytes: [u8; 32]) -> Signature {
    Signature::new(Output::<Sha256>::from(bytes))
}

/// A header as text.
fn text<'h>(name: &'static str, header: &impl Fn(&str) -> Option<&'h [u8]>) -> Result<&'h str, Reason> {
    let bytes = header(name).ok_or(Reason::Missing(name))?;
    std::str::from_utf8(bytes).map_err(|_| Reason::Malformed(name))
}
