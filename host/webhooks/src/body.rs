//! The body of a delivery whose signature was good: its document, its kind, and the sender's id of it.
//! It never refuses: what was signed was sent in earnest, and must neither be lost nor be sent again for ever.

use jobmill_core::id::{EventId, hex};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::endpoint::Verified;

/// Bytes of a delivery's kind. Kinds are words such as `checkout.session.completed`.
pub(crate) const KIND_BYTES: usize = 256;

/// A body as a tree; `null` for what is not JSON.
pub fn document(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or(Value::Null)
}

/// What a signed body says of itself. `id` is the one from the headers, if the kind of webhook has it there.
pub(crate) fn read(id: Option<&str>, body: &[u8]) -> Verified {
    let document = document(body);
    let text = |member: &str| document.get(member).and_then(Value::as_str).filter(|text| !text.is_empty());
    let sender_id = match id.or_else(|| text("id")) {
        Some(id) if id.parse::<EventId>().is_ok() => id.to_owned(),
        // It still has to be the same when the sender tries again.
        Some(id) => digest(id.as_bytes()),
        None => digest(body),
    };
    let kind = text("type").filter(|kind| kind.len() <= KIND_BYTES && !kind.chars().any(char::is_control));
    Verified {
        sender_id,
        kind: kind.unwrap_or_default().to_owned(),
        body: String::from_utf8_lossy(body).into_owned(),
        document,
    }
}

/// Why a body has no kind, for people.
pub(crate) fn without_kind(document: &Value) -> String {
    if document.is_object() {
        format!("the body has no \"type\" that is a text of 1 to {KIND_BYTES} bytes, so nothing tells what it is about")
    } else {
        "the body is not a JSON object in UTF-8, so nothing tells what it is about".to_owned()
    }
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
