//! Text that cannot be taken for anything but text: the characters that end a line, steer a
//! terminal, or make it read otherwise than it was written are spelt out.

use std::io;

use serde_json::ser::Formatter;

/// Whether a character must not reach a log as it is: control characters (ESC and the one-character
/// CSI among them), line separators, and the invisible ones that turn or hide what follows.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Appends text with its unsafe characters spelt out.
pub(crate) fn push_escaped(line: &mut String, text: &str) {
    for character in text.chars() {
        if is_unsafe(character) {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
}

/// Appends a value so that it cannot be taken for two: in quotes, unless it is one plain word.
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

/// JSON as usual, and with the unsafe characters beyond ASCII spelt out too.
pub(crate) struct SafeJson;

impl Formatter for SafeJson {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let mut rest = fragment;
        while let Some((index, character)) = rest.char_indices().find(|(_, one)| is_unsafe(*one)) {
            writer.write_all(&rest.as_bytes()[..index])?;
            // All of them lie below U+10000: one escape each.
            write!(writer, "\\u{:04x}", u32::from(character))?;
            rest = &rest[index + character.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}
