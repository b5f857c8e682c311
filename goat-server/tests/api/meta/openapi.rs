//! `GET /api/openapi.json`: the document agrees with the route table and with real responses.

use std::collections::BTreeSet;

use goat_server::api::openapi;
use goat_server::api::{Rule, table};
use serde_json::{Value, json};

use crate::support::app::{PASSWORD, TestApp, TestResponse};

/// The assets of the pages, which are no part of the API.
pub(super) const ASSETS: [&str; 4] =
    ["/api/docs/page.css", "/api/docs/page.js", "/api/link/page.css", "/api/link/page.js"];

fn document() -> Value {
    serde_json::from_str(&openapi()).expect("JSON")
}

/// The operation of a route of the table.
fn operation<'a>(document: &'a Value, method: &str, path: &str) -> &'a Value {
    &document["paths"][path][method.to_lowercase()]
}

#[test]
fn document_lists_exactly_the_routes_of_the_table() {
    let document = document();
    assert!(document["openapi"].as_str().expect("a version").starts_with("3.1"));
    let mut documented = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("operations").keys() {
            documented.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let served: BTreeSet<_> = table()
        .iter()
        .filter(|endpoint| !ASSETS.contains(&endpoint.path()))
        .map(|endpoint| format!("{} {}", endpoint.method(), endpoint.path()))
        .collect();
    assert_eq!(documented, served);
}

#[test]
fn every_operation_documents_its_requirements_and_responses() {
    let document = document();
    let mut ids = BTreeSet::new();
    for endpoint in table().iter().filter(|endpoint| !ASSETS.contains(&endpoint.path())) {
        let (method, path) = (endpoint.method().as_str(), endpoint.path());
        let operation = operation(&document, method, path);
        let case = format!("{method} {path}: {operation}");
        assert!(!operation["summary"].as_str().expect("a summary").is_empty(), "{case}");
        assert!(ids.insert(operation["operationId"].as_str().expect("an id").to_owned()), "{case}");
        let responses = operation["responses"].as_object().expect("responses");
        assert!(responses.keys().any(|status| status.starts_with('2')), "{case}");
        let has = |status: u16| responses.contains_key(&status.to_string());
        for status in [400, 500, 503] {
            assert!(has(status), "{status}: {case}");
        }
        let fails = |status: &str| status.starts_with(['4', '5']);
        for (status, response) in responses.iter().filter(|(status, _)| fails(status)) {
            let content = &response["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(content, "#/components/schemas/Problem", "{status}: {case}");
        }
        let is_protected = endpoint.rule().is_protected();
        assert_eq!(operation["security"].is_array(), is_protected, "{case}");
        if is_protected {
            assert_eq!(operation["security"], json!([{"bearer": []}, {"cookie": []}]), "{case}");
            assert!(has(401) && has(429), "{case}");
        }
        if let Rule::Permission(permission) | Rule::Lookup(permission) = endpoint.rule() {
            assert!(has(403), "{case}");
            let description = operation["description"].as_str().expect("a description");
            assert!(description.contains(permission.as_str()), "{case}");
        }
        let takes_a_body = operation.get("requestBody").is_some();
        assert_eq!([408, 413, 415].map(has), [takes_a_body; 3], "{case}");
        let named = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let in_path: Vec<_> = named.iter().filter(|parameter| parameter["in"] == "path").collect();
        assert_eq!(in_path.len(), path.matches('{').count(), "{case}");
    }
}

/// A4: bodies reject unknown members and `null`, and the document says so.
#[test]
fn schemas_of_bodies_allow_no_other_members() {
    let document = document();
    let (mut bodies, mut forms) = (0, 0);
    for endpoint in table() {
        let operation = operation(&document, endpoint.method().as_str(), endpoint.path());
        let Some(body) = operation.get("requestBody") else { continue };
        if body["content"]["application/json"].is_null() {
            // A form, whose unknown parameters are ignored (RFC 6749 §3.1).
            forms += 1;
            continue;
        }
        bodies += 1;
        let mut schema = &body["content"]["application/json"]["schema"];
        if let Some(pointer) = schema["$ref"].as_str().and_then(|text| text.strip_prefix('#')) {
            schema = document.pointer(pointer).expect("a schema");
        }
        let case = format!("{} {}: {schema}", endpoint.method(), endpoint.path());
        assert_eq!(body["required"], true, "{case}");
        if endpoint.path().ends_with("/attributes") {
            assert_eq!(schema["propertyNames"]["pattern"], "^[a-z0-9_]{1,64}$", "{case}");
            let merge_patch = &body["content"]["application/merge-patch+json"]["schema"];
            assert_eq!(merge_patch, &body["content"]["application/json"]["schema"], "{case}");
            continue;
        }
        for schema in alternatives(&document, schema) {
            assert_eq!(schema["additionalProperties"], false, "{case}");
            for member in schema["properties"].as_object().expect("members").values() {
                assert!(member["type"].is_string() || member["anyOf"].is_array(), "{case}");
            }
        }
    }
    assert_eq!((bodies, forms), (32, 2));
}

#[test]
fn every_reference_resolves() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(entries) => entries.iter().for_each(|entry| references(entry, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 10, "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a reference within the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

/// The alternatives of a schema (`oneOf`), following references.
fn alternatives(document: &Value, schema: &Value) -> Vec<Value> {
    if let Some(pointer) = schema["$ref"].as_str().and_then(|text| text.strip_prefix('#')) {
        return alternatives(document, document.pointer(pointer).expect("a schema"));
    }
    schema["oneOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()])
}

/// The names of an object's members that a schema allows, following references and `allOf`.
fn members(document: &Value, schema: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    if let Some(pointer) = schema["$ref"].as_str().and_then(|text| text.strip_prefix('#')) {
        names.extend(members(document, document.pointer(pointer).expect("a schema")));
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        names.extend(members(document, part));
    }
    names.extend(
        schema["properties"].as_object().into_iter().flat_map(|object| object.keys().cloned()),
    );
    names
}

/// Asserts that the body has exactly the documented members.
fn assert_as_documented(response: &TestResponse, method: &str, path: &str) {
    let document = document();
    let responses = &operation(&document, method, path)["responses"];
    let content = &responses[response.status.to_string()]["content"]["application/json"];
    let mut schema = content["schema"].clone();
    if let Some(pointer) = schema["$ref"].as_str().and_then(|text| text.strip_prefix('#')) {
        schema = document.pointer(pointer).expect("a schema").clone();
    }
    let (mut documented, mut shown) = (&schema["properties"]["data"], &response.json["data"]);
    if documented["type"] == "array" {
        (documented, shown) = (&documented["items"], &response.json["data"][0]);
    }
    let shown: BTreeSet<_> = shown.as_object().expect("an object").keys().cloned().collect();
    let alternatives = alternatives(&document, documented);
    let documented: Vec<_> = alternatives.iter().map(|one| members(&document, one)).collect();
    assert!(documented.contains(&shown), "{method} {path}: {documented:?}");
}

#[tokio::test]
async fn responses_have_the_documented_members() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let login = json!({"email": admin.email, "password": PASSWORD});
    let response = app.post("/api/v1/auth/login").json(&login).send().await;
    assert_as_documented(&response, "POST", "/api/v1/auth/login");
    let refresh = json!({"refresh_token": response.data()["refresh_token"]});
    let response = app.post("/api/v1/auth/refresh").json(&refresh).send().await;
    assert_as_documented(&response, "POST", "/api/v1/auth/refresh");
    let signup = json!({"email": "new@example.org", "password": PASSWORD});
    let response = app.post("/api/v1/auth/signup").json(&signup).send().await;
    assert_as_documented(&response, "POST", "/api/v1/auth/signup");
    for path in [
        "/api/v1/user",
        "/api/v1/user/list",
        "/api/v1/sessions",
        "/api/v1/role",
        "/api/v1/permission",
    ] {
        let response = app.get(path).bearer(&admin.token).send().await;
        assert_as_documented(&response, "GET", path);
    }
}

#[tokio::test]
async fn document_is_served() {
    let app = TestApp::new().await;
    let response = app.get("/api/openapi.json").send().await;
    assert_eq!(response.json, document());
    assert_eq!(response.header("content-type"), "application/json");
}
