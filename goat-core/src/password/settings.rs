//! Cost parameters of Argon2id, with OWASP's recommendation as the floor.

use argon2::{KeyId, Params, ParamsBuilder};

use super::hasher::HashError;
use super::pepper::PepperId;
use crate::error::{Error, Result};

/// Memory in KiB, passes, and lanes, each at or above the minimum of the OWASP Password Storage
/// Cheat Sheet, which is also the default: 19456 KiB, 2 passes, 1 lane.
///
/// Memory is the most effective defense. Lanes are computed sequentially here; more of them only
/// help compatibility with hashes made elsewhere.
///
/// ```
/// use goat_core::password::Argon2Settings;
///
/// let settings = Argon2Settings::new(64 * 1024, 3, 1)?;
/// assert_eq!(settings.memory(), 65536);
/// assert!(Argon2Settings::new(19_455, 2, 1).is_err());
/// # Ok::<(), goat_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Settings {
    cost: Cost,
    accepted: Cost,
}

/// The cost of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    memory: u32,
    passes: u32,
    lanes: u32,
}

/// OWASP's minimum. OWASP's alternatives of more passes for less memory are not offered.
const FLOOR: Cost = Cost { memory: 19_456, passes: 2, lanes: 1 };

/// 4 GiB, and passes and lanes above any recommendation: larger values are typing errors.
const CEILING: Cost = Cost { memory: 4 << 20, passes: 64, lanes: 64 };

/// Lower bound of the accepted cost of stored hashes, for any settings. It covers the second
/// recommendation of RFC 9106 §4, all of OWASP's, and the defaults of common web frameworks, so
/// that users can be imported.
const ACCEPTED: Cost = Cost { memory: 128 << 10, passes: 10, lanes: 8 };

impl Cost {
    fn within(self, bound: Self) -> bool {
        self.memory <= bound.memory && self.passes <= bound.passes && self.lanes <= bound.lanes
    }

    fn or_more(self, other: Self) -> Self {
        Self {
            memory: self.memory.max(other.memory),
            passes: self.passes.max(other.passes),
            lanes: self.lanes.max(other.lanes),
        }
    }
}

impl Default for Argon2Settings {
    fn default() -> Self {
        Self { cost: FLOOR, accepted: ACCEPTED }
    }
}

impl Argon2Settings {
    /// `memory` in KiB, `passes` and `lanes`.
    ///
    /// # Errors
    ///
    /// A configuration error if a value is below OWASP's minimum (19456, 2, 1) or above the maximum
    /// (4 GiB, 64, 64).
    pub fn new(memory: u32, passes: u32, lanes: u32) -> Result<Self> {
        let cost = Cost { memory, passes, lanes };
        for (name, given, floor, ceiling) in [
            ("memory in KiB", memory, FLOOR.memory, CEILING.memory),
            ("passes", passes, FLOOR.passes, CEILING.passes),
            ("lanes", lanes, FLOOR.lanes, CEILING.lanes),
        ] {
            if given < floor || given > ceiling {
                return Err(Error::configuration(format!(
                    "Argon2 {name} of {given}: must be from {floor}, the minimum that OWASP recommends, to {ceiling}"
                )));
            }
        }
        Ok(Self { cost, accepted: ACCEPTED.or_more(cost) })
    }

    /// Also verifies hashes at the cost of these `earlier` settings. Needed only after lowering the
    /// settings from above 128 MiB, 10 passes or 8 lanes, which are always accepted.
    #[must_use]
    pub fn accepting(mut self, earlier: &Self) -> Self {
        self.accepted = self.accepted.or_more(earlier.accepted);
        self
    }

    /// Memory per hash, in KiB.
    #[must_use]
    pub fn memory(&self) -> u32 {
        self.cost.memory
    }

    /// Passes over the memory.
    #[must_use]
    pub fn passes(&self) -> u32 {
        self.cost.passes
    }

    /// Lanes of the memory.
    #[must_use]
    pub fn lanes(&self) -> u32 {
        self.cost.lanes
    }

    /// Converts to the parameters of the argon2 crate.
    pub(super) fn params(&self, pepper: Option<PepperId>) -> Result<Params, argon2::Error> {
        let mut builder = ParamsBuilder::new();
        builder.m_cost(self.cost.memory).t_cost(self.cost.passes).p_cost(self.cost.lanes);
        if let Some(id) = pepper {
            builder.keyid(KeyId::new(id.as_bytes())?);
        }
        builder.build()
    }

    /// Refuses parameters above the accepted cost.
    pub(super) fn check(&self, params: &Params) -> Result<(), HashError> {
        let cost =
            Cost { memory: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost() };
        if cost.within(self.accepted) { Ok(()) } else { Err(HashError::too_costly()) }
    }
}
