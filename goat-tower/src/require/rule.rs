//! The algebra of requirements: conditions combined by "and" and "or", for live principals and for
//! tokens alike.
//!
//! Invariants: a single permission is evaluated without an allocation or a dynamic call. The scope of a
//! rejection names permissions that would satisfy the rule, or none: where a role or a function is not
//! satisfied, no permission helps. A step-up is asked for only if nothing else is missing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use goat_core::{Error, ErrorKind, Permission, RequiredProof};

use crate::response::denial::Denial;

/// A boolean combination of conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rule<C> {
    Condition(C),
    All(Arc<[Self]>),
    Any(Arc<[Self]>),
}

/// A single condition, with a `Display` for the log.
pub(super) trait Condition:
    Clone + fmt::Debug + fmt::Display + Send + Sync + 'static
{
    /// The permission that satisfies it; `None` if no permission does.
    fn permission(&self) -> Option<&Permission>;

    /// The condition on the proofs of the session; `None` if a proof does not satisfy it.
    fn proof(&self) -> Option<ProofCondition>;
}

/// A condition on the proofs of a session, which a step-up satisfies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProofCondition {
    /// The last proof is at most this old.
    Recent(Duration),
    /// The session has had a proof of several factors.
    MultiFactor,
}

impl fmt::Display for ProofCondition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recent(within) => write!(formatter, "recent within {} s", within.as_secs()),
            Self::MultiFactor => formatter.write_str("multi-factor"),
        }
    }
}

impl<C: Condition> Rule<C> {
    /// All of the rules. Without any, every principal satisfies it.
    pub(super) fn all(rules: impl IntoIterator<Item = Self>) -> Self {
        let mut parts = Vec::new();
        for rule in rules {
            match rule {
                Self::All(inner) => parts.extend_from_slice(&inner),
                rule => parts.push(rule),
            }
        }
        Self::of(parts, Self::All)
    }

    /// At least one of the rules. Without any, no principal satisfies it.
    pub(super) fn any(rules: impl IntoIterator<Item = Self>) -> Self {
        let mut parts = Vec::new();
        for rule in rules {
            match rule {
                Self::Any(inner) => parts.extend_from_slice(&inner),
                rule => parts.push(rule),
            }
        }
        Self::of(parts, Self::Any)
    }

    fn of(mut parts: Vec<Self>, combine: fn(Arc<[Self]>) -> Self) -> Self {
        match parts.pop() {
            Some(one) if parts.is_empty() => one,
            last => {
                parts.extend(last);
                combine(parts.into())
            }
        }
    }

    /// Replaces each condition.
    pub(super) fn map<D: Condition>(&self, replace: &impl Fn(&C) -> D) -> Rule<D> {
        let parts = |parts: &[Self]| parts.iter().map(|part| part.map(replace)).collect();
        match self {
            Self::Condition(condition) => Rule::Condition(replace(condition)),
            Self::All(all) => Rule::All(parts(all)),
            Self::Any(any) => Rule::Any(parts(any)),
        }
    }

    pub(super) fn is_met(&self, holds: &impl Fn(&C) -> bool) -> bool {
        match self {
            Self::Condition(condition) => holds(condition),
            Self::All(parts) => parts.iter().all(|part| part.is_met(holds)),
            Self::Any(parts) => parts.iter().any(|part| part.is_met(holds)),
        }
    }

    /// The proof that would satisfy the rule, together with those that the session has; `None` if the
    /// principal would not satisfy it with any proof.
    pub(super) fn required_proof(&self, holds: &impl Fn(&C) -> bool) -> Option<RequiredProof> {
        let with_proofs = |condition: &C| condition.proof().is_some() || holds(condition);
        if !self.is_met(&with_proofs) {
            return None;
        }
        let mut required = RequiredProof::default();
        self.collect_proofs(holds, &with_proofs, &mut required);
        Some(required)
    }

    /// Adds the unmet conditions on proofs; of alternatives, those of the first that proofs satisfy.
    fn collect_proofs(
        &self,
        holds: &impl Fn(&C) -> bool,
        with_proofs: &impl Fn(&C) -> bool,
        required: &mut RequiredProof,
    ) {
        match self {
            Self::Condition(condition) => match condition.proof().filter(|_| !holds(condition)) {
                Some(ProofCondition::Recent(within)) => {
                    let age = required.max_age.map_or(within, |age| age.min(within));
                    required.max_age = Some(age);
                }
                Some(ProofCondition::MultiFactor) => required.multi = true,
                None => {}
            },
            Self::All(parts) => {
                for part in parts.iter() {
                    part.collect_proofs(holds, with_proofs, required);
                }
            }
            Self::Any(parts) if parts.iter().any(|part| part.is_met(holds)) => {}
            Self::Any(parts) => {
                if let Some(part) = parts.iter().find(|part| part.is_met(with_proofs)) {
                    part.collect_proofs(holds, with_proofs, required);
                }
            }
        }
    }

    /// The 403 for a principal that does not satisfy the rule. Its source names the unmet conditions.
    pub(super) fn denial(&self, holds: &impl Fn(&C) -> bool) -> Denial {
        let unmet = Unmet(self.unmet(holds));
        self.scoped(Error::from(ErrorKind::Forbidden).with_source(unmet), holds)
    }

    /// A denial with a challenge that names the permissions that would satisfy the rule.
    pub(super) fn scoped(&self, error: Error, holds: &impl Fn(&C) -> bool) -> Denial {
        let denial = Denial::new(error);
        match self.scope(holds) {
            None => denial,
            Some(permissions) => {
                let names: Vec<_> = permissions.into_iter().map(Permission::as_str).collect();
                denial.with_scope(names.join(" "))
            }
        }
    }

    /// The permissions that together satisfy the rule, including those that the principal has: the
    /// necessary scope (RFC 6750 §3). Of alternatives, each one that permissions can satisfy. `None` if
    /// no permission helps.
    pub(super) fn scope(&self, holds: &impl Fn(&C) -> bool) -> Option<Vec<&Permission>> {
        match self {
            Self::Condition(condition) => match condition.permission() {
                Some(permission) => Some(vec![permission]),
                None => holds(condition).then(Vec::new),
            },
            Self::All(parts) => {
                let mut all = Vec::new();
                for part in parts.iter() {
                    merge(&mut all, part.scope(holds)?);
                }
                Some(all)
            }
            Self::Any(parts) => {
                if let Some(met) = parts.iter().find(|part| part.is_met(holds)) {
                    return met.scope(holds);
                }
                let mut alternatives = parts.iter().filter_map(|part| part.scope(holds));
                let mut any = alternatives.next()?;
                for alternative in alternatives {
                    merge(&mut any, alternative);
                }
                Some(any)
            }
        }
    }

    /// The part of the rule that is not satisfied.
    fn unmet(&self, holds: &impl Fn(&C) -> bool) -> Self {
        match self {
            Self::All(parts) => {
                let unmet = parts.iter().filter(|part| !part.is_met(holds));
                Self::all(unmet.map(|part| part.unmet(holds)))
            }
            _ => self.clone(),
        }
    }
}

/// In words: `report:read and (role auditor or own tenant)`.
impl<C: fmt::Display> fmt::Display for Rule<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, word) = match self {
            Self::Condition(condition) => return condition.fmt(formatter),
            Self::All(parts) if parts.is_empty() => return formatter.write_str("signed in"),
            Self::Any(parts) if parts.is_empty() => return formatter.write_str("nobody"),
            Self::All(parts) => (parts, " and "),
            Self::Any(parts) => (parts, " or "),
        };
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                formatter.write_str(word)?;
            }
            match part {
                Self::All(inner) | Self::Any(inner) if !inner.is_empty() => {
                    write!(formatter, "({part})")?;
                }
                _ => part.fmt(formatter)?,
            }
        }
        Ok(())
    }
}

/// Adds permissions that are not in the list yet.
fn merge<'a>(permissions: &mut Vec<&'a Permission>, more: Vec<&'a Permission>) {
    for permission in more {
        if !permissions.contains(&permission) {
            permissions.push(permission);
        }
    }
}

/// The reason of a rejection, for the log.
#[derive(Debug)]
struct Unmet<C>(Rule<C>);

impl<C: fmt::Display> fmt::Display for Unmet<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "not met: {}", self.0)
    }
}

impl<C: fmt::Debug + fmt::Display> std::error::Error for Unmet<C> {}
