//! Password texts: normalization, the policy check of new passwords, and login attempts.
//!
//! Invariant: work on a text is bounded before it begins, and texts are never truncated.

use std::sync::Arc;

use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::{Profile, Rules};
use precis_profiles::precis_core::{
    DerivedPropertyValue, Error as PrecisError, FreeformClass, StringClass, UnexpectedError,
};
use sha1::{Digest as _, Sha1};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};
use zeroize::Zeroizing;

use super::common;
use super::policy::{PasswordFault, PasswordPolicy, consists_of};
use crate::secret::Secret;

/// The longest password of any policy, in code points.
pub(super) const MAXIMUM_CODE_POINTS: usize = 1024;

/// Maximum input bytes per output code point: NFD decomposes one code point into up to four, of up
/// to four bytes each (Unicode Standard Annex #15).
const BYTES_PER_CODE_POINT: usize = 16;

/// Hashed in place of a text that cannot be a password.
const STAND_IN: &[u8] = b"no password looks like this one\0";

/// A new password: normalized, and accepted by the policy.
#[derive(Debug)]
pub struct NewPassword(Secret<String>);

impl NewPassword {
    /// Normalizes the text and checks it against the policy; `email` is the user's own address,
    /// which the password must not consist of.
    ///
    /// Length is counted in code points after normalization, and comparisons ignore case.
    ///
    /// # Errors
    ///
    /// All violated rules, to be shown together.
    pub fn parse(
        text: &str,
        policy: &PasswordPolicy,
        email: Option<&str>,
    ) -> Result<Self, Vec<PasswordFault>> {
        let too_long = PasswordFault::TooLong { maximum: policy.maximum() };
        let prepared = match prepare(text, policy.maximum()) {
            Ok(prepared) => prepared,
            Err(Unprepared::TooLong) => return Err(vec![too_long]),
            Err(Unprepared::Unusable(character)) => {
                return Err(vec![PasswordFault::Unusable { character }]);
            }
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

    /// Whether this equals the password of a successful verification, to reject a change to the
    /// same password.
    #[must_use]
    pub fn is_same_as(&self, tried: &TriedPassword) -> bool {
        tried.0.as_ref().is_some_and(|tried| self.0.is_same_as(tried))
    }

    /// Returns the SHA-1 of the normalized text, by which lists of breached passwords are searched.
    pub(crate) fn sha1(&self) -> Secret<[u8; 20]> {
        Secret::new(Sha1::digest(self.as_bytes()).into())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}

/// A password presented at login: any text.
///
/// A text that no password can equal matches nothing, and still costs one verification.
///
/// Clones share one text, which is wiped when the last one is dropped.
#[derive(Clone, Debug)]
pub struct TriedPassword(Option<Arc<Secret<String>>>);

impl TriedPassword {
    /// Normalizes the text in the same way as a new password.
    #[must_use]
    pub fn new(text: &str) -> Self {
        // The policy does not apply: it may be stricter now than when the password was set.
        let prepared = prepare(text, MAXIMUM_CODE_POINTS).ok();
        Self(prepared.filter(|text| !text.expose().is_empty()).map(Arc::new))
    }

    /// Whether a password can equal this text.
    pub(super) fn is_possible(&self) -> bool {
        self.0.is_some()
    }

    /// The bytes to verify: the password, or a stand-in of ordinary length.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(STAND_IN, |text| text.expose().as_bytes())
    }
}

/// Why a text could not be normalized.
#[derive(Debug, PartialEq, Eq)]
enum Unprepared {
    TooLong,
    /// Contains this character.
    Unusable(char),
}

/// Normalizes a text as OpaqueString (RFC 8265 §4.2) of at most `maximum` code points; the empty
/// text stays empty.
///
/// Two interpretations of the RFC are goat's own. The characters are checked after normalization,
/// in the order of RFC 8264 §7, since a decomposed Hangul syllable would be refused before it. And
/// characters that Unicode assigned after the frozen PRECIS tables (6.3, of 2013) are classified by
/// their category, since most emoji could not be used otherwise.
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
        .map_err(|error| Unprepared::Unusable(refused_character(text, &error)))?;
    let prepared = Secret::new(mapped.into_owned());
    // Length first: the check of some scripts scans the whole text for every character.
    if prepared.expose().chars().count() > maximum {
        return Err(Unprepared::TooLong);
    }
    let checked = with_newer_characters_replaced(prepared.expose());
    match profile.prepare(checked.as_str()) {
        Ok(_) => Ok(prepared),
        Err(error) => Err(Unprepared::Unusable(refused_character(&checked, &error))),
    }
}

/// Returns the character that the profile refused.
fn refused_character(text: &str, error: &PrecisError) -> char {
    let known = match error {
        PrecisError::BadCodepoint(info)
        | PrecisError::Unexpected(
            UnexpectedError::ContextRuleNotApplicable(info)
            | UnexpectedError::MissingContextRule(info),
        ) => char::from_u32(info.cp),
        _ => None,
    };
    // Without a position, the rule misses a neighbour: before the first character, or after the last.
    let class = FreeformClass::default();
    let needs_neighbours = |character: &char| {
        use DerivedPropertyValue::{ContextJ, ContextO};
        matches!(class.get_value_from_char(*character), ContextJ | ContextO)
    };
    let found = known.or_else(|| text.chars().find(needs_neighbours));
    found.unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Replaces usable characters that are newer than the tables by an allowed one.
fn with_newer_characters_replaced(text: &str) -> Zeroizing<String> {
    let class = FreeformClass::default();
    let mut replaced = Zeroizing::new(String::with_capacity(text.len()));
    replaced.extend(text.chars().map(|character| {
        let newer = class.get_value_from_char(character) == DerivedPropertyValue::Unassigned
            && is_freeform(character);
        if newer { 'x' } else { character }
    }));
    replaced
}

/// Whether a character's category belongs to the FreeformClass (RFC 8264 §4.3.1 and §9).
pub(super) fn is_freeform(character: char) -> bool {
    match character.general_category_group() {
        GeneralCategoryGroup::Letter
        | GeneralCategoryGroup::Mark
        | GeneralCategoryGroup::Number
        | GeneralCategoryGroup::Punctuation
        | GeneralCategoryGroup::Symbol => true,
        // No space was added since; new characters under "other" are control, format or private.
        GeneralCategoryGroup::Separator | GeneralCategoryGroup::Other => false,
    }
}

/// Folds case, character by character: to upper case and back, which also unites `ß` with `ss` and
/// the two small sigmas.
pub(super) fn fold(text: &str) -> Zeroizing<String> {
    // Enough capacity that the text is never reallocated, which would leave a copy behind.
    let mut folded = Zeroizing::new(String::with_capacity(text.len() * 3));
    folded.extend(text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase));
    folded
}

/// Whether a case-folded text consists of the e-mail address or its local part.
fn is_address(folded: &str, email: &str) -> bool {
    let prepared = prepare(email, MAXIMUM_CODE_POINTS).ok();
    let email = fold(prepared.as_ref().map_or(email, |prepared| prepared.expose()));
    let local = email.rsplit_once('@').map_or("", |(local, _)| local);
    consists_of(folded, &email) || consists_of(folded, local)
}

#[cfg(test)]
mod tests;
