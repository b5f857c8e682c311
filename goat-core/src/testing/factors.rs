//! Second factors for tests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::builder::Builder;
use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::factor::{Answer, AnswerVerifier, Factor, FactorKind, Factors};
use crate::id::{FactorId, UserId};
use crate::proof::Method;
use crate::store::FactorStore;

/// Second factors that a test enrols: a store of them, and the verification of their answers. Clones share
/// their state.
///
/// The right answers are [`TestFactors::CODE`] of an authenticator app, any number of times, and
/// [`TestFactors::RECOVERY_CODE`], as often as the user has recovery codes.
///
/// ```
/// use std::sync::Arc;
/// use goat_core::factor::{Answer, FactorKind};
/// use goat_core::session::Origin;
/// use goat_core::auth::{Assurance, Vouch};
/// use goat_core::testing::{TestFactors, TestGoat};
/// use goat_core::{ErrorKind, Stores};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> goat_core::Result<()> {
/// let factors = TestFactors::default();
/// let stores = Stores { factors: Arc::new(factors.clone()), ..Stores::memory() };
/// let test = TestGoat::build(stores, |builder| builder.test_factors(&factors));
/// let goat = &test.goat;
/// let alice = test.sign_in("alice", []).await.user.id;
/// factors.enrol(alice, FactorKind::Totp, goat.time().now());
///
/// let proof = goat.vouch(alice, Vouch::single("ldap")).await?;
/// let error = goat.open_session(proof, Origin::default()).await.expect_err("one factor");
/// assert_eq!(error.kind(), ErrorKind::SecondFactorRequired);
/// let pending = error.pending().expect("a pending sign-in");
/// let code = Answer::Totp(TestFactors::CODE.into());
/// let signed_in = goat.answer(pending, code, &Origin::default()).await?.value;
/// let me = goat.authenticate_token(signed_in.tokens.access_token.expose()).await?;
/// assert_eq!(me.assurance(), Some(Assurance::Multi));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct TestFactors(Arc<Mutex<HashMap<UserId, Factors>>>);

impl TestFactors {
    /// The right code of every authenticator app.
    pub const CODE: &str = "271828";
    /// The right recovery code.
    pub const RECOVERY_CODE: &str = "RECOVR-RECOVR-RECOVR-RECOVR";

    /// How many recovery codes come with a factor.
    const RECOVERY_CODES: u32 = 8;

    /// Enrols a factor of a user, which is in force from `now` on, with new recovery codes.
    pub fn enrol(&self, user: UserId, kind: FactorKind, now: Timestamp) -> FactorId {
        let factor = Factor {
            id: FactorId::generate(now),
            user,
            kind,
            name: kind.as_str().to_owned(),
            created_at: now,
            confirmed_at: Some(now),
            last_used_at: None,
        };
        let id = factor.id;
        self.change(|all| {
            let factors = all.entry(user).or_default();
            factors.factors.push(factor);
            factors.recovery_codes = Self::RECOVERY_CODES;
        });
        id
    }

    /// Removes the factors and recovery codes of a user.
    pub fn remove(&self, user: UserId) {
        self.change(|all| drop(all.remove(&user)));
    }

    fn change<T>(&self, change: impl FnOnce(&mut HashMap<UserId, Factors>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// For tests (feature `testing`).
impl Builder {
    /// Verifies answers by the factors that a test enrols; the stores need them too, as [`TestFactors`] shows.
    pub fn test_factors(mut self, factors: &TestFactors) -> Self {
        self.answers = Arc::new(factors.clone());
        self
    }
}

#[async_trait]
impl FactorStore for TestFactors {
    async fn of(&self, user: UserId) -> Result<Factors, StoreError> {
        Ok(self.change(|all| all.get(&user).cloned().unwrap_or_default()))
    }
}

#[async_trait]
impl AnswerVerifier for TestFactors {
    async fn verify(
        &self,
        user: UserId,
        factors: &Factors,
        answer: &Answer,
        _: Timestamp,
    ) -> Result<Option<Method>, StoreError> {
        let (method, is_right) = match answer {
            Answer::Totp(code) => (Method::Totp, code.is_same_as(&Self::CODE.into())),
            Answer::RecoveryCode(code) => {
                (Method::RecoveryCode, code.is_same_as(&Self::RECOVERY_CODE.into()))
            }
        };
        if !is_right || !factors.methods().contains(&method) {
            return Ok(None);
        }
        let is_left = method != Method::RecoveryCode
            || self.change(|all| {
                let codes = all.get_mut(&user).map(|factors| &mut factors.recovery_codes);
                codes.is_some_and(|codes| {
                    let is_left = *codes > 0;
                    *codes = codes.saturating_sub(1);
                    is_left
                })
            });
        Ok(is_left.then_some(method))
    }
}
