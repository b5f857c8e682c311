//! Forward authentication: a proxy with its recipe before goat and an application, nginx by default.

use std::net::SocketAddr;

use serde_json::json;

use crate::support::process::{
    ADMIN, ADMIN_PASSWORD, Client, Program, Proxy, Response, free_address,
};

/// What the application is told, and shows.
const TOLD: &str = "default_type text/plain; return 200 \"$http_x_goat_user $http_x_goat_role \
                    [$http_x_goat_email$http_x_goat_key$http_x_goat_attribute_plan] \
                    $http_x_goat_assurance $uri\";";

/// Headers by which a client would name another user.
const FORGED: &str = "x-goat-user: forged\r\nx-goat-role: forged\r\nx-goat-session: forged\r\n\
                      x-goat-email: forged\r\nx-goat-key: forged\r\nx-goat-assurance: forged\r\n\
                      x_goat_user: forged\r\nx-goat_role: forged\r\nx-goat-attribute-plan: forged\r\n\
                      x_goat_attribute_plan: forged\r\n";

/// One page with two hundred assets, under the default limits.
#[test]
fn page_with_two_hundred_assets_behind_a_proxy_is_not_refused() {
    let program = Program::new()
        .with("GOAT_TRUSTED_PROXIES", "127.0.0.1")
        .with("GOAT_ADMIN_PASSWORD", ADMIN_PASSWORD);
    let (server, goat) = program.serve();
    let direct = Client::new(goat);
    let credentials = json!({"email": ADMIN, "password": ADMIN_PASSWORD});
    let signed_in = direct.post("/api/v1/auth/login", None, &credentials).expect("a response");
    let data = &signed_in.body["data"];
    let token = data["access_token"].as_str().expect("a token");

    let (front, application) = (free_address(), free_address());
    let _proxy = Proxy::before(front, goat, application, TOLD);

    let proxy = Client::new(front);
    let user = data["user"]["id"].as_str().expect("an id");
    // A client cannot name another user.
    let headers = format!("authorization: Bearer {token}\r\n{FORGED}");
    for number in 0..=200 {
        let path = if number == 0 { "/".to_owned() } else { format!("/asset-{number}.js") };
        let response = proxy.send("GET", &path, &headers, b"").expect("a response");
        let seen = format!("{user} admin [] single {path}");
        assert_eq!((response.status, &response.text), (200, &seen), "{path}");
    }
    // The limits of the user's own calls are not charged: one call of each.
    let own = direct.get("/api/v1/user", token).expect("a response");
    assert_eq!(own.header("ratelimit"), r#""address";r=299;t=60, "user";r=59;t=60"#);
    let post = proxy.post("/form", Some(token), &json!({"a": 1})).expect("a response");
    assert_eq!(post.status, 200, "a request with a body");
    for bearer in [None, Some("nonsense")] {
        let refused = proxy.call("GET", "/", bearer, None).expect("a response");
        assert_eq!(refused.status, 401);
    }
    server.stop();
}

/// A browser in front of the proxy, on `localhost`, where cookies need no https.
struct Browser {
    client: Client,
    cookies: Vec<(String, String)>,
}

impl Browser {
    fn new(front: SocketAddr) -> Self {
        Self { client: Client::new(front), cookies: Vec::new() }
    }

    /// Sends a request of a page of this site: `same-origin`, `cross-site`, or `none` for the user.
    fn send(&mut self, request: &str, site: &str, headers: &str, body: &str) -> Response {
        let pairs: Vec<_> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let bytes = format!(
            "{request} HTTP/1.1\r\nhost: localhost:{}\r\nconnection: close\r\ncookie: {}\r\n\
             sec-fetch-site: {site}\r\n{headers}content-length: {}\r\n\r\n{body}",
            self.client.address.port(),
            pairs.join("; "),
            body.len(),
        );
        let responses = self.client.raw(bytes.as_bytes());
        let response = responses.expect("a response").pop().expect("a response");
        let set = response.head.lines().filter_map(|line| line.split_once(": "));
        let set = set.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        for (name, value) in set.filter_map(|(_, cookie)| cookie.split(';').next()?.split_once('='))
        {
            self.cookies.retain(|(other, _)| other != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        response
    }

    /// A navigation to a page of the application.
    fn navigate(&mut self, site: &str, path: &str) -> Response {
        self.send(&format!("GET {path}"), site, "sec-fetch-mode: navigate\r\n", "")
    }
}

/// One signed-in browser: two hundred assets, no header of its own, no POST of another site, and no page
/// after the sign-out.
#[test]
fn a_browser_with_a_session_uses_the_application_behind_a_proxy() {
    let (front, application) = (free_address(), free_address());
    let origin = format!("http://localhost:{}", front.port());
    let program = Program::new()
        .with("GOAT_TRUSTED_PROXIES", "127.0.0.1")
        .with("GOAT_SESSION_COOKIES", "lax")
        .with("GOAT_PUBLIC_URL", &origin)
        .with("GOAT_FORWARD_ORIGINS", &origin)
        .with("GOAT_LOGIN_PAGE", "on")
        .with("GOAT_VERIFY_HEADERS", "email,attributes.plan")
        .with("GOAT_ATTRIBUTES_SELF", "plan")
        .with("GOAT_ADMIN_PASSWORD", ADMIN_PASSWORD);
    let (server, goat) = program.serve();
    let _proxy = Proxy::before(front, goat, application, TOLD);
    let mut browser = Browser::new(front);

    // A navigation is sent to the sign-in page, and a script receives the 401.
    let sent = browser.navigate("cross-site", "/reports?page=2&all");
    let back = format!("http%3A//localhost%3A{}/reports%3Fpage%3D2%26all", front.port());
    let location = sent.header("location");
    assert_eq!(sent.status, 303, "{}", sent.head);
    assert!(location.ends_with(&format!("/login?return_to={back}")), "{location}");
    let script = browser.send("GET /data", "same-origin", "sec-fetch-mode: cors\r\n", "");
    assert_eq!(script.status, 401, "{}", script.head);

    let path = location
        .split_once("/login")
        .map_or("/login".to_owned(), |(_, rest)| format!("/login{rest}"));
    let page = browser.navigate("cross-site", &path);
    assert!(page.text.contains("<form method=\"post\" action=\"login\">"), "{}", page.text);
    let form = "content-type: application/x-www-form-urlencoded\r\nsec-fetch-mode: navigate\r\n";
    let body = format!(
        "email={}&password={}&return_to={origin}/reports%3Fpage=2%26all",
        ADMIN.replace('@', "%40"),
        ADMIN_PASSWORD.replace(' ', "+"),
    );
    let signed_in = browser.send("POST /login", "same-origin", form, &body);
    assert_eq!((signed_in.status, browser.cookies.len()), (303, 2), "{}", signed_in.text);
    assert_eq!(signed_in.header("location"), format!("{origin}/reports?page=2&all"));
    let user = browser.send("GET /api/v1/auth/verify", "same-origin", "", "");
    let user = user.header("x-goat-user").to_owned();

    let page = browser.navigate("cross-site", "/");
    assert_eq!((page.status, page.text), (200, format!("{user} admin [{ADMIN}] single /")));
    // Without a value, the client's header is replaced too.
    let forged = browser.send("GET /forged", "same-origin", FORGED, "");
    assert_eq!(
        (forged.status, forged.text),
        (200, format!("{user} admin [{ADMIN}] single /forged"))
    );
    // A proxy may remove the headers that `Connection` names: only those of the client.
    let named = "connection: x-goat-user, x-goat-role, x-goat-email\r\n";
    let page = browser.send("GET /named", "same-origin", named, "");
    assert_eq!((page.status, page.text), (200, format!("{user} admin [{ADMIN}] single /named")));
    let direct = Client::new(goat);
    let credentials = json!({"email": ADMIN, "password": ADMIN_PASSWORD});
    let session = direct.post("/api/v1/auth/login", None, &credentials).expect("a response");
    let token = session.body["data"]["access_token"].as_str().expect("a token");
    let plan = json!({"plan": "pro, ü\r\nx-goat-role: root"});
    let changed = direct.call("PATCH", "/api/v1/user/attributes", Some(token), Some(&plan));
    assert_eq!(changed.expect("a response").status, 200);
    let told = format!("{user} admin [{ADMIN}pro%2C%20%C3%BC%0D%0Ax-goat-role:%20root] single");
    for number in 1..=200 {
        let path = format!("/asset-{number}.js");
        let asset = browser.send(&format!("GET {path}"), "same-origin", FORGED, "");
        assert_eq!((asset.status, asset.text), (200, format!("{told} {path}")));
    }
    let own = browser.send("POST /form", "same-origin", "", "a=1");
    assert_eq!(own.status, 200, "{}", own.text);
    for site in ["cross-site", "same-site"] {
        let forged = browser.send("POST /form", site, "", "a=1");
        assert_eq!(forged.status, 403, "{}", forged.head);
        // The client cannot tell another method, nor be a proxy.
        let headers = "x-forwarded-method: GET\r\nx-original-method: GET\r\n";
        assert_eq!(browser.send("POST /form", site, headers, "a=1").status, 403);
        let socket = "connection: upgrade\r\nupgrade: websocket\r\n";
        assert_eq!(browser.send("GET /socket", site, socket, "").status, 403);
    }

    let signed_out = browser.send("POST /logout", "same-origin", form, "");
    assert_eq!((signed_out.status, browser.cookies.len()), (303, 0));
    assert_eq!(browser.navigate("none", "/").status, 303);
    server.stop();
}
