//! The OpenAPI document: it describes every route of the API and no other, and says who may use each.
//! That answers are as it says is checked by every other test, in `conformance`.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use insta::assert_snapshot;
use jobmill_server::route_table;
use serde_json::Value;

use crate::world::World;

fn document() -> Value {
    serde_json::from_str(jobmill_server::openapi_document()).expect("JSON")
}

/// Method and path of each operation, with the scope that it wants.
fn operations(document: &Value) -> BTreeMap<(String, String), String> {
    let mut operations = BTreeMap::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an object") {
            let scope = operation["security"][0]["token"][0].as_str().unwrap_or("open").to_owned();
            operations.insert((path.clone(), method.to_uppercase()), scope);
        }
    }
    operations
}

#[tokio::test]
async fn the_document_is_served_as_json() {
    let world = World::start().await;
    let answer = world.get("/api/v1/openapi.json").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.json(), document());
    assert!(answer.json()["openapi"].as_str().is_some_and(|version| version.starts_with("3.1.")));
}

#[test]
fn every_route_of_the_api_is_described_and_nothing_else() {
    let table = route_table();
    let routes = table.iter().filter(|route| route.path.starts_with("/api/v1/"));
    let routes = routes.map(|route| ((route.path.to_owned(), route.method.to_string()), route.rule.to_string()));
    assert_eq!(operations(&document()), routes.collect());
}

#[test]
fn paths_methods_and_scopes_change_only_on_purpose() {
    let operations = operations(&document());
    let lines = operations.iter().map(|((path, method), scope)| format!("{method:<6} {path} {scope}\n"));
    assert_snapshot!(lines.collect::<String>());
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let document = document();
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    for reference in &references {
        let pointer = reference.strip_prefix('#').expect("a reference within the document");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
        assert!(references.contains(&format!("#/components/schemas/{name}")), "{name} is used nowhere");
        assert!(!name.ends_with("View") && !name.ends_with("Shape"), "{name} is a Rust name");
        assert!(schema.is_object(), "{name}");
    }
}

fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            references.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| collect(member, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}

#[test]
fn every_operation_says_what_it_is_for_and_names_its_parameters() {
    let document = document();
    let tags: BTreeSet<&str> =
        document["tags"].as_array().expect("tags").iter().map(|tag| tag["name"].as_str().expect("a name")).collect();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an object") {
            let name = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|summary| summary.ends_with('.')), "{name}: {operation}");
            assert!(operation["tags"].as_array().is_some_and(|own| own.len() == 1), "{name} has one tag");
            assert!(tags.contains(operation["tags"][0].as_str().expect("a tag")), "{name} has a tag that is described");
            assert!(ids.insert(operation["operationId"].as_str().expect("an id")), "{name} has an id of its own");
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            assert!(
                body.is_null() || body["$ref"].is_string(),
                "{name} takes a body that has a name, and no null: {body}"
            );
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let of_path = parameters.iter().filter(|parameter| parameter["in"] == "path");
            let described: BTreeSet<&str> =
                of_path.map(|parameter| parameter["name"].as_str().expect("a name")).collect();
            let named: BTreeSet<&str> =
                path.split('/').filter_map(|it| it.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(described, named, "{name}");
        }
    }
}

#[test]
fn no_path_has_two_rules_for_one_method() {
    let table = route_table();
    let unique: BTreeSet<_> = table.iter().map(|route| (route.path, route.method.to_string())).collect();
    assert_eq!(unique.len(), table.len());
}

#[test]
fn rules_outside_of_the_api_change_only_on_purpose() {
    let table = route_table();
    let others = table.iter().filter(|route| !route.path.starts_with("/api/v1/"));
    let lines = others.map(|route| format!("{:<7} {} {}\n", route.method.as_str(), route.path, route.rule));
    assert_snapshot!(lines.collect::<BTreeSet<_>>().into_iter().collect::<String>());
}
