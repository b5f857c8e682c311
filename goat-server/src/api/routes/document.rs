//! Documents for browsers: a page, its style sheet and its script, under one content security policy.

use axum::body::Body;
use axum::response::Response;
use http::HeaderValue;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};

/// The page may load its own style and script, and send requests to this server only.
const SECURITY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'",
);

pub(super) fn page(html: impl Into<Body>) -> Response {
    document("text/html; charset=utf-8", html.into())
}

pub(super) fn style(css: &'static str) -> Response {
    document("text/css; charset=utf-8", css.into())
}

pub(super) fn script(javascript: &'static str) -> Response {
    document("text/javascript; charset=utf-8", javascript.into())
}

fn document(content_type: &'static str, content: Body) -> Response {
    let mut response = Response::new(content);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_SECURITY_POLICY, SECURITY);
    response
}
