//! A real browser before a proxy, the sign-in page and an application: its cookies, its navigations, and the
//! pages of another site.

use serde_json::json;

use crate::support::process::{
    ADMIN, ADMIN_PASSWORD, Chromium, Client, Program, Proxy, free_address, letter, token_of,
};

const ACCESS: &str = "__Host-goat-access";

/// The application: the user that it is told, a link and a form.
const APPLICATION: &str = "default_type text/html; return 200 '<!doctype html><title>$uri</title>\
                           <p id=user>$http_x_goat_email</p><a id=next href=/next>next</a>';";

/// A page of another site.
fn foreign(target: &str) -> String {
    format!(
        "data:text/html,<title>foreign</title><a id=link href={target}/linked>link</a>\
         <form id=form method=post action={target}/posted><input name=a value=1></form>"
    )
}

#[test]
fn a_browser_signs_in_follows_links_with_an_expired_access_cookie_and_signs_out() {
    let (front, application) = (free_address(), free_address());
    let origin = format!("http://localhost:{}", front.port());
    let program = Program::new()
        .with("GOAT_TRUSTED_PROXIES", "127.0.0.1")
        .with("GOAT_SESSION_COOKIES", "lax")
        .with("GOAT_LOGIN_PAGE", "on")
        .with("GOAT_LOGIN_COLOR", "#123456")
        .with("GOAT_FORWARD_ORIGINS", &origin)
        .with("GOAT_VERIFY_HEADERS", "email")
        .with("GOAT_ADMIN_PASSWORD", ADMIN_PASSWORD);
    let (server, goat) = program.serve();
    let _proxy = Proxy::before(front, goat, application, APPLICATION);
    let mut browser = Chromium::start();
    let is_form = "document.querySelector('form[action=login]') !== null";
    let is_user = |path: &str| {
        format!(
            "location.pathname === '{path}' && \
             document.querySelector('#user')?.textContent === '{ADMIN}'"
        )
    };

    // A navigation without a session is sent to the form, whose style the policy of the page allows.
    browser.navigate(&format!("{origin}/reports?page=2"));
    browser.wait_until(is_form);
    browser.wait_until(
        "getComputedStyle(document.querySelector('button')).backgroundColor === 'rgb(18, 52, 86)'",
    );
    let sign_in = |password: &str| {
        format!(
            "document.querySelector('#email').value = '{ADMIN}'; \
             document.querySelector('#password').value = '{password}'; \
             document.querySelector('form').requestSubmit(); true"
        )
    };
    browser.evaluate(&sign_in("a wrong password"));
    browser.wait_until("document.querySelector('[role=alert]') !== null");
    browser.evaluate(&sign_in(ADMIN_PASSWORD));
    browser.wait_until(&is_user("/reports"));
    assert_eq!(browser.evaluate("location.search"), "?page=2");
    let cookies = browser.cookies(&origin);
    assert_eq!(cookies.len(), 2, "{cookies:?}");
    for cookie in &cookies {
        assert_eq!((&cookie["httpOnly"], &cookie["secure"]), (&true.into(), &true.into()));
        assert_eq!(cookie["sameSite"], "Lax");
    }
    assert_eq!(browser.evaluate("document.cookie"), "", "scripts see no token");

    // B23: an expired access cookie is renewed on a click, and on a link of another site.
    browser.expire_cookie(&origin, ACCESS);
    assert_eq!(browser.cookies(&origin).len(), 1);
    browser.evaluate("document.querySelector('#next').click()");
    browser.wait_until(&is_user("/next"));
    assert_eq!(browser.cookies(&origin).len(), 2);
    browser.expire_cookie(&origin, ACCESS);
    browser.navigate(&foreign(&origin));
    browser.wait_until("document.title === 'foreign'");
    browser.evaluate("document.querySelector('#link').click()");
    browser.wait_until(&is_user("/linked"));

    // A form of another site is refused, though the user is signed in.
    browser.navigate(&foreign(&origin));
    browser.wait_until("document.title === 'foreign'");
    browser.evaluate("document.querySelector('#form').submit()");
    browser.wait_until("location.pathname === '/posted' && document.body?.textContent !== ''");
    assert_eq!(browser.evaluate("document.querySelector('#user') === null"), true);

    browser.navigate(&format!("{origin}/login"));
    browser.wait_until("document.querySelector('form[action=logout]') !== null");
    browser.evaluate("document.querySelector('form').requestSubmit()");
    browser.wait_until(is_form);
    assert!(browser.cookies(&origin).is_empty(), "both cookies are cleared");
    browser.navigate(&format!("{origin}/reports"));
    browser.wait_until(is_form);
    server.stop();
}

/// The journey of the guide `first-session.md`: without any setting, from the letter to the new password.
#[test]
fn a_browser_opens_the_link_of_a_letter_and_sets_a_new_password() {
    const ANN: &str = "ann@example.org";
    let address = free_address();
    let program = Program::new().with("GOAT_LISTEN", &address.to_string());
    let (server, listening) = program.serve();
    let client = Client::new(listening);
    let status = |path: &str, body: &serde_json::Value| {
        client.post(path, None, body).expect("a response").status
    };
    let ann = json!({"email": ANN, "password": "a long walk on a short pier"});
    assert_eq!(status("/api/v1/auth/signup", &ann), 201);
    assert_eq!(status("/api/v1/auth/recover", &json!({"email": ANN})), 202);
    let letter = letter(&program.path("data"), ANN, "reset-password");
    let token = token_of(&letter).expect("a link");
    let link = format!("http://localhost:{}/api/link#recover={token}", address.port());
    // Quoted-printable.
    assert!(letter.replace("=\r\n", "").contains(&link.replace('=', "=3D")), "{letter}");

    let mut browser = Chromium::start();
    browser.record();
    browser.navigate(&link);
    browser.wait_until("document.title === 'Set a new password' && location.hash === ''");
    browser.evaluate("document.querySelector('#password').focus()");
    browser.call("Input.insertText", &json!({"text": "seven lamps over the quay"}));
    browser.evaluate("document.querySelector('button').click()");
    browser.wait_until("document.title === 'Your password is set'");
    assert!(browser.complaints().is_empty(), "{:?}", browser.complaints());
    assert_eq!(status("/api/v1/auth/login", &ann), 401);
    let ann = json!({"email": ANN, "password": "seven lamps over the quay"});
    assert_eq!(status("/api/v1/auth/login", &ann), 200);
    // No line of the log has the secret, nor the requests of the page.
    for line in server.stop() {
        assert!(!line.contains(&token), "{line}");
    }
}
