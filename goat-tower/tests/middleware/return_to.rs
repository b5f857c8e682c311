//! The open-redirect check of sign-ins.

use goat_tower::cookie::ReturnTo;
use proptest::prelude::*;

/// The longest accepted target, in bytes.
const MAX_LENGTH: usize = 2048;

fn pages() -> ReturnTo {
    let pages = ReturnTo::new().allow_origin("https://app.example.org");
    pages.and_then(|pages| pages.allow_origin("http://localhost:5173")).expect("origins")
}

#[test]
fn paths_of_the_host_and_pages_of_allowed_origins_are_accepted() {
    for target in [
        "/",
        "/reports",
        "/reports/",
        "/reports/2026?page=2&from=https://example.org//x#top",
        "/r%C3%A4ume/a%20b",
        "/.well-known/x",
        "/a..b/...",
        "/?next=%2F%2Fx",
        "https://app.example.org",
        "https://app.example.org/",
        "https://app.example.org:443/reports?x=//y",
        "https://APP.example.org/reports",
        "http://localhost:5173/reports",
    ] {
        assert!(pages().accepts(target), "{target}");
    }
    assert!(!ReturnTo::new().accepts("https://app.example.org/"));
}

/// B22
#[test]
fn every_spelling_of_an_open_redirect_is_rejected() {
    for target in [
        "",
        "reports",
        "//evil.example",
        "///evil.example",
        "////evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/\r\nLocation: https://evil.example",
        "\t//evil.example",
        " //evil.example",
        " https://evil.example",
        "/%2f/evil.example",
        "/%2Fevil.example",
        "/%5cevil.example",
        "/%5Cevil.example",
        "/.//evil.example",
        "/./evil",
        "/..//evil.example",
        "/%2e%2e//evil.example",
        "/%2E/evil.example",
        "/a/..",
        "/a//evil.example",
        "/%00/evil.example",
        "/\u{0}/evil.example",
        "/\u{a0}evil",
        "/\u{2215}evil.example",
        "\u{ff0f}\u{ff0f}evil.example",
        "/\u{ff0f}evil.example",
        "https:evil.example",
        "https:/evil.example",
        "https:\\\\evil.example",
        "https:///evil.example",
        "https://",
        "https://evil.example",
        "https://evil.example/app.example.org",
        "https://evil.example?app.example.org",
        "https://evil.example#app.example.org",
        "https://evil.example\\.app.example.org",
        "https://app.example.org.evil.example",
        "https://app.example.org@evil.example",
        "https://app.example.org:443@evil.example/",
        "https://user:password@app.example.org/",
        "https://app.example.org\\@evil.example",
        "https://app.example.org\\evil",
        "https://app.example.org%2f@evil.example",
        "https://app.example.org%40evil.example",
        "https://app.example.org.",
        "https://app.example.org:8443/",
        "https://app.example.org//evil.example",
        "https://app.example.org/%2f/evil.example",
        "https://xn--pp-gia.example.org",
        "https://\u{430}pp.example.org",
        "http://app.example.org/",
        "HTTPS://app.example.org/",
        "ftp://app.example.org/",
        "javascript:alert(1)",
        "javascript://app.example.org/%0aalert(1)",
        "data:text/html,x",
        "blob:https://app.example.org/x",
        "//app.example.org/",
        "/a\"onmouseover=",
        "/<script>",
    ] {
        assert!(!pages().accepts(target), "{target:?}");
    }
    assert!(!pages().accepts(&format!("/{}", "a".repeat(MAX_LENGTH))));
}

proptest! {
    /// B22: as in the resolution of browsers (WHATWG URL), a target that begins with one slash and has
    /// neither a second one, nor a backslash, nor a removed character there, keeps the host.
    #[test]
    fn an_accepted_target_keeps_the_host_or_names_an_allowed_origin(
        target in "[/\\\\.:@%25a-f?# \t\n]{0,16}",
    ) {
        if ReturnTo::new().accepts(&target) {
            prop_assert!(target.starts_with('/'));
            let path = target.split(['?', '#']).next().unwrap_or_default();
            prop_assert!(!path.contains("//") && !target.contains(['\\', '\t', '\n', ' ']));
        }
        let absolute = format!("https:{target}");
        prop_assert!(!ReturnTo::new().accepts(&absolute), "{}", absolute);
    }
}
