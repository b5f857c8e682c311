//! Templates: text with `{name}` placeholders. No code, no conditions: a line with a placeholder that has no
//! value is left out.

use super::text::push_html;
use super::values::{Value, Values};

/// The form of a template, which decides how values are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Html,
    /// A header, in which `=?` begins an encoded word (RFC 2047 §2).
    Subject,
}

/// A parsed template.
#[derive(Clone, Debug)]
pub(super) struct Template {
    form: Form,
    lines: Vec<Vec<Piece>>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(Box<str>),
    Value(Value),
}

impl Template {
    /// Parses a template with the given values, one of which must occur. The error is a complaint that
    /// follows the template's name, and counts lines from `first`.
    pub(super) fn parse(
        text: &str,
        form: Form,
        allowed: &[Value],
        required: Option<Value>,
        first: usize,
    ) -> Result<Self, String> {
        let lines = text.lines().zip(first..).map(|(line, number)| {
            parse_line(line, allowed).map_err(|complaint| format!("line {number} {complaint}"))
        });
        let template = Self { form, lines: lines.collect::<Result<_, _>>()? };
        match required.filter(|required| !template.uses(*required)) {
            Some(required) => {
                Err(format!("has no {{{}}}, which the message needs", required.name()))
            }
            None => Ok(template),
        }
    }

    fn uses(&self, value: Value) -> bool {
        let pieces = self.lines.iter().flatten();
        pieces.into_iter().any(|piece| matches!(piece, Piece::Value(used) if *used == value))
    }

    /// Renders the template; every line ends with a line feed.
    pub(super) fn render(&self, values: &Values) -> String {
        let mut rendered = String::with_capacity(4096);
        for line in &self.lines {
            let start = rendered.len();
            for piece in line {
                match piece {
                    Piece::Text(text) => rendered.push_str(text),
                    Piece::Value(value) => match (values.get(*value), self.form) {
                        ("", _) => {
                            rendered.truncate(start);
                            break;
                        }
                        (value, Form::Text) => rendered.push_str(value),
                        (value, Form::Html) => push_html(&mut rendered, value),
                        (value, Form::Subject) => rendered.push_str(&value.replace("=?", "= ?")),
                    },
                }
            }
            if rendered.len() > start || line.is_empty() {
                rendered.push('\n');
            }
        }
        rendered
    }
}

fn parse_line(line: &str, allowed: &[Value]) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = line;
    while let Some((start, end)) = placeholder(rest) {
        let name = &rest[start + 1..end];
        let Some(value) = allowed.iter().find(|value| value.name() == name) else {
            let names: Vec<_> =
                allowed.iter().map(|value| format!("{{{}}}", value.name())).collect();
            return Err(format!("has {{{name}}}, which is not one of {}", names.join(", ")));
        };
        if start > 0 {
            pieces.push(Piece::Text(rest[..start].into()));
        }
        pieces.push(Piece::Value(*value));
        rest = &rest[end + 1..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.into()));
    }
    Ok(pieces)
}

/// Finds the braces of the first placeholder: letters, digits, `-` and `_` in braces. Other braces are text, such
/// as those of a style sheet.
fn placeholder(text: &str) -> Option<(usize, usize)> {
    text.match_indices('{').find_map(|(start, _)| {
        let name = &text[start + 1..];
        let length = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))?;
        let is_placeholder = length > 0 && name[length..].starts_with('}');
        is_placeholder.then_some((start, start + 1 + length))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let mut values = Values::default();
        values.set(Value::Site, "a<b>.example".into());
        values.set(Value::Device, "laptop".into());
        values
    }

    const ALLOWED: [Value; 3] = [Value::Site, Value::Device, Value::Ip];

    fn render(text: &str, form: Form) -> String {
        Template::parse(text, form, &ALLOWED, None, 1).expect("a template").render(&values())
    }

    #[test]
    fn values_are_replaced_once_and_escaped_in_html() {
        assert_eq!(render("to {site}: {device}", Form::Text), "to a<b>.example: laptop\n");
        assert_eq!(render("{site}{device}", Form::Html), "a&lt;b&gt;.examplelaptop\n");
        let mut nested = values();
        nested.set(Value::Device, "{site}".into());
        let template =
            Template::parse("{device}", Form::Text, &ALLOWED, None, 1).expect("a template");
        assert_eq!(template.render(&nested), "{site}\n");
    }

    #[test]
    fn lines_without_their_value_are_left_out() {
        let text = "one\nat {ip} on {device}\n\ntwo {device}\n{ip}";
        assert_eq!(render(text, Form::Text), "one\n\ntwo laptop\n");
    }

    #[test]
    fn other_braces_are_text() {
        for text in ["p { margin: 0 }", "a{color:red}", "{}", "{ site }", "{", "}", "{site", "{ä}"]
        {
            assert_eq!(render(text, Form::Html), format!("{text}\n"), "{text}");
        }
        assert_eq!(render("{{device}}", Form::Text), "{laptop}\n");
    }

    #[test]
    fn unknown_and_missing_placeholders_are_refused() {
        let parse = |text| Template::parse(text, Form::Text, &ALLOWED, Some(Value::Ip), 1);
        assert_eq!(
            parse("{ip}\nto {Site}").expect_err("an unknown one"),
            "line 2 has {Site}, which is not one of {site}, {device}, {ip}"
        );
        assert!(parse("{ip} {link}").expect_err("not of this message").contains("has {link}"));
        assert_eq!(
            parse("{site}").expect_err("without the link"),
            "has no {ip}, which the message needs"
        );
        assert!(parse("at {ip}").is_ok());
    }
}
