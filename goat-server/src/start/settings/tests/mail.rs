//! Settings of mail: where messages go, their sender, their links, and the settings that need mail.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::super::{MailDelivery, MailSettings, MailTls, SmtpSettings};
use super::{OLD_TOKEN_SECRET, PEPPER, TOKEN_SECRET, environment, production};

const SERVER_KEY: &str = "Qe7Zt2MwXk5RbVn9CyJp4LsGf8HdUa3T";
const FROM: (&str, &str) = ("GOAT_MAIL_FROM", "goat <noreply@example.org>");
const PUBLIC_URL: (&str, &str) = ("GOAT_PUBLIC_URL", "https://id.example.org");

fn mail(variables: &[(&str, &str)]) -> MailSettings {
    environment(variables).settings().mail
}

fn smtp(url: &str) -> SmtpSettings {
    match mail(&[("GOAT_MAIL_URL", url), FROM]).delivery {
        Some(MailDelivery::Smtp(smtp)) => smtp,
        other => panic!("{other:?}"),
    }
}

#[test]
fn development_writes_messages_into_files_and_production_has_no_mail() {
    let settings = mail(&[("GOAT_DATA_DIR", "/srv/goat")]);
    let Some(MailDelivery::Files(folder)) = &settings.delivery else { panic!("{settings:?}") };
    assert_eq!(folder, Path::new("/srv/goat/mail"));
    assert_eq!(settings.from.address.as_str(), "noreply@goat.local");
    assert_eq!(settings.link_url.as_deref(), Some("http://localhost:8080/api/link"));
    assert!(settings.templates.is_none() && settings.server_keys.is_none());
    assert_eq!((settings.queue, settings.timeout), (1000, Duration::from_secs(30)));
    assert_eq!(settings.recovery_ttl, Duration::from_secs(30 * 60));
    assert_eq!(settings.confirm_ttl, Duration::from_secs(24 * 3600));
    assert_eq!(settings.invite_ttl, Duration::from_secs(72 * 3600));
    assert!(!settings.email_sign_in);

    let settings = production(&[]).settings().mail;
    assert!(settings.delivery.is_none() && settings.link_url.is_none());
}

#[test]
fn urls_of_mail_servers_are_parsed() {
    for (url, host, port, tls) in [
        ("smtps://mail.example.org", "mail.example.org", 465, MailTls::Implicit),
        ("smtps://Mail.Example.org:4465/", "mail.example.org", 4465, MailTls::Implicit),
        ("smtps://localhost", "localhost", 465, MailTls::Implicit),
        ("smtp://mail.example.org", "mail.example.org", 587, MailTls::StartTls),
        ("smtp://192.0.2.7:25", "192.0.2.7", 25, MailTls::StartTls),
        ("smtp://[2001:db8::1]:2525", "2001:db8::1", 2525, MailTls::StartTls),
        // A name that only begins like a loopback one.
        ("smtp://localhost.example.org", "localhost.example.org", 587, MailTls::StartTls),
        ("smtp://127.0.0.1.example.org", "127.0.0.1.example.org", 587, MailTls::StartTls),
        ("smtp://localhost", "localhost", 25, MailTls::Off),
        ("smtp://127.0.0.5:1025", "127.0.0.5", 1025, MailTls::Off),
        ("smtp://[::1]:1025", "::1", 1025, MailTls::Off),
    ] {
        let smtp = smtp(url);
        assert_eq!((smtp.host.as_str(), smtp.port, smtp.tls), (host, port, tls), "{url}");
        assert!(smtp.credentials.is_none());
    }
    let smtp = smtp("smtps://ann%40example.org:p%3Ass%25w%C3%B6rd@mail.example.org");
    let credentials = smtp.credentials.expect("credentials");
    assert_eq!(credentials.user.expose(), "ann@example.org");
    assert_eq!(credentials.password.expose(), "p:ss%wörd");
}

#[test]
fn folders_of_messages_are_parsed() {
    for (url, expected) in [
        ("file:mail", "mail"),
        ("file://./mail", "./mail"),
        ("file:/var/mail", "/var/mail"),
        ("file:///var/mail out", "/var/mail out"),
    ] {
        let delivery = mail(&[("GOAT_MAIL_URL", url)]).delivery;
        let Some(MailDelivery::Files(folder)) = delivery else { panic!("{delivery:?}") };
        assert_eq!(folder, Path::new(expected), "{url}");
    }
}

/// L1: neither a message nor the place that a start and `check` show has a user or a password.
#[test]
fn no_part_of_a_mail_url_is_shown() {
    for url in [
        "canary",
        "canary://mail.example.org",
        "SMTP://canary.example.org",
        "smtp:canary.example.org",
        "smtp://",
        "smtp://canary:",
        "smtp://canary:0",
        "smtp://canary:99999",
        "smtp://canary/path",
        "smtp://canary?tls=required",
        "smtp://canary#x",
        "smtp://canary@mail.example.org",
        "smtp://canary:@mail.example.org",
        "smtp://:canary@mail.example.org",
        "smtp://canary:a%zz@mail.example.org",
        "smtp://canary:a%4@mail.example.org",
        "smtp://canary:%ff@mail.example.org",
        "smtp://canary:%0d%0a@mail.example.org",
        "smtp://can ary@mail.example.org:x y",
        "file:",
        "file:~/canary",
    ] {
        let problem = environment(&[("GOAT_MAIL_URL", url), FROM]).problem();
        assert!(problem.starts_with("GOAT_MAIL_URL: the value "), "{problem}");
        assert!(!problem.contains("canary"), "{problem}");
    }
    for (url, expected) in [
        (
            "smtps://canary:canary@mail.example.org",
            "smtps://mail.example.org:465 (TLS, with a password)",
        ),
        (
            "smtp://canary:canary@[2001:db8::1]",
            "smtp://[2001:db8::1]:587 (STARTTLS, with a password)",
        ),
        ("smtp://localhost", "smtp://localhost:25 (no TLS)"),
        ("file:/var/mail", "files in /var/mail"),
    ] {
        let settings = mail(&[("GOAT_MAIL_URL", url), FROM]);
        assert_eq!(settings.delivery.as_ref().map(ToString::to_string).as_deref(), Some(expected));
        assert!(!format!("{settings:?} {settings:#?}").contains("canary"));
    }
}

#[test]
fn senders_have_a_name_and_an_address() {
    for (text, name, address) in [
        ("goat <noreply@example.org>", Some("goat"), "noreply@example.org"),
        ("\"Ann & Bo, Ltd.\" <hello@example.org>", Some("Ann & Bo, Ltd."), "hello@example.org"),
        ("Große Ziege <ziege@example.org>", Some("Große Ziege"), "ziege@example.org"),
        ("<noreply@example.org>", None, "noreply@example.org"),
        ("noreply@example.org", None, "noreply@example.org"),
    ] {
        let from = mail(&[("GOAT_MAIL_FROM", text)]).from;
        assert_eq!((from.name.as_deref(), from.address.as_str()), (name, address), "{text}");
    }
    for text in [
        "goat",
        "goat <>",
        "goat <noreply>",
        "goat <noreply@example.org> x",
        "goat noreply@example.org",
        "go<at <noreply@example.org>",
        "go\"at <noreply@example.org>",
        "goat\r\nBcc: x@example.org <noreply@example.org>",
        "goat <noreply@example.org\r\nBcc: x@example.org>",
        "goat <report@service.invalid>",
        &format!("{} <noreply@example.org>", "x".repeat(65)),
    ] {
        let problem = environment(&[("GOAT_MAIL_FROM", text)]).problem();
        assert!(problem.starts_with("GOAT_MAIL_FROM: "), "{problem}");
        assert!(problem.ends_with("; expected Name <address>"), "{problem}");
    }
}

#[test]
fn links_lead_to_the_public_url_unless_set() {
    let link = |variables: &[(&str, &str)]| mail(variables).link_url.expect("a URL");
    for (url, expected) in [
        ("https://id.example.org", "https://id.example.org/api/link"),
        ("https://id.example.org/", "https://id.example.org/api/link"),
        ("https://example.org/auth/", "https://example.org/auth/api/link"),
    ] {
        assert_eq!(link(&[("GOAT_PUBLIC_URL", url)]), expected);
    }
    let own = ("GOAT_LINK_URL", "https://app.example.org/confirm");
    assert_eq!(link(&[PUBLIC_URL, own]), own.1);
    let problem = environment(&[("GOAT_LINK_URL", "https://app.example.org/#confirm")]).problem();
    assert!(
        problem.starts_with("GOAT_LINK_URL: \"https://app.example.org/#confirm\" "),
        "{problem}"
    );
}

#[test]
fn templates_are_in_a_folder() {
    let sources = environment(&[]);
    let folder = sources.path("templates");
    let given = [("GOAT_MAIL_TEMPLATES", folder.to_str().expect("text"))];
    let problem = environment(&given).problem();
    assert!(
        problem.contains(" does not name a folder; expected the path of a folder"),
        "{problem}"
    );
    fs::create_dir(&folder).expect("a folder");
    assert_eq!(mail(&given).templates, Some(folder.clone()));
}

#[test]
fn mail_server_requires_a_sender() {
    let problem = environment(&[("GOAT_MAIL_URL", "smtps://mail.example.org")]).problem();
    let expected = "GOAT_MAIL_FROM: is not set, but GOAT_MAIL_URL names a mail server, which requires it; \
                    expected Name <address>";
    assert_eq!(problem, expected);
}

#[test]
fn settings_that_need_mail_name_the_missing_one() {
    let problem = production(&[("GOAT_SIGNUP", "confirmed")]).problem();
    let expected = "GOAT_SIGNUP: \"confirmed\" requires mail, but GOAT_MAIL_URL is not set; expected active, \
                    inactive or closed, or GOAT_MAIL_URL=smtps://…";
    assert_eq!(problem, expected);
    let problem = production(&[("GOAT_EMAIL_SIGN_IN", "true")]).problem();
    let expected = "GOAT_EMAIL_SIGN_IN: \"true\" requires mail, but GOAT_MAIL_URL is not set; expected \
                    false, or GOAT_MAIL_URL=smtps://…";
    assert_eq!(problem, expected);
    environment(&[("GOAT_SIGNUP", "confirmed"), ("GOAT_EMAIL_SIGN_IN", "true")]).settings();
}

#[test]
fn production_with_mail_requires_a_public_url_and_a_server_key() {
    for (url, from) in [("smtps://mail.example.org", FROM.1), ("file:/var/mail", "-")] {
        let sources = production(&[("GOAT_MAIL_URL", url), ("GOAT_MAIL_FROM", from)]);
        let problems = sources.problems();
        let names: Vec<&str> = problems.iter().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(names, ["GOAT_PUBLIC_URL", "GOAT_SERVER_KEY"]);
        assert!(
            problems.iter().all(|line| line.contains("production requires it with GOAT_MAIL_URL"))
        );
    }
    let keys = format!("{SERVER_KEY},{OLD_TOKEN_SECRET}");
    let variables = [
        ("GOAT_MAIL_URL", "smtps://mail.example.org"),
        ("GOAT_SERVER_KEY", &keys),
        ("GOAT_SIGNUP", "confirmed"),
        FROM,
        PUBLIC_URL,
    ];
    let settings = production(&variables).settings();
    let keys = settings.mail.server_keys.expect("keys");
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.expose().as_slice()).collect();
    assert_eq!(keys, [SERVER_KEY.as_bytes(), OLD_TOKEN_SECRET.as_bytes()]);
    assert_eq!(production(&variables).warnings(), [""; 0]);
}

/// Any of the keys, also one that only verifies.
#[test]
fn server_keys_differ_from_other_secrets() {
    for (shared, other) in [(TOKEN_SECRET, "GOAT_JWT_SECRET"), (PEPPER, "GOAT_PASSWORD_PEPPER")] {
        let keys = format!("{SERVER_KEY},{shared}");
        let problem = production(&[("GOAT_SERVER_KEY", &keys)]).problem();
        let expected = format!("GOAT_SERVER_KEY: the value is also used as {other}; ");
        assert!(problem.starts_with(&expected), "{problem}");
        assert!(!problem.contains(shared), "{problem}");
    }
}
