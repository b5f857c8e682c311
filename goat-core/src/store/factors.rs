//! Factor store port.

use std::fmt;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::factor::Factors;
use crate::id::UserId;

/// The port to second factors.
#[async_trait]
pub trait FactorStore: fmt::Debug + Send + Sync {
    /// Returns the factors of a user, confirmed ones first, and the number of its recovery codes, in one
    /// read.
    async fn of(&self, user: UserId) -> Result<Factors, StoreError>;
}

/// A store that holds and accepts no factors.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFactors;

#[async_trait]
impl FactorStore for NoFactors {
    async fn of(&self, _: UserId) -> Result<Factors, StoreError> {
        Ok(Factors::default())
    }
}

/// Operation names of [`FactorStore`], as errors and metrics report them.
pub(crate) mod operation {
    pub(crate) const OF: &str = "factors.of";
}
