//! Strict JSON objects (RFC 8259), without the parts that parsers interpret differently.
//!
//! - Exactly one object, in UTF-8, surrounded by white space only.
//! - No duplicate member at any level, also if one is spelled with escapes: parsers disagree on
//!   which one counts (RFC 8259 §4, RFC 7493 §2.3).
//! - Nesting is limited to [`MAX_DEPTH`], so recursion is bounded.
//! - Every string is a [`Secret`]: a client may send a password in any member.

use std::collections::BTreeMap;
use std::fmt;

use goat_core::Secret;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::findings::shown;

/// Maximum nesting depth; the outermost object counts as one.
pub const MAX_DEPTH: usize = 32;

/// A byte order mark in UTF-8, which JSON text must not begin with (RFC 8259 §8.1).
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A JSON value.
#[derive(Debug)]
pub enum Value {
    /// `null`. A `null` member is not absent.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(Secret<String>),
    /// A list.
    List(Vec<Value>),
    /// An object.
    Object(Object),
}

/// A JSON object: members by unique name.
#[derive(Debug, Default)]
pub struct Object(BTreeMap<String, Value>);

impl Object {
    /// Parses one object and nothing after it.
    ///
    /// ```
    /// use goat_server::api::extract::{Malformed, Object};
    ///
    /// assert!(Object::parse(br#"{"role": "client"}"#).is_ok());
    /// let twice = Object::parse(br#"{"role": "client", "rol\u0065": "admin"}"#);
    /// assert_eq!(twice.unwrap_err(), Malformed::Repeated("role".to_owned()));
    /// ```
    ///
    /// # Errors
    ///
    /// The first violation; its message holds no value and none of the parser's text.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.trim_ascii().is_empty() {
            return Err(Malformed::Empty);
        }
        if bytes.starts_with(BYTE_ORDER_MARK) {
            return Err(Malformed::ByteOrderMark);
        }
        let text = str::from_utf8(bytes).map_err(|_| Malformed::NotUtf8)?;
        let mut fault = None;
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let value = Reader { depth: 0, fault: &mut fault }
            .deserialize(&mut deserializer)
            .map_err(|error| fault.unwrap_or_else(|| Malformed::not_json(&error)))?;
        deserializer.end().map_err(|error| Malformed::not_json(&error))?;
        match value {
            Value::Object(object) => Ok(object),
            _ => Err(Malformed::NotAnObject),
        }
    }

    /// Removes a member.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// Whether a member exists, with any value.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Returns the members as plain JSON, which nothing redacts.
    pub(crate) fn into_json(self) -> serde_json::Map<String, serde_json::Value> {
        self.0.into_iter().map(|(name, value)| (name, value.into_json())).collect()
    }

    /// Returns the names of the remaining members, in bytewise order.
    pub(super) fn into_names(self) -> impl Iterator<Item = String> {
        self.0.into_keys()
    }
}

impl Value {
    fn into_json(self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(value) => value.into(),
            Self::Number(number) => number.into(),
            Self::String(text) => text.expose().as_str().into(),
            Self::List(values) => values.into_iter().map(Self::into_json).collect(),
            Self::Object(object) => object.into_json().into(),
        }
    }
}

/// Why bytes are not one JSON object. `Display` is a sentence for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// White space only.
    Empty,
    /// The bytes begin with a byte order mark.
    ByteOrderMark,
    /// The bytes are not UTF-8.
    NotUtf8,
    /// Not JSON, or followed by more bytes.
    NotJson {
        /// The line of the error, from 1.
        line: usize,
        /// The byte within that line.
        column: usize,
    },
    /// Valid JSON, but not an object.
    NotAnObject,
    /// A duplicate member (its name shortened and sanitized).
    Repeated(String),
    /// Objects and lists are nested deeper than [`MAX_DEPTH`].
    TooDeep,
}

impl Malformed {
    /// Keeps the position of the parser's error, and none of its text.
    fn not_json(error: &serde_json::Error) -> Self {
        Self::NotJson { line: error.line(), column: error.column() }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => formatter.write_str("The body is empty. Send a JSON object."),
            Self::ByteOrderMark => formatter.write_str(
                "The body begins with a byte order mark (BOM). Send JSON in UTF-8 without it.",
            ),
            Self::NotUtf8 => formatter.write_str("The body is not UTF-8. Send JSON in UTF-8."),
            Self::NotJson { line, column } => {
                write!(
                    formatter,
                    "The body is not a valid JSON object. Check line {line}, column {column}."
                )
            }
            Self::NotAnObject => {
                formatter.write_str("The body is JSON but not an object. Send a JSON object.")
            }
            Self::Repeated(name) => {
                write!(formatter, "The body has the member `{name}` more than once. Send it once.")
            }
            Self::TooDeep => {
                write!(
                    formatter,
                    "The body is nested more than {MAX_DEPTH} levels deep. Send fewer levels."
                )
            }
        }
    }
}

impl std::error::Error for Malformed {}

/// Reads one value at nesting level `depth`.
///
/// serde's errors are text only, so the reason is returned separately, in `fault`.
struct Reader<'a> {
    depth: usize,
    fault: &'a mut Option<Malformed>,
}

impl Reader<'_> {
    /// Returns the reader of the nested values.
    fn inner(&mut self) -> Reader<'_> {
        Reader { depth: self.depth + 1, fault: self.fault }
    }

    /// Aborts with a reason.
    fn fail<E: Error>(&mut self, reason: Malformed) -> E {
        *self.fault = Some(reason);
        E::custom("refused")
    }

    /// Rejects a list or object beyond the maximum depth.
    fn open<E: Error>(&mut self) -> Result<(), E> {
        if self.depth < MAX_DEPTH { Ok(()) } else { Err(self.fail(Malformed::TooDeep)) }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not finite"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(Secret::from(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Value, A::Error> {
        self.open()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self.inner())? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<Value, A::Error> {
        self.open()?;
        let mut members = BTreeMap::new();
        while let Some(name) = object.next_key::<String>()? {
            if members.contains_key(&name) {
                return Err(self.fail(Malformed::Repeated(shown(&name))));
            }
            members.insert(name, object.next_value_seed(self.inner())?);
        }
        Ok(Value::Object(Object(members)))
    }
}

#[cfg(test)]
mod tests;
