//! Issuer, audience and clock leeway of tokens.

use std::time::Duration;

use crate::error::{Error, Result};

/// Maximum length of issuer and audience, in bytes: they are part of every token.
const MAX_NAME_BYTES: usize = 255;

/// Issuer, audience and leeway for [`Tokens`](super::Tokens) and [`Verifier`](super::Verifier).
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
    /// Default leeway: the largest usual difference between synchronized clocks.
    pub const DEFAULT_CLOCK_LEEWAY: Duration = Duration::from_secs(5);

    /// Maximum leeway; larger differences should be fixed at the clocks.
    pub const MAX_CLOCK_LEEWAY: Duration = Duration::from_secs(30);

    /// Validates the settings: `issuer` becomes `iss`, `audience` becomes `aud`, and `clock_leeway`
    /// is the tolerance for a token's times, in either direction.
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

    /// The issuer of the tokens: `iss`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The audience of the tokens: `aud`.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// Tolerance for a token's times, in either direction.
    #[must_use]
    pub fn clock_leeway(&self) -> Duration {
        self.clock_leeway
    }
}

impl Default for TokenSettings {
    /// Issuer `goat`, audience `goat-api`, five seconds of leeway.
    fn default() -> Self {
        Self {
            issuer: "goat".to_owned(),
            audience: "goat-api".to_owned(),
            clock_leeway: Self::DEFAULT_CLOCK_LEEWAY,
        }
    }
}
