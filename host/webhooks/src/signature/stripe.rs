//! Stripe's header: `t=1700000000,v1=0c86…,v1=…,v0=…`.
//! It reads what is claimed and checks nothing of it.

use super::{Claim, PARTS, Reason, SIGNATURES, Signature, signature, text};

const HEADER: &str = "stripe-signature";

/// Only `v1` counts: `v0` is made with a secret that is no secret, so taking it would let anybody sign.
pub(super) fn read<'h>(header: impl Fn(&str) -> Option<&'h [u8]>) -> Result<Claim<'h>, Reason> {
    let mut timestamp = None;
    let mut signatures = Vec::new();
    for part in text(HEADER, &header)?.split(',').take(PARTS) {
        match part.split_once('=') {
            // Two would leave open which of them was signed.
            Some(("t", _)) if timestamp.is_some() => return Err(Reason::Malformed(HEADER)),
            Some(("t", seconds)) => timestamp = Some(seconds),
            Some(("v1", digits)) if signatures.len() < SIGNATURES => signatures.extend(hexadecimal(digits)),
            _ => {}
        }
    }
    let timestamp = timestamp.ok_or(Reason::Malformed(HEADER))?;
    Ok(Claim { id: None, timestamp, timestamp_header: HEADER, signatures })
}

/// 64 digits in lower case, which is how Stripe writes them; another spelling is not from there.
fn hexadecimal(digits: &str) -> Option<Signature> {
    if digits.len() != 64 {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(signature(bytes))
}
