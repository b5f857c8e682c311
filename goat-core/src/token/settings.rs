//! Issuer, audience, client id and clock leeway of tokens.

use std::time::Duration;

use crate::error::{Error, Result};

/// Maximum length of issuer, audience and client id, in bytes: they are part of every access token.
const MAX_NAME_BYTES: usize = 255;

/// Issuer, audience, client id and leeway for [`Tokens`](super::Tokens) and [`Verifier`](super::Verifier).
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
    client_id: String,
    clock_leeway: Duration,
}

impl TokenSettings {
    /// Default leeway: the largest usual difference between synchronized clocks.
    pub const DEFAULT_CLOCK_LEEWAY: Duration = Duration::from_secs(5);

    /// Maximum leeway; larger differences should be fixed at the clocks.
    pub const MAX_CLOCK_LEEWAY: Duration = Duration::from_secs(30);

    /// Validates the settings: `issuer` becomes `iss` of every token and `aud` of refresh tokens,
    /// `audience` becomes `aud` of access tokens, and `clock_leeway` is the tolerance for a token's
    /// times, in either direction.
    ///
    /// An audience that equals the issuer gives access and refresh tokens the same `aud`, so that only
    /// `typ` tells them apart.
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
        check_name("issuer", &issuer)?;
        check_name("audience", &audience)?;
        if clock_leeway > Self::MAX_CLOCK_LEEWAY {
            return Err(Error::configuration("the clock leeway must be at most 30 seconds"));
        }
        Ok(Self { issuer, audience, clock_leeway, ..Self::default() })
    }

    /// Sets the client id of access tokens, `client_id` (RFC 9068 §2.2), in place of `goat`. A verifier
    /// accepts every client id.
    ///
    /// # Errors
    ///
    /// As [`TokenSettings::new`], for the name.
    pub fn with_client_id(mut self, client_id: impl Into<String>) -> Result<Self> {
        self.client_id = client_id.into();
        check_name("client id", &self.client_id)?;
        Ok(self)
    }

    /// The issuer of the tokens: `iss`, and the audience of refresh tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The client id of access tokens: `client_id`.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The audience of access tokens: `aud`.
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

fn check_name(what: &str, name: &str) -> Result<()> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains(char::is_control) {
        return Err(Error::configuration(format!(
            "the {what} of tokens must be 1 to {MAX_NAME_BYTES} bytes without control characters"
        )));
    }
    Ok(())
}

impl Default for TokenSettings {
    /// Issuer `goat`, audience `goat-api`, client id `goat`, five seconds of leeway.
    fn default() -> Self {
        Self {
            issuer: "goat".to_owned(),
            audience: "goat-api".to_owned(),
            client_id: "goat".to_owned(),
            clock_leeway: Self::DEFAULT_CLOCK_LEEWAY,
        }
    }
}
