//! Passwords as text: prepared, so that two ways to type one text are one password; a new one,
//! checked against the policy; and one that somebody tries to sign in with.
//!
//! Invariant: the work done on a text is bounded before it begins, and nothing is ever cut off.

use std::sync::Arc;

use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::{Profile, Rules};
use precis_profiles::precis_core::{DerivedPropertyValue, FreeformClass, StringClass};
use subtle::ConstantTimeEq;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};
use zeroize::Zeroizing;

use super::common;
use super::policy::{PasswordFault, PasswordPolicy, consists_of};
use crate::secret::Secret;

/// The longest password that any policy may allow, in code points.
pub(super) const MAXIMUM_CODE_POINTS: usize = 1024;

/// The most bytes that one code point can come from: NFD makes up to four code points of one, of
/// up to four bytes each (Unicode Standard Annex #15).
const BYTES_PER_CODE_POINT: usize = 16;

/// What is hashed in place of a text that cannot be anybody's password.
const STAND_IN: &[u8] = b"no password looks like this one\0";

/// A password that somebody wants to have, and may: prepared, and checked against the policy.
#[derive(Debug)]
pub struct NewPassword(Secret<String>);

impl NewPassword {
    /// Prepares the text and checks it against the policy; `email` is the user's own, which the
    /// password must not be.
    ///
    /// Length is counted in code points after preparation, and the comparisons ignore case.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, to be shown together.
    pub fn parse(
        text: &str,
        policy: &PasswordPolicy,
        email: Option<&str>,
    ) -> Result<Self, Vec<PasswordFault>> {
        let too_long = PasswordFault::TooLong { maximum: policy.maximum() };
        let prepared = match prepare(text, policy.maximum()) {
            Ok(prepared) => prepared,
            Err(Unprepared::TooLong) => return Err(vec![too_long]),
            Err(Unprepared::Unusable) => return Err(vec![PasswordFault::Unusable]),
        };

        let mut faults = Vec::new();
        if prepared.expose().chars().count() < policy.minimum() {
            faults.push(PasswordFault::TooShort { minimum: policy.minimum() });
        }
        let folded = fold(prepared.expose());
        if common::is_common(&folded) {
            faults.push(PasswordFault::Common);
        }
        if email.is_some_and(|email| is_address(&folded, email)) {
            faults.push(PasswordFault::Email);
        }
        if policy.forbids(&folded) {
            faults.push(PasswordFault::Name);
        }
        if faults.is_empty() { Ok(Self(prepared)) } else { Err(faults) }
    }

    /// Whether this is the password that was tried, once a verification has shown that the tried
    /// one is the current: for those who change it into the same.
    #[must_use]
    pub fn is_same_as(&self, tried: &TriedPassword) -> bool {
        tried
            .0
            .as_ref()
            .is_some_and(|tried| self.0.expose().as_bytes().ct_eq(tried.expose().as_bytes()).into())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}

/// A password that somebody tries to sign in with: any text at all.
///
/// What is too long or holds what no password may hold matches nothing, and still costs one
/// verification like any other.
///
/// Clones share one text, which is wiped with the last of them.
#[derive(Clone, Debug)]
pub struct TriedPassword(Option<Arc<Secret<String>>>);

impl TriedPassword {
    /// Prepares the text as it was prepared when the password was set.
    #[must_use]
    pub fn new(text: &str) -> Self {
        // The policy of today is not asked: it may be stricter than the one of back then.
        let prepared = prepare(text, MAXIMUM_CODE_POINTS).ok();
        Self(prepared.filter(|text| !text.expose().is_empty()).map(Arc::new))
    }

    /// Whether this can be anybody's password.
    pub(super) fn is_possible(&self) -> bool {
        self.0.is_some()
    }

    /// What to verify: the password, or something of ordinary length in its place.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(STAND_IN, |text| text.expose().as_bytes())
    }
}

/// Why a text could not be prepared.
#[derive(Debug, PartialEq, Eq)]
enum Unprepared {
    TooLong,
    Unusable,
}

/// Prepares a text as OpaqueString (RFC 8265 §4.2) of at most `maximum` code points; the empty text
/// stays empty.
///
/// Two readings of the RFC are goat's own. The characters are checked after normalization, in the
/// order of RFC 8264 §7, because a decomposed Hangul syllable would be refused before it. And
/// characters that Unicode assigned after the tables of PRECIS were frozen (6.3, of 2013) are judged
/// by their category, or else most emoji could not be used.
fn prepare(text: &str, maximum: usize) -> Result<Secret<String>, Unprepared> {
    if text.len() > maximum * BYTES_PER_CODE_POINT {
        return Err(Unprepared::TooLong);
    }
    if text.is_empty() {
        return Ok(Secret::new(String::new()));
    }
    let profile = OpaqueString::new();
    let mapped = profile
        .additional_mapping_rule(text)
        .and_then(|mapped| profile.normalization_rule(mapped))
        .map_err(|_| Unprepared::Unusable)?;
    let prepared = Secret::new(mapped.into_owned());
    // The check of some scripts looks at the whole text for every character, so length goes first.
    if prepared.expose().chars().count() > maximum {
        return Err(Unprepared::TooLong);
    }
    let judged = with_newer_characters_replaced(prepared.expose());
    profile.prepare(judged.as_str()).map_err(|_| Unprepared::Unusable)?;
    Ok(prepared)
}

/// The text with every usable character that the tables do not know yet replaced by one that they
/// allow.
fn with_newer_characters_replaced(text: &str) -> Zeroizing<String> {
    let class = FreeformClass::default();
    let mut judged = Zeroizing::new(String::with_capacity(text.len()));
    judged.extend(text.chars().map(|character| {
        let newer = class.get_value_from_char(character) == DerivedPropertyValue::Unassigned
            && is_freeform(character);
        if newer { 'x' } else { character }
    }));
    judged
}

/// Whether a character's category belongs to the FreeformClass (RFC 8264 §4.3.1 and §9).
fn is_freeform(character: char) -> bool {
    match character.general_category_group() {
        GeneralCategoryGroup::Letter
        | GeneralCategoryGroup::Mark
        | GeneralCategoryGroup::Number
        | GeneralCategoryGroup::Punctuation
        | GeneralCategoryGroup::Symbol => true,
        // No space was added since, and what is new under "other" is control, format or private.
        GeneralCategoryGroup::Separator | GeneralCategoryGroup::Other => false,
    }
}

/// Folds case, character by character: to upper case and back, which also unites `ß` with `ss` and
/// the two small sigmas.
pub(super) fn fold(text: &str) -> Zeroizing<String> {
    // Room enough that the text is not moved, and left behind, while it grows.
    let mut folded = Zeroizing::new(String::with_capacity(text.len() * 3));
    folded.extend(text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase));
    folded
}

/// Whether a folded text is the e-mail address or its local part.
fn is_address(folded: &str, email: &str) -> bool {
    let prepared = prepare(email, MAXIMUM_CODE_POINTS).ok();
    let email = fold(prepared.as_ref().map_or(email, |prepared| prepared.expose()));
    let local = email.rsplit_once('@').map_or("", |(local, _)| local);
    consists_of(folded, &email) || consists_of(folded, local)
}

#[cfg(test)]
mod tests;
