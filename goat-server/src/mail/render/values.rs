//! Values of a letter, by the names of their placeholders.

use std::net::IpAddr;

use goat_core::Timestamp;
use goat_core::courier::{Letter, Message};
use goat_core::factor::FactorKind;

use super::link::link_for;
use super::text::one_line;

/// A value that templates can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// The host of `GOAT_PUBLIC_URL`.
    Site,
    /// The reader's address.
    Email,
    /// The link.
    Link,
    /// The code to be typed; empty if the message has none.
    Code,
    /// The time at which link and code expire.
    Expires,
    /// The time of the event.
    At,
    /// The client software; empty if unknown.
    Device,
    /// The client's address; empty if unknown.
    Ip,
    /// The name of an API key.
    Name,
    /// The second factors that stay, in words; empty if there are none.
    Factors,
    /// The number of API keys that stay; empty if there are none.
    Keys,
}

impl Value {
    const COUNT: usize = 11;

    /// Returns the name of its placeholder.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Email => "email",
            Self::Link => "link",
            Self::Code => "code",
            Self::Expires => "expires",
            Self::At => "at",
            Self::Device => "device",
            Self::Ip => "ip",
            Self::Name => "name",
            Self::Factors => "factors",
            Self::Keys => "keys",
        }
    }

    /// Whether it answers a challenge.
    pub(super) const fn is_secret(self) -> bool {
        matches!(self, Self::Link | Self::Code)
    }
}

/// The values of one letter: each one line of visible characters.
#[derive(Default)]
pub(super) struct Values([String; Value::COUNT]);

impl Values {
    /// Returns the values of a letter in a language.
    pub(super) fn of(letter: &Letter, language: &str, site: &str, link_url: &str) -> Self {
        let mut values = Self::default();
        values.set(Value::Site, one_line(site));
        values.set(Value::Email, one_line(letter.to.as_str()));
        if let Some(link) = link_for(&letter.message, link_url) {
            values.set(Value::Link, link.expose().clone());
        }
        if let Some(secret) = letter.message.secret() {
            values.set(Value::Expires, time(secret.expires_at));
            if let Some(code) = &secret.code {
                values.set(Value::Code, grouped(code.text().expose()));
            }
        }
        match &letter.message {
            Message::EmailChanged { at, .. } => values.set(Value::At, time(*at)),
            Message::PasswordChanged { at, factors, keys } => {
                values.set(Value::At, time(*at));
                values.set(Value::Factors, factor_names(factors, language));
                if *keys > 0 {
                    values.set(Value::Keys, keys.to_string());
                }
            }
            Message::KeyCreated { name, at } => {
                values.set(Value::At, time(*at));
                values.set(Value::Name, one_line(name));
            }
            Message::SecondFactorFailed { at, address } => {
                values.set(Value::At, time(*at));
                values.set(Value::Ip, ip(*address));
            }
            Message::NewDevice { at, device, address } => {
                values.set(Value::At, time(*at));
                values.set(Value::Device, one_line(device));
                values.set(Value::Ip, ip(*address));
            }
            _ => {}
        }
        values
    }

    pub(super) fn set(&mut self, value: Value, text: String) {
        self.0[value as usize] = text;
    }

    pub(super) fn get(&self, value: Value) -> &str {
        &self.0[value as usize]
    }
}

/// Returns a time in UTC, to the minute: `2026-01-31 09:26 UTC`.
fn time(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_millisecond(time.as_millis()).unwrap_or_default();
    let text = time.to_string();
    // RFC 3339: the first 16 characters are date, `T`, hours and minutes.
    text.get(..16).map_or(text.clone(), |minutes| format!("{} UTC", minutes.replace('T', " ")))
}

/// Returns a code in two groups, as it is read out. Spaces do not count when it is typed.
fn grouped(code: &str) -> String {
    match code.split_at_checked(code.len() / 2) {
        Some((left, right)) if code.is_ascii() => format!("{left} {right}"),
        _ => code.to_owned(),
    }
}

fn ip(address: Option<IpAddr>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}

/// Returns the names of factors, in German or else in English.
fn factor_names(factors: &[FactorKind], language: &str) -> String {
    let is_german = language.split('-').next() == Some("de");
    let names: Vec<&str> = factors
        .iter()
        .map(|factor| match (factor, is_german) {
            (FactorKind::Totp, false) => "authenticator app",
            (FactorKind::Totp, true) => "Authenticator-App",
            (FactorKind::Passkey, false) => "passkey",
            (FactorKind::Passkey, true) => "Passkey",
            (FactorKind::SecurityKey, false) => "security key",
            (FactorKind::SecurityKey, true) => "Sicherheitsschlüssel",
            (other, _) => other.as_str(),
        })
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_utc_to_the_minute() {
        let at = |milliseconds| time(Timestamp::from_millis(milliseconds));
        assert_eq!(at(1_767_225_659_999), "2026-01-01 00:00 UTC");
        assert_eq!(at(i64::MAX), "1970-01-01 00:00 UTC");
    }

    #[test]
    fn factors_are_named_in_the_language() {
        let factors = [FactorKind::Totp, FactorKind::SecurityKey];
        assert_eq!(factor_names(&factors, "en"), "authenticator app, security key");
        assert_eq!(factor_names(&factors, "de-at"), "Authenticator-App, Sicherheitsschlüssel");
        assert_eq!(factor_names(&[], "de"), "");
    }

    #[test]
    fn code_is_shown_in_two_groups() {
        assert_eq!(grouped("ABCD2345"), "ABCD 2345");
    }
}
