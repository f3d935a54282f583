//! From a JSON Schema (2020-12, and what earlier drafts spell differently) to types.
//! It checks no schema: the engine has compiled it, and what has no type here becomes `unknown`.

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::comment::comment;
use super::names::Names;
use super::types::{Member, Type, literal};

/// How deep a schema is followed; what lies deeper is `unknown`.
const DEPTH: usize = 32;
/// How many parts of one schema are looked at; what comes after them is `unknown`.
const PARTS: usize = 2000;
/// More values than these are as good as their type.
const VALUES: usize = 200;
/// A longer text is no literal that anyone writes.
const LITERAL_BYTES: usize = 200;

/// What an event carries.
pub(super) struct Declared {
    pub(super) data: Type,
    pub(super) comment: Vec<String>,
    /// The named types that `data` needs.
    pub(super) types: Vec<Declaration>,
}

/// One named type.
pub(super) struct Declaration {
    pub(super) name: String,
    pub(super) comment: Vec<String>,
    pub(super) is: Type,
}

/// The types of one event's payload schema.
pub(super) fn declare(event: &str, schema: &Value, names: &mut Names) -> Declared {
    let mut reader = Reader { root: schema, event, names, left: PARTS, named: BTreeMap::new(), waiting: Vec::new() };
    let (data, _) = reader.read(schema);
    let (mut types, mut direct) = (Vec::new(), BTreeMap::new());
    // Ends: each part of the schema is named at most once.
    while let Some((name, part)) = reader.waiting.pop() {
        let (is, uses) = reader.read(part);
        direct.insert(name.clone(), uses);
        types.push(Declaration { name, comment: comment(part), is });
    }
    for declaration in &mut types {
        if leads_to_itself(&declaration.name, &direct) {
            declaration.is = Type::Unknown;
        }
    }
    types.sort_by(|one, other| one.name.cmp(&other.name));
    Declared { data, comment: comment(schema), types }
}

/// Whether a type is made of itself with no member or list between, which TypeScript refuses.
fn leads_to_itself(name: &str, direct: &BTreeMap<String, BTreeSet<String>>) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![name]);
    while let Some(one) = open.pop() {
        for used in direct.get(one).into_iter().flatten() {
            if used == name {
                return true;
            }
            if seen.insert(used) {
                open.push(used);
            }
        }
    }
    false
}

/// Where in the type that is being read a part stands.
struct Place {
    depth: usize,
    /// Names that are used with no member or list between. None below one.
    direct: Option<BTreeSet<String>>,
}

struct Reader<'a> {
    root: &'a Value,
    event: &'a str,
    names: &'a mut Names,
    left: usize,
    /// The name of what a reference points to.
    named: BTreeMap<String, String>,
    /// Named, and not yet read.
    waiting: Vec<(String, &'a Value)>,
}

impl<'a> Reader<'a> {
    /// A type, and the names that it is made of with no member or list between.
    fn read(&mut self, schema: &'a Value) -> (Type, BTreeSet<String>) {
        let mut place = Place { depth: 0, direct: Some(BTreeSet::new()) };
        let is = self.part(schema, &mut place);
        (is, place.direct.unwrap_or_default())
    }

    /// The type of a member or of a list's items.
    fn inside(&mut self, schema: &'a Value, place: &Place) -> Type {
        self.part(schema, &mut Place { depth: place.depth + 1, direct: None })
    }

    /// A part of the same value.
    fn beside(&mut self, schema: &'a Value, place: &mut Place) -> Type {
        place.depth += 1;
        let is = self.part(schema, place);
        place.depth -= 1;
        is
    }

    fn part(&mut self, schema: &'a Value, place: &mut Place) -> Type {
        let schema = match schema {
            Value::Bool(false) => return Type::Never,
            Value::Object(schema) if place.depth < DEPTH && self.left > 0 => schema,
            _ => return Type::Unknown,
        };
        self.left -= 1;
        // Each keyword narrows what the others allow.
        let mut all = vec![self.reference(schema, place)];
        all.push(match values(schema) {
            Some(values) => values,
            None => self.shape(schema, place),
        });
        for one in list(schema, "allOf") {
            all.push(self.beside(one, place));
        }
        for alternatives in ["anyOf", "oneOf"] {
            let alternatives = list(schema, alternatives);
            if !alternatives.is_empty() {
                let each: Vec<Type> = alternatives.iter().map(|one| self.beside(one, place)).collect();
                all.push(Type::union(each));
            }
        }
        if matches!(schema.get("not"), Some(Value::Bool(true))) {
            return Type::Never;
        }
        let is = Type::intersection(all);
        // As OpenAPI 3.0 said it.
        let nullable = schema.get("nullable") == Some(&Value::Bool(true));
        if nullable { Type::union([is, Type::word("null")]) } else { is }
    }

    fn reference(&mut self, schema: &'a Map<String, Value>, place: &mut Place) -> Type {
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else {
            return Type::Unknown;
        };
        let pointer = reference.strip_prefix('#').map(|pointer| percent_decode_str(pointer).decode_utf8_lossy());
        let Some((pointer, part)) = pointer.and_then(|at| self.root.pointer(&at).map(|part| (at, part))) else {
            return Type::Unknown;
        };
        let name = if let Some(name) = self.named.get(pointer.as_ref()) {
            name.clone()
        } else {
            let last = pointer.rsplit('/').next().filter(|last| !last.is_empty()).unwrap_or("data");
            let name = self.names.give(self.event, last);
            self.named.insert(pointer.into_owned(), name.clone());
            self.waiting.push((name.clone(), part));
            name
        };
        if let Some(direct) = &mut place.direct {
            direct.insert(name.clone());
        }
        Type::Named(name)
    }

    /// What `type` and the keywords about one type say.
    fn shape(&mut self, schema: &'a Map<String, Value>, place: &mut Place) -> Type {
        let words = type_words(schema);
        let types: Vec<Type> = words
            .iter()
            .map(|word| match *word {
                "string" | "boolean" | "null" => Type::word(*word),
                "integer" | "number" => Type::word("number"),
                "array" => self.array(schema, place),
                "object" => self.object(schema, place),
                _ => Type::Unknown,
            })
            .collect();
        if types.is_empty() { Type::Unknown } else { Type::union(types) }
    }

    fn array(&mut self, schema: &'a Map<String, Value>, place: &mut Place) -> Type {
        // Before 2020-12 the first items stood in `items`, and the others in `additionalItems`.
        let (first, others) = match schema.get("items") {
            Some(Value::Array(first)) => (first.as_slice(), schema.get("additionalItems")),
            others => (list(schema, "prefixItems"), others),
        };
        if first.is_empty() {
            return Type::List(Box::new(others.map_or(Type::Unknown, |others| self.inside(others, place))));
        }
        // TypeScript looks through a tuple at once, so its items count as what it is made of.
        let mut rest = others.map_or(Type::Unknown, |others| self.beside(others, place));
        let bound = |name| schema.get(name).and_then(Value::as_u64).and_then(|items| usize::try_from(items).ok());
        if bound("maxItems").is_some_and(|most| most <= first.len()) {
            rest = Type::Never;
        }
        let least = bound("minItems").unwrap_or(0);
        let items = first.iter().enumerate().map(|(position, item)| (self.beside(item, place), position >= least));
        let items = items.collect();
        Type::Tuple { items, rest: (rest != Type::Never).then(|| Box::new(rest)) }
    }

    fn object(&mut self, schema: &'a Map<String, Value>, place: &Place) -> Type {
        let required: BTreeSet<&str> = list(schema, "required").iter().filter_map(Value::as_str).collect();
        let described: BTreeSet<&str> = object(schema, "properties").map(|(name, _)| name.as_str()).collect();
        let mut members = Vec::new();
        for (name, is) in object(schema, "properties") {
            let optional = !required.contains(name.as_str());
            members.push(Member { name: name.clone(), optional, comment: comment(is), is: self.inside(is, place) });
        }
        for name in required.difference(&described) {
            members.push(Member { name: (*name).to_owned(), optional: false, comment: Vec::new(), is: Type::Unknown });
        }
        let others = self.others(schema, place);
        let others = match others {
            // Where nothing is said they are ignored; a misspelt one should be found all the same.
            None | Some(Type::Never) if !members.is_empty() => None,
            None => Some(Type::Unknown),
            Some(others) => Some(beside_members(others, &members)),
        };
        Type::Object { members, others: others.map(Box::new) }
    }

    /// The type of members that are not named, if the schema says anything of them.
    fn others(&mut self, schema: &'a Map<String, Value>, place: &Place) -> Option<Type> {
        let patterns: Vec<&Value> = object(schema, "patternProperties").map(|(_, is)| is).collect();
        let additional = schema.get("additionalProperties").or_else(|| schema.get("unevaluatedProperties"));
        if patterns.is_empty() {
            return additional.map(|additional| self.inside(additional, place));
        }
        let additional = additional.unwrap_or(&Value::Bool(true));
        let each: Vec<Type> =
            patterns.into_iter().chain([additional]).map(|schema| self.inside(schema, place)).collect();
        Some(Type::union(each))
    }
}

/// TypeScript wants each named member to fit the type of the others.
fn beside_members(others: Type, members: &[Member]) -> Type {
    if !members.iter().all(|member| member.is.is_small()) {
        // Written out in both places, nested objects would double with each level.
        return Type::Unknown;
    }
    let missing = members.iter().any(|member| member.optional).then(|| Type::word("undefined"));
    Type::union([others].into_iter().chain(members.iter().map(|member| member.is.clone())).chain(missing))
}

/// The types that a schema allows: those that it names, or those that its keywords are about.
fn type_words(schema: &Map<String, Value>) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(word)) => return vec![word],
        Some(Value::Array(words)) => return words.iter().filter_map(Value::as_str).collect(),
        _ => {}
    }
    let about = |keywords: &[&str]| keywords.iter().any(|keyword| schema.contains_key(*keyword));
    if about(&["properties", "required", "additionalProperties", "patternProperties", "unevaluatedProperties"]) {
        vec!["object"]
    } else if about(&["items", "prefixItems"]) {
        vec!["array"]
    } else {
        Vec::new()
    }
}

/// What `const` or `enum` leaves. None where there is neither, or where it is too much to write out.
fn values(schema: &Map<String, Value>) -> Option<Type> {
    let values = match (schema.get("const"), schema.get("enum")) {
        (Some(value), _) => std::slice::from_ref(value),
        (None, Some(Value::Array(values))) if values.len() <= VALUES => values,
        _ => return None,
    };
    let words = if schema.contains_key("type") { type_words(schema) } else { Vec::new() };
    let fitting = values.iter().filter(|value| words.is_empty() || words.iter().any(|word| is_a(value, word)));
    Some(Type::union(fitting.map(|value| value_type(value, 0))))
}

fn is_a(value: &Value, word: &str) -> bool {
    match value {
        Value::Null => word == "null",
        Value::Bool(_) => word == "boolean",
        Value::Number(_) => matches!(word, "number" | "integer"),
        Value::String(_) => word == "string",
        Value::Array(_) => word == "array",
        Value::Object(_) => word == "object",
    }
}

/// The type of exactly this value.
fn value_type(value: &Value, depth: usize) -> Type {
    if depth > DEPTH {
        return Type::Unknown;
    }
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Type::word(value.to_string()),
        Value::String(text) if text.len() > LITERAL_BYTES => Type::word("string"),
        Value::String(text) => Type::word(literal(text)),
        Value::Array(items) => {
            let items = items.iter().map(|item| (value_type(item, depth + 1), false)).collect();
            Type::Tuple { items, rest: None }
        }
        Value::Object(members) if members.is_empty() => {
            Type::Object { members: Vec::new(), others: Some(Box::new(Type::Never)) }
        }
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| Member {
                name: name.clone(),
                optional: false,
                comment: Vec::new(),
                is: value_type(value, depth + 1),
            };
            Type::Object { members: members.iter().map(member).collect(), others: None }
        }
    }
}

/// The items of a keyword that holds a list; none where it holds something else.
fn list<'a>(schema: &'a Map<String, Value>, keyword: &str) -> &'a [Value] {
    schema.get(keyword).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The members of a keyword that holds an object; none where it holds something else.
fn object<'a>(
    schema: &'a Map<String, Value>,
    keyword: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
    schema.get(keyword).and_then(Value::as_object).into_iter().flatten()
}
