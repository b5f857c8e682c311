//! What a hash costs: the parameters of Argon2id, none below OWASP's floor.

use argon2::{KeyId, Params, ParamsBuilder};

use super::hasher::HashError;
use super::pepper::PepperId;
use crate::error::{Error, Result};

/// Memory in KiB, passes over it, and lanes in it, each at or above the floor of the OWASP Password
/// Storage Cheat Sheet, which is also the default: 19456 KiB, 2 passes, 1 lane.
///
/// More memory is what hurts an attacker most. Lanes are computed one after the other here, so that
/// more of them bring nothing but agreement with hashes made elsewhere.
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

/// What a hash costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    memory: u32,
    passes: u32,
    lanes: u32,
}

/// OWASP's floor. The trade of more passes for less memory, which OWASP grants, is not offered.
const FLOOR: Cost = Cost { memory: 19_456, passes: 2, lanes: 1 };

/// 4 GiB, and passes and lanes beyond anybody's recommendation: more is a slip of the pen.
const CEILING: Cost = Cost { memory: 4 << 20, passes: 64, lanes: 64 };

/// What a stored hash may cost at least, whatever the settings: the second choice of RFC 9106 §4,
/// all of OWASP's, and the defaults of the usual web frameworks are within it, so that users can be
/// brought along.
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
    /// `memory` in KiB, `passes` over it, and `lanes` in it.
    ///
    /// # Errors
    ///
    /// A configuration error if one of them is below OWASP's floor (19456, 2, 1), or beyond reason
    /// (over 4 GiB, 64, 64).
    pub fn new(memory: u32, passes: u32, lanes: u32) -> Result<Self> {
        let cost = Cost { memory, passes, lanes };
        for (name, given, floor, ceiling) in [
            ("memory in KiB", memory, FLOOR.memory, CEILING.memory),
            ("passes", passes, FLOOR.passes, CEILING.passes),
            ("lanes", lanes, FLOOR.lanes, CEILING.lanes),
        ] {
            if given < floor || given > ceiling {
                return Err(Error::configuration(format!(
                    "Argon2 {name} of {given}: it may be from {floor}, the least that OWASP recommends, to {ceiling}"
                )));
            }
        }
        Ok(Self { cost, accepted: ACCEPTED.or_more(cost) })
    }

    /// Also verifies hashes that cost as much as these `earlier` settings. Needed where the settings
    /// were lowered from beyond 128 MiB, 10 passes or 8 lanes, which are accepted anyway.
    #[must_use]
    pub fn accepting(mut self, earlier: &Self) -> Self {
        self.accepted = self.accepted.or_more(earlier.accepted);
        self
    }

    /// Memory of one hash, in KiB.
    #[must_use]
    pub fn memory(&self) -> u32 {
        self.cost.memory
    }

    /// Passes over the memory.
    #[must_use]
    pub fn passes(&self) -> u32 {
        self.cost.passes
    }

    /// Lanes in the memory.
    #[must_use]
    pub fn lanes(&self) -> u32 {
        self.cost.lanes
    }

    /// The parameters as the algorithm takes them.
    pub(super) fn params(&self, pepper: Option<PepperId>) -> Result<Params, argon2::Error> {
        let mut builder = ParamsBuilder::new();
        builder.m_cost(self.cost.memory).t_cost(self.cost.passes).p_cost(self.cost.lanes);
        if let Some(id) = pepper {
            builder.keyid(KeyId::new(id.as_bytes())?);
        }
        builder.build()
    }

    /// Refuses parameters that cost more than a stored hash may.
    pub(super) fn check(&self, params: &Params) -> Result<(), HashError> {
        let cost =
            Cost { memory: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost() };
        if cost.within(self.accepted) { Ok(()) } else { Err(HashError::too_costly()) }
    }
}
