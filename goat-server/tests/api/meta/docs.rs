//! `GET /api/docs`: the documentation page.

use super::openapi::ASSETS;
use crate::support::app::TestApp;

#[tokio::test]
async fn page_and_its_assets_are_served() {
    let app = TestApp::new().await;
    let page = app.get("/api/docs").send().await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let text = String::from_utf8(page.body.to_vec()).expect("UTF-8");
    let policy = page.header("content-security-policy");
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    // The policy forbids inline styles and handlers.
    assert!(
        !text.contains("<style") && !text.contains(" style=") && !text.contains(" on"),
        "{text}"
    );
    for asset in ASSETS.into_iter().filter(|asset| asset.starts_with("/api/docs/")) {
        let name = asset.strip_prefix("/api/").expect("below the page");
        assert!(text.contains(&format!("\"{name}\"")), "{name}: {text}");
        let response = app.get(asset).send().await;
        assert!(response.status == 200 && !response.body.is_empty(), "{asset}");
    }
}

/// The content security policy forbids inline scripts and styles.
#[tokio::test]
async fn page_has_no_inline_code_and_loads_nothing_from_other_origins() {
    let app = TestApp::new().await;
    let page = app.get("/api/docs").send().await;
    let policy = page.header("content-security-policy");
    for rule in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    ] {
        assert!(policy.split("; ").any(|part| part == rule), "{rule}: {policy}");
    }
    let text = String::from_utf8(page.body.to_vec()).expect("UTF-8");
    for script in text.split("<script").skip(1) {
        let (tag, rest) = script.split_once('>').expect("the end of a tag");
        assert!(tag.contains(" src="), "{tag}");
        assert!(rest.starts_with("</script>"), "an inline script: {rest}");
    }
    for asset in ["/api/docs", "/api/docs/page.js", "/api/docs/page.css"] {
        let response = app.get(asset).send().await;
        let text = String::from_utf8(response.body.to_vec()).expect("UTF-8");
        for elsewhere in ["http://", "https://", "javascript:", "@import", "eval("] {
            assert!(!text.contains(elsewhere), "{asset}: {elsewhere}");
        }
        assert_eq!(response.header("x-content-type-options"), "nosniff");
    }
    let document = app.get("/api/openapi.json").send().await;
    let policy = document.header("content-security-policy");
    assert_eq!(policy, "default-src 'none'; frame-ancestors 'none'");
}
