use std::sync::LazyLock;

use goat_core::courier::Message;
use goat_core::testing::sample_letters;
use goat_core::{Email, Languages};

use super::super::tests::renderer;
use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// A parsed MIME message.
#[derive(Debug)]
struct Parsed {
    headers: Vec<(String, String)>,
    /// Content type and decoded text.
    parts: Vec<(String, String)>,
}

impl Parsed {
    /// Parses a message, and checks its form: ASCII, lines that end with CRLF, of at most 998 characters
    /// (RFC 5322 §2.1.1), no other control character.
    fn new(content: &[u8]) -> Self {
        assert!(content.is_ascii() && content.ends_with(b"\r\n"));
        let text = std::str::from_utf8(content).expect("ASCII");
        for line in text.split_terminator("\r\n") {
            assert!(!line.contains(|c: char| c.is_ascii_control() && c != '\t'), "{line:?}");
            assert!(line.len() <= 998, "{line}");
        }
        let (headers, body) = entity(text);
        let kind = value(&headers, "Content-Type");
        let Some((_, boundary)) = kind.split_once("boundary=\"") else {
            let part = (kind, decoded(&headers, body));
            return Self { headers, parts: vec![part] };
        };
        assert!(kind.starts_with("multipart/alternative;"), "{kind}");
        let boundary = format!("--{}", boundary.trim_end_matches('"'));
        let mut pieces: Vec<&str> = body.split(&boundary).collect();
        assert_eq!(pieces.pop(), Some("--\r\n"), "nothing after the last part");
        assert_eq!(pieces.remove(0), "", "nothing before the first part");
        let parts = pieces.into_iter().map(|piece| {
            let (headers, body) = entity(piece.strip_prefix("\r\n").expect("a line of its own"));
            assert_eq!(headers.len(), 2, "{headers:?}");
            (value(&headers, "Content-Type"), decoded(&headers, body))
        });
        let parts = parts.collect();
        Self { headers, parts }
    }

    fn header(&self, name: &str) -> String {
        value(&self.headers, name)
    }

    fn names(&self) -> Vec<&str> {
        self.headers.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn text(&self) -> &str {
        assert_eq!(self.parts[0].0, "text/plain; charset=utf-8");
        &self.parts[0].1
    }

    fn html(&self) -> &str {
        assert_eq!(self.parts[1].0, "text/html; charset=utf-8");
        &self.parts[1].1
    }
}

/// Splits headers, unfolded, and body.
fn entity(text: &str) -> (Vec<(String, String)>, &str) {
    let (head, body) = text.split_once("\r\n\r\n").expect("a body");
    let head = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").expect("a header");
        (name.to_owned(), value.to_owned())
    };
    (head.split("\r\n").map(header).collect(), body)
}

/// Returns the value of the only header of this name.
fn value(headers: &[(String, String)], name: &str) -> String {
    let mut found = headers.iter().filter(|(one, _)| one == name);
    let value = found.next().unwrap_or_else(|| panic!("no {name} in {headers:?}")).1.clone();
    assert!(found.next().is_none(), "two of {name}");
    value
}

fn decoded(headers: &[(String, String)], body: &str) -> String {
    use base64::Engine as _;
    let bytes = match value(headers, "Content-Transfer-Encoding").as_str() {
        "7bit" => body.into(),
        "quoted-printable" => quoted_printable(body),
        "base64" => base64::engine::general_purpose::STANDARD
            .decode(body.replace("\r\n", ""))
            .expect("base64"),
        other => panic!("{other}"),
    };
    String::from_utf8(bytes).expect("UTF-8")
}

fn quoted_printable(text: &str) -> Vec<u8> {
    let joined = text.replace("=\r\n", "");
    let mut parts = joined.split('=');
    let mut bytes: Vec<u8> = parts.next().unwrap_or_default().into();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).expect("two digits"));
        bytes.extend(part[2..].bytes());
    }
    bytes
}

/// Returns the tags of HTML.
fn tags(html: &str) -> Vec<&str> {
    html.split('<').skip(1).map(|rest| rest.split_once('>').map_or(rest, |(tag, _)| tag)).collect()
}

fn letters(language: &str, text: &str) -> Vec<Letter> {
    let to = Email::parse("Ann.O'Neil+x@bücher.example").expect("an address");
    sample_letters(&to, &Languages::parse(language), text)
}

fn render(letter: &Letter) -> (Mail, Parsed) {
    static RENDERER: LazyLock<Renderer> = LazyLock::new(renderer);
    let mail = RENDERER.render(letter, NOW).expect("a letter");
    let parsed = Parsed::new(&mail.content);
    (mail, parsed)
}

/// Texts of clients that try to add headers, lines or markup, or to disguise themselves.
const HOSTILE: [&str; 12] = [
    "x\r\nBcc: eve@example.org",
    "x\nBcc: eve@example.org\n\nAnother body",
    "x\r\n.\r\nMAIL FROM:<eve@example.org>",
    "x\r\n\r\n--boundary\r\nContent-Type: text/html\r\n\r\n<b>x</b>",
    "</p><script>alert(1)</script><img src=https://evil.example/x>",
    "\" onmouseover=\"alert(1)\" x='",
    "&lt;b&gt; &#60;b&#62; <!-- -->",
    "{link} {code} {site}",
    "x\u{202e}gpj.exe \u{2066}x\u{2069} \u{200f}x",
    "x\u{2028}y\u{2029}z\u{85}w\u{b}v\u{c}u\rt",
    "=?utf-8?q?=0D=0ABcc:_eve@example.org?=",
    "x\0y\u{1b}[2Jz\u{7f}\u{9b}2J\u{feff}\u{e0041}",
];

/// M11: in every message and language, the values of a client change neither headers nor lines nor
/// markup.
#[test]
fn texts_of_clients_add_no_header_line_or_markup() {
    for language in ["en", "de"] {
        let plain = letters(language, "a plain text");
        for hostile in HOSTILE {
            for (letter, plain) in letters(language, hostile).iter().zip(&plain) {
                let name = letter.message.name();
                let (_, parsed) = render(letter);
                let (_, expected) = render(plain);
                assert_eq!(parsed.names(), expected.names(), "{name}: {hostile:?}");
                assert_eq!(parsed.header("Subject"), expected.header("Subject"));
                assert_eq!(parsed.parts.len(), 2);
                let lines = |text: &str| text.split("\r\n").count();
                assert_eq!(lines(parsed.text()), lines(expected.text()), "{name}: {hostile:?}");
                assert_eq!(lines(parsed.html()), lines(expected.html()), "{name}: {hostile:?}");
                let links = |parsed: &Parsed, of: &Letter| -> Vec<String> {
                    let link = link_for(&of.message, "https://app.example.org/api/link");
                    let link = link.map(|link| link.expose().clone()).unwrap_or("none".into());
                    tags(parsed.html()).iter().map(|tag| tag.replace(&link, "LINK")).collect()
                };
                assert_eq!(links(&parsed, letter), links(&expected, plain), "{name}: {hostile:?}");
                for (_, text) in &parsed.parts {
                    let is_sound = |c: char| !c.is_control() || c == '\r' || c == '\n';
                    assert!(text.chars().all(is_sound), "{name}: {text:?}");
                    assert!(!text.contains(['\u{202e}', '\u{2066}', '\u{feff}', '\u{e0041}']));
                }
            }
        }
    }
}

/// M11: also in a subject, where an operator's template names the value.
#[test]
fn texts_of_clients_add_no_header_to_a_subject() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("key-created.en.txt"), "New: {name}\n\n{name}")
        .expect("a file");
    let from = "goat@example.org".parse().expect("a mailbox");
    let renderer =
        Renderer::new(from, "site".into(), "https://a.example".into(), Some(folder.path()))
            .expect("a template");
    let created = |text: &str| {
        let all = letters("en", text);
        let letter = all.into_iter().find(|letter| letter.message.name() == "key-created");
        Parsed::new(&renderer.render(&letter.expect("a sample"), NOW).expect("a letter").content)
    };
    let expected = created("plain");
    assert_eq!(expected.header("Subject"), "New: plain");
    for hostile in HOSTILE {
        let parsed = created(hostile);
        assert_eq!(parsed.names(), expected.names(), "{hostile:?}");
    }
    assert_eq!(
        created(HOSTILE[10]).header("Subject"),
        "New: = ?utf-8?q?=0D=0ABcc:_eve@example.org?="
    );
    let long = created(&"ä€\u{1f410}".repeat(300));
    assert!(long.header("Subject").contains("=?utf-8?b?"), "{}", long.header("Subject"));
}

#[test]
fn client_texts_are_shown() {
    let all = letters("en", "Ann's <new> laptop");
    let device = all.iter().find(|letter| letter.message.name() == "new-device");
    let (_, parsed) = render(device.expect("a sample"));
    assert!(parsed.text().contains("Device: Ann's <new> laptop\r\n"), "{}", parsed.text());
    assert!(parsed.html().contains("<strong>Ann&#39;s &lt;new&gt; laptop</strong>"));
    assert!(parsed.text().contains("Client address: 192.0.2.7\r\n"));
    assert!(parsed.text().contains("Time: 2026-01-01 00:00 UTC\r\n"));
}

#[test]
fn headers_are_those_of_automatic_mail() {
    let letter = &letters("de", "text")[0];
    let (mail, parsed) = render(letter);
    assert_eq!(
        parsed.names(),
        [
            "From",
            "To",
            "Subject",
            "Date",
            "Message-ID",
            "Auto-Submitted",
            "X-Auto-Response-Suppress",
            "Content-Language",
            "MIME-Version",
            "Content-Type",
        ]
    );
    assert_eq!(parsed.header("From"), "goat <goat@example.org>");
    assert_eq!(parsed.header("To"), "Ann.O'Neil+x@xn--bcher-kva.example");
    assert_eq!(mail.to.to_string(), "Ann.O'Neil+x@xn--bcher-kva.example");
    assert_eq!(mail.from.to_string(), "goat@example.org");
    assert_eq!(parsed.header("Date"), "Thu, 01 Jan 2026 00:00:00 +0000");
    assert_eq!(parsed.header("Auto-Submitted"), "auto-generated");
    assert_eq!(parsed.header("X-Auto-Response-Suppress"), "All");
    assert_eq!(parsed.header("Content-Language"), "de");
    let id = parsed.header("Message-ID");
    let inner = id.strip_prefix('<').and_then(|id| id.strip_suffix("@example.org>"));
    assert!(inner.is_some_and(|inner| inner.len() == 32), "{id}");
    assert_ne!(id, render(letter).1.header("Message-ID"));
}

/// M2, M3, M5: the link is that of the settings, with purpose and token behind the `#`; the code stands
/// after it.
#[test]
fn links_lead_to_the_configured_page() {
    let mut purposes = std::collections::BTreeSet::new();
    for letter in letters("en", "text") {
        let (mail, parsed) = render(&letter);
        let Some(secret) = letter.message.secret() else {
            assert!(mail.link.is_none());
            assert!(!parsed.text().contains("://") && !parsed.html().contains("://"));
            continue;
        };
        let purpose = link::purpose(&letter.message).expect("a purpose");
        purposes.insert(purpose);
        let token = secret.link.text();
        assert_eq!(token.expose().len(), 78);
        let expected = format!("https://app.example.org/api/link#{purpose}={}", token.expose());
        assert_eq!(mail.link.expect("a link").expose(), &expected);
        assert!(parsed.text().contains(&format!("\r\n{expected}\r\n")), "{}", parsed.text());
        assert!(parsed.html().contains(&format!("<a href=\"{expected}\"")), "{}", parsed.html());
        assert_eq!(parsed.html().matches("://").count(), 2, "the button and the text");
        if let Some(code) = &secret.code {
            let (left, right) = code.text().expose().split_at(4);
            let code = format!("{left} {right}");
            for text in [parsed.text(), parsed.html()] {
                assert!(text.find(&code) > text.find(&expected), "{text}");
            }
        }
    }
    let all =
        ["change-email", "invite", "recover", "sign-in", "sign-up", "undo-email", "verify-email"];
    assert_eq!(purposes, std::collections::BTreeSet::from(all));
}

/// M9: the message to the new address does not name the old one, nor the other way round.
#[test]
fn reader_is_the_only_address_that_is_named() {
    for language in ["en", "de"] {
        for letter in letters(language, "text") {
            let (_, parsed) = render(&letter);
            for (_, text) in &parsed.parts {
                let own = text.matches("Ann.O'Neil+x@bücher.example").count()
                    + text.matches("Ann.O&#39;Neil+x@bücher.example").count();
                assert_eq!(text.matches('@').count(), own, "{text}");
            }
        }
    }
}

#[test]
fn language_without_html_is_sent_as_text() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("account-exists.fr.txt"), "Déjà là\n\nBonjour")
        .expect("a file");
    let from = "goat@example.org".parse().expect("a mailbox");
    let renderer =
        Renderer::new(from, "site".into(), "https://a.example".into(), Some(folder.path()))
            .expect("a template");
    let to = Email::parse("ann@example.com").expect("an address");
    let letter = Letter::new(to, Languages::parse("fr"), Message::AccountExists);
    let parsed = Parsed::new(&renderer.render(&letter, NOW).expect("a letter").content);
    assert_eq!(parsed.parts.len(), 1);
    assert_eq!(parsed.text().trim_end(), "Bonjour");
    assert_eq!(parsed.header("Content-Language"), "fr");
}
