//! The description of the API, as programs that read such descriptions see it.
//! Whether it names every route is the server's own test.

use serde_json::{Value, json};

use crate::support::node::script;
use crate::support::server::Server;

fn checked(document: &Value) -> Value {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), document.to_string()).expect("written");
    script("openapi", &[file.path().as_os_str()], &[])
}

#[test]
fn the_description_of_the_api_is_openapi_3_1() {
    let server = Server::dev();
    let mut document = server.get("/api/v1/openapi.json").json();
    let told = checked(&document);
    assert_eq!(told, json!({ "valid": true, "version": "3.1", "errors": [] }), "{told:#}");

    // The validator does look: without what an operation answers, it is none.
    let run = &mut document["paths"]["/api/v1/runs/{id}"]["get"];
    assert!(run["responses"].is_object(), "{run:#}");
    run["responses"] = json!([]);
    assert_eq!(checked(&document)["valid"], false);
}
