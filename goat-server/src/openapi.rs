//! The document of the API.

/// The document, as JSON.
#[must_use]
pub fn document() -> serde_json::Value {
    serde_json::json!({ "openapi": "3.1.0" })
}
