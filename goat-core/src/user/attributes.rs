//! Attributes of a user: a bounded JSON object of the application, and its merge patches (RFC 7396).
//!
//! Invariant: an [`Attributes`] is within the bounds, from any source, and its text is canonical: keys in
//! bytewise order, no white space.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Error, Result, Violation};

/// The longest key, in characters.
const LONGEST_KEY: usize = 64;

/// The field of a violation that concerns all attributes together.
const FIELD: &str = "attributes";

const NOT_A_KEY: InvalidAttribute =
    InvalidAttribute("must be a key of 1 to 64 characters of a to z, 0 to 9 and _");
const NOT_A_VALUE: InvalidAttribute =
    InvalidAttribute("must be a string, a number, true, false, null or a list of strings");
const NULL_CHARACTER: InvalidAttribute = InvalidAttribute("must not contain the character U+0000");
const NOT_AN_OBJECT: InvalidAttribute = InvalidAttribute("must be an object");

/// A value keeps its text, so that a number is never rounded by a change of another key.
type Members = BTreeMap<String, Box<RawValue>>;

/// The error for attributes against the bounds; `Display` names the unmet requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidAttribute(&'static str);

impl InvalidAttribute {
    /// Returns the unmet requirement, worded to follow the name of the key.
    #[must_use]
    pub const fn message(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for InvalidAttribute {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl std::error::Error for InvalidAttribute {}

/// A violation of the field `attributes`, for the bounds of all attributes together.
impl From<InvalidAttribute> for Error {
    fn from(error: InvalidAttribute) -> Self {
        Self::invalid(vec![Violation::new(FIELD, error.message())])
    }
}

/// The attributes of a user: fields of the application, which goat stores with the user and never uses for
/// decisions. Cheap to clone.
///
/// A JSON object of at most [`MOST_KEYS`](Self::MOST_KEYS) keys `[a-z0-9_]{1,64}` and
/// [`MOST_BYTES`](Self::MOST_BYTES) of JSON. A value is a string, a number, a Boolean, `null` or a list of
/// strings, without the character U+0000. A number has the range and precision of a 64-bit integer or of an
/// IEEE 754 double (RFC 8259, section 6).
///
/// ```
/// use goat_core::user::Attributes;
/// use serde_json::json;
///
/// let attributes = Attributes::parse(json!({ "plan": "pro", "seats": 5, "teams": ["ops", "it"] }))?;
/// assert_eq!(attributes.get("seats"), Some(json!(5)));
/// assert_eq!(attributes.text("plan").as_deref(), Some("pro"));
/// assert!(Attributes::parse(json!({ "Plan": {} })).is_err());
/// # Ok::<(), goat_core::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Attributes(Option<Arc<str>>);

impl Attributes {
    /// The most keys.
    pub const MOST_KEYS: usize = 32;

    /// The most bytes of all attributes as JSON.
    pub const MOST_BYTES: usize = 4096;

    /// Parses attributes: an object.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), with a violation for each key whose value cannot
    /// be an attribute, or one for the field `attributes`.
    pub fn parse(attributes: Value) -> Result<Self> {
        let raw = |(key, value)| Ok((key, raw(&value)?));
        let members = members(attributes)?.into_iter().map(raw);
        Ok(Self::of(&members.collect::<Result<_, InvalidAttribute>>()?)?)
    }

    /// Parses the text of stored attributes.
    pub(crate) fn from_stored(text: &str) -> Option<Self> {
        Self::checked(&serde_json::from_str(text).ok()?).ok()
    }

    /// Checks members that were read as texts.
    fn checked(members: &Members) -> Result<Self, InvalidAttribute> {
        for (key, raw) in members {
            let value: Value = serde_json::from_str(raw.get()).map_err(|_| NOT_A_VALUE)?;
            Self::check(key, &value)?;
        }
        Self::of(members)
    }

    fn of(members: &Members) -> Result<Self, InvalidAttribute> {
        if members.is_empty() {
            return Ok(Self::default());
        }
        if members.len() > Self::MOST_KEYS {
            return Err(InvalidAttribute("must have at most 32 keys"));
        }
        match serde_json::to_string(members) {
            Ok(text) if text.len() <= Self::MOST_BYTES => Ok(Self(Some(text.into()))),
            _ => Err(InvalidAttribute("must have at most 4096 bytes of JSON")),
        }
    }

    /// Whether a text can be a key.
    #[must_use]
    pub fn is_key(text: &str) -> bool {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        (1..=LONGEST_KEY).contains(&text.len()) && text.bytes().all(is_allowed)
    }

    /// Checks that a key and its value can be an attribute.
    ///
    /// # Errors
    ///
    /// The unmet requirement.
    pub fn check(key: &str, value: &Value) -> Result<(), InvalidAttribute> {
        match value {
            _ if !Self::is_key(key) => Err(NOT_A_KEY),
            value if !is_value(value) => Err(NOT_A_VALUE),
            value if has_null_character(value) => Err(NULL_CHARACTER),
            _ => Ok(()),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or("{}")
    }

    /// Returns the JSON text to store; none without attributes.
    pub(crate) fn stored(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Returns the value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Value> {
        serde_json::from_str(self.raw_members().get(key)?.get()).ok()
    }

    /// Returns the value of a key if it is a string.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<String> {
        match self.get(key)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the keys, in bytewise order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.raw_members().into_keys()
    }

    /// Applies a merge patch.
    ///
    /// ```
    /// use goat_core::user::{AttributePatch, Attributes};
    /// use serde_json::json;
    ///
    /// let attributes = Attributes::parse(json!({ "plan": "free", "seats": 1 }))?;
    /// let patch = AttributePatch::parse(json!({ "plan": "pro", "seats": null }))?;
    /// assert_eq!(attributes.merged(&patch)?.as_str(), r#"{"plan":"pro"}"#);
    /// # Ok::<(), goat_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If there are too many keys or bytes afterwards.
    pub fn merged(&self, patch: &AttributePatch) -> Result<Self, InvalidAttribute> {
        let members = self.raw_members().into_iter();
        let mut members: Members =
            members.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        for (key, value) in &patch.0 {
            match value {
                Some(value) => members.insert(key.clone(), value.clone()),
                None => members.remove(key),
            };
        }
        Self::of(&members)
    }

    /// Returns those of these keys that fit into a number of bytes of JSON, in this order.
    pub(crate) fn selected(&self, keys: &[String], most_bytes: usize) -> Self {
        // The quotes, the colon and the comma of a member.
        const SYNTAX: usize = 4;
        let members = self.raw_members();
        let mut selected = Members::new();
        let mut length = "{}".len();
        for key in keys {
            let Some(value) = members.get(key.as_str()) else { continue };
            let more = SYNTAX + key.len() + value.get().len();
            if length + more <= most_bytes && !selected.contains_key(key) {
                length += more;
                selected.insert(key.clone(), (*value).to_owned());
            }
        }
        Self::of(&selected).unwrap_or_default()
    }

    /// Returns the keys whose values differ.
    pub(crate) fn changed_keys(&self, other: &Self) -> Vec<String> {
        let (one, other) = (self.raw_members(), other.raw_members());
        let mut keys: Vec<&str> = one.keys().chain(other.keys()).copied().collect();
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|key| one.get(key).map(|raw| raw.get()) != other.get(key).map(|raw| raw.get()));
        keys.into_iter().map(str::to_owned).collect()
    }

    fn raw_members(&self) -> BTreeMap<&str, &RawValue> {
        // The text is that of an object, and no key has an escape.
        self.0.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }
}

/// The keys alone: values may be personal data.
impl fmt::Debug for Attributes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.keys()).finish()
    }
}

/// A JSON object.
impl Serialize for Attributes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = self.raw_members();
        let mut map = serializer.serialize_map(Some(members.len()))?;
        for (key, raw) in members {
            map.serialize_entry(key, raw)?;
        }
        map.end()
    }
}

/// A JSON object.
impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = Members::deserialize(deserializer)?;
        Self::checked(&members).map_err(serde::de::Error::custom)
    }
}

/// A JSON merge patch of attributes (RFC 7396): `null` removes a key, any other value replaces it, and the
/// keys that it does not name stay.
#[derive(Clone, Default)]
pub struct AttributePatch(BTreeMap<String, Option<Box<RawValue>>>);

impl AttributePatch {
    /// Parses a patch: an object.
    ///
    /// # Errors
    ///
    /// As [`Attributes::parse`], except for the bounds of all attributes together, which depend on those
    /// that the user has.
    pub fn parse(patch: Value) -> Result<Self> {
        let change = |(key, value)| match value {
            Value::Null => Ok((key, None)),
            value => Ok((key, Some(raw(&value)?))),
        };
        let members = members(patch)?.into_iter().map(change);
        Ok(Self(members.collect::<Result<_, InvalidAttribute>>()?))
    }

    /// Returns the keys that it names.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// The keys alone: values may be personal data.
impl fmt::Debug for AttributePatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.keys()).finish()
    }
}

/// Returns the members of an object, or the violations of those that cannot be attributes.
fn members(object: Value) -> Result<serde_json::Map<String, Value>> {
    let Value::Object(members) = object else { return Err(NOT_AN_OBJECT.into()) };
    let violation = |(key, value): (&String, &Value)| {
        let error = Attributes::check(key, value).err()?;
        let shown: String = key.chars().take(LONGEST_KEY).collect();
        Some(Violation::new(shown, error.message()))
    };
    let violations: Vec<_> = members.iter().filter_map(violation).collect();
    if violations.is_empty() { Ok(members) } else { Err(Error::invalid(violations)) }
}

fn is_value(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        Value::Array(list) => list.iter().all(Value::is_string),
        Value::Object(_) => false,
    }
}

/// PostgreSQL fails a whole query that reads such a text as JSON.
fn has_null_character(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(list) => list.iter().any(has_null_character),
        _ => false,
    }
}

fn raw(value: &Value) -> Result<Box<RawValue>, InvalidAttribute> {
    serde_json::value::to_raw_value(value).map_err(|_| NOT_A_VALUE)
}

#[cfg(test)]
mod tests;
