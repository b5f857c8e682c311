//! Texts that an operator gives: one decoder for environment, flags, `.env`, files and standard input.
//!
//! An editor or a shell adds characters that no reader of the text sees, and that would make a secret
//! another one on the next machine. The decoder removes them where the meaning is certain, and refuses
//! the text otherwise.

/// The byte order mark.
const BOM: char = '\u{feff}';

/// Decodes UTF-8 without a byte order mark at its start and without line breaks at its end. The error is
/// a complaint to be read after the name of the text, and never quotes it.
pub(crate) fn decode(bytes: Vec<u8>) -> Result<String, &'static str> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("is not valid UTF-8, but UTF-16: save it as UTF-8");
    }
    let mut text = String::from_utf8(bytes).map_err(|_| "is not valid UTF-8")?;
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    if text.starts_with(BOM) {
        text.drain(..BOM.len_utf8());
    }
    if text.contains(BOM) {
        return Err("contains a byte order mark (U+FEFF), which no editor shows: remove it");
    }
    if text.contains('\0') {
        return Err("contains a NUL character: remove it");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_around_a_text_are_removed() {
        for (bytes, expected) in [
            ("a text", "a text"),
            ("", ""),
            ("\n", ""),
            ("\u{feff}", ""),
            ("a text\n", "a text"),
            ("a text\r\n\r\n", "a text"),
            ("\u{feff}a text\n", "a text"),
            (" spaces count ", " spaces count "),
            ("two\nlines", "two\nlines"),
        ] {
            assert_eq!(decode(bytes.into()).as_deref(), Ok(expected), "{bytes:?}");
        }
    }

    #[test]
    fn invisible_characters_within_a_text_are_refused() {
        for bytes in [
            &b"a\0text"[..],
            b"a text\0",
            "a\u{feff}text".as_bytes(),
            "\u{feff}\u{feff}a text".as_bytes(),
            b"\xff\xfea\0",
            b"\xfe\xff\0a",
            b"\xff",
        ] {
            assert!(decode(bytes.into()).is_err(), "{bytes:?}");
        }
    }
}
