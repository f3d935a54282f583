//! Payloads checked against a job's JSON Schema (2020-12) before a run is enqueued.
//! A schema that is none makes its component broken; it never lets payloads through unchecked.

use jobmill_core::Json;
use jsonschema::error::ValidationErrorKind;

/// A payload that does not fit: where, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadProblem {
    /// JSON Pointer (RFC 6901) to the member; a missing member is named itself.
    pub pointer: String,
    /// What is wrong, as the end of a sentence: "is required".
    pub detail: String,
}

/// A compiled schema.
pub struct PayloadSchema(jsonschema::Validator);

/// Problems reported of one payload: enough to mend it, bounded.
const PROBLEMS: usize = 20;

impl PayloadSchema {
    /// Compiles the schema, formats such as `email` included. References to other documents are refused.
    pub fn compile(schema: &Json) -> Result<Self, String> {
        let schema = schema.to_value().map_err(|error| error.to_string())?;
        jsonschema::draft202012::options()
            .should_validate_formats(true)
            .build(&schema)
            .map(Self)
            .map_err(|error| format!("describe: the payload-schema is not a JSON Schema: {error}"))
    }

    /// What does not fit; empty when all does.
    pub fn problems(&self, payload: &serde_json::Value) -> Vec<PayloadProblem> {
        self.0.iter_errors(payload).take(PROBLEMS).map(|error| problem(&error)).collect()
    }
}

fn problem(error: &jsonschema::ValidationError<'_>) -> PayloadProblem {
    let pointer = error.instance_path().to_string();
    match error.kind() {
        ValidationErrorKind::Required { property } => PayloadProblem {
            pointer: format!("{pointer}/{}", escape(property.as_str().unwrap_or_default())),
            detail: "is required".to_owned(),
        },
        ValidationErrorKind::Format { format } => {
            PayloadProblem { pointer, detail: format!("is not a valid {format}") }
        }
        ValidationErrorKind::Type { .. } => PayloadProblem { pointer, detail: type_detail(error) },
        _ => PayloadProblem { pointer, detail: error.to_string() },
    }
}

/// The validator's own words begin with the value, which may be long or private.
fn type_detail(error: &jsonschema::ValidationError<'_>) -> String {
    let text = error.to_string();
    let expected = text.rfind(" is not of ").map_or(text.as_str(), |at| &text[at + " is not of ".len()..]);
    format!("is not of {expected}").replace('"', "")
}

/// RFC 6901, section 3.
fn escape(member: &str) -> String {
    member.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> PayloadSchema {
        let schema = json!({
            "type": "object",
            "properties": { "orderId": { "type": "string" }, "email": { "type": "string", "format": "email" } },
            "required": ["orderId", "email"],
        });
        PayloadSchema::compile(&Json::of(&schema).expect("serialises")).expect("compiles")
    }

    fn problems(payload: &serde_json::Value) -> Vec<(String, String)> {
        schema().problems(payload).into_iter().map(|problem| (problem.pointer, problem.detail)).collect()
    }

    #[test]
    fn a_missing_member_is_reported_at_its_own_pointer() {
        let found = problems(&json!({ "email": "a@b.example" }));
        assert_eq!(found, [("/orderId".to_owned(), "is required".to_owned())]);
    }

    #[test]
    fn types_and_formats_are_strict_and_unknown_members_welcome() {
        assert_eq!(problems(&json!({ "orderId": "1", "email": "a@b.example", "more": [1] })), []);
        assert_eq!(
            problems(&json!({ "orderId": 7, "email": "nobody" })),
            [
                ("/email".to_owned(), "is not a valid email".to_owned()),
                ("/orderId".to_owned(), "is not of type string".to_owned())
            ]
        );
        assert_eq!(problems(&json!([])), [(String::new(), "is not of type object".to_owned())]);
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        let schema = Json::parse("{\"type\":\"strung\"}").expect("valid JSON");
        assert!(PayloadSchema::compile(&schema).is_err());
        let remote = Json::parse("{\"$ref\":\"https://schemas.example/a.json\"}").expect("valid JSON");
        assert!(PayloadSchema::compile(&remote).is_err());
    }
}
