//! Values in texts: cleaned of what could add lines or disguise text, and escaped in HTML (M11).

/// The longest value, in characters. Device names come from a header of the client.
const LONGEST: usize = 200;

/// Whether a character does not show: controls, line separators, and characters that reorder or hide text.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Returns a client's text as one line of visible characters, cut at a length that suits a sentence. Line
/// breaks and tabs become spaces.
pub(super) fn one_line(text: &str) -> String {
    let spaced = text.chars().map(|character| match character {
        '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
        other => other,
    });
    let visible: String = spaced.filter(|character| !is_invisible(*character)).collect();
    let words: Vec<&str> = visible.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line,
    }
}

/// Appends a value to HTML, in an element or in a quoted attribute.
pub(super) fn push_html(html: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// M11
    #[test]
    fn texts_of_clients_are_one_visible_line() {
        for (text, expected) in [
            ("", ""),
            ("laptop", "laptop"),
            ("  my\tnew \r\n laptop  ", "my new laptop"),
            ("a\u{202e}b\u{2066}c\u{200b}d\u{feff}", "abcd"),
            ("a\u{2028}b\u{85}c", "a b c"),
            ("a\0b\u{1b}[31m", "ab[31m"),
            ("a\u{e0041}b\u{ad}c", "abc"),
            ("Grüße, 世界", "Grüße, 世界"),
            ("\r\n\t\u{200b}", ""),
        ] {
            assert_eq!(one_line(text), expected, "{text:?}");
        }
        let cut = one_line(&"ä".repeat(10_000));
        assert_eq!(cut.chars().count(), LONGEST + 1);
        assert!(cut.ends_with('…'));
        assert_eq!(one_line(&"a".repeat(LONGEST)).len(), LONGEST);
    }

    #[test]
    fn html_is_escaped() {
        let mut html = String::new();
        push_html(&mut html, "<a href=\"x\">'&'</a>");
        assert_eq!(html, "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
    }
}
