//! Who meets a requirement, and what would help who does not.
//!
//! Invariants: one permission is judged without an allocation or a call through a pointer. A scope names
//! permissions with which the requirement would be met, or none: where a role or a function stands in
//! the way, a client is not told to ask for what would not help.

use std::fmt;

use goat_core::{Error, ErrorKind, Permission, Principal, Role};

use super::requirement::{Predicate, Requirement, Rule};
use crate::response::denial::Denial;

/// The one thing that is asked at a time.
#[derive(Clone, Copy)]
pub(super) enum Question<'a> {
    Permission(&'a Permission),
    Role(&'a Role),
    When(&'a Predicate),
}

impl Question<'_> {
    /// The answer for whoever is signed in.
    fn of(self, principal: &Principal) -> bool {
        match self {
            Self::Permission(permission) => principal.may(permission),
            Self::Role(role) => principal.role() == role,
            Self::When(predicate) => predicate.holds_for(principal),
        }
    }
}

impl Requirement {
    /// Lets the principal through, or says what is missing.
    pub(super) fn judge(&self, principal: &Principal) -> Result<(), Denial> {
        let holds = |question: Question<'_>| question.of(principal);
        if self.is_met(&holds) { Ok(()) } else { Err(self.denial(&holds)) }
    }

    fn denial(&self, holds: &impl Fn(Question<'_>) -> bool) -> Denial {
        let error = Error::from(ErrorKind::Forbidden).with_source(Unmet(self.unmet(holds)));
        let denial = Denial::new(error);
        match self.helpful(holds) {
            None => denial,
            Some(permissions) => {
                let names: Vec<_> = permissions.into_iter().map(Permission::as_str).collect();
                denial.with_scope(names.join(" "))
            }
        }
    }

    pub(super) fn is_met(&self, holds: &impl Fn(Question<'_>) -> bool) -> bool {
        match &self.0 {
            Rule::Permission(permission) => holds(Question::Permission(permission)),
            Rule::Role(role) => holds(Question::Role(role)),
            Rule::Unknown(_) => false,
            Rule::When(predicate) => holds(Question::When(predicate)),
            Rule::All(parts) => parts.iter().all(|part| part.is_met(holds)),
            Rule::Any(parts) => parts.iter().any(|part| part.is_met(holds)),
        }
    }

    /// The permissions with all of which it would be met, those included that are there already: the
    /// scope that is necessary (RFC 6750 §3). Of alternatives, each that permissions can open. `None`
    /// where no permission helps.
    pub(super) fn helpful(
        &self,
        holds: &impl Fn(Question<'_>) -> bool,
    ) -> Option<Vec<&Permission>> {
        match &self.0 {
            Rule::Permission(permission) => Some(vec![permission]),
            Rule::Role(_) | Rule::When(_) => self.is_met(holds).then(Vec::new),
            Rule::Unknown(_) => None,
            Rule::All(parts) => {
                let mut all = Vec::new();
                for part in parts.iter() {
                    merge(&mut all, part.helpful(holds)?);
                }
                Some(all)
            }
            Rule::Any(parts) => {
                if let Some(met) = parts.iter().find(|part| part.is_met(holds)) {
                    return met.helpful(holds);
                }
                let mut ways = parts.iter().filter_map(|part| part.helpful(holds));
                let mut any = ways.next()?;
                for way in ways {
                    merge(&mut any, way);
                }
                Some(any)
            }
        }
    }

    /// What of it is not met.
    fn unmet(&self, holds: &impl Fn(Question<'_>) -> bool) -> Self {
        match &self.0 {
            Rule::All(parts) => {
                let unmet = parts.iter().filter(|part| !part.is_met(holds));
                Self::all(unmet.map(|part| part.unmet(holds)))
            }
            _ => self.clone(),
        }
    }

    /// The same for a goat that has these roles and no others: a role that it does not have is nobody's,
    /// even if the database says otherwise.
    pub(super) fn among(self, is_known: &impl Fn(&Role) -> bool) -> Self {
        let among =
            |parts: &[Self]| parts.iter().map(|part| part.clone().among(is_known)).collect();
        Self(match self.0 {
            Rule::Role(role) if !is_known(&role) => Rule::Unknown(role),
            Rule::All(parts) => Rule::All(among(&parts)),
            Rule::Any(parts) => Rule::Any(among(&parts)),
            rule => rule,
        })
    }
}

/// Adds what is not there yet.
fn merge<'a>(permissions: &mut Vec<&'a Permission>, more: Vec<&'a Permission>) {
    for permission in more {
        if !permissions.contains(&permission) {
            permissions.push(permission);
        }
    }
}

/// Why somebody was refused, for the log.
#[derive(Debug)]
struct Unmet(Requirement);

impl fmt::Display for Unmet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "not met: {}", self.0)
    }
}

impl std::error::Error for Unmet {}
