//! A field for each member of a payload, where the job's schema is a flat object; and the payload that filled fields make.
//! It checks nothing: whether a payload fits is the engine's to say.

use std::collections::{BTreeMap, HashSet};

use jobmill_core::Json;
use serde_json::Value;

use crate::pages::form::Posted;

/// Fields of one form; a schema with more members is filled in as JSON.
const FIELDS: usize = 40;
/// Choices of one field.
const CHOICES: usize = 100;

/// A member of the payload that can be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) is_required: bool,
    pub(super) description: Option<String>,
    /// What the field shows.
    pub(super) value: String,
}

/// What a member may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text, of a format where the schema names one.
    Text(Option<String>),
    /// `integer` or `number`.
    Number(&'static str),
    Boolean,
    /// One of these texts.
    Choice(Vec<String>),
}

impl Field {
    /// The type and the format, for people.
    pub(super) fn words(&self) -> &str {
        match &self.kind {
            Kind::Text(format) => format.as_deref().unwrap_or("text"),
            Kind::Number(word) => word,
            Kind::Boolean => "true or false",
            Kind::Choice(_) => "one of these",
        }
    }

    /// The type of the input element, which chooses a keyboard; the server checks the text.
    pub(super) fn input(&self) -> &'static str {
        match &self.kind {
            Kind::Text(Some(format)) if format == "email" => "email",
            Kind::Text(Some(format)) if format == "uri" => "url",
            _ => "text",
        }
    }

    /// What can be chosen; none where anything can be typed.
    pub(super) fn choices(&self) -> Option<Vec<&str>> {
        match &self.kind {
            Kind::Boolean => Some(vec!["true", "false"]),
            Kind::Choice(choices) => Some(choices.iter().map(String::as_str).collect()),
            _ => None,
        }
    }

    /// Its name in the form.
    pub(super) fn key(&self) -> String {
        format!("member.{}", self.name)
    }

    /// The text as JSON: what is no number where one is wanted is sent as text, so that the schema refuses it by name.
    fn document(&self, text: &str) -> Option<Json> {
        let is_plain = match &self.kind {
            Kind::Number(_) => text.trim().starts_with(|first: char| first.is_ascii_digit() || first == '-'),
            Kind::Boolean => matches!(text, "true" | "false"),
            Kind::Text(_) | Kind::Choice(_) => false,
        };
        let plain = if is_plain { Json::parse(text).ok() } else { None };
        plain.or_else(|| Json::of(text).ok())
    }
}

/// The fields of a schema, those that are required first; none where it is no flat object.
pub(super) fn of_schema(schema: &Json) -> Option<Vec<Field>> {
    let schema = schema.to_value().ok()?;
    let composed = ["$ref", "allOf", "anyOf", "oneOf", "not", "if", "patternProperties"];
    if schema["type"] != "object" || composed.iter().any(|word| schema.get(word).is_some()) {
        return None;
    }
    let required: HashSet<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema["properties"].as_object().filter(|all| (1..=FIELDS).contains(&all.len()))?;
    let field = |(name, member): (&String, &Value)| {
        Some(Field {
            kind: kind(member)?,
            is_required: required.contains(name.as_str()),
            description: member["description"].as_str().map(str::to_owned),
            name: name.clone(),
            value: String::new(),
        })
    };
    let mut fields: Vec<Field> = properties.iter().map(field).collect::<Option<_>>()?;
    fields.sort_by_key(|field| !field.is_required);
    Some(fields)
}

fn kind(member: &Value) -> Option<Kind> {
    if let Some(choices) = member["enum"].as_array() {
        // Null stands for a member that is left out.
        let texts = choices.iter().filter(|choice| !choice.is_null()).map(|choice| choice.as_str().map(str::to_owned));
        let choices: Vec<String> = texts.collect::<Option<_>>()?;
        return (choices.len() <= CHOICES).then_some(Kind::Choice(choices));
    }
    let word = match &member["type"] {
        Value::String(word) => word.as_str(),
        Value::Array(words) => {
            match words.iter().filter_map(Value::as_str).filter(|word| *word != "null").collect::<Vec<_>>()[..] {
                [word] => word,
                _ => return None,
            }
        }
        _ => return None,
    };
    match word {
        "string" => Some(Kind::Text(member["format"].as_str().map(str::to_owned))),
        "integer" => Some(Kind::Number("integer")),
        "number" => Some(Kind::Number("number")),
        "boolean" => Some(Kind::Boolean),
        _ => None,
    }
}

/// Fills the fields from a payload. False when it has something that no field can show.
pub(super) fn fill(fields: &mut [Field], payload: &Json) -> bool {
    let Ok(mut members) = serde_json::from_str::<BTreeMap<String, Json>>(payload.as_str()) else { return false };
    let mut fits = true;
    for field in fields {
        let Some(member) = members.remove(&field.name).filter(|member| member.as_str() != "null") else { continue };
        let text = serde_json::from_str::<String>(member.as_str());
        let (is_text, is_choice) = (matches!(field.kind, Kind::Text(_)), matches!(field.kind, Kind::Choice(_)));
        fits &= match &text {
            // A text with lines would lose them in a field of one line.
            Ok(text) => (is_text || is_choice) && !text.contains(['\n', '\r']),
            Err(_) => !is_text && field.document(member.as_str()).is_some_and(|document| document == member),
        };
        field.value = text.unwrap_or_else(|_| member.as_str().to_owned());
        fits &= field.choices().is_none_or(|choices| choices.contains(&field.value.as_str()));
    }
    fits && members.is_empty()
}

/// Takes in what was typed, and answers the payload that it makes. A field that was left empty is left out.
pub(super) fn take(fields: &mut [Field], posted: &Posted) -> String {
    let mut members = Vec::new();
    for field in fields {
        posted.text(&field.key()).unwrap_or_default().clone_into(&mut field.value);
        if field.value.is_empty() {
            continue;
        }
        if let (Ok(name), Some(document)) = (Json::of(&field.name), field.document(&field.value)) {
            members.push(format!("{name}: {document}"));
        }
    }
    if members.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", members.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text).expect("valid JSON")
    }

    const FLAT: &str = r#"{ "type": "object", "required": ["to"], "properties": {
        "count": { "type": "integer" }, "ratio": { "type": ["number", "null"] }, "to": { "type": "string", "format": "email" },
        "loud": { "type": "boolean" }, "size": { "enum": ["s", "m", null] }
    } }"#;

    #[test]
    fn a_flat_object_has_a_field_for_each_member_and_the_required_ones_first() {
        let fields = of_schema(&json(FLAT)).expect("flat");
        let shown: Vec<_> = fields.iter().map(|field| (field.name.as_str(), field.words(), field.input())).collect();
        assert_eq!(
            shown,
            [
                ("to", "email", "email"),
                ("count", "integer", "text"),
                ("loud", "true or false", "text"),
                ("ratio", "number", "text"),
                ("size", "one of these", "text"),
            ]
        );
        assert_eq!(fields[2].choices(), Some(vec!["true", "false"]));
        assert_eq!(fields[4].choices(), Some(vec!["s", "m"]));
    }

    #[test]
    fn what_is_no_flat_object_has_no_fields() {
        for schema in [
            "true",
            r#"{ "type": "array" }"#,
            r#"{ "type": "object" }"#,
            r#"{ "type": "object", "properties": { "a": { "type": "object" } } }"#,
            r##"{ "type": "object", "properties": { "a": { "$ref": "#/$defs/a" } } }"##,
            r#"{ "type": "object", "properties": { "a": { "type": ["string", "integer"] } } }"#,
            r#"{ "type": "object", "properties": { "a": { "enum": [1, 2] } } }"#,
            r#"{ "type": "object", "oneOf": [], "properties": { "a": { "type": "string" } } }"#,
        ] {
            assert_eq!(of_schema(&json(schema)), None, "{schema}");
        }
    }

    #[test]
    fn fields_are_filled_from_a_payload_unless_it_has_more_than_they_can_show() {
        let filled = |payload: &str| {
            let mut fields = of_schema(&json(FLAT)).expect("flat");
            let fits = fill(&mut fields, &json(payload));
            (fits, fields.into_iter().map(|field| field.value).collect::<Vec<_>>().join("|"))
        };
        assert_eq!(
            filled(
                r#"{ "to": "a@b.example", "count": 12345678901234567890123, "loud": true, "ratio": 1.10, "size": null }"#
            ),
            (true, "a@b.example|12345678901234567890123|true|1.10|".to_owned())
        );
        for beyond in [
            r#"{ "cc": "x" }"#,
            r#"{ "to": 7 }"#,
            r#"{ "count": "7" }"#,
            r#"{ "to": "a\nb" }"#,
            r#"{ "size": "xl" }"#,
            r#"{ "loud": 1 }"#,
            r#"{ "count": [1] }"#,
            "[]",
            "7",
        ] {
            assert!(!filled(beyond).0, "{beyond}");
        }
    }

    #[test]
    fn a_text_where_a_number_is_wanted_is_sent_as_text_for_the_schema_to_refuse() {
        let field =
            |kind| Field { name: String::new(), kind, is_required: false, description: None, value: String::new() };
        let sent = |kind, text: &str| field(kind).document(text).expect("a document").to_string();
        assert_eq!(sent(Kind::Number("number"), "-1.10"), "-1.10");
        assert_eq!(sent(Kind::Number("integer"), "many"), "\"many\"");
        assert_eq!(sent(Kind::Number("integer"), "[1]"), "\"[1]\"");
        assert_eq!(sent(Kind::Boolean, "true"), "true");
        assert_eq!(sent(Kind::Boolean, "yes"), "\"yes\"");
        assert_eq!(sent(Kind::Text(None), "true"), "\"true\"");
    }
}
