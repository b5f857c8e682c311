//! The members of a body as typed values, with everything that is wrong with them named at once.
//!
//! A member is known because it was asked for. So ask for every member before the first `?`: what
//! was not asked for is reported as unknown.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;

use goat_core::{Secret, Violation};

use super::findings::{Findings, Refused};
use super::json::{Object, Value};

/// A request body that is made of the members of a JSON object.
pub trait FromFields: Sized {
    /// Asks for each member, then puts them together.
    ///
    /// # Errors
    ///
    /// [`Refused`], which only the methods of [`Fields`] can give: what is wrong is recorded there.
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused>;
}

/// A request body whose rules depend on what the server runs with: its set of roles, say, or its
/// password policy.
///
/// What is [`FromFields`] is this too, whatever the state.
pub trait FromFieldsWith<S>: Sized {
    /// Asks for each member, then puts them together.
    ///
    /// # Errors
    ///
    /// [`Refused`], which only the methods of [`Fields`] can give: what is wrong is recorded there.
    fn from_fields_with(fields: &mut Fields, state: &S) -> Result<Self, Refused>;
}

impl<T: FromFields, S> FromFieldsWith<S> for T {
    fn from_fields_with(fields: &mut Fields, _: &S) -> Result<Self, Refused> {
        T::from_fields(fields)
    }
}

/// The members of an object that have not been asked for, and what was wrong with the others.
///
/// A member that is `null` is there and has the wrong type. No message holds a value.
///
/// ```
/// use goat_server::api::extract::{Fields, Object};
///
/// let object = Object::parse(br#"{"email": 5, "Role": "admin"}"#).unwrap();
/// let mut fields = Fields::new(object);
/// let email = fields.string("email");
/// let role = fields.optional_string("role");
/// let violations = fields.finish(email.and(role)).unwrap_err();
/// let told: Vec<_> = violations.iter().map(|v| format!("{} {}", v.field, v.message)).collect();
/// assert_eq!(told, ["email must be a string", "Role is unknown; expected one of email, role"]);
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
    /// Every violation, in the order in which members were asked for, then the unknown members.
    pub fn read<T: FromFields>(object: Object) -> Result<T, Vec<Violation>> {
        Self::read_with(object, &())
    }

    /// Reads a whole body by rules that depend on `state`.
    ///
    /// # Errors
    ///
    /// As [`Fields::read`].
    pub fn read_with<T: FromFieldsWith<S>, S>(
        object: Object,
        state: &S,
    ) -> Result<T, Vec<Violation>> {
        let mut fields = Self::new(object);
        let parsed = T::from_fields_with(&mut fields, state);
        fields.finish(parsed)
    }

    /// Whether a member is there, of whatever type, and has not been asked for yet.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.object.contains(name)
    }

    /// A text that must be there.
    ///
    /// # Errors
    ///
    /// It is absent or not a text.
    pub fn string(&mut self, name: &'static str) -> Result<String, Refused> {
        let found = self.optional_string(name);
        self.require(name, found)
    }

    /// A text that may be absent.
    ///
    /// # Errors
    ///
    /// It is not a text.
    pub fn optional_string(&mut self, name: &'static str) -> Result<Option<String>, Refused> {
        Ok(self.optional_secret(name)?.map(|text| text.expose().clone()))
    }

    /// A password, a token or the like, that must be there.
    ///
    /// # Errors
    ///
    /// It is absent or not a text.
    pub fn secret(&mut self, name: &'static str) -> Result<Secret<String>, Refused> {
        let found = self.optional_secret(name);
        self.require(name, found)
    }

    /// A password, a token or the like, that may be absent.
    ///
    /// # Errors
    ///
    /// It is not a text.
    pub fn optional_secret(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Secret<String>>, Refused> {
        self.member(name, "must be a string", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    /// A truth value that must be there.
    ///
    /// # Errors
    ///
    /// It is absent or neither `true` nor `false`.
    pub fn bool(&mut self, name: &'static str) -> Result<bool, Refused> {
        let found = self.optional_bool(name);
        self.require(name, found)
    }

    /// A truth value that may be absent.
    ///
    /// # Errors
    ///
    /// It is neither `true` nor `false`.
    pub fn optional_bool(&mut self, name: &'static str) -> Result<Option<bool>, Refused> {
        self.member(name, "must be true or false", |value| match value {
            Value::Bool(value) => Some(value),
            _ => None,
        })
    }

    /// A text that must be there and that `parse` must accept.
    ///
    /// What `parse` says is shown to the client after the member's name: "must be …".
    ///
    /// # Errors
    ///
    /// It is absent, not a text, or refused by `parse`.
    pub fn parse<T, E: Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Refused> {
        let found = self.optional_parse(name, parse);
        self.require(name, found)
    }

    /// A text that may be absent and that `parse` must accept.
    ///
    /// What `parse` says is shown to the client after the member's name: "must be …".
    ///
    /// # Errors
    ///
    /// It is not a text, or refused by `parse`.
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

    /// A list of texts that may be absent, of a length within `lengths`.
    ///
    /// # Errors
    ///
    /// It is not a list, of another length, or an entry is not a text.
    pub fn optional_string_list(
        &mut self,
        name: &'static str,
        lengths: RangeInclusive<usize>,
    ) -> Result<Option<Vec<String>>, Refused> {
        self.optional_list(name, lengths, |text| Ok::<_, &str>(text.to_owned()))
    }

    /// A list of texts that may be absent, of a length within `lengths`, each accepted by `parse`.
    ///
    /// Each entry that is wrong is named with its place, from 0: `session_ids[2]`.
    ///
    /// # Errors
    ///
    /// It is not a list, of another length, or an entry is not a text or refused by `parse`.
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
        entries.into_iter().collect::<Result<_, _>>().map(Some)
    }

    /// Records a violation that no single member's type shows, such as "one of the two must be
    /// there".
    pub fn refuse(
        &mut self,
        field: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Refused {
        self.findings.refuse(field, message)
    }

    /// Names the members that nobody asked for, and hands out the body only if nothing is wrong.
    ///
    /// # Errors
    ///
    /// Every violation, in the order in which members were asked for, then the unknown members.
    pub fn finish<T>(self, parsed: Result<T, Refused>) -> Result<T, Vec<Violation>> {
        self.findings.finish(parsed, self.object.into_names())
    }

    /// Takes a member if it is there and of the type that `read` accepts.
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

    /// Refuses what is absent.
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
