//! The query of a request as typed values, with everything that is wrong with it named at once.
//!
//! A parameter is known because it was asked for. So ask for every parameter before the first `?`:
//! what was not asked for is reported as unknown.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

use axum::extract::FromRequestParts;
use goat_core::{PageRequest, Violation};
use http::request::Parts;

use super::findings::{Findings, Refused};
use super::rejection::Rejection;

/// A query that is made of known parameters.
pub trait FromQuery: Sized {
    /// Asks for each parameter, then puts them together.
    ///
    /// # Errors
    ///
    /// [`Refused`], which only the methods of [`Parameters`] can give: what is wrong is recorded
    /// there.
    fn from_query(parameters: &mut Parameters) -> Result<Self, Refused>;
}

/// A query whose rules depend on what the server runs with: its set of roles, say.
///
/// What is [`FromQuery`] is this too, whatever the state.
pub trait FromQueryWith<S>: Sized {
    /// Asks for each parameter, then puts them together.
    ///
    /// # Errors
    ///
    /// [`Refused`], which only the methods of [`Parameters`] can give: what is wrong is recorded
    /// there.
    fn from_query_with(parameters: &mut Parameters, state: &S) -> Result<Self, Refused>;
}

impl<T: FromQuery, S> FromQueryWith<S> for T {
    fn from_query_with(parameters: &mut Parameters, _: &S) -> Result<Self, Refused> {
        T::from_query(parameters)
    }
}

/// The parameters that have not been asked for, and what was wrong with the others.
///
/// Names and values are decoded as HTML forms are: `+` is a space, `%` begins an escape. One that
/// cannot be decoded is refused, not mended. No message holds a value.
///
/// ```
/// use goat_server::api::extract::Parameters;
///
/// let mut parameters = Parameters::parse(Some("page=2&limit=1000&sotr=email"));
/// let page = parameters.page();
/// let sort = parameters.one_of("sort", &[("email", 1), ("-email", -1)]);
/// let violations = parameters.finish(page.and(sort)).unwrap_err();
/// let told: Vec<_> = violations.iter().map(|v| format!("{} {}", v.field, v.message)).collect();
/// assert_eq!(told, [
///     "limit must be a whole number from 1 to 100",
///     "sotr is unknown; expected one of page, limit, sort",
/// ]);
/// ```
#[derive(Debug)]
pub struct Parameters {
    /// By name, the values in the order given; `None` is one that cannot be decoded.
    values: BTreeMap<String, Vec<Option<String>>>,
    findings: Findings,
}

impl Parameters {
    /// Takes a query apart. `None` and the empty query have no parameters.
    #[must_use]
    pub fn parse(query: Option<&str>) -> Self {
        let mut values = BTreeMap::<_, Vec<_>>::new();
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        for (name, value) in pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
            // A name that cannot be decoded is nobody's, so as it stands it is unknown.
            let name = decode(name).unwrap_or_else(|| name.to_owned());
            values.entry(name).or_default().push(decode(value));
        }
        Self { values, findings: Findings::default() }
    }

    /// Reads a whole query.
    ///
    /// # Errors
    ///
    /// Every violation, in the order in which parameters were asked for, then the unknown ones.
    pub fn read<T: FromQuery>(query: Option<&str>) -> Result<T, Vec<Violation>> {
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
    ) -> Result<T, Vec<Violation>> {
        let mut parameters = Self::parse(query);
        let parsed = T::from_query_with(&mut parameters, state);
        parameters.finish(parsed)
    }

    /// Whether a parameter is there and has not been asked for yet.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Every value of a parameter that may repeat.
    ///
    /// # Errors
    ///
    /// One cannot be decoded.
    pub fn repeated(&mut self, name: &'static str) -> Result<Vec<String>, Refused> {
        self.findings.ask(name);
        let values = self.values.remove(name).unwrap_or_default();
        values
            .into_iter()
            .collect::<Option<_>>()
            .ok_or_else(|| self.findings.refuse(name, "must be valid percent-encoded UTF-8"))
    }

    /// Every value of a parameter that may repeat, each accepted by `parse`.
    ///
    /// What `parse` says is shown to the client after the parameter's name: "must be …".
    ///
    /// # Errors
    ///
    /// One cannot be decoded, or is refused by `parse`. It is named once.
    pub fn repeated_parse<T, E: Display>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Vec<T>, Refused> {
        let parsed: Result<_, E> = self.repeated(name)?.iter().map(|text| parse(text)).collect();
        parsed.map_err(|message| self.findings.refuse(name, message.to_string()))
    }

    /// The value of a parameter that may be absent and may not repeat.
    ///
    /// # Errors
    ///
    /// It is there more than once, or cannot be decoded.
    pub fn optional(&mut self, name: &'static str) -> Result<Option<String>, Refused> {
        let mut values = self.repeated(name)?;
        if values.len() > 1 {
            return Err(self.findings.refuse(name, "must not be given more than once"));
        }
        Ok(values.pop())
    }

    /// The value of a parameter that may be absent and may not repeat, accepted by `parse`.
    ///
    /// What `parse` says is shown to the client after the parameter's name: "must be …".
    ///
    /// # Errors
    ///
    /// It is there more than once, cannot be decoded, or is refused by `parse`.
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

    /// What stands beside the value of a parameter among `choices`, if it is there.
    ///
    /// # Errors
    ///
    /// It is there more than once, or is not one of the choices, in this very case.
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

    /// A whole number within `range`, in decimal digits and nothing else, if it is there.
    ///
    /// # Errors
    ///
    /// It is there more than once, is not such a number (an empty value is none), or out of range.
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

    /// Which page of a list: `page` from 1 (default 1), `limit` from 1 to 100 (default 20).
    ///
    /// # Errors
    ///
    /// One is not such a number, or the page reaches past the first 10,000 rows.
    pub fn page(&mut self) -> Result<Page, Refused> {
        let number = self.number("page", 1..=DEEPEST_ROW);
        let size = self.number("limit", 1..=LARGEST_LIMIT);
        let number = number?.unwrap_or(1);
        // Past the end with the least size is past the end with any, so this is named even where
        // `limit` is wrong.
        let least = size.map_or(1, |size| size.unwrap_or(DEFAULT_LIMIT));
        if number.saturating_mul(least) > DEEPEST_ROW {
            let message = format!("must not exceed {DEEPEST_ROW} when multiplied by limit");
            return Err(self.findings.refuse("page", message));
        }
        size.map(|_| Page { number, limit: least })
    }

    /// Records a violation that no single parameter shows, such as "not together with `page`".
    pub fn refuse(&mut self, name: &'static str, message: &'static str) -> Refused {
        self.findings.refuse(name, message)
    }

    /// Names the parameters that nobody asked for, and hands out the value only if nothing is
    /// wrong.
    ///
    /// # Errors
    ///
    /// Every violation, in the order in which parameters were asked for, then the unknown ones.
    pub fn finish<T>(self, parsed: Result<T, Refused>) -> Result<T, Vec<Violation>> {
        self.findings.finish(parsed, self.values.into_keys())
    }
}

/// The last row that a page may reach, counted from 1: what lies beyond would have to be counted
/// through on every request.
const DEEPEST_ROW: u32 = 10_000;
/// How many rows a page has where the client does not say.
const DEFAULT_LIMIT: u32 = 20;
/// How many rows a page may have.
const LARGEST_LIMIT: u32 = 100;

/// Which page of a list a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    number: u32,
    limit: u32,
}

impl Page {
    /// The number of the page, from 1.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.number
    }

    /// How many rows the page has at most, 1 to 100.
    #[must_use]
    pub const fn limit(self) -> u32 {
        self.limit
    }

    /// How many rows come before the page.
    #[must_use]
    pub const fn offset(self) -> u32 {
        (self.number - 1) * self.limit
    }
}

impl From<Page> for PageRequest {
    fn from(page: Page) -> Self {
        // The bounds of the two are the same, which a test shows.
        Self::new(page.number, page.limit).unwrap_or_default()
    }
}

impl FromQuery for Page {
    fn from_query(parameters: &mut Parameters) -> Result<Self, Refused> {
        parameters.page()
    }
}

/// Takes a request's query, strictly.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: FromQueryWith<S>, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        Ok(Self(Parameters::read_with(parts.uri.query(), state)?))
    }
}

/// For routes that take no query: refuses every parameter.
#[derive(Clone, Copy, Debug)]
pub struct NoQuery;

impl FromQuery for NoQuery {
    fn from_query(_: &mut Parameters) -> Result<Self, Refused> {
        Ok(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        Ok(Parameters::read(parts.uri.query())?)
    }
}

/// Undoes the encoding of HTML forms; nothing if an escape is broken or the outcome is not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

/// The value of a hex digit.
fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests;
