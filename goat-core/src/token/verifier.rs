//! Offline verification of access tokens, with public keys only.
//!
//! Invariants: a token is valid here if and only if it is valid for the goat that issued it, except
//! that the session is not looked up. Keys are never fetched: the application provides them. The
//! key ring is replaced as a whole, together with the cache of verified tokens; a document that is
//! refused changes nothing.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::checks::Checks;
use super::jwks;
use super::principal::{Facts, TokenPrincipal};
use super::settings::TokenSettings;
use super::unknown::{self, UnknownKey, UnknownKeys};
use crate::clock::{Clock, SystemClock, Time};
use crate::error::Result;

/// Verifies access tokens offline, with public keys only, for services besides goat.
///
/// The keys are a JWK set, as goat-server serves it at `/.well-known/jwks.json` and
/// [`Goat::jwks`](crate::Goat::jwks) returns it. The issuer must sign with EdDSA, since HS256 has
/// no public keys. Issuer, audience and leeway must be the issuer's. Clones share keys, cache and
/// clock.
///
/// The result is a [`TokenPrincipal`], which **does not reflect changes made after the token was
/// signed**; read its documentation before choosing this over a call to goat.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use goat_core::testing::TestGoat;
/// use goat_core::token::{TokenSettings, Verifier};
/// use goat_core::{ErrorKind, Permission, Settings, Stores};
///
/// const REPORTS: Permission = Permission::new("report:read");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> goat_core::Result<()> {
/// // The issuer, which puts permissions into its tokens. (Its clock is the test's.)
/// let issuer = TestGoat::build(Stores::memory(), |goat| {
///     goat.settings(Settings { access_token_permissions: true, ..Settings::default() })
/// });
/// let alice = issuer.sign_in("alice", [REPORTS]).await;
///
/// // Another service. In production: Verifier::new(jwks, settings).
/// let jwks = issuer.goat.jwks().to_string();
/// let clock = Arc::new(issuer.clock.clone());
/// let verifier = Verifier::with_clock(jwks, TokenSettings::default(), clock)?;
///
/// let caller = verifier.verify(alice.access_token())?;
/// assert_eq!(caller.user(), alice.user.id);
/// assert!(caller.may(&REPORTS));
///
/// // Refused: an expired token, and a malformed one.
/// issuer.clock.advance(Duration::from_secs(3600));
/// assert_eq!(verifier.verify(alice.access_token()).unwrap_err().kind(), ErrorKind::TokenExpired);
/// assert_eq!(verifier.verify("a.b.c").unwrap_err().kind(), ErrorKind::InvalidToken);
/// # Ok(())
/// # }
/// ```
///
/// # Key rotation
///
/// The application fetches the JWK set and passes it to [`replace_keys`](Verifier::replace_keys):
/// every few minutes, since a key that the issuer removed stays valid here until then; and when
/// [`unknown_key`](Verifier::unknown_key) reports a token with an unknown key. It must fetch over
/// https from a configured address, never from one in a token, and with a timeout, since a removed
/// key stays valid while the fetch hangs. One task does both:
///
/// ```no_run
/// # use goat_core::token::Verifier;
/// # use std::time::Duration;
/// # async fn fetch() -> std::io::Result<Vec<u8>> { unimplemented!() }
/// # fn keep(verifier: Verifier) {
/// tokio::spawn(async move {
///     loop {
///         // After five minutes, or at once after an unknown key.
///         let _ = tokio::time::timeout(Duration::from_secs(300), verifier.unknown_key()).await;
///         match fetch().await {
///             Ok(jwks) => match verifier.replace_keys(jwks) {
///                 Ok(true) => eprintln!("token keys replaced: {:?}", verifier.key_ids()),
///                 Ok(false) => {}
///                 Err(error) => eprintln!("keeping the old token keys: {error}"),
///             },
///             Err(error) => eprintln!("cannot fetch the token keys: {error}"),
///         }
///     }
/// });
/// # }
/// ```
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    settings: TokenSettings,
    time: Time,
    checks: ArcSwap<Checks<Facts>>,
    unknown: UnknownKeys,
}

impl Verifier {
    /// Parses the keys, and uses the machine's clock.
    ///
    /// Keys of unknown types and uses are skipped (RFC 7517 §5).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) with the reason, if the
    /// document
    ///
    /// - is over 64 KiB, is not JSON, has no `keys`, or has a duplicate member;
    /// - has no usable key; an empty set comes from an issuer that signs with HS256;
    /// - has an Ed25519 key that is invalid, duplicate, not named by its thumbprint, or of small
    ///   order (such as 32 zeros), so that signatures for it can be forged;
    /// - contains a secret (`d` or `k`) of any key.
    ///
    /// Also if there is no cryptography provider (see the features `aws-lc-rs` and `rust-crypto`).
    pub fn new(jwks: impl AsRef<[u8]>, settings: TokenSettings) -> Result<Self> {
        Self::with_clock(jwks, settings, Arc::new(SystemClock::start()))
    }

    /// Like [`Verifier::new`], with another clock.
    ///
    /// # Errors
    ///
    /// As [`Verifier::new`].
    pub fn with_clock(
        jwks: impl AsRef<[u8]>,
        settings: TokenSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let keys = Arc::new(jwks::read(jwks.as_ref())?);
        let checks = ArcSwap::from_pointee(Checks::new(keys, settings.clone()));
        let (time, unknown) = (Time::new(clock), UnknownKeys::default());
        Ok(Self(Arc::new(Inner { settings, time, checks, unknown })))
    }

    /// Returns the clock that this verifier uses.
    #[must_use]
    pub fn time(&self) -> &Time {
        &self.0.time
    }

    /// Verifies an access token. The session is not looked up.
    ///
    /// For a token that was verified before, only the times are checked.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TokenExpired`](crate::ErrorKind::TokenExpired) for an expired but otherwise
    /// valid token, else [`ErrorKind::InvalidToken`](crate::ErrorKind::InvalidToken). The error's
    /// `Display` has the reason, for the log. If the key is unknown, the error's
    /// [source](std::error::Error::source) is [`UnknownKey`].
    pub fn verify(&self, access_token: &str) -> Result<TokenPrincipal> {
        let Inner { time, checks, unknown, .. } = &*self.0;
        checks.load().access(access_token, time.now()).map(TokenPrincipal::new).inspect_err(
            |error| {
                let source = std::error::Error::source(error);
                if source.is_some_and(|source| source.is::<UnknownKey>()) {
                    unknown.note(time);
                }
            },
        )
    }

    /// Replaces the JWK set, for all clones at once; returns `true` if the keys changed. A
    /// verification in progress uses either the old or the new keys. The cache of verified tokens
    /// is cleared, so that removing a key invalidates its tokens. An unchanged set has no effect.
    ///
    /// ```
    /// use goat_core::token::{TokenKeys, TokenSettings, Verifier};
    ///
    /// let (old, new) = (TokenKeys::generate(), TokenKeys::generate());
    /// let verifier = Verifier::new(old.jwks().to_string(), TokenSettings::default())?;
    /// assert!(verifier.replace_keys(new.jwks().to_string())?);
    /// assert_eq!(verifier.key_ids(), [new.signing_key()]);
    ///
    /// assert!(verifier.replace_keys("<html>Bad gateway</html>").is_err());
    /// assert_eq!(verifier.key_ids(), [new.signing_key()]);
    /// # Ok::<(), goat_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Verifier::new`]; the old keys stay in use then.
    pub fn replace_keys(&self, jwks: impl AsRef<[u8]>) -> Result<bool> {
        let keys = jwks::read(jwks.as_ref())?;
        // Key ids are derived from the keys, so equal ids mean equal keys.
        let known = &self.0.checks.load().keys;
        let same = keys.iter().count() == known.iter().count()
            && keys.iter().all(|key| known.find(&key.kid).is_some());
        if !same {
            let checks = Checks::new(Arc::new(keys), self.0.settings.clone());
            self.0.checks.store(Arc::new(checks));
        }
        Ok(!same)
    }

    /// Waits until the keys should be fetched again: a token of the right type and algorithm had an
    /// unknown key. One that arrived before this call counts.
    ///
    /// An unauthenticated client can send such tokens. So this returns at most once per
    /// [`UNKNOWN_KEY_INTERVAL`](Verifier::UNKNOWN_KEY_INTERVAL) for all clones together: forged
    /// tokens cannot cause a flood of fetches, only delay the next fetch by that interval. An
    /// issuer avoids the delay by publishing a key before signing with it.
    ///
    /// Meant for one task; see [above](Verifier#key-rotation). If several wait, one is woken.
    pub async fn unknown_key(&self) {
        self.0.unknown.notified(&self.0.time).await;
    }

    /// Number of tokens with an unknown key so far, forged ones included, for metrics.
    #[must_use]
    pub fn unknown_keys(&self) -> u64 {
        self.0.unknown.count()
    }

    /// The ids (`kid`) of the current keys, in the order of the JWK set.
    #[must_use]
    pub fn key_ids(&self) -> Vec<String> {
        self.0.checks.load().keys.iter().map(|key| key.kid.clone()).collect()
    }

    /// The expected issuer and audience, and the leeway.
    #[must_use]
    pub fn settings(&self) -> &TokenSettings {
        &self.0.settings
    }

    /// Whether the two are clones of one verifier, and so give the same results.
    #[must_use]
    pub fn is_clone_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Minimum time between two returns of [`unknown_key`](Verifier::unknown_key): thirty seconds.
    pub const UNKNOWN_KEY_INTERVAL: std::time::Duration = unknown::INTERVAL;

    #[cfg(test)]
    pub(super) fn cached(&self) -> usize {
        self.0.checks.load().cached()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Verifier");
        debug.field("keys", &self.key_ids()).field("settings", &self.0.settings);
        debug.finish_non_exhaustive()
    }
}
