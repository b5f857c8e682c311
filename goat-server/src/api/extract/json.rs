//! JSON objects as RFC 8259 means them, without what parsers quarrel about.
//!
//! - Exactly one object, in UTF-8, with nothing but white space around it.
//! - No member is repeated at any level, also when one of the two is spelled with escapes: which
//!   of them counts is the quarrel (RFC 8259 §4, RFC 7493 §2.3).
//! - Nesting is counted here and refused past [`MAX_DEPTH`], so recursion is bounded.
//! - Every text is a [`Secret`]: a password may stand anywhere, also where it does not belong.

use std::collections::BTreeMap;
use std::fmt;

use goat_core::Secret;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::findings::shown;

/// How many objects and lists may stand inside one another; the outermost object counts as one.
pub const MAX_DEPTH: usize = 32;

/// A JSON value.
#[derive(Debug)]
pub enum Value {
    /// `null`, which is a value: a member that is `null` is not absent.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    String(Secret<String>),
    /// A list.
    List(Vec<Value>),
    /// An object.
    Object(Object),
}

/// A JSON object: members by name, each once.
#[derive(Debug, Default)]
pub struct Object(BTreeMap<String, Value>);

impl Object {
    /// Reads one object and nothing after it.
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
    /// What is wrong first, in words that hold no value and no library's text.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.trim_ascii().is_empty() {
            return Err(Malformed::Empty);
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

    /// Takes a member out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// Whether there is such a member, whatever its value.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The names of the members that are left, in bytewise order.
    pub(super) fn into_names(self) -> impl Iterator<Item = String> {
        self.0.into_keys()
    }
}

/// Why bytes are not one JSON object. `Display` is a sentence for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// There is nothing but white space.
    Empty,
    /// The bytes are not UTF-8.
    NotUtf8,
    /// The grammar of JSON is broken, or something follows the object.
    NotJson {
        /// The line where it shows, from 1.
        line: usize,
        /// The byte within that line.
        column: usize,
    },
    /// Valid JSON, but a list, a text, a number or the like.
    NotAnObject,
    /// An object has two members of this name (shown shortened and printable).
    Repeated(String),
    /// Objects and lists stand more than [`MAX_DEPTH`] deep in one another.
    TooDeep,
}

impl Malformed {
    /// Keeps the place of the parser's error, and none of its words.
    fn not_json(error: &serde_json::Error) -> Self {
        Self::NotJson { line: error.line(), column: error.column() }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => formatter.write_str("The body is empty. Send a JSON object."),
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

/// Reads one value that stands inside `depth` others.
///
/// serde's errors are text only, so the reason goes out beside them, in `fault`.
struct Reader<'a> {
    depth: usize,
    fault: &'a mut Option<Malformed>,
}

impl Reader<'_> {
    /// The reader of what is inside this value.
    fn inner(&mut self) -> Reader<'_> {
        Reader { depth: self.depth + 1, fault: self.fault }
    }

    /// Stops the reading.
    fn fail<E: Error>(&mut self, reason: Malformed) -> E {
        *self.fault = Some(reason);
        E::custom("refused")
    }

    /// Refuses to open one more list or object at the deepest level.
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
