//! Escaping for log lines: characters that end a line, control a terminal or disguise the text are
//! written as escapes.

use std::fmt::Write as _;
use std::io;

use serde_json::ser::Formatter;

/// Whether a character must be escaped: control characters (ESC and the one-character CSI among
/// them), line separators, and invisible characters that reorder or hide text.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Appends text with unsafe characters escaped.
pub(crate) fn push_escaped(line: &mut String, text: &str) {
    for character in text.chars() {
        if is_unsafe(character) {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
}

/// Appends a value unambiguously: in quotes, unless it is a single plain word.
pub(super) fn push_value(line: &mut String, text: &str) {
    let plain = |character: char| {
        !is_unsafe(character)
            && !character.is_whitespace()
            && !matches!(character, '"' | '=' | '\\')
    };
    if !text.is_empty() && text.chars().all(plain) {
        line.push_str(text);
        return;
    }
    line.push('"');
    for character in text.chars() {
        if is_unsafe(character) || matches!(character, '"' | '\\') {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line.push('"');
}

/// Appends text to a JSON string, as a serializer with [`SafeJson`] does.
pub(super) fn push_json(line: &mut String, text: &str) {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        line.push_str(text);
        return;
    }
    for character in text.chars() {
        match character {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\u{8}' => line.push_str("\\b"),
            '\t' => line.push_str("\\t"),
            '\n' => line.push_str("\\n"),
            '\u{c}' => line.push_str("\\f"),
            '\r' => line.push_str("\\r"),
            // All unsafe characters are below U+10000: one escape each. Writing to a `String` does not
            // fail.
            _ if is_unsafe(character) => {
                let _ = write!(line, "\\u{:04x}", u32::from(character));
            }
            _ => line.push(character),
        }
    }
}

/// JSON formatter that also escapes unsafe characters beyond ASCII.
pub(crate) struct SafeJson;

impl Formatter for SafeJson {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let mut rest = fragment;
        while let Some((index, character)) = rest.char_indices().find(|(_, one)| is_unsafe(*one)) {
            writer.write_all(&rest.as_bytes()[..index])?;
            // All unsafe characters are below U+10000: one escape each.
            write!(writer, "\\u{:04x}", u32::from(character))?;
            rest = &rest[index + character.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde::Serialize as _;

    /// L2: both ways to a JSON string escape alike.
    #[test]
    fn json_escapes_are_those_of_the_serializer() {
        let all: String =
            (0..0x3000).filter_map(char::from_u32).chain(['\u{feff}', '\u{1f410}']).collect();
        for text in ["", "plain text", "\"", "tail\\", &all] {
            let mut serialized = Vec::new();
            text.serialize(&mut serde_json::Serializer::with_formatter(&mut serialized, SafeJson))
                .expect("a string");
            let mut pushed = String::from("\"");
            push_json(&mut pushed, text);
            pushed.push('"');
            assert_eq!(pushed.as_bytes(), serialized);
        }
    }
}
