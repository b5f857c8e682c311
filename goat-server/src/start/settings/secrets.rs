//! Parsing of secrets and lists of secrets.
//!
//! A complaint names the item by its position and never shows its content.

use goat_core::Secret;

use super::values::{Complaint, Parsed};

/// Minimum length of a secret: 256 bits, as HS256 requires (RFC 7518, section 3.2).
const SHORTEST: usize = 32;

/// Parses one secret or several, newest first.
pub(super) fn secrets(text: &str) -> Parsed<Vec<Secret<Vec<u8>>>> {
    let items: Vec<&str> = text.split(',').collect();
    for (index, item) in items.iter().enumerate() {
        let complaint = if item.is_empty() {
            "is empty"
        } else if item.trim() != *item {
            "begins or ends with white space"
        } else if item.len() < SHORTEST {
            "is shorter than 32 bytes"
        } else if items[..index].contains(item) {
            "repeats an earlier one"
        } else {
            continue;
        };
        return Err(of_item(index, items.len(), complaint));
    }
    Ok(items.into_iter().map(|item| Secret::new(item.as_bytes().to_vec())).collect())
}

/// Parses PEM blocks: a private key, then any others.
pub(super) fn keys(text: &str) -> Parsed<Vec<Secret<String>>> {
    // PEM has no backslash, and many deployment tools cannot set variables with line breaks.
    let text = text.replace("\\n", "\n");
    let items: Vec<&str> = text.split(',').map(str::trim).collect();
    for (index, item) in items.iter().enumerate() {
        let labels: &[&str] =
            if index == 0 { &["PRIVATE KEY"] } else { &["PRIVATE KEY", "PUBLIC KEY"] };
        if !labels.iter().any(|label| is_block(item, label)) {
            let complaint = if index == 0 {
                "is not a private key in PKCS#8 PEM"
            } else {
                "is not a private or public key in PEM"
            };
            return Err(of_item(index, items.len(), complaint));
        }
    }
    Ok(items.into_iter().map(Secret::from).collect())
}

/// Whether a text is exactly one PEM block of the label; its content is not checked here.
fn is_block(text: &str, label: &str) -> bool {
    text.strip_prefix(&format!("-----BEGIN {label}-----"))
        .and_then(|rest| rest.strip_suffix(&format!("-----END {label}-----")))
        .is_some_and(|body| !body.trim().is_empty() && !body.contains("-----"))
}

/// Names the item that a complaint is about.
fn of_item(index: usize, of: usize, complaint: &'static str) -> Complaint {
    if of == 1 {
        complaint.into()
    } else {
        format!("contains an entry (number {}) that {complaint}", index + 1).into()
    }
}
