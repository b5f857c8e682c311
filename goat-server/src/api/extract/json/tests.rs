//! Accepted and rejected objects, and a comparison with serde_json.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn refusal(text: &str) -> Malformed {
    Object::parse(text.as_bytes()).expect_err(text)
}

/// Returns an object with `levels` nested lists.
fn nested(levels: usize) -> String {
    format!(r#"{{"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels))
}

#[test]
fn object_with_surrounding_white_space_is_read() {
    for text in ["{}", " \t\r\n{ } \n", r#"{"a":null,"b":[1,-2,3.5e3,{"a":""}],"c":true}"#] {
        assert!(Object::parse(text.as_bytes()).is_ok(), "{text}");
    }
}

/// A4: a duplicate must not be ignored or applied.
#[test]
fn duplicate_members_are_rejected_at_any_level_and_spelling() {
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"b":0,"\u0061":1,"a":2}"#,
        r#"{"x":{"a":1,"b":2,"a":3}}"#,
        r#"{"x":[[{"a":1,"a":3}]]}"#,
        r#"{"a":{"b":1},"a":{"b":2}}"#,
    ] {
        assert_eq!(refusal(text), Malformed::Repeated("a".to_owned()), "{text}");
    }
    assert!(Object::parse(br#"{"a":{"a":{"a":1}},"A":[{"a":1},{"a":1}]}"#).is_ok());
}

/// H2
#[test]
fn deep_nesting_is_rejected_without_recursion() {
    assert!(Object::parse(nested(MAX_DEPTH - 1).as_bytes()).is_ok());
    assert_eq!(refusal(&nested(MAX_DEPTH)), Malformed::TooDeep);
    assert_eq!(refusal(&nested(30_000)), Malformed::TooDeep);
    assert_eq!(refusal(&r#"{"a":"#.repeat(10_000)), Malformed::TooDeep);
    assert_eq!(refusal(&"[".repeat(60_000)), Malformed::TooDeep);
}

#[test]
fn non_objects_are_rejected_with_their_reason() {
    for text in ["", "  \n"] {
        assert_eq!(refusal(text), Malformed::Empty, "{text:?}");
    }
    for text in ["[]", "null", "true", "5", "1.5", r#""text""#, r#"[{"a":1}]"#] {
        assert_eq!(refusal(text), Malformed::NotAnObject, "{text}");
    }
    for text in [
        "{",
        "{}{}",
        "{} x",
        "{},",
        "{a:1}",
        "{'a':1}",
        r#"{"a":1,}"#,
        r#"{"a":01}"#,
        "{\"a\":NaN}",
        r#"{"a":1e999}"#,
        r#"{"a":"\ud800"}"#,
        "{\"a\":\"\n\"}",
        "{/**/}",
        "{\"a\":\"\0\"}",
    ] {
        assert!(
            matches!(refusal(text), Malformed::NotJson { .. }),
            "{text:?}: {:?}",
            refusal(text)
        );
    }
    for text in ["\u{feff}{}", "\u{feff}", "\u{feff}\u{feff}{}", "\u{feff}[]"] {
        assert_eq!(refusal(text), Malformed::ByteOrderMark, "{text:?}");
    }
    for text in [" \u{feff}{}", "{}\u{feff}", "{\u{feff}}"] {
        assert!(matches!(refusal(text), Malformed::NotJson { .. }), "{text:?}");
    }
    assert!(Object::parse("{\"\u{feff}\":\"\u{feff}\"}".as_bytes()).is_ok());
    for utf16 in [&b"\xff\xfe{\0}\0"[..], b"\xfe\xff\0{\0}"] {
        assert_eq!(Object::parse(utf16).expect_err("bytes"), Malformed::NotUtf8);
    }
    assert_eq!(Object::parse(b"{\"a\":\"\xff\"}").expect_err("bytes"), Malformed::NotUtf8);
    assert_eq!(refusal("{\n  \"a\" 1}"), Malformed::NotJson { line: 2, column: 7 });
}

#[test]
fn rejection_shows_no_value_and_no_parser_message() {
    for text in [
        r#"{"password":"canary"#,
        r#"{"password":canary}"#,
        r#"{"a":"canary","a":"canary"}"#,
        r#""canary""#,
    ] {
        let sentence = refusal(text).to_string();
        assert!(!sentence.contains("canary"), "{sentence}");
        assert!(!sentence.contains("EOF") && !sentence.contains("expected"), "{sentence}");
        assert!(sentence.ends_with('.'), "{sentence}");
    }
    let long = format!(r#"{{"{0}":1,"{0}":2}}"#, "n\\n".repeat(200));
    let sentence = refusal(&long).to_string();
    assert!(sentence.chars().count() < 130 && !sentence.contains('\n'), "{sentence}");
}

#[test]
fn debug_output_hides_strings() {
    let object = Object::parse(br#"{"list":["canary"],"text":"canary"}"#).expect("an object");
    assert!(!format!("{object:?}").contains("canary"));
}

/// A JSON value as it is written: with duplicate members, at any depth.
#[derive(Clone, Debug)]
enum Written {
    Scalar(&'static str),
    List(Vec<Written>),
    Object(Vec<(usize, Written)>),
}

/// Spellings of names, and their decoded form.
const NAMES: &[(&str, &str)] = &[
    ("a", "a"),
    (r"\u0061", "a"),
    ("A", "A"),
    ("b", "b"),
    ("", ""),
    ("é", "é"),
    (r"\u00e9", "é"),
    (r"\n", "\n"),
];

impl Written {
    fn text(&self) -> String {
        let joined = |parts: Vec<String>| parts.join(" , ");
        match self {
            Self::Scalar(text) => (*text).to_owned(),
            Self::List(values) => format!("[{}]", joined(values.iter().map(Self::text).collect())),
            Self::Object(members) => format!(
                "{{{}}}",
                joined(
                    members
                        .iter()
                        .map(|(name, value)| format!("\"{}\":{}", NAMES[*name].0, value.text()))
                        .collect()
                ),
            ),
        }
    }

    fn depth(&self) -> usize {
        match self {
            Self::Scalar(_) => 0,
            Self::List(values) => 1 + values.iter().map(Self::depth).max().unwrap_or(0),
            Self::Object(members) => {
                1 + members.iter().map(|(_, value)| value.depth()).max().unwrap_or(0)
            }
        }
    }

    fn repeats(&self) -> bool {
        match self {
            Self::Scalar(_) => false,
            Self::List(values) => values.iter().any(Self::repeats),
            Self::Object(members) => {
                let names: BTreeSet<_> = members.iter().map(|(name, _)| NAMES[*name].1).collect();
                names.len() < members.len() || members.iter().any(|(_, value)| value.repeats())
            }
        }
    }

    /// Nests this value in `levels` lists or objects.
    fn within(self, levels: usize) -> Self {
        (0..levels).fold(self, |inner, level| match level % 2 {
            0 => Self::List(vec![Self::Scalar("0"), inner]),
            _ => Self::Object(vec![(3, inner)]),
        })
    }
}

fn written() -> impl Strategy<Value = Written> {
    let scalar = prop::sample::select(vec![
        "null",
        "true",
        "0",
        "-1",
        "1.5e3",
        "18446744073709551615",
        r#""text""#,
        r#""\ud83d\ude00""#,
        r#""""#,
        // Not JSON, so that the comparison covers rejections too.
        "01",
        "1e999",
        r#""\ud800""#,
        "nul",
    ])
    .prop_map(Written::Scalar);
    scalar.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Written::List),
            prop::collection::vec((0..NAMES.len(), inner), 0..4).prop_map(Written::Object),
        ]
    })
}

proptest! {
    #[test]
    fn exactly_shallow_objects_without_duplicates_are_read(
        members in prop::collection::vec((0..NAMES.len(), written()), 0..3),
        levels in prop_oneof![3 => Just(0_usize), 1 => 24..34_usize],
        bare in prop::bool::weighted(0.1),
    ) {
        let inner = Written::Object(members).within(levels);
        let value = if bare { inner } else { Written::Object(vec![(4, inner)]) };
        let text = value.text();
        let plain = serde_json::from_str::<serde_json::Value>(&text);
        let expected = plain.is_ok_and(|plain| plain.is_object()) && value.depth() <= MAX_DEPTH && !value.repeats();
        prop_assert_eq!(Object::parse(text.as_bytes()).is_ok(), expected, "{}", text);
    }

    #[test]
    fn arbitrary_bytes_never_parse_where_serde_json_fails(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            prop::collection::vec(prop::sample::select(br#"{}[]":,\u0e1- "#.to_vec()), 0..60),
        ],
    ) {
        let plain = serde_json::from_slice::<serde_json::Value>(&bytes);
        match Object::parse(&bytes) {
            Ok(_) => prop_assert!(plain.is_ok_and(|plain| plain.is_object())),
            Err(reason) => prop_assert!(reason.to_string().ends_with('.')),
        }
    }
}
