//! The texts of the page, in the languages that it speaks.

use goat_core::Languages;

use super::flows::FLOWS;

/// The texts of one language.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) language: &'static str,
    pub(super) title: &'static str,
    /// Without a link, or with a part of one.
    pub(super) no_link: &'static str,
    pub(super) no_script: &'static str,
    pub(super) password: &'static str,
    /// With `{minimum}` and `{maximum}`.
    pub(super) password_rule: &'static str,
    pub(super) show_password: &'static str,
    /// The label of the field for a code of either kind, and that for a recovery code alone.
    pub(super) code: &'static str,
    pub(super) recovery_code: &'static str,
    pub(super) sign_in: &'static str,
    /// In the order of [`FLOWS`].
    pub(super) flows: [FlowTexts; FLOWS.len()],
    /// Sentences by the code of a problem, and by the names that the page's script has.
    pub(super) problems: &'static [(&'static str, &'static str)],
    /// Sentences by the rule for passwords that the API names; `{}` is the value in both.
    pub(super) rules: &'static [(&'static str, &'static str)],
}

/// The texts of a flow.
#[derive(Debug)]
pub(super) struct FlowTexts {
    pub(super) title: &'static str,
    /// The button's effect.
    pub(super) about: &'static str,
    /// In its place, where the flow needs session cookies and there are none.
    pub(super) without_cookies: &'static str,
    pub(super) button: &'static str,
    pub(super) done_title: &'static str,
    /// The next step. `{}` is the address of the user who is signed in.
    pub(super) done: &'static str,
}

impl Texts {
    /// The texts of every language.
    pub(super) const ALL: [&'static Self; 2] = [&ENGLISH, &GERMAN];

    /// Returns the texts of the language that the browser prefers; English by default.
    pub(super) fn of(languages: &Languages) -> &'static Self {
        let preferred = languages.pick(Self::ALL.map(|texts| texts.language));
        let found = Self::ALL.into_iter().find(|texts| Some(texts.language) == preferred);
        found.unwrap_or(&ENGLISH)
    }
}

static ENGLISH: Texts = Texts {
    language: "en",
    title: "Link from an e-mail",
    no_link: "Open this page by the link in the e-mail. If you did, the link is not complete: copy the whole \
              link into the address bar.",
    no_script: "This page needs JavaScript, because the secret of the link stays in your browser until you \
                press the button. Allow JavaScript and open the link again. The link was not used.",
    password: "New password",
    password_rule: "{minimum} to {maximum} characters. Several words are easy to remember.",
    show_password: "Show the password",
    code: "Authenticator code or recovery code",
    recovery_code: "Recovery code",
    sign_in: "Sign in",
    flows: [
        FlowTexts {
            title: "Create your account",
            about: "Choose a password to complete the sign-up.",
            without_cookies: "",
            button: "Create account",
            done_title: "Your account is ready",
            done: "Sign in with your e-mail address and the new password.",
        },
        FlowTexts {
            title: "Verify your e-mail address",
            about: "Confirm that the address of your account is yours, in the browser in which you are \
                    signed in.",
            without_cookies: "Only you, signed in, can verify the address of your account. Type the code from \
                              the e-mail in the application.",
            button: "Verify address",
            done_title: "Your address is verified",
            done: "You can close this page.",
        },
        FlowTexts {
            title: "Set a new password",
            about: "The old password stops working, and every device is signed out.",
            without_cookies: "",
            button: "Set password",
            done_title: "Your password is set",
            done: "Sign in with your e-mail address and the new password.",
        },
        FlowTexts {
            title: "Confirm your new e-mail address",
            about: "Your account changes to this address, with which you sign in from then on.",
            without_cookies: "",
            button: "Confirm address",
            done_title: "Your address is changed",
            done: "Sign in with the new address from now on. The old address receives a notice.",
        },
        FlowTexts {
            title: "Take your account back",
            about: "Your account returns to this e-mail address. Every device is signed out, and the password \
                    stops working.",
            without_cookies: "",
            button: "Restore address",
            done_title: "Your account is back",
            done: "The old password no longer works. Set a new one by the link in the next e-mail.",
        },
        FlowTexts {
            title: "Accept the invitation",
            about: "Choose a password for your account.",
            without_cookies: "",
            button: "Accept invitation",
            done_title: "Your account is ready",
            done: "Sign in with your e-mail address and the new password.",
        },
        FlowTexts {
            title: "Sign in",
            about: "Sign in in this browser.",
            without_cookies: "Type the code from the e-mail in the application, where you asked for it.",
            button: "Sign in",
            done_title: "You are signed in",
            done: "You are signed in as {}. Go back to the application.",
        },
    ],
    problems: &[
        (
            "invalid-challenge",
            "This link does not work: it was used, has expired or is not complete. Ask for a new e-mail.",
        ),
        (
            "code-required",
            "Your account has a second factor. Type the code of your authenticator app, or a recovery code.",
        ),
        (
            "recovery-code-required",
            "Your account has a second factor. Type one of your recovery codes.",
        ),
        ("wrong-code", "The code is wrong, or the link was used or has expired."),
        ("wrong-password", "This password cannot be used. Choose another one."),
        ("email-taken", "Another account has this e-mail address."),
        (
            "unauthenticated",
            "You are not signed in in this browser. Sign in in another tab and press the button again, or \
             type the code from the e-mail in the application.",
        ),
        (
            "session-required",
            "You are not signed in in this browser. Sign in in another tab and press the button again.",
        ),
        ("account-inactive", "The account is not active yet. Ask an administrator."),
        ("account-suspended", "The account is suspended. Ask an administrator."),
        ("not-found", "This server no longer accepts this link."),
        ("rate-limited", "Too many attempts. Try again in {} seconds."),
        ("unavailable", "This is not possible at the moment. Try again shortly."),
        ("no-answer", "The server does not answer. Check the connection and try again."),
        ("failed", "This failed. Try again."),
    ],
    rules: &[
        ("is required", "Enter a password."),
        ("must have at least {} characters", "The password must have at least {} characters."),
        ("must have at most {} characters", "The password must have at most {} characters."),
        (
            "must not be a common password or a repetition of one",
            "This password is common, or a repetition of a common one. Choose another one.",
        ),
        (
            "must not be a password that is known from a data breach",
            "This password is known from a data breach. Choose another one.",
        ),
        (
            "must not be based on the e-mail address",
            "The password must not be based on the e-mail address.",
        ),
        (
            "must not be based on the name of the service",
            "The password must not be based on the name of the service.",
        ),
        ("must not contain {}", "The password must not contain {}."),
    ],
};

static GERMAN: Texts = Texts {
    language: "de",
    title: "Link aus einer E-Mail",
    no_link: "Diese Seite bitte über den Link in der E-Mail öffnen. Falls das geschehen ist, ist der Link nicht \
              vollständig: den ganzen Link in die Adresszeile kopieren.",
    no_script: "Diese Seite braucht JavaScript, denn das Geheimnis des Links bleibt im Browser, bis der Knopf \
                gedrückt wird. Bitte JavaScript erlauben und den Link noch einmal öffnen. Er ist noch nicht \
                verbraucht.",
    password: "Neues Passwort",
    password_rule: "{minimum} bis {maximum} Zeichen. Mehrere Wörter sind leicht zu merken.",
    show_password: "Passwort anzeigen",
    code: "Code der Authenticator-App oder Wiederherstellungscode",
    recovery_code: "Wiederherstellungscode",
    sign_in: "Anmelden",
    flows: [
        FlowTexts {
            title: "Konto anlegen",
            about: "Ein Passwort wählen, um die Registrierung abzuschließen.",
            without_cookies: "",
            button: "Konto anlegen",
            done_title: "Das Konto ist angelegt",
            done: "Jetzt mit der E-Mail-Adresse und dem neuen Passwort anmelden.",
        },
        FlowTexts {
            title: "E-Mail-Adresse bestätigen",
            about: "Bestätigen, dass die Adresse des Kontos die eigene ist – in dem Browser, in dem die \
                    Anmeldung besteht.",
            without_cookies: "Die Adresse eines Kontos bestätigt nur, wer dort angemeldet ist. Bitte den Code \
                              aus der E-Mail in der Anwendung eingeben.",
            button: "Adresse bestätigen",
            done_title: "Die Adresse ist bestätigt",
            done: "Diese Seite kann geschlossen werden.",
        },
        FlowTexts {
            title: "Neues Passwort setzen",
            about: "Das alte Passwort wird ungültig, und alle Geräte werden abgemeldet.",
            without_cookies: "",
            button: "Passwort setzen",
            done_title: "Das Passwort ist gesetzt",
            done: "Jetzt mit der E-Mail-Adresse und dem neuen Passwort anmelden.",
        },
        FlowTexts {
            title: "Neue E-Mail-Adresse bestätigen",
            about: "Das Konto wechselt zu dieser Adresse. Mit ihr geschieht ab dann die Anmeldung.",
            without_cookies: "",
            button: "Adresse bestätigen",
            done_title: "Die Adresse ist geändert",
            done: "Ab jetzt mit der neuen Adresse anmelden. Die alte Adresse erhält eine Nachricht.",
        },
        FlowTexts {
            title: "Konto zurückholen",
            about: "Das Konto kehrt zu dieser E-Mail-Adresse zurück. Alle Geräte werden abgemeldet, und das \
                    Passwort wird ungültig.",
            without_cookies: "",
            button: "Adresse wiederherstellen",
            done_title: "Das Konto ist zurück",
            done: "Das alte Passwort gilt nicht mehr. Der Link in der nächsten E-Mail setzt ein neues.",
        },
        FlowTexts {
            title: "Einladung annehmen",
            about: "Ein Passwort für das Konto wählen.",
            without_cookies: "",
            button: "Einladung annehmen",
            done_title: "Das Konto ist bereit",
            done: "Jetzt mit der E-Mail-Adresse und dem neuen Passwort anmelden.",
        },
        FlowTexts {
            title: "Anmelden",
            about: "In diesem Browser anmelden.",
            without_cookies: "Bitte den Code aus der E-Mail in der Anwendung eingeben, in der er angefordert \
                              wurde.",
            button: "Anmelden",
            done_title: "Die Anmeldung ist erfolgt",
            done: "Angemeldet als {}. Weiter geht es in der Anwendung.",
        },
    ],
    problems: &[
        (
            "invalid-challenge",
            "Dieser Link gilt nicht: Er wurde verwendet, ist abgelaufen oder nicht vollständig. Bitte eine neue \
             E-Mail anfordern.",
        ),
        (
            "code-required",
            "Das Konto hat einen zweiten Faktor. Bitte den Code der Authenticator-App oder einen \
             Wiederherstellungscode eingeben.",
        ),
        (
            "recovery-code-required",
            "Das Konto hat einen zweiten Faktor. Bitte einen der Wiederherstellungscodes eingeben.",
        ),
        ("wrong-code", "Der Code ist falsch, oder der Link wurde verwendet oder ist abgelaufen."),
        (
            "wrong-password",
            "Dieses Passwort kann nicht verwendet werden. Bitte ein anderes wählen.",
        ),
        ("email-taken", "Diese E-Mail-Adresse hat ein anderes Konto."),
        (
            "unauthenticated",
            "In diesem Browser besteht keine Anmeldung. Bitte in einem anderen Tab anmelden und den Knopf noch \
             einmal drücken, oder den Code aus der E-Mail in der Anwendung eingeben.",
        ),
        (
            "session-required",
            "In diesem Browser besteht keine Anmeldung. Bitte in einem anderen Tab anmelden und den Knopf noch \
             einmal drücken.",
        ),
        ("account-inactive", "Das Konto ist noch nicht freigeschaltet."),
        ("account-suspended", "Das Konto ist gesperrt."),
        ("not-found", "Dieser Server nimmt den Link nicht mehr an."),
        ("rate-limited", "Zu viele Versuche. In {} Sekunden ist der nächste möglich."),
        ("unavailable", "Das ist gerade nicht möglich. Bitte gleich noch einmal versuchen."),
        (
            "no-answer",
            "Der Server antwortet nicht. Bitte die Verbindung prüfen und noch einmal versuchen.",
        ),
        ("failed", "Das ist fehlgeschlagen. Bitte noch einmal versuchen."),
    ],
    rules: &[
        ("is required", "Bitte ein Passwort eingeben."),
        ("must have at least {} characters", "Das Passwort muss mindestens {} Zeichen haben."),
        ("must have at most {} characters", "Das Passwort darf höchstens {} Zeichen haben."),
        (
            "must not be a common password or a repetition of one",
            "Dieses Passwort ist verbreitet, oder die Wiederholung eines verbreiteten. Bitte ein anderes wählen.",
        ),
        (
            "must not be a password that is known from a data breach",
            "Dieses Passwort ist aus einem Datenleck bekannt. Bitte ein anderes wählen.",
        ),
        (
            "must not be based on the e-mail address",
            "Das Passwort darf nicht aus der E-Mail-Adresse bestehen.",
        ),
        (
            "must not be based on the name of the service",
            "Das Passwort darf nicht aus dem Namen des Dienstes bestehen.",
        ),
        ("must not contain {}", "Das Passwort darf dieses Zeichen nicht enthalten: {}."),
    ],
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use goat_core::password::PasswordFault;

    use super::*;

    fn every() -> impl Iterator<Item = &'static str> {
        Texts::ALL.into_iter().flat_map(|texts| {
            let flows = texts.flows.iter().flat_map(|flow| {
                let FlowTexts { title, about, without_cookies, button, done_title, done } = flow;
                [*title, about, without_cookies, button, done_title, done]
            });
            let named = texts.problems.iter().chain(texts.rules);
            let named = named.flat_map(|(name, sentence)| [*name, *sentence]);
            let own = [
                texts.title,
                texts.no_link,
                texts.no_script,
                texts.password,
                texts.password_rule,
                texts.show_password,
                texts.code,
                texts.recovery_code,
                texts.sign_in,
            ];
            flows.chain(named).chain(own)
        })
    }

    #[test]
    fn no_text_needs_to_be_escaped() {
        for text in every() {
            assert!(!text.contains(['<', '>', '&', '"']), "{text}");
        }
    }

    #[test]
    fn every_sentence_is_in_every_language() {
        let names = |sentences: &[(&'static str, &str)]| {
            sentences.iter().map(|(name, _)| *name).collect::<Vec<_>>()
        };
        assert_eq!(names(ENGLISH.problems), names(GERMAN.problems));
        assert_eq!(names(ENGLISH.rules), names(GERMAN.rules));
        for (english, german) in ENGLISH.flows.iter().zip(&GERMAN.flows) {
            assert_eq!(english.without_cookies.is_empty(), german.without_cookies.is_empty());
            assert_eq!(english.done.contains("{}"), german.done.contains("{}"));
        }
        for (flow, texts) in FLOWS.iter().zip(&ENGLISH.flows) {
            assert_eq!(flow.session.needs_cookies(), !texts.without_cookies.is_empty());
        }
    }

    /// The rule that the page's script finds for a message: the first that agrees up to its `{}`.
    fn rule_of(message: &str) -> Option<&'static str> {
        let is_of = |rule: &str| match rule.split_once("{}") {
            Some((before, after)) => message.starts_with(before) && message.ends_with(after),
            None => message == rule,
        };
        ENGLISH.rules.iter().map(|(rule, _)| *rule).find(|rule| is_of(rule))
    }

    #[test]
    fn every_rule_for_passwords_has_a_sentence() {
        let mut found = BTreeSet::from(["is required"]);
        for fault in [
            PasswordFault::TooShort { minimum: 15 },
            PasswordFault::TooLong { maximum: 256 },
            PasswordFault::Unusable { character: '\u{7}' },
            PasswordFault::Common,
            PasswordFault::Breached,
            PasswordFault::Email,
            PasswordFault::Name,
        ] {
            found.extend(rule_of(&fault.to_string()));
        }
        assert_eq!(found, ENGLISH.rules.iter().map(|(rule, _)| *rule).collect());
    }

    #[test]
    fn the_preferred_language_is_chosen() {
        for (header, language) in [
            ("", "en"),
            ("de-AT,de;q=0.9,en;q=0.8", "de"),
            ("en-GB,en;q=0.9,de;q=0.8", "en"),
            ("fr, de;q=0.5", "de"),
            ("fr", "en"),
        ] {
            assert_eq!(Texts::of(&Languages::parse(header)).language, language, "{header}");
        }
    }
}
