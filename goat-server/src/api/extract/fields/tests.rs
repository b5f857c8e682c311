//! Accepted members, and violations of the others.

use goat_core::{InvalidId, SessionId};

use super::*;

#[derive(Debug)]
struct NewUser {
    email: String,
    password: Secret<String>,
    role: Option<String>,
    active: Option<bool>,
}

impl FromFields for NewUser {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        let email = fields.string("email");
        let password = fields.secret("password");
        let role = fields.optional_parse("role", |text| match text {
            "client" | "operator" => Ok(text.to_owned()),
            _ => Err("must be client or operator"),
        });
        let active = fields.optional_bool("active");
        Ok(Self { email: email?, password: password?, role: role?, active: active? })
    }
}

fn read<T: FromFields>(text: &str) -> Result<T, Vec<String>> {
    let object = Object::parse(text.as_bytes()).expect("an object");
    Fields::read(object).map_err(|violations| {
        violations
            .iter()
            .map(|violation| format!("{} {}", violation.field, violation.message))
            .collect()
    })
}

fn refused(text: &str) -> Vec<String> {
    read::<NewUser>(text).expect_err(text)
}

#[test]
fn valid_body_is_read() {
    let user: NewUser =
        read(r#"{"email":"a@b.c","password":"p\u00e4ss","role":"client","active":false}"#)
            .expect("a user");
    assert_eq!(
        (user.email.as_str(), user.role.as_deref(), user.active),
        ("a@b.c", Some("client"), Some(false))
    );
    assert_eq!(user.password.expose(), "päss");

    let user: NewUser = read(r#"{"email":"","password":""}"#).expect("a user");
    assert_eq!((user.role, user.active), (None, None));
}

/// A4: `"role": "admin"` is neither ignored nor applied.
#[test]
fn all_violations_are_reported_at_once() {
    const KNOWN: &str = "is unknown; expected one of email, password, role, active";
    assert_eq!(
        refused(
            r#"{"Role":"admin","password":7,"active":"yes","role":"admin","is_admin":true,"role ":1}"#
        ),
        [
            "email is required".to_owned(),
            "password must be a string".to_owned(),
            "role must be client or operator".to_owned(),
            "active must be true or false".to_owned(),
            format!("Role {KNOWN}"),
            format!("is_admin {KNOWN}"),
            format!("role\u{fffd} {KNOWN}"),
        ],
    );
}

#[test]
fn unknown_member_alone_is_rejected() {
    assert_eq!(refused(r#"{"email":"","password":"","EMAIL":""}"#).len(), 1);
}

#[test]
fn null_is_a_wrong_type_not_absence() {
    assert_eq!(
        refused(r#"{"email":null,"password":null,"role":null,"active":null}"#),
        [
            "email must be a string",
            "password must be a string",
            "role must be a string",
            "active must be true or false"
        ],
    );
}

#[test]
fn types_are_not_coerced() {
    for value in ["1", "1.5", "true", "[]", r#"["a"]"#, "{}", r#"{"a":"b"}"#] {
        let messages = refused(&format!(r#"{{"email":{value},"password":""}}"#));
        assert_eq!(messages, ["email must be a string"], "{value}");
    }
}

#[test]
fn body_without_members_rejects_every_member() {
    struct Nothing;
    impl FromFields for Nothing {
        fn from_fields(_: &mut Fields) -> Result<Self, Refused> {
            Ok(Self)
        }
    }
    assert!(read::<Nothing>("{}").is_ok());
    assert_eq!(
        read::<Nothing>(r#"{"a":1}"#).err(),
        Some(vec!["a is unknown; remove it".to_owned()])
    );
}

#[derive(Debug)]
struct Revocation(Option<Vec<SessionId>>);

impl FromFields for Revocation {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        if !fields.contains("session_ids") && !fields.contains("all") {
            return Err(fields.refuse("session_ids", "or all must be there"));
        }
        let ids = fields.optional_list("session_ids", 1..=3, str::parse::<SessionId>);
        let all = fields.optional_bool("all");
        all.and(ids).map(Self)
    }
}

#[test]
fn invalid_list_entries_are_reported_with_their_index() {
    let id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let list: Revocation = read(&format!(r#"{{"session_ids":["{id}","{id}"]}}"#)).expect("a list");
    assert_eq!(list.0.map(|ids| ids.len()), Some(2));
    assert!(read::<Revocation>(r#"{"all":true}"#).expect("no list").0.is_none());

    let messages = |text: &str| read::<Revocation>(text).expect_err(text);
    assert_eq!(
        messages(&format!(r#"{{"session_ids":["{id}",5,"{}"]}}"#, id.to_lowercase())),
        ["session_ids[1] must be a string".to_owned(), format!("session_ids[2] {InvalidId}")],
    );
    for list in ["[]", r#"["","","",""]"#] {
        assert_eq!(
            messages(&format!(r#"{{"session_ids":{list}}}"#)),
            ["session_ids must have 1 to 3 entries"]
        );
    }
    for value in ["null", r#""a""#, "{}"] {
        assert_eq!(
            messages(&format!(r#"{{"session_ids":{value}}}"#)),
            ["session_ids must be a list of strings"]
        );
    }
    assert_eq!(messages("{}"), ["session_ids or all must be there"]);
}

#[test]
fn violations_show_no_value() {
    let messages = refused(
        r#"{"email":["canary"],"password":{"canary_in_it":"canary"},"role":"canary","other":"canary"}"#,
    );
    assert_eq!(messages.len(), 4);
    assert!(!messages.concat().contains("canary"), "{messages:?}");
}
