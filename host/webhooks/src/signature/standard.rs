//! The headers of Standard Webhooks: an id, a timestamp and a list of signatures such as `v1,g0hM9S… v1a,…`.
//! It reads what is claimed and checks nothing of it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{Claim, PARTS, Reason, SIGNATURES, Signature, signature, text};

/// The three headers by Svix's names and by the standard's: Svix's go first, as in the sender's own libraries. One set is
/// taken whole; a header of the other never fills a gap.
const SETS: [[&str; 3]; 2] =
    [["svix-id", "svix-timestamp", "svix-signature"], ["webhook-id", "webhook-timestamp", "webhook-signature"]];

/// Only `v1` counts: `v1a` is made with another kind of key, and the rest is unknown.
pub(super) fn read<'h>(header: impl Fn(&str) -> Option<&'h [u8]>) -> Result<Claim<'h>, Reason> {
    let whole = SETS.into_iter().find(|set| set.iter().all(|name| header(name).is_some()));
    let [id, timestamp_header, signatures] = whole.ok_or(Reason::MissingStandard)?;
    let sender_id = text(id, &header)?;
    if sender_id.is_empty() {
        return Err(Reason::Malformed(id));
    }
    let signatures = text(signatures, &header)?
        .split(' ')
        .take(PARTS)
        .filter_map(|part| part.strip_prefix("v1,"))
        .take(SIGNATURES)
        .filter_map(base64)
        .collect();
    let timestamp = text(timestamp_header, &header)?;
    Ok(Claim { id: Some(sender_id), timestamp, timestamp_header, signatures })
}

fn base64(digits: &str) -> Option<Signature> {
    // 32 bytes are 44 digits; what is longer is not decoded at all.
    if digits.len() != 44 {
        return None;
    }
    let bytes = BASE64_STANDARD.decode(digits).ok()?;
    bytes.try_into().ok().map(signature)
}
