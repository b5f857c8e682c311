//! Constraints of requests in the OpenAPI document, as strict as the extractors: a request that is valid
//! by its schemas is never a 400, except for rules that a schema cannot express (H9).
//!
//! A schema may be stricter than the server. It leaves out addresses whose domain is international, since
//! their validity depends on tables.

use goat_core::Status;
use goat_core::access::Rank;
use goat_core::auth::Assurance;
use goat_core::key::MAX_SCOPES;
use goat_core::password::PasswordPolicy;
use goat_core::user::Attributes;
use http::Method;
use serde_json::json;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::schema::{
    AnyOfBuilder, Array, ArrayBuilder, ArrayItems, Object, ObjectBuilder, OneOf, OneOfBuilder,
    Schema, SchemaType, Type,
};
use utoipa::openapi::{OpenApi as Document, RefOr};

use crate::api::routes::roles::MAX_PERMISSIONS;

/// An id: a ULID in its canonical form.
pub(super) const ID: &str = "^[0-7][0-9A-HJKMNP-TV-Z]{25}$";

/// The body of `DELETE /api/v1/sessions`.
const REVOKE: &str = "RevokeSchema";

/// The bodies with the answer to a message, by its link or by its code.
const MAIL_ANSWERS: [&str; 4] =
    ["ConfirmCodeBody", "ConfirmRecoveryBody", "ConfirmSignUpBody", "MailAnswerBody"];

/// A text without control characters.
pub(super) const PRINTABLE: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";

/// The name of a role. That the role exists is beyond a schema.
pub(super) const ROLE: &str = "^[a-z0-9_-]{1,64}$";
const NEW_ROLE: &str = "^[a-z][a-z0-9_-]{0,31}$";
const PERMISSION: &str = r"^(full_access|[a-z0-9_]{1,64}:([a-z0-9_]{1,64}|\*))$";
/// Only the highest role can have `full_access`, so it is left out.
const GRANTABLE: &str = r"^[a-z0-9_]{1,64}:([a-z0-9_]{1,64}|\*)$";

/// At most 64 characters before the `@`, and labels of at most 63; not in the domain of service accounts.
const EMAIL: &str = r"^(?=[^@]{1,64}@)(?!.*@.*[^.]{64})(?!.*@[Ss][Ee][Rr][Vv][Ii][Cc][Ee]\.[Ii][Nn][Vv][Aa][Ll][Ii][Dd]$)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@[A-Za-z0-9]+(-[A-Za-z0-9]+)*(\.[A-Za-z0-9]+(-[A-Za-z0-9]+)*)*$";

/// The name of a service account.
const SERVICE_NAME: &str = "^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*$";

/// A key of an attribute.
const ATTRIBUTE: &str = "^[a-z0-9_]{1,64}$";

/// A text in an attribute.
const ATTRIBUTE_TEXT: &str = r"^[^\u0000]*$";

/// Returns the schema of attributes, and of a patch of them.
pub(super) fn attributes() -> RefOr<Schema> {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let single = SchemaType::from_iter([Type::String, Type::Number, Type::Boolean, Type::Null]);
    let single = ObjectBuilder::new().schema_type(single).pattern(Some(ATTRIBUTE_TEXT));
    let list = ArrayBuilder::new().items(text().pattern(Some(ATTRIBUTE_TEXT)));
    let value = Schema::from(AnyOfBuilder::new().item(single).item(list));
    let schema = ObjectBuilder::new()
        .description(Some(
            "Fields of the application, together at most 4096 bytes of JSON: strings, numbers, Booleans, \
             `null`, and lists of strings.",
        ))
        .property_names(Some(text().pattern(Some(ATTRIBUTE))))
        .additional_properties(Some(value))
        .max_properties(Some(Attributes::MOST_KEYS))
        .examples([json!({"locale": "de-AT", "seats": 5, "teams": ["sales"]})]);
    schema.into()
}

/// Returns the schema of the scopes of a key.
pub(super) fn scopes() -> RefOr<Schema> {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let all = text().enum_values(Some(["*"]));
    let permissions = ArrayBuilder::new().items(text().pattern(Some(PERMISSION)));
    let permissions = permissions.max_items(Some(MAX_SCOPES));
    let schema = AnyOfBuilder::new()
        .description(Some(
            "`*` for all permissions of the owner's role, as they are at each use; or those of them that the list \
             names.",
        ))
        .item(all)
        .item(permissions)
        .examples([json!(["report:read"])]);
    schema.into()
}

/// Adds the constraints of the request bodies that operations share.
pub(super) fn constrain_components(document: &mut Document) {
    let Some(components) = &mut document.components else { return };
    let bodies = components.schemas.iter_mut().filter(|(name, _)| name.ends_with("Body"));
    for (name, schema) in bodies {
        constrain_body(name, schema);
    }
}

fn constrain_body(name: &str, schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::Object(body)) = schema else { return };
    match name {
        "UpdateBody" => body.min_properties = Some(1),
        "StepUpBody" => (body.min_properties, body.max_properties) = (Some(1), Some(1)),
        // The third is the answer, and the fourth `session`.
        "ConfirmBody" => (body.min_properties, body.max_properties) = (Some(3), Some(4)),
        REVOKE => (body.min_properties, body.max_properties) = (Some(1), Some(1)),
        _ => {}
    }
    for (member, schema) in &mut body.properties {
        match schema {
            RefOr::T(Schema::Object(schema)) => constrain(name, member, schema),
            RefOr::T(Schema::Array(list)) if member == "session_ids" => pattern_of_items(list, ID),
            RefOr::T(Schema::Array(list)) if member == "permissions" => {
                list.max_items = Some(MAX_PERMISSIONS);
                pattern_of_items(list, GRANTABLE);
            }
            _ => {}
        }
    }
    if MAIL_ANSWERS.contains(&name) {
        *schema = Schema::from(forms_of_answer(body)).into();
    }
}

/// Returns the two forms of a body with the answer to a message: with the token of the link, and with the code.
fn forms_of_answer(body: &Object) -> OneOf {
    let text =
        |description| ObjectBuilder::new().schema_type(Type::String).description(Some(description));
    let challenge = text("The `challenge` of the request that sent the message.")
        .pattern(Some(ID))
        .examples([json!("01KDWMBY00C8X0F4ZCV7J3T9QH")]);
    let code = text("The code of the message. Case and hyphens are ignored.");
    let token = text("The token of the link of the message.");
    let form = |members: Vec<(&str, ObjectBuilder)>| {
        let mut form = body.clone();
        form.description = None;
        for (name, schema) in members {
            form.properties.insert(name.to_owned(), Schema::from(schema).into());
            form.required.push(name.to_owned());
        }
        form
    };
    OneOfBuilder::new()
        .description(body.description.clone())
        .item(form(vec![("token", token)]))
        .item(form(vec![("challenge", challenge), ("code", code)]))
        .build()
}

fn constrain(body: &str, member: &str, schema: &mut Object) {
    let names = |statuses: &[Status]| {
        Some(statuses.iter().map(|status| json!(status.as_str())).collect::<Vec<_>>())
    };
    match (body, member) {
        // Any two texts are credentials, though perhaps wrong ones.
        ("LoginBody", "email" | "password" | "device_token")
        | ("StepUpBody", "password")
        | (_, "current_password") => {}
        ("ConfirmBody", "challenge") => schema.pattern = Some(ID.to_owned()),
        (_, "session") => schema.enum_values = Some(vec![json!("cookie")]),
        (_, "email") => {
            schema.pattern = Some(EMAIL.to_owned());
            schema.max_length = Some(254);
        }
        (_, "password" | "new_password") => {
            let policy = PasswordPolicy::default();
            (schema.min_length, schema.max_length) =
                (Some(policy.minimum()), Some(policy.maximum()));
        }
        (_, "role") => schema.pattern = Some(ROLE.to_owned()),
        ("CreateServiceBody", "name") => schema.pattern = Some(SERVICE_NAME.to_owned()),
        ("CreateKeyBody", "name") => schema.pattern = Some(PRINTABLE.to_owned()),
        (_, "name") => schema.pattern = Some(NEW_ROLE.to_owned()),
        (_, "rank") => {
            let Rank(highest) = Rank::HIGHEST_ASSIGNABLE;
            (schema.minimum, schema.maximum) = (Some(0_u32.into()), Some(highest.into()));
        }
        ("CreateBody", "status") => schema.enum_values = names(&[Status::Inactive, Status::Active]),
        (_, "status") => schema.enum_values = names(&Status::ALL),
        ("OpenSessionBody", "assurance") => {
            let names = Assurance::ALL.map(|assurance| json!(assurance.as_str()));
            schema.enum_values = Some(names.to_vec());
        }
        (_, "action") => schema.pattern = Some(GRANTABLE.to_owned()),
        (_, "others" | "all") => schema.enum_values = Some(vec![json!(true)]),
        _ => {}
    }
}

/// Adds the constraints of an operation's parameters, and of the one body that is part of its operation.
pub(super) fn constrain_operation(operation: &mut Operation, method: &Method) {
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        let pattern = match (parameter.name.as_str(), method) {
            ("key", &Method::GET) | ("name", _) => ROLE,
            ("permission", _) => PERMISSION,
            ("assurance", _) => "^multi$",
            _ if parameter.parameter_in == ParameterIn::Path => ID,
            _ => continue,
        };
        match &mut parameter.schema {
            Some(RefOr::T(Schema::Object(schema))) => schema.pattern = Some(pattern.to_owned()),
            Some(RefOr::T(Schema::Array(list))) => pattern_of_items(list, pattern),
            _ => {}
        }
    }
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    for content in body.content.values_mut() {
        let RefOr::T(content) = content else { continue };
        if let Some(schema) = &mut content.schema {
            constrain_body(REVOKE, schema);
        }
    }
}

fn pattern_of_items(list: &mut Array, pattern: &str) {
    if let ArrayItems::RefOrSchema(items) = &mut list.items
        && let RefOr::T(Schema::Object(items)) = items.as_mut()
    {
        items.pattern = Some(pattern.to_owned());
    }
}
