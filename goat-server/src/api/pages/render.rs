//! HTML of the sign-in page. Every value is escaped, and no part of the page is code.

use std::fmt;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use goat_tower::Problem;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use super::texts::Texts;
use crate::start::settings::LoginPageSettings;

/// The look of the page, and the targets of its forms.
pub(super) struct Look {
    settings: LoginPageSettings,
    security: HeaderValue,
}

/// The state of the page.
pub(super) enum View<'a> {
    /// The form to sign in, after a problem or without one.
    SignIn(Option<&'a Problem>),
    /// A session, with the user's address.
    SignedIn(&'a str),
}

impl Look {
    /// Takes the origins to which the form may lead: browsers check them for its redirect too.
    pub(super) fn new(settings: LoginPageSettings, origins: &[String]) -> Self {
        let targets: String = origins.iter().flat_map(|origin| [" ", origin]).collect();
        let security = format!(
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'{targets}; \
             base-uri 'none'; frame-ancestors 'none'"
        );
        let security = HeaderValue::try_from(security)
            .unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
        Self { settings, security }
    }

    /// Adds the page to a response, in place of its body.
    pub(super) fn show<B>(
        &self,
        response: http::Response<B>,
        request: &HeaderMap,
        view: &View<'_>,
        return_to: Option<&str>,
    ) -> http::Response<Bytes> {
        let page = self.page(Texts::of(request), view, return_to);
        let mut response = response.map(|_| Bytes::from(page));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CONTENT_SECURITY_POLICY, self.security.clone());
        response
    }

    fn page(&self, texts: &Texts, view: &View<'_>, return_to: Option<&str>) -> String {
        let Texts { language, sign_in, email, password, sign_out, .. } = texts;
        let name = Escaped(&self.settings.name);
        let logo = match &self.settings.logo {
            Some(_) => "<img src=\"login/logo\" alt=\"\">\n",
            None => "",
        };
        let content = match view {
            View::SignIn(problem) => {
                let alert = problem.map_or_else(String::new, |problem| {
                    format!("<p role=\"alert\">{}</p>\n", Escaped(&texts.sentence(problem)))
                });
                let target = return_to.map_or_else(String::new, |target| {
                    format!(
                        "<input type=\"hidden\" name=\"return_to\" value=\"{}\">\n",
                        Escaped(target)
                    )
                });
                format!(
                    "{alert}<form method=\"post\" action=\"login\">\n{target}\
                     <label for=\"email\">{email}</label>\n\
                     <input id=\"email\" name=\"email\" inputmode=\"email\" \
                     autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" required autofocus>\n\
                     <label for=\"password\">{password}</label>\n\
                     <input id=\"password\" name=\"password\" type=\"password\" \
                     autocomplete=\"current-password\" required>\n\
                     <button>{sign_in}</button>\n</form>\n"
                )
            }
            View::SignedIn(address) => format!(
                "<p>{}</p>\n<form method=\"post\" action=\"logout\">\n\
                 <button>{sign_out}</button>\n</form>\n",
                Escaped(&texts.signed_in_as.replace("{}", address))
            ),
        };
        format!(
            "<!doctype html>\n<html lang=\"{language}\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"robots\" content=\"noindex\">\n<title>{sign_in} – {name}</title>\n\
             <link rel=\"stylesheet\" href=\"login/page.css\">\n</head>\n<body>\n<main>\n\
             {logo}<h1>{name}</h1>\n{content}</main>\n</body>\n</html>\n"
        )
    }

    /// Returns the style sheet, with the colour of the settings.
    pub(super) fn style(&self) -> Response {
        let [red, green, blue] = self.settings.color;
        // BT.601: dark text on a light colour.
        let brightness = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
        let on_accent = if brightness > 150_000 { "#000000" } else { "#ffffff" };
        let style = format!(
            ":root {{ --accent: #{red:02x}{green:02x}{blue:02x}; --on-accent: {on_accent}; }}\n{}",
            include_str!("../../../assets/login/page.css")
        );
        asset("text/css; charset=utf-8", style.into())
    }

    /// Returns the logo; `None` without one.
    pub(super) fn logo(&self) -> Option<Response> {
        let logo = self.settings.logo.as_ref()?;
        Some(asset(logo.content_type, Body::from(logo.content.clone())))
    }
}

fn asset(content_type: &'static str, content: Body) -> Response {
    let mut response = Response::new(content);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A text in an element or in a quoted attribute.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '&' => formatter.write_str("&amp;"),
            '<' => formatter.write_str("&lt;"),
            '>' => formatter.write_str("&gt;"),
            '"' => formatter.write_str("&quot;"),
            '\'' => formatter.write_str("&#39;"),
            other => fmt::Write::write_char(formatter, other),
        })
    }
}
