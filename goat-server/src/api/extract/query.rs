//! Query parameters as typed values, with every violation reported at once.
//!
//! A parameter is known once it has been requested. Request every parameter before the first `?`:
//! any other is reported as unknown.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

use axum::extract::FromRequestParts;
use goat_core::PageRequest;
use http::request::Parts;

use super::findings::{Findings, Refused, Violations};
use super::rejection::Rejection;

/// A query made of known parameters.
pub trait FromQuery: Sized {
    /// Requests each parameter, then builds the value.
    ///
    /// # Errors
    ///
    /// [`Refused`], which only the methods of [`Parameters`] return after recording the violation.
    fn from_query(parameters: &mut Parameters) -> Result<Self, Refused>;
}

/// A query with rules that depend on the server's state, such as its roles.
///
/// Every [`FromQuery`] implements this for any state.
pub trait FromQueryWith<S>: Sized {
    /// Requests each parameter, then builds the value.
    ///
    /// # Errors
    ///
    /// [`Refused`], which only the methods of [`Parameters`] return after recording the violation.
    fn from_query_with(parameters: &mut Parameters, state: &S) -> Result<Self, Refused>;
}

impl<T: FromQuery, S> FromQueryWith<S> for T {
    fn from_query_with(parameters: &mut Parameters, _: &S) -> Result<Self, Refused> {
        T::from_query(parameters)
    }
}

/// The parameters that have not been requested yet, and the violations of the others.
///
/// Names and values are percent-decoded (RFC 3986): `+` is a plus, and a space is `%20`. A malformed
/// escape is rejected, not repaired. No message holds a value.
///
/// ```
/// use goat_server::api::extract::Parameters;
///
/// let mut parameters = Parameters::parse(Some("page=2&limit=1000&sotr=email"));
/// let page = parameters.page();
/// let sort = parameters.one_of("sort", &[("email", 1), ("-email", -1)]);
/// let violations = parameters.finish(page.and(sort)).unwrap_err();
/// let messages: Vec<_> = violations.iter().map(|v| format!("{} {}", v.field, v.message)).collect();
/// assert_eq!(messages, [
///     "limit must be a whole number from 1 to 100",
///     "sotr is unknown; expected one of page, limit, sort",
/// ]);
/// ```
#[derive(Debug)]
pub struct Parameters {
    /// The values by name, in the order given; `None` could not be decoded.
    values: BTreeMap<String, Vec<Option<String>>>,
    findings: Findings,
}

impl Parameters {
    /// Parses a query. `None` and the empty query have no parameters.
    #[must_use]
    pub fn parse(query: Option<&str>) -> Self {
        let mut values = BTreeMap::<_, Vec<_>>::new();
        for (name, value) in pairs(query).map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
            // A name that cannot be decoded stays as it is, and is unknown.
            let name = decode(name).unwrap_or_else(|| name.to_owned());
            values.entry(name).or_default().push(decode(value));
        }
        Self { values, findings: Findings::default() }
    }

    /// Reads a whole query.
    ///
    /// # Errors
    ///
    /// Every violation, in the order in which parameters were requested, then the unknown ones.
    pub fn read<T: FromQuery>(query: Option<&str>) -> Result<T, Violations> {
        Self::read_with(query, &())
    }

    /// Reads a whole query by rules that depend on `state`.
    ///
    /// # Errors
    ///
    /// As [`Parameters::read`].
    pub fn read_with<T: FromQueryWith<S>, S>(
        query: Option<&str>,
        state: &S,
    ) -> Result<T, Violations> {
        let mut parameters = Self::parse(query);
        let parsed = T::from_query_with(&mut parameters, state);
        parameters.finish(parsed)
    }

    /// Whether a parameter is present and has not been requested yet.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Returns every value of a repeatable parameter.
    ///
    /// # Errors
    ///
    /// A value cannot be decoded.
    pub fn repeated(&mut self, name: &'static str) -> Result<Vec<String>, Refused> {
        self.findings.ask(name);
        let values = self.values.remove(name).unwrap_or_default();
        values
            .into_iter()
            .collect::<Option<_>>()
            .ok_or_else(|| self.findings.refuse(name, "must be valid percent-encoded UTF-8"))
    }

    /// Returns every value of a repeatable parameter, each parsed by `parse`.
    ///
    /// The error of `parse` is shown to the client after the parameter's name: "must be …".
    ///
    /// # Errors
    ///
    /// A value cannot be decoded, or is rejected by `parse`. The parameter is reported once.
    pub fn repeated_parse<T, E: Display>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Vec<T>, Refused> {
        let parsed: Result<_, E> = self.repeated(name)?.iter().map(|text| parse(text)).collect();
        parsed.map_err(|message| self.findings.refuse(name, message.to_string()))
    }

    /// Returns the value of an optional parameter.
    ///
    /// # Errors
    ///
    /// It is repeated, or cannot be decoded.
    pub fn optional(&mut self, name: &'static str) -> Result<Option<String>, Refused> {
        let mut values = self.repeated(name)?;
        if values.len() > 1 {
            return Err(self.findings.refuse(name, "must not be given more than once"));
        }
        Ok(values.pop())
    }

    /// Returns the value of an optional parameter, parsed by `parse`.
    ///
    /// The error of `parse` is shown to the client after the parameter's name: "must be …".
    ///
    /// # Errors
    ///
    /// It is repeated, cannot be decoded, or is rejected by `parse`.
    pub fn optional_parse<T, E: Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Refused> {
        let Some(text) = self.optional(name)? else { return Ok(None) };
        match parse(&text) {
            Ok(value) => Ok(Some(value)),
            Err(message) => Err(self.findings.refuse(name, message.to_string())),
        }
    }

    /// Returns the choice of an optional parameter: the value next to its name in `choices`.
    ///
    /// # Errors
    ///
    /// It is repeated, or is not one of the choices; case matters.
    pub fn one_of<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&'static str, T)],
    ) -> Result<Option<T>, Refused> {
        self.optional_parse(name, |text| {
            let chosen = choices.iter().find(|(choice, _)| *choice == text);
            chosen.map(|(_, value)| *value).ok_or_else(|| {
                let names: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
                format!("must be one of {}", names.join(", "))
            })
        })
    }

    /// Returns an optional whole number within `range`, in decimal digits only.
    ///
    /// # Errors
    ///
    /// It is repeated, not a number (an empty value is none), or out of range.
    pub fn number(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<u32>, Refused> {
        self.optional_parse(name, |text| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse().ok().filter(|number| digits && range.contains(number));
            number.ok_or_else(|| {
                format!("must be a whole number from {} to {}", range.start(), range.end())
            })
        })
    }

    /// Returns the requested page of a list: `page` from 1 (default 1), `limit` from 1 to 100
    /// (default 20).
    ///
    /// # Errors
    ///
    /// A number is malformed, or the page extends past the first 10,000 rows.
    pub fn page(&mut self) -> Result<Page, Refused> {
        let number = self.number("page", 1..=DEEPEST_ROW);
        let size = self.number("limit", 1..=LARGEST_LIMIT);
        let number = number?.unwrap_or(1);
        // A page past the end at the smallest size is past the end at any size, so it is reported
        // even if `limit` is invalid.
        let least = size.map_or(1, |size| size.unwrap_or(DEFAULT_LIMIT));
        if number.saturating_mul(least) > DEEPEST_ROW {
            let message = format!("must not exceed {DEEPEST_ROW} when multiplied by limit");
            return Err(self.findings.refuse("page", message));
        }
        size.map(|_| Page { number, limit: least })
    }

    /// Records a violation that concerns several parameters, such as "not together with `page`".
    pub fn refuse(&mut self, name: &'static str, message: &'static str) -> Refused {
        self.findings.refuse(name, message)
    }

    /// Reports the parameters that were not requested, and returns the value only if there is no
    /// violation.
    ///
    /// # Errors
    ///
    /// Every violation, in the order in which parameters were requested, then the unknown ones.
    pub fn finish<T>(self, parsed: Result<T, Refused>) -> Result<T, Violations> {
        self.findings.finish(parsed, self.values.into_keys())
    }
}

/// The last row that a page may reach, counted from 1: the database counts through all rows before
/// a page on every request.
const DEEPEST_ROW: u32 = 10_000;
/// Default number of rows of a page.
const DEFAULT_LIMIT: u32 = 20;
/// Maximum number of rows of a page.
const LARGEST_LIMIT: u32 = 100;

/// The page of a list that a client requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    number: u32,
    limit: u32,
}

impl Page {
    /// Returns the number of the page, from 1.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.number
    }

    /// Returns the maximum number of rows of the page, 1 to 100.
    #[must_use]
    pub const fn limit(self) -> u32 {
        self.limit
    }

    /// Returns the number of rows before the page.
    #[must_use]
    pub const fn offset(self) -> u32 {
        (self.number - 1) * self.limit
    }
}

impl From<Page> for PageRequest {
    fn from(page: Page) -> Self {
        // Both types have the same bounds, which a test checks.
        Self::new(page.number, page.limit).unwrap_or_default()
    }
}

impl FromQuery for Page {
    fn from_query(parameters: &mut Parameters) -> Result<Self, Refused> {
        parameters.page()
    }
}

/// Extracts the query, strictly.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: FromQueryWith<S>, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        let query = bounded(parts)?;
        Ok(Self(Parameters::read_with(query, state)?))
    }
}

/// Rejects every parameter, for routes without a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoQuery;

impl FromQuery for NoQuery {
    fn from_query(_: &mut Parameters) -> Result<Self, Refused> {
        Ok(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        Ok(Parameters::read(bounded(parts)?)?)
    }
}

/// Maximum number of parameters of a query.
pub(super) const MOST_PARAMETERS: usize = 32;

/// Returns the query, unless it has too many parameters: those are not even read (W1).
fn bounded(parts: &Parts) -> Result<Option<&str>, Rejection> {
    let query = parts.uri.query();
    if pairs(query).nth(MOST_PARAMETERS).is_some() {
        return Err(Rejection::TooManyParameters);
    }
    Ok(query)
}

/// Returns the parameters of a query, as they were sent.
pub(super) fn pairs(query: Option<&str>) -> impl Iterator<Item = &str> {
    query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty())
}

/// Percent-decodes a text; `None` if an escape is malformed or the result is not UTF-8.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Returns the value of a hex digit.
fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests;
