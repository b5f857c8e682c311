//! Body members as typed values, with every violation reported at once.
//!
//! A member is known once it has been requested. Request every member before the first `?`: any
//! other is reported as unknown.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;

use goat_core::Secret;

use super::findings::{Findings, Refused, Violations};
use super::json::{Object, Value};

/// A request body made of the members of a JSON object.
pub trait FromFields: Sized {
    /// Requests each member, then builds the value.
    ///
    /// # Errors
    ///
    /// [`Refused`], which only the methods of [`Fields`] return after recording the violation.
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused>;
}

/// A request body with rules that depend on the server's state, such as its roles or password policy.
///
/// Every [`FromFields`] implements this for any state.
pub trait FromFieldsWith<S>: Sized {
    /// The media types of the body.
    const MEDIA_TYPES: &'static [&'static str] = &["application/json"];

    /// Requests each member, then builds the value.
    ///
    /// # Errors
    ///
    /// [`Refused`], which only the methods of [`Fields`] return after recording the violation.
    fn from_fields_with(fields: &mut Fields, state: &S) -> Result<Self, Refused>;
}

impl<T: FromFields, S> FromFieldsWith<S> for T {
    fn from_fields_with(fields: &mut Fields, _: &S) -> Result<Self, Refused> {
        T::from_fields(fields)
    }
}

/// The members of an object that have not been requested yet, and the violations of the others.
///
/// A `null` member is present and has the wrong type. No message holds a value.
///
/// ```
/// use goat_server::api::extract::{Fields, Object};
///
/// let object = Object::parse(br#"{"email": 5, "Role": "admin"}"#).unwrap();
/// let mut fields = Fields::new(object);
/// let email = fields.string("email");
/// let role = fields.optional_string("role");
/// let violations = fields.finish(email.and(role)).unwrap_err();
/// let messages: Vec<_> = violations.iter().map(|v| format!("{} {}", v.field, v.message)).collect();
/// assert_eq!(messages, ["email must be a string", "Role is unknown; expected one of email, role"]);
/// ```
#[derive(Debug)]
pub struct Fields {
    object: Object,
    findings: Findings,
}

impl Fields {
    /// Starts with all members of an object.
    #[must_use]
    pub fn new(object: Object) -> Self {
        Self { object, findings: Findings::default() }
    }

    /// Reads a whole body.
    ///
    /// # Errors
    ///
    /// Every violation, in the order in which members were requested, then the unknown members.
    pub fn read<T: FromFields>(object: Object) -> Result<T, Violations> {
        Self::read_with(object, &())
    }

    /// Reads a whole body by rules that depend on `state`.
    ///
    /// # Errors
    ///
    /// As [`Fields::read`].
    pub fn read_with<T: FromFieldsWith<S>, S>(object: Object, state: &S) -> Result<T, Violations> {
        let mut fields = Self::new(object);
        let parsed = T::from_fields_with(&mut fields, state);
        fields.finish(parsed)
    }

    /// Whether a member is present, of any type, and has not been requested yet.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.object.contains(name)
    }

    /// Requires exactly one of several members, before they are requested. `message` follows the name of
    /// each that is given, or of all if none is.
    ///
    /// # Errors
    ///
    /// None is given, or more than one.
    pub fn exactly_one(
        &mut self,
        names: &[&'static str],
        message: &'static str,
    ) -> Result<(), Refused> {
        let given: Vec<_> = names.iter().copied().filter(|name| self.contains(name)).collect();
        let refused = match given.len() {
            1 => return Ok(()),
            0 => names.iter().map(|name| self.refuse(*name, message)).last(),
            _ => given.iter().map(|name| self.refuse(*name, message)).last(),
        };
        refused.map_or(Ok(()), Err)
    }

    /// Returns a required string.
    ///
    /// # Errors
    ///
    /// It is absent or not a string.
    pub fn string(&mut self, name: &'static str) -> Result<String, Refused> {
        let found = self.optional_string(name);
        self.require(name, found)
    }

    /// Returns an optional string.
    ///
    /// # Errors
    ///
    /// It is not a string.
    pub fn optional_string(&mut self, name: &'static str) -> Result<Option<String>, Refused> {
        Ok(self.optional_secret(name)?.map(|text| text.expose().clone()))
    }

    /// Returns a required secret, such as a password or token.
    ///
    /// # Errors
    ///
    /// It is absent or not a string.
    pub fn secret(&mut self, name: &'static str) -> Result<Secret<String>, Refused> {
        let found = self.optional_secret(name);
        self.require(name, found)
    }

    /// Returns an optional secret, such as a password or token.
    ///
    /// # Errors
    ///
    /// It is not a string.
    pub fn optional_secret(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Secret<String>>, Refused> {
        self.member(name, "must be a string", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    /// Returns a required Boolean.
    ///
    /// # Errors
    ///
    /// It is absent or not a Boolean.
    pub fn bool(&mut self, name: &'static str) -> Result<bool, Refused> {
        let found = self.optional_bool(name);
        self.require(name, found)
    }

    /// Returns an optional Boolean.
    ///
    /// # Errors
    ///
    /// It is not a Boolean.
    pub fn optional_bool(&mut self, name: &'static str) -> Result<Option<bool>, Refused> {
        self.member(name, "must be true or false", |value| match value {
            Value::Bool(value) => Some(value),
            _ => None,
        })
    }

    /// Returns a required whole number within `range`.
    ///
    /// # Errors
    ///
    /// It is absent, not a whole number, or outside the range.
    pub fn integer(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u32>,
    ) -> Result<u32, Refused> {
        let found = self.optional_integer(name, range);
        self.require(name, found)
    }

    /// Returns an optional whole number within `range`.
    ///
    /// # Errors
    ///
    /// It is not a whole number, or outside the range.
    pub fn optional_integer(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<u32>, Refused> {
        let found = self.member(name, "must be a whole number", |value| match value {
            Value::Number(number) => number.as_u64(),
            _ => None,
        })?;
        let Some(number) = found else { return Ok(None) };
        let fits = u32::try_from(number).ok().filter(|number| range.contains(number));
        fits.map(Some).ok_or_else(|| {
            let (least, most) = range.into_inner();
            self.refuse(name, format!("must be from {least} to {most}"))
        })
    }

    /// Returns a required string, parsed by `parse`.
    ///
    /// The error of `parse` is shown to the client after the member's name: "must be …".
    ///
    /// # Errors
    ///
    /// It is absent, not a string, or rejected by `parse`.
    pub fn parse<T, E: Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Refused> {
        let found = self.optional_parse(name, parse);
        self.require(name, found)
    }

    /// Returns an optional string, parsed by `parse`.
    ///
    /// The error of `parse` is shown to the client after the member's name: "must be …".
    ///
    /// # Errors
    ///
    /// It is not a string, or rejected by `parse`.
    pub fn optional_parse<T, E: Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Refused> {
        let Some(text) = self.optional_secret(name)? else { return Ok(None) };
        match parse(text.expose()) {
            Ok(value) => Ok(Some(value)),
            Err(message) => Err(self.findings.refuse(name, message.to_string())),
        }
    }

    /// Returns an optional list of strings with a length within `lengths`.
    ///
    /// # Errors
    ///
    /// It is not a list, has another length, or an entry is not a string.
    pub fn optional_string_list(
        &mut self,
        name: &'static str,
        lengths: RangeInclusive<usize>,
    ) -> Result<Option<Vec<String>>, Refused> {
        self.optional_list(name, lengths, |text| Ok::<_, &str>(text.to_owned()))
    }

    /// Returns an optional list of strings with a length within `lengths`, each parsed by
    /// `parse`.
    ///
    /// An invalid entry is reported with its index: `session_ids[2]`.
    ///
    /// # Errors
    ///
    /// It is not a list, has another length, or an entry is not a string or rejected by `parse`.
    pub fn optional_list<T, E: Display>(
        &mut self,
        name: &'static str,
        lengths: RangeInclusive<usize>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<Vec<T>>, Refused> {
        let found = self.member(name, "must be a list of strings", |value| match value {
            Value::List(values) => Some(values),
            _ => None,
        })?;
        let Some(values) = found else { return Ok(None) };
        self.entries(name, &values, lengths, parse).map(Some)
    }

    /// Returns a required list of strings, as [`Fields::optional_list`] does, or `None` for `*`, which stands
    /// for everything.
    ///
    /// # Errors
    ///
    /// It is absent, another text, or as for [`Fields::optional_list`].
    pub fn list_or_all<T, E: Display>(
        &mut self,
        name: &'static str,
        lengths: RangeInclusive<usize>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<Vec<T>>, Refused> {
        let found = self.member(name, "must be a list of strings, or \"*\"", |value| match value {
            Value::List(values) => Some(Some(values)),
            Value::String(text) if text.is_same_as(&"*".into()) => Some(None),
            _ => None,
        });
        match self.require(name, found)? {
            Some(values) => self.entries(name, &values, lengths, parse).map(Some),
            None => Ok(None),
        }
    }

    /// Parses each entry of a list.
    fn entries<T, E: Display>(
        &mut self,
        name: &'static str,
        values: &[Value],
        lengths: RangeInclusive<usize>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Vec<T>, Refused> {
        if !lengths.contains(&values.len()) {
            let (least, most) = lengths.into_inner();
            let message = format!("must have {least} to {most} entries");
            return Err(self.findings.refuse(name, message));
        }
        let entries: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(place, value)| {
                let parsed = match value {
                    Value::String(text) => {
                        parse(text.expose()).map_err(|message| Cow::Owned(message.to_string()))
                    }
                    _ => Err(Cow::Borrowed("must be a string")),
                };
                parsed.map_err(|message| self.refuse(format!("{name}[{place}]"), message))
            })
            .collect();
        entries.into_iter().collect()
    }

    /// Returns an optional object.
    ///
    /// # Errors
    ///
    /// It is not an object.
    pub fn optional_object(&mut self, name: &'static str) -> Result<Option<Object>, Refused> {
        self.member(name, "must be an object", |value| match value {
            Value::Object(object) => Some(object),
            _ => None,
        })
    }

    /// Rejects a member of any type.
    ///
    /// # Errors
    ///
    /// It is present.
    pub(crate) fn absent(
        &mut self,
        name: &'static str,
        message: &'static str,
    ) -> Result<(), Refused> {
        match self.object.remove(name) {
            Some(_) => Err(self.refuse(name, message)),
            None => Ok(()),
        }
    }

    /// Removes the members that were not requested, for a body whose keys are data.
    pub fn take_rest(&mut self) -> Object {
        std::mem::take(&mut self.object)
    }

    /// Records a violation that concerns several members, such as "one of the two is required".
    pub fn refuse(
        &mut self,
        field: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Refused {
        self.findings.refuse(field, message)
    }

    /// Reports the members that were not requested, and returns the body only if there is no
    /// violation.
    ///
    /// # Errors
    ///
    /// Every violation, in the order in which members were requested, then the unknown members.
    pub fn finish<T>(self, parsed: Result<T, Refused>) -> Result<T, Violations> {
        self.findings.finish(parsed, self.object.into_names())
    }

    /// Removes a member if it is present and of the type that `read` accepts.
    fn member<T>(
        &mut self,
        name: &'static str,
        message: &'static str,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Result<Option<T>, Refused> {
        self.findings.ask(name);
        let Some(value) = self.object.remove(name) else { return Ok(None) };
        match read(value) {
            Some(value) => Ok(Some(value)),
            None => Err(self.findings.refuse(name, message)),
        }
    }

    /// Rejects an absent member.
    fn require<T>(
        &mut self,
        name: &'static str,
        found: Result<Option<T>, Refused>,
    ) -> Result<T, Refused> {
        found?.ok_or_else(|| self.findings.refuse(name, "is required"))
    }
}

#[cfg(test)]
mod tests;
