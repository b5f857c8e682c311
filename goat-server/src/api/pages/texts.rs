//! The texts of the sign-in page, in the languages that it speaks.

use goat_tower::Problem;
use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;

/// The texts of one language.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) language: &'static str,
    pub(super) sign_in: &'static str,
    pub(super) email: &'static str,
    pub(super) password: &'static str,
    pub(super) sign_out: &'static str,
    /// With `{}` for the address.
    pub(super) signed_in_as: &'static str,
    /// With `{}` for the number of seconds.
    too_many: &'static str,
    /// The sentences of problems, by code.
    problems: &'static [(&'static str, &'static str)],
    /// The sentence of any other problem.
    failed: &'static str,
}

const ENGLISH: Texts = Texts {
    language: "en",
    sign_in: "Sign in",
    email: "E-mail address",
    password: "Password",
    sign_out: "Sign out",
    signed_in_as: "You are signed in as {}.",
    too_many: "Too many attempts. Try again in {} seconds.",
    problems: &[
        ("invalid-credentials", "The e-mail address or the password is wrong."),
        (
            "second-factor-required",
            "A second factor is required, which this page does not ask for. Sign in by the application.",
        ),
        ("account-inactive", "The account is not active yet. Ask an administrator."),
        ("account-suspended", "The account is suspended. Ask an administrator."),
        ("cross-site-request", "The form was sent from another site. Sign in here."),
        ("validation", "Enter the e-mail address and the password."),
        ("unavailable", "Signing in is not possible at the moment. Try again shortly."),
        ("session-revoked", "The session has ended. Sign in again."),
        ("token-expired", "The session has ended. Sign in again."),
        ("token-reused", "The session has ended. Sign in again."),
        ("invalid-token", "The session has ended. Sign in again."),
    ],
    failed: "Signing in failed. Try again.",
};

const GERMAN: Texts = Texts {
    language: "de",
    sign_in: "Anmelden",
    email: "E-Mail-Adresse",
    password: "Passwort",
    sign_out: "Abmelden",
    signed_in_as: "Angemeldet als {}.",
    too_many: "Zu viele Versuche. In {} Sekunden ist der nächste möglich.",
    problems: &[
        ("invalid-credentials", "Die E-Mail-Adresse oder das Passwort ist falsch."),
        (
            "second-factor-required",
            "Ein zweiter Faktor ist nötig, den diese Seite nicht abfragt. Bitte über die Anwendung anmelden.",
        ),
        ("account-inactive", "Das Konto ist noch nicht freigeschaltet."),
        ("account-suspended", "Das Konto ist gesperrt."),
        ("cross-site-request", "Das Formular kam von einer anderen Website. Hier anmelden."),
        ("validation", "E-Mail-Adresse und Passwort eingeben."),
        (
            "unavailable",
            "Die Anmeldung ist gerade nicht möglich. Bitte gleich noch einmal versuchen.",
        ),
        ("session-revoked", "Die Sitzung ist beendet. Bitte neu anmelden."),
        ("token-expired", "Die Sitzung ist beendet. Bitte neu anmelden."),
        ("token-reused", "Die Sitzung ist beendet. Bitte neu anmelden."),
        ("invalid-token", "Die Sitzung ist beendet. Bitte neu anmelden."),
    ],
    failed: "Die Anmeldung ist fehlgeschlagen. Bitte noch einmal versuchen.",
};

impl Texts {
    /// Returns the texts of the language that the browser prefers (RFC 9110 §12.5.4); English by default.
    pub(super) fn of(headers: &HeaderMap) -> &'static Self {
        let value = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let [german, english] =
            ["de", "en"].map(|language| weight(value.unwrap_or_default(), language));
        if german.0 > 0 && german > english { &GERMAN } else { &ENGLISH }
    }

    /// Returns the sentence of a problem.
    pub(super) fn sentence(&self, problem: &Problem) -> String {
        if problem.code() == "rate-limited" {
            let seconds = problem.retry_after_seconds().unwrap_or(1).to_string();
            return self.too_many.replace("{}", &seconds);
        }
        let found = self.problems.iter().find(|(code, _)| *code == problem.code());
        found.map_or(self.failed, |(_, sentence)| sentence).to_owned()
    }
}

/// Returns the weight of a language in thousandths, and a number that falls with its place in the header.
fn weight(header: &str, language: &str) -> (u32, i32) {
    let ranges = header.split(',').zip(0..);
    let weights = ranges.filter_map(|(range, place)| {
        let mut parts = range.split(';').map(str::trim);
        let tag = parts.next()?;
        let primary = tag.split('-').next()?;
        if !primary.eq_ignore_ascii_case(language) {
            return None;
        }
        let quality = parts.find_map(|part| part.strip_prefix("q="));
        Some((quality.map_or(Some(1000), thousandths)?, -place))
    });
    weights.max().unwrap_or((0, i32::MIN))
}

/// Parses a weight (RFC 9110 §12.4.2): at most one, with up to three digits after the point.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    let digits = digits.get(..3).unwrap_or(digits);
    let thousandths = format!("{digits:0<3}").parse::<u32>().ok()?;
    Some((whole.parse::<u32>().ok()?.min(1) * 1000 + thousandths).min(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_language_is_chosen() {
        for (header, language) in [
            ("", "en"),
            ("de", "de"),
            ("de-AT,de;q=0.9,en;q=0.8", "de"),
            ("en-GB,en;q=0.9,de;q=0.8", "en"),
            ("fr, de;q=0.5, en;q=0.6", "en"),
            ("de;q=0", "en"),
            ("DE, en", "de"),
            ("de;q=x, en;q=0.1", "en"),
            ("de;q=0.25, en;q=0.3", "en"),
            ("de;q=1.000, en;q=0.999", "de"),
            ("*", "en"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, header.parse().expect("a value"));
            assert_eq!(Texts::of(&headers).language, language, "{header}");
        }
    }

    #[test]
    fn every_problem_has_a_sentence_in_every_language() {
        let codes =
            |texts: &Texts| texts.problems.iter().map(|(code, _)| *code).collect::<Vec<_>>();
        assert_eq!(codes(&ENGLISH), codes(&GERMAN));
    }
}
