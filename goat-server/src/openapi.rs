//! The document of the API.

/// The document, as JSON.
#[must_use]
pub fn openapi() -> String {
    serde_json::json!({ "openapi": "3.1.0" }).to_string()
}
