//! JSON writer for problem documents: objects of strings and numbers.
//!
//! Invariant: the output is one well-formed JSON value (RFC 8259) that parses to the same strings.

use std::fmt::Display;

/// Writes an object, member by member, in the order of the calls. Names must not repeat.
#[derive(Debug)]
pub(crate) struct ObjectWriter<'a> {
    text: &'a mut String,
    first: bool,
}

impl<'a> ObjectWriter<'a> {
    /// Opens an object at the end of `text`.
    pub(crate) fn open(text: &'a mut String) -> Self {
        text.push('{');
        Self { text, first: true }
    }

    /// Writes a string member.
    pub(crate) fn string(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        push_string(self.text, value);
        self
    }

    /// Writes an integer member.
    pub(crate) fn number(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.name(name);
        self.text.push_str(&value.to_string());
        self
    }

    /// Writes a member that is an array of strings.
    pub(crate) fn strings<'b>(
        &mut self,
        name: &str,
        values: impl IntoIterator<Item = &'b str>,
    ) -> &mut Self {
        self.name(name);
        self.text.push('[');
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            push_string(self.text, value);
        }
        self.text.push(']');
        self
    }

    /// Writes a member that is an array of objects.
    pub(crate) fn objects<T>(
        &mut self,
        name: &str,
        items: &[T],
        mut write: impl FnMut(&mut ObjectWriter<'_>, &T),
    ) -> &mut Self {
        self.name(name);
        self.text.push('[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            let mut object = ObjectWriter::open(self.text);
            write(&mut object, item);
            object.close();
        }
        self.text.push(']');
        self
    }

    /// Closes the object.
    pub(crate) fn close(self) {
        self.text.push('}');
    }

    fn name(&mut self, name: &str) {
        if !self.first {
            self.text.push(',');
        }
        self.first = false;
        push_string(self.text, name);
        self.text.push(':');
    }
}

/// Appends a JSON string; quotes, backslashes and control characters are escaped.
fn push_string(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            control if control < '\u{20}' => {
                text.push_str("\\u00");
                for digit in [u32::from(control) >> 4, u32::from(control) & 15] {
                    text.extend(char::from_digit(digit, 16));
                }
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn written(value: &str) -> String {
        let mut text = String::new();
        push_string(&mut text, value);
        text
    }

    #[test]
    fn special_characters_are_escaped() {
        assert_eq!(written("say \"no\" \\ n\u{f6}"), "\"say \\\"no\\\" \\\\ n\u{f6}\"");
        assert_eq!(written("a\r\n\tb"), r#""a\r\n\tb""#);
        assert_eq!(
            written("\u{0}\u{8}\u{1b}\u{1f}\u{7f}"),
            "\"\\u0000\\u0008\\u001b\\u001f\u{7f}\""
        );
        assert_eq!(written("\u{2028}\u{1f410}"), "\"\u{2028}\u{1f410}\"");
    }

    #[test]
    fn every_character_below_the_surrogates_round_trips() {
        for code in 0..0xd800 {
            let value = String::from(char::from_u32(code).expect("a character"));
            assert_eq!(serde_json::from_str::<String>(&written(&value)).expect("JSON"), value);
        }
    }

    #[test]
    fn members_are_in_the_order_of_the_calls() {
        let mut text = String::new();
        let mut object = ObjectWriter::open(&mut text);
        object.string("b", "x").number("a", 404).objects("list", &["p", "q"], |object, item| {
            object.string("is", item);
        });
        object.objects("none", &[(); 0], |_, ()| {});
        object.close();
        assert_eq!(text, r#"{"b":"x","a":404,"list":[{"is":"p"},{"is":"q"}],"none":[]}"#);
        let mut text = String::new();
        ObjectWriter::open(&mut text).close();
        assert_eq!(text, "{}");
    }

    proptest! {
        #[test]
        fn any_string_round_trips(name in any::<String>(), value in any::<String>()) {
            let mut text = String::new();
            let mut object = ObjectWriter::open(&mut text);
            object.string(&name, &value);
            object.close();
            let read: Value = serde_json::from_str(&text).expect("JSON");
            prop_assert_eq!(read, json!({ name: value }));
        }
    }
}
