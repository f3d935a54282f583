//! What a schema says to people, as the lines of a comment.
//! It escapes nothing: that is done where the comment is written.

use serde_json::{Map, Value};

/// Of a description.
const LINES: usize = 20;
/// Of a line; what is longer is cut, and a value that is longer is left out.
const CHARACTERS: usize = 200;
/// Of a schema's examples.
const EXAMPLES: usize = 3;

/// What a type can't say, in words that tools for TypeScript know.
const BOUNDS: [&str; 10] = [
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minItems",
    "maxItems",
];

/// The lines of a schema's comment; none when it says nothing.
pub(super) fn comment(schema: &Value) -> Vec<String> {
    let Some(schema) = schema.as_object() else {
        return Vec::new();
    };
    let mut lines = words(schema);
    if schema.get("deprecated") == Some(&Value::Bool(true)) {
        lines.push("@deprecated".to_owned());
    }
    for bound in BOUNDS {
        match schema.get(bound) {
            Some(Value::String(text)) if is_short(text) => lines.push(format!("@{bound} {text}")),
            Some(Value::Number(number)) => lines.push(format!("@{bound} {number}")),
            _ => {}
        }
    }
    if let Some(default) = schema.get("default") {
        lines.extend(tag("default", default));
    }
    let examples = schema.get("examples").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    lines.extend(examples.iter().take(EXAMPLES).filter_map(|example| tag("example", example)));
    lines
}

/// The description, or else the title.
fn words(schema: &Map<String, Value>) -> Vec<String> {
    let text = schema.get("description").or_else(|| schema.get("title")).and_then(Value::as_str);
    let mut lines: Vec<String> = text.unwrap_or_default().trim().lines().take(LINES).map(cut).collect();
    if lines.iter().all(String::is_empty) {
        lines.clear();
    }
    lines
}

fn cut(line: &str) -> String {
    let line = line.trim_end();
    match line.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

fn tag(name: &str, value: &Value) -> Option<String> {
    let value = value.to_string();
    is_short(&value).then(|| format!("@{name} {value}"))
}

fn is_short(text: &str) -> bool {
    text.chars().nth(CHARACTERS).is_none()
}
