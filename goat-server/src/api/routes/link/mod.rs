//! `GET /api/link`: the page to which the links of letters lead.
//!
//! A link is `<address of the page>#<purpose>=<token>`. Invariants (M2):
//! - the token follows the `#`, so that no request for the page has it, and the page is the same for every link;
//! - the page's script removes it from the address bar, and sends it by POST once the reader presses the button;
//! - the page sets no cookie and loads nothing from elsewhere.
//!
//! The page is a form for the flows that end with it. It starts a session in one case, a sign-in where the mount
//! has session cookies. After a sign-up and an invitation the reader signs in with the new password: a forwarded
//! link thereby signs no other person in to an account that belongs to the mailbox of its sender. Where a flow
//! needs the session of the application and the mount has no session cookies, the page leaves the link unused and
//! refers to the code of the letter.
//!
//! These routes ignore the query, which mail programs and scanners may add (W1).

mod flows;
mod html;
mod texts;

use std::sync::OnceLock;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use goat_core::Languages;
use http::header::{ACCEPT_LANGUAGE, CACHE_CONTROL, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::document;
use crate::api::{AppState, pages};
use html::Page;
use texts::Texts;

/// The pages of a mount, one a language: documents that all responses share (W3).
#[derive(Debug, Default)]
pub(crate) struct Pages([OnceLock<Bytes>; Texts::ALL.len()]);

impl Pages {
    fn get(&self, texts: &Texts, state: &AppState) -> Bytes {
        let page = Page {
            texts,
            has_cookies: state.http.session_cookies.is_some(),
            has_sign_in_page: pages::login_path(state).is_some(),
            passwords: &state.goat.settings().passwords,
        };
        let all = Texts::ALL.iter().zip(&self.0);
        let mut of_language = all.filter(|(other, _)| other.language == texts.language);
        match of_language.next() {
            Some((_, kept)) => kept.get_or_init(|| page.to_string().into()).clone(),
            None => page.to_string().into(),
        }
    }
}

/// Get the page of a link
///
/// Returns the HTML page to which the links of messages lead, in English or German. It sends the secret behind
/// the `#` of the link when the reader presses its button.
#[utoipa::path(
    get,
    path = "/api/link",
    operation_id = "link",
    tag = "Authentication",
    responses((status = 200, description = "The HTML page.", body = String, content_type = "text/html")),
)]
pub(crate) async fn page(State(state): State<AppState>, headers: HeaderMap) -> Response {
    let preferred = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let texts = Texts::of(&Languages::parse(preferred.unwrap_or_default()));
    let mut response = document::page(state.mount.link_pages().get(texts, &state));
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_name(ACCEPT_LANGUAGE));
    // Not even in the browser's own history: the page holds a secret and a password while it is open.
    keep(headers, "no-store");
    response
}

/// Get the page's style sheet.
pub(crate) async fn style() -> Response {
    of_the_page(document::style(include_str!("../../../../assets/link/page.css")))
}

/// Get the page's script.
pub(crate) async fn script() -> Response {
    of_the_page(document::script(include_str!("../../../../assets/link/page.js")))
}

/// The page and its parts are of one version.
fn of_the_page(mut response: Response) -> Response {
    keep(response.headers_mut(), "no-cache");
    response
}

fn keep(headers: &mut HeaderMap, how: &'static str) {
    const NAME: HeaderName = CACHE_CONTROL;
    headers.insert(NAME, HeaderValue::from_static(how));
}
