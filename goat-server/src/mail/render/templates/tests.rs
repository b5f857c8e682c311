use goat_core::testing::sample_letters;
use goat_core::{Email, Languages};

use super::*;

/// A folder of templates with these files.
fn load(files: &[(&str, &[u8])]) -> Result<Templates, Failure> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).expect("a file");
    }
    Templates::load(Some(folder.path()))
}

fn rendered(templates: &Templates, name: &str, languages: &str) -> (String, Rendered) {
    let to = Email::parse("ann@example.com").expect("an address");
    let languages = Languages::parse(languages);
    let samples = sample_letters(&to, &languages, "text");
    let letter = samples.iter().find(|letter| template_name(&letter.message) == name);
    let letter = letter.expect("a sample");
    let language = templates.language(&letter.message, &letter.languages);
    let values = Values::of(letter, language, "app.example.org", "https://app.example.org/link");
    let rendered = templates.render(&letter.message, language, &values);
    (language.to_owned(), rendered.expect("a template"))
}

#[test]
fn every_message_has_templates_in_english_and_german() {
    let templates = Templates::load(None).expect("the built-in templates");
    let to = Email::parse("ann@example.com").expect("an address");
    let mut seen = std::collections::BTreeSet::new();
    for (header, expected) in [("", "en"), ("de-AT", "de"), ("fr, it", "en"), ("fr, de", "de")] {
        let languages = Languages::parse(header);
        for letter in sample_letters(&to, &languages, "text") {
            let name = template_name(&letter.message);
            let (language, rendered) = rendered(&templates, name, header);
            assert_eq!(language, expected);
            assert!(!rendered.subject.is_empty() && rendered.html.is_some());
            seen.insert(name);
        }
    }
    let all: std::collections::BTreeSet<_> = KINDS.iter().map(|kind| kind.name).collect();
    assert_eq!(seen, all);
}

/// M2, M3: the link comes first, since a page that imitates the application can relay a code.
#[test]
fn links_precede_codes() {
    for kind in &KINDS {
        for built_in in &kind.built_in {
            for template in [built_in.text, built_in.html] {
                let places = ["{link}", "{code}"].map(|value| template.find(value));
                let has = [Value::Link, Value::Code].map(|value| kind.values.contains(&value));
                assert_eq!(places.map(|place| place.is_some()), has, "{}", kind.name);
                assert!(places[1].is_none() || places[0] < places[1], "{}", kind.name);
            }
        }
    }
}

/// Letters load nothing: no image, font, style sheet or script tells that they are read.
#[test]
fn built_in_letters_load_nothing() {
    for kind in &KINDS {
        for BuiltIn { html, language, .. } in &kind.built_in {
            for outside in ["src", "url(", "<img", "<link", "<script", "@import", "http:", "https:"]
            {
                assert!(!html.contains(outside), "{} has {outside}", kind.name);
            }
            assert!(html.contains(&format!("<html lang=\"{language}\">")), "{}", kind.name);
        }
    }
}

#[test]
fn optional_values_leave_no_empty_line_of_facts() {
    let templates = Templates::load(None).expect("the built-in templates");
    let to = Email::parse("ann@example.com").expect("an address");
    let message = |factors, keys| Message::PasswordChanged {
        at: goat_core::Timestamp::from_millis(1_767_225_600_000),
        factors,
        keys,
    };
    let body = |message| {
        let letter = goat_core::courier::Letter::new(to.clone(), Languages::default(), message);
        let values = Values::of(&letter, "en", "app.example.org", "https://app.example.org/link");
        templates.render(&letter.message, "en", &values).expect("a template").body
    };
    let bare = body(message(vec![], 0));
    assert!(bare.contains("Changed: 2026-01-01 00:00 UTC\n\n"), "{bare}");
    let full = body(message(vec![goat_core::factor::FactorKind::Totp], 2));
    assert!(full.contains("which stay: authenticator app\nAPI keys, which stay: 2\n"), "{full}");
}

#[test]
fn files_replace_built_in_templates_and_add_languages() {
    let templates = load(&[
        ("verify-email.en.txt", b"\xef\xbb\xbfOurs for {site}\r\n\r\nGo to {link}\r\n"),
        ("verify-email.fr.txt", "Vérifiez\n{link}".as_bytes()),
        ("verify-email.pt-BR.txt", b"Verifique\n{link}"),
        ("verify-email.pt-BR.html", b"<p>{link}</p>"),
        (".verify-email.en.txt.swp", b"hidden files are left out"),
    ])
    .expect("valid templates");
    let (language, english) = rendered(&templates, "verify-email", "");
    assert_eq!((&*language, &*english.subject), ("en", "Ours for app.example.org"));
    assert!(english.body.starts_with("Go to https://app.example.org/link#verify-email="));
    assert!(english.html.expect("the built-in one").contains("Verify address"));
    let (language, french) = rendered(&templates, "verify-email", "fr-CA, en");
    assert_eq!((&*language, &*french.subject), ("fr", "Vérifiez"));
    assert!(french.html.is_none(), "no HTML in another language than the text");
    let (language, portuguese) = rendered(&templates, "verify-email", "pt-br");
    assert_eq!(language, "pt-br");
    assert!(portuguese.html.is_some_and(|html| html.starts_with("<p>https://")));
    assert_eq!(rendered(&templates, "verify-email", "de").0, "de");
    assert_eq!(rendered(&templates, "invitation", "fr").0, "en", "it has no French template");
}

#[test]
fn code_may_be_left_out() {
    assert!(load(&[("sign-in-code.en.txt", b"Sign in\n{link}")]).is_ok());
}

#[test]
fn faulty_templates_are_refused_with_their_names() {
    let large = [b"Subject\n{link}\n".as_slice(), &[b'a'; 65 * 1024]].concat();
    for (name, content, fault) in [
        (
            "verify-email.en.txt",
            b"Subject\nno link".as_slice(),
            "has no {link}, which the message needs",
        ),
        ("verify-email.en.html", b"<p>no link</p>", "has no {link}, which the message needs"),
        (
            "verify-email.en.txt",
            b"Subject\n\n{link} {nmae}",
            "line 3 has {nmae}, which is not one of {site}, {email}, {link}, {code}, {expires}",
        ),
        (
            "verify-email.en.txt",
            b"Subject\n{link} {device}",
            "line 2 has {device}, which is not one of",
        ),
        ("verify-email.en.txt", b"\n{link}", "has no subject"),
        ("verify-email.en.txt", b"", "has no subject"),
        ("verify-email.en.txt", b"Subject", "has no text after the subject"),
        ("verify-email.en.txt", b"{link}\n{link}", "line 1 has {link}, which is not one of"),
        ("verify-email.en.txt", b"{code}\n{link}", "line 1 has {code}, which is not one of"),
        ("verify-email.en.html", b" ", "is empty"),
        ("verify-email.en.txt", b"Subject\n{link}\xff", "is not valid UTF-8"),
        ("verify-email.en.txt", b"Subject\n{link}\0", "contains a NUL character"),
        ("verify-email.en.txt", &large, "is larger than 64 KiB"),
        ("verify-mail.en.txt", b"Subject\n{link}", "is not of a known message: confirm-sign-up, "),
        ("verify-email.txt", b"Subject\n{link}", "has no language in its name"),
        ("verify-email.e.txt", b"Subject\n{link}", "has no language in its name"),
        ("verify-email.en_US.txt", b"Subject\n{link}", "has no language in its name"),
        ("verify-email.fr.html", b"<p>{link}</p>", "needs verify-email.fr.txt beside it"),
        ("README", b"text", "is no template"),
    ] {
        let failure = load(&[(name, content)]).expect_err(fault);
        let [sentence] = failure.sentences() else { panic!("{failure:?}") };
        assert!(sentence.starts_with("GOAT_MAIL_TEMPLATES: "), "{sentence}");
        assert!(sentence.contains(&format!("/{name} {fault}")), "{sentence}");
        assert_eq!(failure.exit_status(), crate::start::settings::EXIT_STATUS);
    }
}

#[test]
fn every_faulty_template_is_named() {
    let failure = load(&[("a.en.txt", b""), ("verify-email.de.html", b""), ("b", b"")]);
    assert_eq!(failure.expect_err("three faults").sentences().len(), 3);
}

#[test]
fn missing_folder_is_refused() {
    let failure = Templates::load(Some(Path::new("/nowhere/templates"))).expect_err("no folder");
    assert!(failure.sentences()[0].contains("/nowhere/templates cannot be read"), "{failure:?}");
}

#[test]
fn larger_languages_of_the_reader_find_the_primary_one() {
    let templates = load(&[("verify-email.fr.txt", b"Subject\n{link}")]).expect("a template");
    assert_eq!(rendered(&templates, "verify-email", "fr-CA-x-private").0, "fr");
}
