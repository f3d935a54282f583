//! Every request and answer of these tests, held against the OpenAPI document: what it does not describe fails the test.
//! It sends nothing itself; `World::send` asks it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use axum::http::{Method, StatusCode, header};
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::world::Answer;

/// The document, in which objects have no members but those that are described.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let plain: Value = serde_json::from_str(jobmill_server::openapi_document()).expect("JSON");
    let mut strict = plain.clone();
    be_strict(&mut strict, &plain);
    strict
});

static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// Fails unless the document describes the answer, and the request too if that was taken.
pub(crate) fn check(method: &Method, path: &str, sent: Option<&str>, answer: &Answer) {
    let Some((template, operation)) = operation(method, path) else { return };
    let name = format!("{method} {template}");
    if answer.status.is_success()
        && let Some(sent) = sent.and_then(|sent| serde_json::from_str(sent).ok())
    {
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{name} took a body and the document describes none");
        validate(&format!("{name} request"), schema, &sent);
    }
    let status = answer.status.as_str();
    let described = &operation["responses"][status];
    assert!(described.is_object() || !answer.status.is_success(), "{name} answered {status}, which is not described");
    let described = if described.is_object() { described } else { &operation["responses"]["default"] };
    let response = resolve(described);
    if method == Method::HEAD || answer.status == StatusCode::NO_CONTENT {
        return;
    }
    let media_type = answer.headers[header::CONTENT_TYPE].to_str().expect("text");
    let media_type = media_type.split(';').next().unwrap_or_default();
    let content = response["content"].as_object().expect("content");
    let described = content.get(media_type).or_else(|| content.get("*/*"));
    let described = described.unwrap_or_else(|| panic!("{name} answered {media_type}, which is not described"));
    // A number that no machine's number holds comes back as it was sent, and can't be checked here.
    if ["application/json", "application/problem+json"].contains(&media_type)
        && let Ok(body) = serde_json::from_str(&answer.body)
    {
        validate(&format!("{name} {status}"), &described["schema"], &body);
    }
}

/// What a reference leads to.
pub(crate) fn resolve(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(&reference[1..]).expect("every reference leads somewhere"),
        None => value,
    }
}

/// The template that a path fits, the one with the fewest parameters first, and its operation.
fn operation(method: &Method, path: &str) -> Option<(&'static str, &'static Value)> {
    let path = path.split('?').next().unwrap_or_default();
    let method = if method == Method::HEAD { "get".to_owned() } else { method.as_str().to_lowercase() };
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let fits = |template: &str| {
        let (one, other): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        one.len() == other.len() && one.iter().zip(&other).all(|(one, other)| one.starts_with('{') || one == other)
    };
    let template =
        paths.keys().filter(|template| fits(template)).min_by_key(|template| template.matches('{').count())?;
    paths[template].get(&method).map(|operation| (template.as_str(), operation))
}

fn validate(name: &str, schema: &Value, body: &Value) {
    let validator = {
        let mut validators = VALIDATORS.lock().expect("not poisoned");
        let validator = validators.entry(name.to_owned()).or_insert_with(|| {
            let whole = json!({ "allOf": [schema], "components": DOCUMENT["components"] });
            Arc::new(jsonschema::validator_for(&whole).expect("a schema"))
        });
        Arc::clone(validator)
    };
    let errors: Vec<String> =
        validator.iter_errors(body).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{name} is not as the document says: {errors:#?}\n{body:#}");
}

/// An object that is put together of several is closed as a whole; every other one by itself.
fn be_strict(schema: &mut Value, document: &Value) {
    if schema.get("allOf").is_some() {
        be_open(schema, document);
        schema["unevaluatedProperties"] = false.into();
        return;
    }
    let is_object = schema.get("type").is_some_and(|kind| kind == "object") && schema.get("properties").is_some();
    if is_object && schema.get("additionalProperties").is_none() {
        schema["additionalProperties"] = false.into();
    }
    match schema {
        Value::Object(members) => members.values_mut().for_each(|member| be_strict(member, document)),
        Value::Array(items) => items.iter_mut().for_each(|item| be_strict(item, document)),
        _ => {}
    }
}

/// What an object is put together of must let through what the other parts have.
fn be_open(part: &mut Value, document: &Value) {
    if let Some(reference) = part.get("$ref").and_then(Value::as_str) {
        *part = document.pointer(&reference[1..]).expect("every reference leads somewhere").clone();
    }
    for together in ["allOf", "anyOf", "oneOf"] {
        let parts = part.get_mut(together).and_then(Value::as_array_mut);
        parts.into_iter().flatten().for_each(|part| be_open(part, document));
    }
}
