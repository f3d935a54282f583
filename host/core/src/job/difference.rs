//! What one version of a job says otherwise than another, member by member, as data and in words.
//! It knows no version and no file: it is given what each says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::Descriptor;
use crate::limits;

/// What is compared: every member by its name, as JSON.
pub type Members = BTreeMap<String, Value>;

/// The members that are documents: too long to be shown beside each other.
const SCHEMA: &str = "payload-schema";
const EXAMPLE: &str = "payload-example";

/// Text that is longer is not quoted.
const QUOTED_BYTES: usize = 160;
/// Of more names, the others are counted.
const NAMES_TOLD: usize = 12;

/// What a component says of itself, by the words of the WIT descriptor, and what it imports. What it leaves open is null.
pub fn members(descriptor: &Descriptor, imports: &[String]) -> Members {
    let told = serde_json::to_value(descriptor).unwrap_or_default();
    let mut members: Members = match told {
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, without_nulls(value))).collect(),
        _ => Members::new(),
    };
    let triggers: Vec<String> = descriptor.triggers.iter().map(ToString::to_string).collect();
    members.insert("triggers".to_owned(), triggers.into());
    members.insert("imports".to_owned(), imports.into());
    for (name, text) in [(SCHEMA, &descriptor.payload_schema), (EXAMPLE, &descriptor.payload_example)] {
        let document = text.as_ref().map(|text| serde_json::from_str(text).unwrap_or_else(|_| text.clone().into()));
        members.insert(name.to_owned(), document.unwrap_or_default());
    }
    members
}

/// What is left open within a value is left out, so that it can be shown.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let said = members.into_iter().filter(|(_, value)| !value.is_null());
            said.map(|(name, value)| (name, without_nulls(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// What `after` says otherwise than `before`, by the names of the members.
pub fn changes(before: &Members, after: &Members) -> Vec<Change> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let of = |members: &Members, name: &str| members.get(name).cloned().unwrap_or_default();
    names
        .into_iter()
        .map(|name| Change { field: name.clone(), before: of(before, name), after: of(after, name) })
        .filter(|change| change.before != change.after)
        .collect()
}

/// A member that says something else.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Its name.
    pub field: String,
    /// What it said; null for nothing.
    pub before: Value,
    /// What it says now; null for nothing.
    pub after: Value,
}

/// What a payload schema says otherwise, as far as its own properties tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaChange {
    /// Properties that are new.
    pub gained: Vec<String>,
    /// Properties that are gone.
    pub lost: Vec<String>,
    /// Properties that have to fit something else.
    pub changed: Vec<String>,
    /// Names that have become required.
    pub required: Vec<String>,
    /// Names that are required no longer.
    pub optional: Vec<String>,
    /// Something else is different too.
    pub otherwise: bool,
}

impl Change {
    /// Whether it is of a document, which is too long to be shown as it was and is.
    pub fn is_of_document(&self) -> bool {
        [SCHEMA, EXAMPLE].contains(&self.field.as_str())
    }

    /// Of a list of names, those that are new, and those that are gone.
    pub fn names(&self) -> Option<(Vec<String>, Vec<String>)> {
        let (before, after) = (names(&self.before)?, names(&self.after)?);
        let without =
            |these: &[String], those: &[String]| these.iter().filter(|it| !those.contains(it)).cloned().collect();
        Some((without(&after, &before), without(&before, &after)))
    }

    /// Of a payload schema that was there before and still is, what is different about it.
    pub fn schema(&self) -> Option<SchemaChange> {
        let (Value::Object(before), Value::Object(after)) = (&self.before, &self.after) else { return None };
        if self.field != SCHEMA {
            return None;
        }
        let empty = serde_json::Map::new();
        let properties =
            |schema: &serde_json::Map<String, Value>| schema.get("properties").cloned().unwrap_or_default();
        let (old, new) = (properties(before), properties(after));
        let (old, new) = (old.as_object().unwrap_or(&empty), new.as_object().unwrap_or(&empty));
        let required = |schema: &serde_json::Map<String, Value>| names(schema.get("required").unwrap_or(&Value::Null));
        let (was_required, is_required) = (required(before).unwrap_or_default(), required(after).unwrap_or_default());
        let is_other = |name: &&String| old.get(*name).is_some_and(|property| Some(property) != new.get(*name));
        let rest = |schema: &serde_json::Map<String, Value>| {
            let others = schema.iter().filter(|(name, _)| !["properties", "required"].contains(&name.as_str()));
            others.map(|(name, value)| (name.clone(), value.clone())).collect::<Members>()
        };
        Some(SchemaChange {
            gained: new.keys().filter(|name| !old.contains_key(*name)).cloned().collect(),
            lost: old.keys().filter(|name| !new.contains_key(*name)).cloned().collect(),
            changed: new.keys().filter(is_other).cloned().collect(),
            required: is_required.iter().filter(|name| !was_required.contains(name)).cloned().collect(),
            optional: was_required.iter().filter(|name| !is_required.contains(name)).cloned().collect(),
            otherwise: rest(before) != rest(after),
        })
    }
}

/// The texts of a list that has nothing else; a member that says nothing lists none.
fn names(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// As a person says it: `retries 3 → 5`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, before, after } = self;
        let parts = match (self.schema(), self.names()) {
            (Some(schema), _) => schema.parts(),
            (None, Some((gained, lost))) if !(before.is_null() && after.is_null()) && is_list(before, after) => {
                vec![("gained", gained), ("lost", lost)]
            }
            _ if self.is_of_document() || is_long(before) || is_long(after) => Vec::new(),
            _ => return write!(f, "{field} {} → {}", shown(before), shown(after)),
        };
        let told: Vec<String> = parts
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(word, names)| format!("{word} {}", listed(&names)))
            .collect();
        match (told.is_empty(), before, after) {
            (false, ..) => write!(f, "{field} {}", told.join("; ")),
            (true, Value::Null, _) => write!(f, "{field} added"),
            (true, _, Value::Null) => write!(f, "{field} removed"),
            (true, ..) => write!(f, "{field} changed"),
        }
    }
}

impl SchemaChange {
    fn parts(self) -> Vec<(&'static str, Vec<String>)> {
        let Self { gained, lost, changed, required, optional, otherwise } = self;
        let is_told = [&gained, &lost, &changed, &required, &optional].iter().any(|names| !names.is_empty());
        let rest = if otherwise && is_told { vec!["something else".to_owned()] } else { Vec::new() };
        let changed = [changed, rest].concat();
        vec![
            ("gained", gained),
            ("lost", lost),
            ("changed", changed),
            ("requires", required),
            ("no longer requires", optional),
        ]
    }
}

fn listed(names: &[String]) -> String {
    let told = names.iter().take(NAMES_TOLD).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_TOLD) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}

fn is_list(before: &Value, after: &Value) -> bool {
    before.is_array() || after.is_array()
}

fn is_long(value: &Value) -> bool {
    let text = value.as_str();
    text.is_some_and(|text| text.contains('\n'))
        || text.map_or_else(|| value.to_string().len(), str::len) > QUOTED_BYTES
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "not set".to_owned(),
        Value::Array(items) if items.is_empty() => "not set".to_owned(),
        Value::String(text) => limits::truncate(text, QUOTED_BYTES).to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::descriptor::{Concurrency, RateLimit, Trigger};
    use super::*;
    use crate::backoff::Backoff;

    fn descriptor() -> Descriptor {
        Descriptor { id: "ship".to_owned(), title: "Ship".to_owned(), ..Descriptor::default() }
    }

    /// In words, what a change of the description comes to.
    fn told(change: impl FnOnce(&mut Descriptor)) -> Vec<String> {
        let mut after = descriptor();
        change(&mut after);
        told_between(&descriptor(), &after)
    }

    fn told_between(before: &Descriptor, after: &Descriptor) -> Vec<String> {
        changes(&members(before, &[]), &members(after, &[])).iter().map(ToString::to_string).collect()
    }

    fn schema(value: &Value) -> Descriptor {
        Descriptor { payload_schema: Some(value.to_string()), ..descriptor() }
    }

    #[test]
    fn what_says_the_same_has_no_change() {
        assert_eq!(told(|_| {}), Vec::<String>::new());
        let spaced = Descriptor { payload_schema: Some("{ \"a\":1, \"b\":2 }".to_owned()), ..descriptor() };
        assert_eq!(told_between(&schema(&json!({ "b": 2, "a": 1 })), &spaced), Vec::<String>::new());
    }

    #[test]
    fn every_member_is_told_by_its_wit_word() {
        let minute = Duration::from_mins(1);
        for (change, expected) in [
            ((|d| d.title = "Send".to_owned()) as fn(&mut Descriptor), "title Ship → Send"),
            (|d| d.description = Some("Ships.".to_owned()), "description not set → Ships."),
            (|d| d.description = Some("One.\nTwo.".to_owned()), "description added"),
            (|d| d.triggers = vec![Trigger::Event("order/paid".to_owned())], "triggers gained event order/paid"),
            (|d| d.queue = Some("mail".to_owned()), "queue not set → mail"),
            (|d| d.priority = Some(1), "priority not set → 1"),
            (|d| d.retries = Some(5), "retries not set → 5"),
            (
                |d| d.backoff = Some(Backoff::Fixed { delay: Duration::from_secs(2) }),
                r#"backoff not set → {"delay":"2s","kind":"fixed"}"#,
            ),
            (|d| d.timeout = Some(Duration::from_secs(90)), "timeout not set → 1m30s"),
            (|d| d.concurrency = vec![Concurrency { limit: 2, key: None }], r#"concurrency not set → [{"limit":2}]"#),
            (|d| d.unique_key = Some("/id".to_owned()), "unique-key not set → /id"),
            (|d| d.unique_for = Some(Duration::from_hours(1)), "unique-for not set → 1h"),
            (|d| d.payload_schema = Some("true".to_owned()), "payload-schema added"),
            (|d| d.payload_example = Some("{}".to_owned()), "payload-example added"),
        ] {
            assert_eq!(told(change), [expected]);
        }
        let limited =
            told(|d| d.rate_limit = Some(RateLimit { limit: 9, period: minute, key: Some("/id".to_owned()) }));
        assert_eq!(limited, [r#"rate-limit not set → {"key":"/id","limit":9,"period":"1m"}"#]);
    }

    #[test]
    fn several_changes_come_by_the_names_of_the_members() {
        let before = Descriptor { retries: Some(3), timeout: Some(Duration::from_secs(30)), ..descriptor() };
        let after = Descriptor { retries: Some(5), queue: Some("mail".to_owned()), ..descriptor() };
        let expected = ["queue not set → mail", "retries 3 → 5", "timeout 30s → not set"];
        assert_eq!(told_between(&before, &after), expected);
    }

    #[test]
    fn imports_are_gained_and_lost() {
        let [log, mail, orders] = ["log", "email", "orders"].map(|name| format!("jobmill:job/{name}@0.1.0"));
        let before = members(&descriptor(), &[log.clone(), mail.clone()]);
        let after = members(&descriptor(), &[log, orders.clone()]);
        let told = changes(&before, &after);
        assert_eq!(told[0].names(), Some((vec![orders], vec![mail])));
        let expected = "imports gained jobmill:job/orders@0.1.0; lost jobmill:job/email@0.1.0";
        assert_eq!((told.len(), told[0].to_string().as_str()), (1, expected));
    }

    #[test]
    fn the_same_names_in_another_order_have_changed() {
        let [one, two] = ["a", "b"].map(|name| Trigger::Event(name.to_owned()));
        let before = Descriptor { triggers: vec![one.clone(), two.clone()], ..descriptor() };
        let after = Descriptor { triggers: vec![two, one], ..descriptor() };
        assert_eq!(told_between(&before, &after), ["triggers changed"]);
    }

    #[test]
    fn a_schema_tells_its_properties_and_what_is_required() {
        let before = json!({
            "type": "object", "required": ["id", "note"],
            "properties": { "id": { "type": "string" }, "note": { "type": "string" }, "old": {} },
        });
        for (after, expected) in [
            (
                json!({
                    "type": "object", "required": ["id", "amount"],
                    "properties": { "id": { "type": "integer" }, "note": { "type": "string" }, "amount": {} },
                }),
                "payload-schema gained amount; lost old; changed id; requires amount; no longer requires note",
            ),
            (
                json!({
                    "type": "object", "required": ["note", "id"], "additionalProperties": false,
                    "properties": { "id": { "type": "string" }, "note": { "type": "string" } },
                }),
                "payload-schema lost old; changed something else",
            ),
            (
                json!({
                    "required": ["id", "note"],
                    "properties": { "id": { "type": "string" }, "note": { "type": "string" }, "old": {} },
                }),
                "payload-schema changed",
            ),
            (
                json!({ "type": "object", "properties": 3, "required": 4 }),
                "payload-schema lost id, note, old; no longer requires id, note",
            ),
            (json!(true), "payload-schema changed"),
        ] {
            assert_eq!(told_between(&schema(&before), &schema(&after)), [expected], "{after}");
        }
        assert_eq!(told_between(&schema(&before), &descriptor()), ["payload-schema removed"]);
    }

    #[test]
    fn of_many_names_the_others_are_counted() {
        let triggers = (1..=20).map(|number| Trigger::Event(format!("e{number}"))).collect();
        let after = Descriptor { triggers, ..descriptor() };
        let told = told_between(&descriptor(), &after).swap_remove(0);
        assert!(told.starts_with("triggers gained event e1, event e2,"), "{told}");
        assert!(told.ends_with(", event e12 and 8 more"), "{told}");
    }

    #[test]
    fn what_is_long_is_not_quoted() {
        let long = |letter: &str| Descriptor { description: Some(letter.repeat(200)), ..descriptor() };
        assert_eq!(told_between(&long("a"), &long("b")), ["description changed"]);
        assert_eq!(told_between(&long("a"), &descriptor()), ["description removed"]);
        let example = |text: &str| Descriptor { payload_example: Some(text.to_owned()), ..descriptor() };
        assert_eq!(told_between(&example("1"), &example("2")), ["payload-example changed"]);
    }

    #[test]
    fn a_description_reads_back_as_it_was_written() {
        let whole = Descriptor {
            retries: Some(5),
            timeout: Some(Duration::from_millis(1_500)),
            backoff: Some(Backoff::default()),
            rate_limit: Some(RateLimit { limit: 9, period: Duration::from_mins(1), key: None }),
            ..descriptor()
        };
        let text = serde_json::to_string(&whole).expect("JSON");
        assert!(text.contains(r#""timeout":"1s500ms""#) && text.contains(r#""unique-key":null"#), "{text}");
        assert_eq!(serde_json::from_str::<Descriptor>(&text).ok(), Some(whole));
        // A record of an earlier release has fewer members.
        assert_eq!(serde_json::from_str::<Descriptor>(r#"{"id":"ship","title":"Ship"}"#).ok(), Some(descriptor()));
    }
}
