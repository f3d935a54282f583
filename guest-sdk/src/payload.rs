//! Reading a payload into its type, and the schema that the engine checks it against.
//! It does not replace that check: it is what still holds for a run that was enqueued under an older schema.

use crate::Failure;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Error, Path, Segment};

/// The JSON Schema (2020-12) of a payload's type.
pub fn schema<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().into()
}

/// The payload in its type, or a permanent failure that names the member by its JSON Pointer.
pub fn parse<T: DeserializeOwned>(payload: &str) -> Result<T, Failure> {
    let value: Value = serde_json::from_str(payload)
        .map_err(|error| Failure::permanent(format_args!("the payload is not JSON: {error}")))?;
    // Keeping the path costs time and, on a deep payload, more stack than a component has: only a refusal pays for it.
    T::deserialize(&value).or_else(|_| serde_path_to_error::deserialize(value)).map_err(|error: Error<_>| {
        let reason = error.inner().to_string();
        let pointer = json_pointer(error.path());
        Failure::permanent(match missing_member(&reason) {
            Some(member) => format!("the payload does not fit: {pointer}/{}: is required", escape(member)),
            None if pointer.is_empty() => format!("the payload does not fit: {reason}"),
            None => format!("the payload does not fit: {pointer}: {reason}"),
        })
    })
}

/// Serde reports a missing member at its parent and gives the name only in the text.
fn missing_member(reason: &str) -> Option<&str> {
    reason.strip_prefix("missing field `")?.strip_suffix('`')
}

/// The path as a JSON Pointer (RFC 6901).
fn json_pointer(path: &Path) -> String {
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => format!("{pointer}/{index}"),
        Segment::Map { key } => format!("{pointer}/{}", escape(key)),
        // A variant is named by its content, and what is unknown has no name: neither is a member of the document.
        Segment::Enum { .. } | Segment::Unknown => pointer,
    })
}

fn escape(member: &str) -> String {
    member.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::{parse, schema};
    use crate::{Email, Failure, payload};
    use serde_json::json;

    #[payload]
    struct Line {
        sku: String,
        quantity: u32,
    }

    #[payload]
    struct Purchase {
        order_id: String,
        customer_email: Email,
        refund_reason: Option<String>,
        #[serde(default)]
        lines: Vec<Line>,
    }

    fn refusal(payload: &str) -> String {
        match parse::<Purchase>(payload) {
            Err(Failure::Permanent(reason)) => reason,
            Err(other) => panic!("expected a permanent failure, got {other:?}"),
            Ok(_) => panic!("{payload} was accepted"),
        }
    }

    #[test]
    fn reads_camel_case_members_and_tolerates_unknown_ones() {
        let payload = json!({ "orderId": "1042", "customerEmail": "ada@example.com", "lines": [{ "sku": "A", "quantity": 2 }], "campaign": 7 });
        let purchase: Purchase = parse(&payload.to_string()).unwrap();
        assert_eq!((purchase.order_id.as_str(), purchase.customer_email.as_str()), ("1042", "ada@example.com"));
        assert_eq!(purchase.refund_reason, None);
        assert_eq!((purchase.lines[0].sku.as_str(), purchase.lines[0].quantity), ("A", 2));
    }

    #[test]
    fn a_missing_member_is_named_by_its_own_pointer() {
        assert_eq!(
            refusal(r#"{ "customerEmail": "ada@example.com" }"#),
            "the payload does not fit: /orderId: is required"
        );
        let payload = json!({ "orderId": "1042", "customerEmail": "ada@example.com", "lines": [{ "sku": "A" }] });
        assert_eq!(refusal(&payload.to_string()), "the payload does not fit: /lines/0/quantity: is required");
    }

    #[test]
    fn a_wrong_type_and_a_bad_address_are_named_by_their_pointer() {
        let payload = json!({ "orderId": 1042, "customerEmail": "ada@example.com" });
        assert_eq!(
            refusal(&payload.to_string()),
            "the payload does not fit: /orderId: invalid type: integer `1042`, expected a string"
        );
        let text = refusal(r#"{ "orderId": "1042", "customerEmail": "ada" }"#);
        assert!(
            text.starts_with("the payload does not fit: /customerEmail: \"ada\" is not an e-mail address"),
            "{text}"
        );
    }

    #[test]
    fn what_is_not_an_object_or_not_json_is_said_so() {
        assert!(refusal("[]").starts_with("the payload does not fit: invalid"), "{}", refusal("[]"));
        assert!(refusal("{").starts_with("the payload is not JSON: EOF"), "{}", refusal("{"));
    }

    #[test]
    fn the_schema_is_strict_about_types_and_formats_and_open_to_more_members() {
        let schema = schema::<Purchase>();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema["required"], json!(["orderId", "customerEmail"]));
        assert_eq!(schema["properties"]["orderId"], json!({ "type": "string" }));
        assert_eq!(schema["properties"]["customerEmail"], json!({ "type": "string", "format": "email" }));
        assert_eq!(schema["properties"]["refundReason"], json!({ "type": ["string", "null"] }));
        assert_eq!(schema.get("additionalProperties"), None);
    }
}
