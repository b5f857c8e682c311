//! Escaping for log lines: characters that end a line, control a terminal or disguise the text are
//! written as escapes.

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
