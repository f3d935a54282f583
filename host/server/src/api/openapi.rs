//! `GET /api/v1/openapi.json`: the document that describes the API, put together from what describes each route.
//! What every route has in common is added here: refusals, and who may use it by its rule. It says nothing of other paths.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::{OpenApi, ToSchema};

use crate::query::NoParameters;
use crate::routes::{Built, Route, Routes, Rule};

/// What describes these routes.
#[derive(OpenApi)]
#[openapi(paths(describe), components(schemas(ProblemShape)))]
struct Document;

pub(super) fn routes() -> Routes {
    Routes::new().get("/api/v1/openapi.json", Rule::READ, describe).described_by(Document::openapi)
}

/// Describes this API, as OpenAPI 3.1.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    tag = "Engine",
    responses((status = 200, description = "the document", body = Object))
)]
async fn describe(_: NoParameters) -> Response {
    let media_type = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, media_type)], Bytes::from_static(openapi_document().as_bytes())).into_response()
}

/// The OpenAPI document of the API, as JSON. It depends on nothing but the program, so that one text serves everybody.
pub fn openapi_document() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| document(&crate::all_routes().build()).to_string());

    &TEXT
}

/// A refusal (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemShape {
    /// The code, for people.
    title: String,
    /// The status of the answer.
    status: u16,
    /// What is wrong and, where that is known, what to do about it.
    detail: String,
    /// What is wrong, by a name that stays the same.
    #[schema(examples("payload-invalid"))]
    code: String,
    /// The place of the event in the request that it is about, from 0.
    #[schema(nullable = false)]
    event: Option<usize>,
    /// What is wrong with single members of the request.
    #[schema(nullable = false)]
    errors: Option<Vec<MemberProblemShape>>,
}

/// One thing that is wrong with the request.
#[derive(Serialize, ToSchema)]
#[schema(as = MemberProblem)]
struct MemberProblemShape {
    /// JSON Pointer (RFC 6901) to the member.
    #[schema(examples("/orderId"))]
    pointer: String,
    /// What is wrong with it, as the end of a sentence.
    detail: String,
}

/// What each tag is about, in the order in which readers want them.
const TAGS: [(&str, &str); 12] = [
    ("Runs", "Enqueue runs, follow them, cancel and repeat them."),
    ("Events", "Publish events, each of which starts a run of every job that listens."),
    ("Dead letters", "Runs that ended dead: looked through, put back, put aside."),
    ("Jobs", "The components that are loaded, and what is in force for each."),
    ("Queues", "How many runs go on and wait in each queue, and what operators say of it."),
    ("Schedule", "What starts by itself."),
    ("Mail", "The e-mail log: what was sent, captured or refused."),
    ("Suppressions", "Addresses that get no mail."),
    ("Orders", "The embedded order book."),
    ("Webhooks", "What the senders of webhooks delivered, and what became of it."),
    ("Tokens", "Who may do what."),
    ("Engine", "How the engine stands, and what it offers."),
];

/// The same for what few readers want.
const LATE_TAGS: [(&str, &str); 2] = [
    ("Store", "The store as a whole: taken out, checked, pruned, made to forget."),
    ("Development", "Failures on demand, in development only."),
];

const DESCRIPTION: &str = "A durable job engine: what is answered is on disk. Refusals are `application/problem+json` (RFC 9457) \
    with a `code` that stays the same. Lists are pages: `next_cursor` is the `cursor` of the next one. Members that a request \
    may not have are refused by name. Once an API token exists, every route wants one; the scope that each wants stands beside \
    it. Without any token the server answers on loopback only, to everybody.";

/// The refusals that routes share: their names, statuses, and what each means.
const REFUSALS: [(&str, &str, &str); 9] = [
    ("BadRequest", "400", "The request can't be read, or a member or parameter of it is not what it should be."),
    ("TokenRequired", "401", "There is no valid API token with the request."),
    ("ScopeMissing", "403", "The token may not do this, or another web site asks for it."),
    ("NotFound", "404", "There is nothing of this name."),
    ("BodyTooLarge", "413", "The body is larger than the server takes."),
    ("UnsupportedMediaType", "415", "The body is not `application/json`."),
    (
        "TooManyRequests",
        "429",
        "The token makes too many requests, or too many runs wait. `Retry-After` says when to try again.",
    ),
    (
        "Unavailable",
        "503",
        "The engine is starting or stopping, or the store can't answer. `Retry-After` says when to try again.",
    ),
    ("Refusal", "default", "Any other refusal."),
];

/// The whole document.
fn document(built: &Built) -> Value {
    let mut described = utoipa::openapi::OpenApi::default();
    built.documents.iter().for_each(|of_some| described.merge(of_some()));
    // Serialising it can't fail: it has texts as keys, and numbers that JSON can say.
    let mut document = serde_json::to_value(&described).unwrap_or_default();
    document["info"] = json!({
        "title": "Jobmill",
        "version": env!("CARGO_PKG_VERSION"),
        "description": DESCRIPTION,
        "license": { "name": "MIT OR Apache-2.0", "identifier": env!("CARGO_PKG_LICENSE") },
    });
    let tags = TAGS.iter().chain(&LATE_TAGS);
    document["tags"] = tags.map(|(name, text)| json!({ "name": name, "description": text })).collect();
    document["components"]["securitySchemes"] = json!({
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API token, such as `jobmill token create` makes. Beside each route stands the scope that it wants; \
                            `operate` may do everything.",
        },
    });
    document["components"]["responses"] = shared_refusals();
    for route in &built.table {
        let pointer = format!("/paths/{}/{}", escaped(route.path), route.method.as_str().to_ascii_lowercase());
        if let Some(operation) = document.pointer_mut(&pointer) {
            complete(operation, route);
        }
    }
    for_each_schema(&mut document, &let_null_be_either);
    for_each_schema(&mut document, &be_a_plain_integer);
    name_items_of_lists(&mut document["components"]["schemas"]);
    say_what_is_always_there(&mut document);
    document
}

/// A segment of a JSON Pointer.
fn escaped(text: &str) -> String {
    text.replace('~', "~0").replace('/', "~1")
}

fn shared_refusals() -> Value {
    let refusal = |(name, status, description): &(&str, &str, &str)| {
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        let mut response =
            json!({ "description": description, "content": { "application/problem+json": { "schema": schema } } });
        match *status {
            "401" => {
                let schema = json!({ "type": "string", "const": "Bearer" });
                response["headers"] =
                    json!({ "WWW-Authenticate": { "description": "how to send it", "schema": schema } });
            }
            "429" | "503" => {
                let schema = json!({ "type": "integer", "minimum": 0 });
                response["headers"] = json!({ "Retry-After": { "description": "seconds", "schema": schema } });
            }
            _ => {}
        }
        ((*name).to_owned(), response)
    };
    Value::Object(REFUSALS.iter().map(refusal).collect())
}

/// Adds to an operation what follows from its rule and its form: who may use it, and which refusals it shares with others.
fn complete(operation: &mut Value, route: &Route) {
    operation["security"] = match route.rule {
        Rule::Scope(scope) => json!([{ "token": [scope.as_str()] }]),
        Rule::Open | Rule::Signed | Rule::EventKey => json!([]),
    };
    if let (Some(tag), Some(name)) = (operation["tags"][0].as_str(), operation["operationId"].as_str()) {
        operation["operationId"] = format!("{}_{name}", tag.to_ascii_lowercase().replace(' ', "_")).into();
    }
    // A body that may be left out may still not be null.
    let schema = operation.pointer_mut("/requestBody/content/application~1json/schema");
    if let Some(schema) = schema
        && let Some(alternatives) = schema.get("oneOf").filter(|_| is_nullable(schema)).and_then(Value::as_array)
        && let Some(present) = alternatives.iter().find(|schema| schema.get("$ref").is_some())
    {
        *schema = present.clone();
    }
    let has_body = operation.get("requestBody").is_some();
    let has_names = route.path.contains('{');
    for (name, status, _) in REFUSALS {
        let applies = match status {
            "401" | "403" | "429" => matches!(route.rule, Rule::Scope(_)),
            "404" => has_names,
            "413" | "415" => has_body,
            _ => true,
        };
        if applies && operation["responses"].get(status).is_none() {
            operation["responses"][status] = json!({ "$ref": format!("#/components/responses/{name}") });
        }
    }
}

/// Answers say null where a request may leave a member out; the shapes that only answers have say so.
fn say_what_is_always_there(document: &mut Value) {
    let mut of_requests = BTreeSet::new();
    let operations = document["paths"].as_object().into_iter().flat_map(Map::values);
    let bodies: Vec<&Value> = operations
        .filter_map(Value::as_object)
        .flat_map(Map::values)
        .map(|operation| &operation["requestBody"])
        .collect();
    for body in bodies {
        collect_references(body, &document["components"]["schemas"], &mut of_requests);
    }
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        for (_, schema) in schemas.iter_mut().filter(|(name, _)| !of_requests.contains(*name)) {
            for_each_schema(schema, &require_nullable);
        }
    }
}

/// The names of the schemas that `value` refers to, and those that these refer to.
fn collect_references(value: &Value, schemas: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            let name =
                members.get("$ref").and_then(Value::as_str).and_then(|it| it.strip_prefix("#/components/schemas/"));
            if let Some(name) = name
                && names.insert(name.to_owned())
            {
                collect_references(&schemas[name], schemas, names);
            }
            members.values().for_each(|member| collect_references(member, schemas, names));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, schemas, names)),
        _ => {}
    }
}

/// Does something with every object of the document from the inside out, schemas among them.
fn for_each_schema(value: &mut Value, change: &impl Fn(&mut Value)) {
    match value {
        Value::Object(members) => members.values_mut().for_each(|member| for_each_schema(member, change)),
        Value::Array(items) => items.iter_mut().for_each(|item| for_each_schema(item, change)),
        _ => return,
    }
    change(value);
}

/// A document that may be null is null in two ways where it may also be anything: so one of them has to do.
fn let_null_be_either(schema: &mut Value) {
    if is_nullable(schema)
        && let Some(members) = schema.as_object_mut()
        && let Some(alternatives) = members.remove("oneOf")
    {
        // What a member is for is said of the member, not of one of the forms that it may have.
        let described = alternatives.as_array().into_iter().flatten().find_map(|form| form.get("description")).cloned();
        members.extend(described.map(|text| ("description".to_owned(), text)));
        members.insert("anyOf".to_owned(), alternatives);
    }
}

/// The formats are those of signed numbers; a minimum of 0 says more of the others.
fn be_a_plain_integer(schema: &mut Value) {
    if schema.get("minimum").is_some()
        && schema.get("format").is_some_and(|format| format == "int32" || format == "int64")
        && let Some(members) = schema.as_object_mut()
    {
        members.remove("format");
    }
}

/// What a list has is written out within it, beside the schema of that name.
fn name_items_of_lists(schemas: &mut Value) {
    let Some(schemas) = schemas.as_object_mut() else { return };
    let names: Vec<String> = schemas.keys().cloned().collect();
    for (name, schema) in schemas {
        if let Some(item) = name.strip_prefix("List_")
            && names.iter().any(|name| name == item)
        {
            schema["properties"]["items"]["items"] = json!({ "$ref": format!("#/components/schemas/{item}") });
        }
    }
}

/// An answer has every member, null or not.
fn require_nullable(schema: &mut Value) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        let is_there = |name: &str, property: &Value| required.iter().any(|it| it == name) || is_nullable(property);
        let names = properties.iter().filter(|(name, property)| is_there(name, property)).map(|(name, _)| name.clone());
        schema["required"] = names.collect();
    }
}

fn is_nullable(schema: &Value) -> bool {
    let has_null = |member: &str| {
        let alternatives = schema.get(member).and_then(Value::as_array);
        alternatives
            .is_some_and(|them| them.iter().any(|it| it == "null" || it.get("type").is_some_and(|it| it == "null")))
    };
    has_null("type") || has_null("oneOf") || has_null("anyOf")
}
