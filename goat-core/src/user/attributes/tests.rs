use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::error::ErrorKind;

fn attributes(value: Value) -> Attributes {
    Attributes::parse(value).expect("attributes")
}

fn patch(value: Value) -> AttributePatch {
    AttributePatch::parse(value).expect("a patch")
}

fn fields(error: &Error) -> Vec<&str> {
    assert_eq!(error.kind(), ErrorKind::Invalid);
    error.violations().iter().map(|violation| &*violation.field).collect()
}

#[test]
fn each_type_of_value_is_kept() {
    let all =
        json!({ "a": "ü\u{1}\"", "b": -1.5e300, "c": true, "d": null, "e": ["x", ""], "f": [] });
    let kept = attributes(all.clone());
    assert_eq!(serde_json::to_value(&kept).expect("JSON"), all);
    assert_eq!(Attributes::from_stored(kept.as_str()), Some(kept.clone()));
    assert_eq!(kept.get("e"), Some(json!(["x", ""])));
    assert_eq!((kept.text("e"), kept.get("g")), (None, None));
    assert_eq!(kept.keys().collect::<Vec<_>>(), ["a", "b", "c", "d", "e", "f"]);
}

#[test]
fn faulty_keys_are_named() {
    let object = json!({
        "ok": 1, "": 1, "A": 1, "a-b": 1, "ä": 1, "o": {}, "l": [1], "n": [null],
        "z": "a\0b", "zz": ["ok", "\0"],
    });
    for error in [
        Attributes::parse(object.clone()).expect_err("attributes"),
        AttributePatch::parse(object).expect_err("a patch"),
    ] {
        assert_eq!(fields(&error), ["", "A", "a-b", "l", "n", "o", "z", "zz", "ä"]);
    }
    let long = |length: usize| json!({ "k".repeat(length): 1 });
    attributes(long(64));
    let error = Attributes::parse(long(70_000)).expect_err("a long key");
    assert_eq!(fields(&error), ["k".repeat(64)]);
    for value in [json!([]), json!("a"), Value::Null] {
        assert_eq!(fields(&Attributes::parse(value.clone()).expect_err("no object")), [FIELD]);
        assert_eq!(fields(&AttributePatch::parse(value).expect_err("no object")), [FIELD]);
    }
}

#[test]
fn keys_and_bytes_are_bounded() {
    let keys = |count: usize| {
        Value::Object((0..count).map(|number| (format!("k{number}"), json!(0))).collect())
    };
    let full = attributes(keys(32));
    assert_eq!(fields(&Attributes::parse(keys(33)).expect_err("33 keys")), [FIELD]);
    full.merged(&patch(json!({ "more": 1 }))).expect_err("33 keys");
    full.merged(&patch(json!({ "more": 1, "k0": null }))).expect("32 keys");

    let bytes = |count: usize| json!({ "a": "b".repeat(count - r#"{"a":""}"#.len()) });
    let full = attributes(bytes(4096));
    assert_eq!(full.as_str().len(), Attributes::MOST_BYTES);
    assert_eq!(fields(&Attributes::parse(bytes(4097)).expect_err("4097 bytes")), [FIELD]);
    full.merged(&patch(json!({ "b": 1 }))).expect_err("more bytes");
}

/// RFC 7396, section 3, for an object without objects.
#[test]
fn merge_patch_replaces_adds_and_removes() {
    for (target, merge, result) in [
        (json!({ "a": "b" }), json!({ "a": "c" }), json!({ "a": "c" })),
        (json!({ "a": "b" }), json!({ "b": "c" }), json!({ "a": "b", "b": "c" })),
        (json!({ "a": "b" }), json!({ "a": null }), json!({})),
        (json!({ "a": "b", "b": "c" }), json!({ "a": null }), json!({ "b": "c" })),
        (json!({ "a": ["b"] }), json!({ "a": "c" }), json!({ "a": "c" })),
        (json!({ "a": "c" }), json!({ "a": ["b"] }), json!({ "a": ["b"] })),
        (json!({ "e": null }), json!({ "a": 1 }), json!({ "a": 1, "e": null })),
        (json!({}), json!({ "a": null }), json!({})),
    ] {
        let merged = attributes(target.clone()).merged(&patch(merge)).expect("merged");
        assert_eq!(merged, attributes(result), "{target}");
    }
}

/// The shortest text of a number may have more digits than a parser that rounds keeps.
#[test]
fn numbers_keep_their_text_when_another_key_changes() {
    let stored =
        Attributes::from_stored(r#"{"n":9007199254740993.25e-3,"big":123456789012345678901}"#);
    let stored = stored.expect("attributes");
    let merged = stored.merged(&patch(json!({ "a": 1 }))).expect("merged");
    assert_eq!(
        merged.as_str(),
        r#"{"a":1,"big":123456789012345678901,"n":9007199254740993.25e-3}"#
    );
    assert_eq!(stored.changed_keys(&merged), ["a"]);
    let text = serde_json::to_string(&merged).expect("JSON");
    assert_eq!(text, merged.as_str());
    assert_eq!(serde_json::from_str::<Attributes>(&text).expect("attributes"), merged);
    serde_json::from_str::<Attributes>(r#"{"a":{}}"#).expect_err("an object as a value");
}

#[test]
fn selected_keys_are_those_that_fit() {
    let all = attributes(json!({ "a": "x".repeat(20), "b": 1, "c": "y".repeat(90), "d": 2 }));
    let keys = ["d", "c", "a", "none", "d", "b"].map(str::to_owned);
    let selected = |most_bytes| {
        let selected = all.selected(&keys, most_bytes);
        assert!(selected.as_str().len() <= most_bytes);
        selected.keys().collect::<String>()
    };
    assert_eq!([2, 8, 40, 50, 1024].map(selected), ["", "d", "ad", "abd", "abcd"]);
}

#[test]
fn invalid_stored_text_is_not_read() {
    for text in ["", "[]", "{", r#"{"A":1}"#, r#"{"a":{}}"#, r#"{"a":[1]}"#, "null"] {
        assert_eq!(Attributes::from_stored(text), None, "{text}");
    }
}

#[test]
fn debug_output_has_no_value() {
    let secret = attributes(json!({ "plan": "canary" }));
    assert_eq!(format!("{secret:?}"), r#"{"plan"}"#);
    assert_eq!(format!("{:?}", patch(json!({ "plan": "canary" }))), r#"{"plan"}"#);
}

fn objects() -> impl Strategy<Value = BTreeMap<String, Value>> {
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        proptest::num::f64::NORMAL.prop_map(Value::from),
        "[^\\x00]{0,8}".prop_map(Value::from),
        proptest::collection::vec("[^\\x00]{0,4}", 0..3).prop_map(Value::from),
    ];
    proptest::collection::btree_map("[a-f]", value, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The model: a map of JSON values.
    #[test]
    fn patches_act_as_on_a_map(mut model in objects(), patches in proptest::collection::vec(objects(), 0..4)) {
        let json = |map: &BTreeMap<String, Value>| json!(map);
        let mut kept = attributes(json(&model));
        for object in patches {
            let before = model.clone();
            for (key, value) in &object {
                if value.is_null() { model.remove(key); } else { model.insert(key.clone(), value.clone()); }
            }
            let merged = kept.merged(&patch(json(&object))).expect("within the bounds");
            prop_assert_eq!(serde_json::to_value(&merged).expect("JSON"), json(&model));
            let all = before.keys().chain(model.keys()).cloned().collect::<std::collections::BTreeSet<_>>();
            let changed: Vec<_> = all.into_iter().filter(|key| before.get(key) != model.get(key)).collect();
            prop_assert_eq!(kept.changed_keys(&merged), changed);
            kept = merged;
        }
    }
}
