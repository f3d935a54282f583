//! The search of the list of runs, as text: `job:welcome-email payload.order_id:A-1001 "no such order"`.
//! It only reads and writes that text, and looks into a payload; which runs there are, the store says.

use std::borrow::Cow;
use std::collections::HashMap;

use jobmill_core::{Json, limits};
use serde_json::value::RawValue;

/// What a word of the search may begin with, beside `payload.` and the way to a member.
const QUALIFIERS: [&str; 7] = ["job", "queue", "event", "tag", "error", "since", "rerun_of"];
/// Before the way to a member of the payload.
const PAYLOAD: &str = "payload.";
/// Members of payloads that one search looks at.
const TERMS: usize = 8;

/// A member of the payload, and what it has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Term {
    /// Names of members with dots between them; an item of an array goes by its number.
    path: String,
    value: String,
}

impl Term {
    /// Whether a payload has it so. Numbers are compared as they are written, so that none is rounded.
    pub(super) fn holds(&self, payload: &Json) -> bool {
        let Ok(mut at) = serde_json::from_str::<&RawValue>(payload.as_str()) else { return false };
        for name in self.path.split('.') {
            let Some(member) = member(at, name) else { return false };
            at = member;
        }
        match serde_json::from_str::<Cow<'_, str>>(at.get()) {
            Ok(text) => text == self.value,
            Err(_) => at.get() == self.value,
        }
    }
}

fn member<'json>(value: &'json RawValue, name: &str) -> Option<&'json RawValue> {
    if let Ok(mut members) = serde_json::from_str::<HashMap<Cow<'json, str>, &'json RawValue>>(value.get()) {
        return members.remove(name);
    }
    let items: Vec<&'json RawValue> = serde_json::from_str(value.get()).ok()?;
    items.get(name.parse::<usize>().ok()?).copied()
}

/// A search as it was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Search {
    members: Vec<(&'static str, String)>,
    pub(super) payload: Vec<Term>,
}

impl Search {
    /// What a qualifier says.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.members.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Reads the text. Words without a qualifier are looked for in errors.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut search = Self::default();
        let mut error = Vec::new();
        for (qualifier, value) in words(text)? {
            let Some(qualifier) = qualifier else {
                error.push(value);
                continue;
            };
            if let Some(path) = qualifier.strip_prefix(PAYLOAD).filter(|path| !path.is_empty()) {
                search.payload.push(Term { path: path.to_owned(), value });
            } else if let Some(known) = QUALIFIERS.iter().find(|known| **known == qualifier) {
                search.add(known, value)?;
            } else {
                let shown = limits::truncate(&qualifier, 80);
                return Err(format!(
                    "{shown}: is no qualifier; known are {}: and payload.MEMBER:. Put text that has a colon in quotes",
                    QUALIFIERS.join(":, ")
                ));
            }
        }
        if !error.is_empty() {
            search.add("error", error.join(" "))?;
        }
        if search.payload.len() > TERMS {
            return Err(format!("at most {TERMS} members of the payload can be looked at"));
        }
        Ok(search)
    }

    fn add(&mut self, name: &'static str, value: String) -> Result<(), String> {
        if self.get(name).is_some() {
            return Err(format!("{name}: is said twice, and a run has only one; leave one out"));
        }
        self.members.push((name, value));
        Ok(())
    }
}

/// The text of some qualifiers and terms, which reads as the same.
pub(super) fn written<'a>(members: impl Iterator<Item = (&'a str, &'a str)>, payload: &[Term]) -> String {
    let mut words: Vec<String> = members.map(|(name, value)| format!("{name}:{}", quoted(value))).collect();
    words.extend(payload.iter().map(|term| format!("{PAYLOAD}{}:{}", term.path, quoted(&term.value))));
    words.join(" ")
}

fn quoted(value: &str) -> Cow<'_, str> {
    if value.is_empty() || value.contains(|character: char| character.is_whitespace() || character == '"') {
        Cow::Owned(format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
    } else {
        Cow::Borrowed(value)
    }
}

/// The words of a text, each with its qualifier if it has one. A value in quotes may have spaces.
fn words(text: &str) -> Result<Vec<(Option<String>, String)>, String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|character: char| character.is_whitespace() || matches!(character, ':' | '"'));
        let qualifier = end.filter(|end| *end > 0 && rest[*end..].starts_with(':')).map(|end| &rest[..end]);
        let after = qualifier.map_or(rest, |qualifier| &rest[qualifier.len() + 1..]);
        let (value, left) = if let Some(after) = after.strip_prefix('"') {
            unquoted(after)?
        } else {
            let end = after.find(char::is_whitespace).unwrap_or(after.len());
            (after[..end].to_owned(), &after[end..])
        };
        if let Some(qualifier) = qualifier.filter(|_| value.is_empty()) {
            return Err(format!("{}: says nothing; write a value after it", limits::truncate(qualifier, 80)));
        }
        words.push((qualifier.map(str::to_owned), value));
        rest = left.trim_start();
    }
    Ok(words)
}

/// The text up to the next quote, and what comes after that.
fn unquoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.extend(characters.next().map(|(_, character)| character)),
            _ => value.push(character),
        }
    }
    Err("a quote is opened and not closed; put one after the text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qualifiers_and_quotes_are_read_and_written_as_the_same() {
        let search =
            Search::read(r#"job:welcome-email payload.order.id:7 tag:"a \"b\" c" no such order"#).expect("read");
        assert_eq!(search.get("job"), Some("welcome-email"));
        assert_eq!(search.get("tag"), Some("a \"b\" c"));
        assert_eq!(search.get("error"), Some("no such order"));
        assert_eq!(search.payload, [Term { path: "order.id".to_owned(), value: "7".to_owned() }]);
        let members = search.members.iter().map(|(name, value)| (*name, value.as_str()));
        let text = written(members, &search.payload);
        assert_eq!(text, r#"job:welcome-email tag:"a \"b\" c" error:"no such order" payload.order.id:7"#);
        assert_eq!(Search::read(&text), Ok(search));
        assert_eq!(Search::read("  "), Ok(Search::default()));
        assert_eq!(
            Search::read("since:2026-03-01T08:00:00Z").expect("read").get("since"),
            Some("2026-03-01T08:00:00Z")
        );
    }

    #[test]
    fn what_can_not_be_meant_is_refused_with_what_to_do() {
        for (text, part) in [
            ("jbo:x", "jbo: is no qualifier; known are job:, queue:"),
            ("smtp://mail", "in quotes"),
            ("job:a job:b", "said twice"),
            ("tag:", "says nothing"),
            ("tag: x", "says nothing"),
            ("error:\"open", "not closed"),
            ("payload.:x", "payload.: is no qualifier"),
        ] {
            let refused = Search::read(text).expect_err(text);
            assert!(refused.contains(part), "{text}: {refused}");
        }
        assert_eq!(Search::read("\"smtp://mail\"").expect("quoted").get("error"), Some("smtp://mail"));
    }

    #[test]
    fn a_payload_is_looked_into_and_no_number_is_rounded() {
        let json = r#"{"id": 12345678901234567891, "to": {"name": "Ada \"L\""}, "items": [{"sku": "x"}], "ok": true}"#;
        let payload = Json::parse(json).expect("JSON");
        for (path, value, holds) in [
            ("id", "12345678901234567891", true),
            ("id", "12345678901234567890", false),
            ("to.name", "Ada \"L\"", true),
            ("items.0.sku", "x", true),
            ("items.1.sku", "x", false),
            ("ok", "true", true),
            ("to.name.first", "Ada", false),
            ("none", "", false),
        ] {
            let term = Term { path: path.to_owned(), value: value.to_owned() };
            assert_eq!(term.holds(&payload), holds, "{path}:{value}");
        }
    }
}
