//! The OpenAPI document of some route groups: only the paths, tags, schemas and headers that their
//! operations use.

use std::collections::BTreeSet;

use utoipa::openapi::path::Operation;
use utoipa::openapi::{OpenApi as Document, PathItem, RefOr};

use crate::api::{Group, Mount};

/// Removes the parts that no operation uses.
pub(super) fn keep_mounted(document: &mut Document, mount: &Mount) {
    document.paths.paths.retain(|_, item| operations(item).next().is_some());
    if !mount.has(Group::Administration) {
        // The resources that these headers name.
        let items = document.paths.paths.values_mut();
        for operation in items.flat_map(operations) {
            for response in operation.responses.responses.values_mut() {
                if let RefOr::T(response) = response {
                    response.headers.remove("Location");
                }
            }
        }
    }
    let operations = document.paths.paths.values_mut().flat_map(operations);
    let used: BTreeSet<String> =
        operations.flat_map(|operation| operation.tags.iter().flatten().cloned()).collect();
    document.tags.iter_mut().for_each(|tags| tags.retain(|tag| used.contains(&tag.name)));
    keep_used_schemas(document);
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, post, put, patch, delete, .. } = item;
    [get, post, put, patch, delete].into_iter().flatten()
}

/// Removes the schemas to which neither a path nor a used schema refers.
fn keep_used_schemas(document: &mut Document) {
    // Serializing strings, maps and lists does not fail.
    let mut unread = vec![serde_json::to_string(&document.paths).unwrap_or_default()];
    let Some(components) = &mut document.components else { return };
    let mut used = BTreeSet::new();
    while let Some(text) = unread.pop() {
        for (name, schema) in &components.schemas {
            let reference = format!("\"#/components/schemas/{name}\"");
            if text.contains(&reference) && used.insert(name.clone()) {
                unread.push(serde_json::to_string(schema).unwrap_or_default());
            }
        }
    }
    components.schemas.retain(|name, _| used.contains(name));
}
