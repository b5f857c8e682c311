//! Who issues the tokens, for whom, and how far clocks may differ.

use std::time::Duration;

use crate::error::{Error, Result};

/// The longest issuer or audience, in bytes: they stand in every token.
const MAX_NAME_BYTES: usize = 255;

/// Issuer, audience and leeway of a [`Tokens`](super::Tokens).
///
/// ```
/// use std::time::Duration;
/// use goat_core::token::TokenSettings;
///
/// let settings = TokenSettings::new("https://id.example", "reports", Duration::from_secs(5))?;
/// assert_eq!(settings.audience(), "reports");
/// assert!(TokenSettings::new("goat", "goat-api", Duration::from_secs(31)).is_err());
/// # Ok::<(), goat_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    issuer: String,
    audience: String,
    clock_leeway: Duration,
}

impl TokenSettings {
    /// The leeway where nothing else is said: what machines with a time service are apart at worst.
    pub const DEFAULT_CLOCK_LEEWAY: Duration = Duration::from_secs(5);

    /// The most leeway that may be asked for: beyond it, clocks should be mended instead.
    pub const MAX_CLOCK_LEEWAY: Duration = Duration::from_secs(30);

    /// Checks and takes them: `issuer` becomes `iss`, `audience` becomes `aud`, and `clock_leeway`
    /// is how far a token's times may be off, in either direction.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) if a name is empty, longer
    /// than 255 bytes or holds control characters, or if the leeway is over 30 seconds.
    pub fn new(
        issuer: impl Into<String>,
        audience: impl Into<String>,
        clock_leeway: Duration,
    ) -> Result<Self> {
        let (issuer, audience) = (issuer.into(), audience.into());
        for (what, name) in [("issuer", &issuer), ("audience", &audience)] {
            if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains(char::is_control) {
                return Err(Error::configuration(format!(
                    "the {what} of tokens must be 1 to {MAX_NAME_BYTES} bytes without control characters"
                )));
            }
        }
        if clock_leeway > Self::MAX_CLOCK_LEEWAY {
            return Err(Error::configuration("the clock leeway must be at most 30 seconds"));
        }
        Ok(Self { issuer, audience, clock_leeway })
    }

    /// Who issues the tokens: the `iss` claim.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// For whom they are: the `aud` claim.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// How far a token's times may be off, in either direction.
    #[must_use]
    pub fn clock_leeway(&self) -> Duration {
        self.clock_leeway
    }
}

impl Default for TokenSettings {
    /// Issued by `goat` for `goat-api`, with five seconds of leeway.
    fn default() -> Self {
        Self {
            issuer: "goat".to_owned(),
            audience: "goat-api".to_owned(),
            clock_leeway: Self::DEFAULT_CLOCK_LEEWAY,
        }
    }
}
