//! Parser for the elements of a forwarding header, from right to left.
//!
//! Invariant: the text to the left of an element never influences it. A client can write an opening
//! quote that would swallow the rest of the line for a parser that reads from the left; from the
//! right, the elements that proxies appended are complete before the quote is reached.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use goat_core::limit::canonical_address;

use super::ForwardedHeader;

/// The element reached is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoAddress;

/// Splits the last element off a line: returns the rest of the line, if any, and the element.
///
/// # Errors
///
/// If a quoted string closes at the right end but never opens.
pub(super) fn split_last(
    line: &[u8],
    header: ForwardedHeader,
) -> Result<(Option<&[u8]>, &[u8]), NoAddress> {
    let comma = match header {
        ForwardedHeader::XForwardedFor => line.iter().rposition(|byte| *byte == b','),
        ForwardedHeader::Forwarded => last_comma_outside_quotes(line)?,
    };
    Ok(match comma {
        Some(at) => (Some(&line[..at]), line[at + 1..].trim_ascii()),
        None => (None, line.trim_ascii()),
    })
}

fn last_comma_outside_quotes(line: &[u8]) -> Result<Option<usize>, NoAddress> {
    let mut end = line.len();
    while let Some(at) = line[..end].iter().rposition(|byte| matches!(byte, b',' | b'"')) {
        if line[at] == b',' {
            return Ok(Some(at));
        }
        end = opening_quote(line, at).ok_or(NoAddress)?;
    }
    Ok(None)
}

/// Returns the quote that opens the string closed at `closing`. A quote after an odd number of
/// backslashes is escaped.
fn opening_quote(line: &[u8], closing: usize) -> Option<usize> {
    let mut end = closing;
    loop {
        let at = line[..end].iter().rposition(|byte| *byte == b'"')?;
        let backslashes = line[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        if backslashes % 2 == 0 {
            return Some(at);
        }
        end = at;
    }
}

/// Parses the address of an element.
///
/// # Errors
///
/// If there is none: malformed, `unknown`, obfuscated, or (in `Forwarded`) without `for`.
pub(super) fn address(element: &[u8], header: ForwardedHeader) -> Result<IpAddr, NoAddress> {
    let element = std::str::from_utf8(element).map_err(|_| NoAddress)?;
    match header {
        ForwardedHeader::XForwardedFor => {
            let quoted = element.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let node = quoted.unwrap_or(element);
            // This header has no standard; IPv6 is also accepted without brackets.
            match node.parse::<Ipv6Addr>() {
                Ok(address) => Ok(canonical_address(IpAddr::V6(address))),
                Err(_) => node_address(node),
            }
        }
        ForwardedHeader::Forwarded => node_address(&for_parameter(element)?),
    }
}

/// RFC 7239 §6: `192.0.2.1` or `[2001:db8::1]`, each with or without a port.
fn node_address(node: &str) -> Result<IpAddr, NoAddress> {
    let (address, port) = match node.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(NoAddress)?;
            (address.parse().map(IpAddr::V6), port)
        }
        None => {
            let (address, port) = node.split_at(node.find(':').unwrap_or(node.len()));
            (address.parse().map(IpAddr::V4), port)
        }
    };
    match address {
        Ok(address) if port.is_empty() || is_port(port) => Ok(canonical_address(address)),
        _ => Err(NoAddress),
    }
}

/// RFC 7239 §6.3: a colon, then up to five digits or an obfuscated port such as `_a1`.
fn is_port(text: &str) -> bool {
    let Some(port) = text.strip_prefix(':') else { return false };
    match port.strip_prefix('_') {
        Some(hidden) => {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            !hidden.is_empty() && hidden.bytes().all(allowed)
        }
        None => matches!(port.len(), 1..=5) && port.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// Returns the value of an element's only `for` parameter (RFC 7239 §4), unquoted.
fn for_parameter(element: &str) -> Result<Cow<'_, str>, NoAddress> {
    let mut found = None;
    let mut rest = element;
    loop {
        let pair = rest.trim_matches([' ', '\t']);
        if pair.is_empty() {
            break;
        }
        if let Some(next) = pair.strip_prefix(';') {
            rest = next;
            continue;
        }
        let (name, after) = pair.split_once('=').ok_or(NoAddress)?;
        let (value, after) = value(after)?;
        if name.eq_ignore_ascii_case("for") && found.replace(value).is_some() {
            return Err(NoAddress);
        }
        let after = after.trim_start_matches([' ', '\t']);
        if !after.is_empty() && !after.starts_with(';') {
            return Err(NoAddress);
        }
        rest = after;
    }
    found.ok_or(NoAddress)
}

/// Parses a token or quoted string; returns it with the remaining text. Colons and brackets are
/// accepted unquoted: some proxies omit the quotes, and the result is unambiguous.
fn value(text: &str) -> Result<(Cow<'_, str>, &str), NoAddress> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ' ', '\t', '"']).unwrap_or(text.len());
        return Ok((Cow::Borrowed(&text[..end]), &text[end..]));
    };
    let end = quoted.find(['"', '\\']).ok_or(NoAddress)?;
    if quoted[end..].starts_with('"') {
        return Ok((Cow::Borrowed(&quoted[..end]), &quoted[end + 1..]));
    }
    let mut plain = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((Cow::Owned(plain), &quoted[at + 1..])),
            '\\' => plain.push(characters.next().ok_or(NoAddress)?.1),
            other => plain.push(other),
        }
    }
    Err(NoAddress)
}
