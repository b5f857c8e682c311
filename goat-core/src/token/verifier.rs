//! The verification of access tokens by a service that holds only the public keys.
//!
//! Invariants: a token passes here if and only if it passes with the goat that issued it, but for the
//! session, which nobody is asked about. Nothing is fetched: keys come from the application. Keys are
//! replaced whole, and what was verified under the old ones is forgotten with them; a document that is
//! not accepted changes nothing.

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

/// Verifies access tokens with public keys alone: for a service beside goat, which asks nobody.
///
/// Its keys are a JWK set, as goat's server serves it at `/.well-known/jwks.json` and
/// [`Goat::jwks`](crate::Goat::jwks) gives it; the issuer must sign with EdDSA, since HS256 has no
/// public half. Issuer, audience and leeway must be those of the issuer. A handle: clones share keys,
/// memory and clock.
///
/// What comes out is a [`TokenPrincipal`], which is **blind to whatever happened after the token was
/// signed**; read there what that means before choosing this over asking goat.
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
/// let who = verifier.verify(alice.access_token())?;
/// assert_eq!(who.user(), alice.user.id);
/// assert!(who.may(&REPORTS));
///
/// // Refused: a token that is over, and one that is none.
/// issuer.clock.advance(Duration::from_secs(3600));
/// assert_eq!(verifier.verify(alice.access_token()).unwrap_err().kind(), ErrorKind::TokenExpired);
/// assert_eq!(verifier.verify("a.b.c").unwrap_err().kind(), ErrorKind::InvalidToken);
/// # Ok(())
/// # }
/// ```
///
/// # Keys that change
///
/// An application fetches the set itself, and gives it to [`replace_keys`](Verifier::replace_keys):
/// every few minutes, since a key that its issuer removed is believed here until then; and when
/// [`unknown_key`](Verifier::unknown_key) says that a token came with a key that is not known. It fetches
/// over https and from the address that it was configured with, never from one that a token names, and
/// gives the fetch a time limit: while it hangs, a key that was removed is believed here. One task does
/// both:
///
/// ```no_run
/// # use goat_core::token::Verifier;
/// # use std::time::Duration;
/// # async fn fetch() -> std::io::Result<Vec<u8>> { unimplemented!() }
/// # fn keep(verifier: Verifier) {
/// tokio::spawn(async move {
///     loop {
///         // Either way: five minutes are over, or there is reason to look now.
///         let _ = tokio::time::timeout(Duration::from_secs(300), verifier.unknown_key()).await;
///         match fetch().await {
///             Ok(jwks) => match verifier.replace_keys(jwks) {
///                 Ok(true) => eprintln!("the keys are {:?} now", verifier.key_ids()),
///                 Ok(false) => {}
///                 Err(error) => eprintln!("the old keys stay: {error}"),
///             },
///             Err(error) => eprintln!("no keys could be fetched: {error}"),
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
    /// Reads the keys, by the machine's clock.
    ///
    /// Keys of a kind or for a use that goat does not know are skipped (RFC 7517 §5).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration), with what is wrong, if the
    /// document
    ///
    /// - is over 64 KiB, is no JSON, has no `keys`, or has any member twice;
    /// - has no key that is of use here; an empty one comes from an issuer that signs with HS256;
    /// - has an Ed25519 key that is none, that is not named by its thumbprint, that is there twice, or
    ///   for which anybody can sign (a point of small order, such as 32 zeros);
    /// - holds a secret (`d` or `k`), of whatever key.
    ///
    /// Also if no cryptography provider is there (see the features `aws-lc-rs` and `rust-crypto`).
    pub fn new(jwks: impl AsRef<[u8]>, settings: TokenSettings) -> Result<Self> {
        Self::with_clock(jwks, settings, Arc::new(SystemClock::start()))
    }

    /// The same with a clock of one's own.
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

    /// Verifies an access token. Nobody is asked whether its session lives.
    ///
    /// A token that was verified before is not verified again, but its times are checked.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TokenExpired`](crate::ErrorKind::TokenExpired) if all is good but the time,
    /// [`ErrorKind::InvalidToken`](crate::ErrorKind::InvalidToken) for everything else. What it was
    /// stands in the error's `Display`, for the log; where it was the key, the error's
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

    /// Takes another JWK set in place of the one in force, for all clones at once: `true` if its keys
    /// are others. What is being verified at that moment is judged by the old keys or by the new ones;
    /// what was verified before is forgotten, so that a key which is gone ends its tokens. The same
    /// keys again change nothing.
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
    /// As [`Verifier::new`]; the old keys stay in force then.
    pub fn replace_keys(&self, jwks: impl AsRef<[u8]>) -> Result<bool> {
        let keys = jwks::read(jwks.as_ref())?;
        // Ids are made from the keys, so the same ids are the same keys.
        let known = &self.0.checks.load().keys;
        let same = keys.iter().count() == known.iter().count()
            && keys.iter().all(|key| known.find(&key.kid).is_some());
        if !same {
            let checks = Checks::new(Arc::new(keys), self.0.settings.clone());
            self.0.checks.store(Arc::new(checks));
        }
        Ok(!same)
    }

    /// Waits until there is reason to fetch the keys anew: a token of the right type and algorithm
    /// came whose key is not known. One that came while nobody waited counts.
    ///
    /// Anybody can send such a token, signed by nobody. So this returns at most once in
    /// [`UNKNOWN_KEY_PAUSE`](Verifier::UNKNOWN_KEY_PAUSE), for all clones together and whatever comes
    /// in: who forges tokens cannot make a service hammer its issuer, only delay by that pause what
    /// reaches it of a new key. An issuer avoids even that by publishing a key before signing with it.
    ///
    /// Meant for one task; see [above](Verifier#keys-that-change). Of several that wait, one is woken.
    pub async fn unknown_key(&self) {
        self.0.unknown.heard(&self.0.time).await;
    }

    /// How many tokens with an unknown key have come so far, forged ones among them: for metrics.
    #[must_use]
    pub fn unknown_keys(&self) -> u64 {
        self.0.unknown.count()
    }

    /// The ids (`kid`) of the keys in force, in the order of their document.
    #[must_use]
    pub fn key_ids(&self) -> Vec<String> {
        self.0.checks.load().keys.iter().map(|key| key.kid.clone()).collect()
    }

    /// What tokens are verified against.
    #[must_use]
    pub fn settings(&self) -> &TokenSettings {
        &self.0.settings
    }

    /// Whether the two are clones of one, so that what the one has let in the other would have.
    #[must_use]
    pub fn is_clone_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// How long [`unknown_key`](Verifier::unknown_key) rests after it has returned: thirty seconds.
    pub const UNKNOWN_KEY_PAUSE: std::time::Duration = unknown::PAUSE;

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.0.checks.load().remembered()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Verifier");
        debug.field("keys", &self.key_ids()).field("settings", &self.0.settings);
        debug.finish_non_exhaustive()
    }
}
