//! Example `cookies`, called like a browser does: with a cookie jar and the origin headers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::program::Program;

const ACCESS: &str = "__Host-goat-access";
const REFRESH: &str = "__Host-goat-refresh";
const TIMEOUT: Duration = Duration::from_secs(60);

struct Browser<'a> {
    program: &'a Program,
    jar: RefCell<BTreeMap<String, String>>,
}

#[derive(Debug)]
struct Response {
    status: u16,
    head: String,
    body: String,
}

impl Response {
    /// Returns the status, and the code of the problem document.
    fn outcome(&self) -> (u16, String) {
        let json: Value = serde_json::from_str(&self.body).unwrap_or_default();
        (self.status, json["code"].as_str().unwrap_or_default().to_owned())
    }

    fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl<'a> Browser<'a> {
    fn new(program: &'a Program) -> Self {
        Self { program, jar: RefCell::default() }
    }

    /// Sends a request like a page of the same origin does.
    fn page(&self, method: &str, path: &str, body: Option<Value>) -> Response {
        let origin = format!("origin: http://{}\r\n", self.program.address());
        self.send(method, path, &format!("{origin}sec-fetch-site: same-origin\r\n"), body)
    }

    /// Sends a request with the cookies and stores those of the response, as RFC 6265bis §5 defines
    /// for the attributes used here.
    fn send(&self, method: &str, path: &str, from: &str, body: Option<Value>) -> Response {
        let mut stream = TcpStream::connect(self.program.address()).expect("a connection");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        let cookies: Vec<_> =
            self.jar.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = match cookies.is_empty() {
            true => String::new(),
            false => format!("cookie: {}\r\n", cookies.join("; ")),
        };
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let (address, length) = (self.program.address(), body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{from}{cookies}\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("a response");
        let (head, body) = response.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
        let response = Response { status, head: head.to_owned(), body: body.to_owned() };
        for cookie in response.headers("set-cookie") {
            self.keep(cookie);
        }
        response
    }

    fn keep(&self, cookie: &str) {
        let mut parts = cookie.split("; ");
        let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).expect("a pair");
        let attributes: Vec<_> = parts.collect();
        assert!(name.starts_with("__Host-"), "{name}");
        for expected in ["Secure", "HttpOnly", "Path=/"] {
            assert!(attributes.contains(&expected), "{name} has no {expected}: {attributes:?}");
        }
        assert!(!attributes.iter().any(|attribute| attribute.starts_with("Domain")));
        let max_age = attributes.iter().find_map(|attribute| attribute.strip_prefix("Max-Age="));
        let max_age: u64 = max_age.expect("an end").parse().expect("seconds");
        if max_age == 0 {
            self.jar.borrow_mut().remove(name);
        } else {
            self.jar.borrow_mut().insert(name.to_owned(), value.to_owned());
        }
    }

    fn cookie(&self, name: &str) -> Option<String> {
        self.jar.borrow().get(name).cloned()
    }

    /// Signs a user up and in.
    fn sign_up_and_in(&self, email: &str) {
        let form = json!({ "email": email, "password": "a long walk on a short pier" });
        assert_eq!(self.page("POST", "/signup", Some(form.clone())).status, 201);
        let response = self.page("POST", "/login", Some(form));
        assert_eq!(response.status, 200);
        assert_eq!(response.headers("cache-control").collect::<Vec<_>>(), ["no-store"]);
        for token in [self.cookie(ACCESS), self.cookie(REFRESH)] {
            assert!(!response.body.contains(&token.expect("a cookie")), "scripts see no token");
        }
    }
}

fn problem(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
fn a_browser_signs_in_continues_its_session_and_signs_out_without_seeing_a_token() {
    let program = Program::start(env!("CARGO_BIN_EXE_cookies"));
    let browser = Browser::new(&program);
    assert_eq!(browser.page("GET", "/reports", None).outcome(), problem(401, "unauthenticated"));
    assert_eq!(browser.page("POST", "/refresh", None).outcome(), problem(401, "unauthenticated"));

    browser.sign_up_and_in("ann@example.org");
    assert_eq!(browser.page("GET", "/me", None).body, r#"{"email":"ann@example.org"}"#);
    let reports = browser.page("GET", "/reports", None);
    assert_eq!((reports.status, reports.body.contains("January")), (200, true));
    assert_eq!(reports.headers("cache-control").collect::<Vec<_>>(), ["no-store"]);
    assert_eq!(browser.page("POST", "/exports", None).status, 200);
    assert_eq!(browser.page("GET", "/audit", None).outcome(), problem(403, "forbidden"));

    // The access token has expired, and the browser has dropped its cookie.
    let first = browser.cookie(REFRESH).expect("a refresh token");
    browser.jar.borrow_mut().remove(ACCESS);
    assert_eq!(browser.page("GET", "/reports", None).status, 200);
    assert!(browser.cookie(ACCESS).is_some(), "the request has renewed the session");
    assert_ne!(browser.cookie(REFRESH).as_ref(), Some(&first));
    assert_eq!(browser.page("POST", "/refresh", None).status, 200);

    // A copy of the cookies is useless after the session has ended.
    let copy = Browser { program: &program, jar: browser.jar.clone() };
    assert_eq!(browser.page("POST", "/logout", None).status, 204);
    assert!(browser.jar.borrow().is_empty());
    assert_eq!(copy.page("GET", "/reports", None).outcome(), problem(401, "session-revoked"));
    assert_eq!(copy.jar.borrow().len(), 2, "this 401 may concern the access token only");
    assert_eq!(copy.page("POST", "/refresh", None).outcome(), problem(401, "session-revoked"));
    assert!(copy.jar.borrow().is_empty(), "a 401 for the refresh ends the session");
}

#[test]
fn cross_site_requests_with_cookies_are_rejected() {
    let program = Program::start(env!("CARGO_BIN_EXE_cookies"));
    let browser = Browser::new(&program);
    browser.sign_up_and_in("ann@example.org");
    let kept = browser.jar.borrow().clone();
    let form = json!({ "email": "ann@example.org", "password": "a long walk on a short pier" });
    let own = format!("origin: http://{}\r\n", program.address());
    for from in [
        // Another port's page, another site's page, a sandboxed page, and a non-browser.
        "sec-fetch-site: same-site\r\norigin: http://127.0.0.1:1\r\n",
        "sec-fetch-site: cross-site\r\norigin: http://localhost:1\r\n",
        "origin: http://127.0.0.1:1\r\n",
        "origin: null\r\n",
        "",
    ] {
        for (path, body) in [
            ("/exports", None),
            ("/logout", None),
            ("/refresh", None),
            ("/login", Some(form.clone())),
        ] {
            let response = browser.send("POST", path, from, body);
            assert_eq!(response.outcome(), problem(403, "cross-site-request"), "{path} {from}");
        }
        // Following a link is a safe request.
        assert_eq!(browser.send("GET", "/reports", from, None).status, 200);
    }
    assert_eq!(*browser.jar.borrow(), kept);
    // Browsers without `Sec-Fetch-Site` send the origin of the page.
    assert_eq!(browser.send("POST", "/exports", &own, None).status, 200);
}

#[test]
fn the_page_loads_only_its_own_script_and_style() {
    let program = Program::start(env!("CARGO_BIN_EXE_cookies"));
    let browser = Browser::new(&program);
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
    ] {
        let response = browser.send("GET", path, "sec-fetch-site: none\r\n", None);
        assert_eq!(response.status, 200);
        assert_eq!(response.headers("content-type").collect::<Vec<_>>(), [content_type]);
        assert_eq!(response.headers("x-content-type-options").collect::<Vec<_>>(), ["nosniff"]);
        let policy = response.headers("content-security-policy").next().expect("a policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        for inline in ["<style", " style=", " onclick=", "javascript:", "http://", "https://"] {
            assert!(!response.body.contains(inline), "{path} has {inline}");
        }
    }
    let page = browser.send("GET", "/", "", None).body;
    assert_eq!(
        page.matches("<script").count(),
        page.matches(r#"<script type="module" src="/"#).count()
    );
}
