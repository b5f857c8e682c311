//! Second factors of a user, for the flows that ask for one.

use crate::error::Result;
use crate::factor::Answer;
use crate::id::UserId;
use crate::proof::Method;

use super::Context;

impl Context {
    /// Whether the user has a factor in force.
    pub(super) async fn has_factor(&self, user: UserId) -> Result<bool> {
        Ok(self.stores.factors.of(user).await?.are_in_force())
    }

    /// Verifies an answer by a factor that is in force, and uses it up. Returns the method of a right one.
    pub(super) async fn verify_answer(
        &self,
        user: UserId,
        answer: &Answer,
    ) -> Result<Option<Method>> {
        let factors = self.stores.factors.of(user).await?;
        let now = self.time.now();
        let method = self.answers.verify(user, &factors, answer, now).await?;
        Ok(method.filter(|method| factors.methods().contains(method)))
    }
}
