//! Request targets: hosts, paths, methods and override headers.

use crate::harness::{ADMIN, ADMIN_PASSWORD, Server, UNLIMITED, folder};

fn server() -> (tempfile::TempDir, Server) {
    let folder = folder();
    let server = Server::start(folder.path(), &UNLIMITED);
    (folder, server)
}

/// The statuses of the responses to this head.
fn statuses(server: &Server, head: &[u8]) -> Vec<u16> {
    server.raw(head).iter().map(|response| response.status).collect()
}

/// RFC 9112, section 3.2
#[test]
fn exactly_one_host_is_required() {
    let (_folder, server) = server();
    let line = "GET /api/health HTTP/1.1\r\nConnection: close\r\n";
    for hosts in ["", "Host: a\r\nHost: b\r\n", "Host: a\r\nhost: a\r\n", "Host: a b\r\n"] {
        let responses = server.raw(format!("{line}{hosts}\r\n"));
        let found: Vec<_> = responses.iter().map(|response| response.status).collect();
        assert_eq!(found, [400], "{hosts:?}");
        assert_eq!(responses[0].header("connection"), "close", "{hosts:?}");
    }
    for hosts in ["Host:\r\n", "Host: a:80\r\n", "Host: [::1]:80\r\n", "Host: GOAT\r\n"] {
        assert_eq!(statuses(&server, format!("{line}{hosts}\r\n").as_bytes()), [200], "{hosts:?}");
    }
    assert_eq!(statuses(&server, b"GET /api/health HTTP/1.0\r\n\r\n"), [200]);
    let two = b"GET /api/health HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n";
    assert_eq!(statuses(&server, two), [400]);
    // A rejected request closes the connection.
    let next = "GET /api/health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n\
                GET /api/health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(statuses(&server, next.as_bytes()), [400]);
}

/// A5
#[test]
fn no_form_of_a_target_bypasses_a_guard() {
    let (_folder, server) = server();
    let long = format!("/{}", "a".repeat(30_000));
    let guarded = [
        ("GET", "http://goat/api/v1/user", 401),
        ("GET", "https://admin:secret@other:99/api/v1/user", 401),
        ("GET", "/api/v1/user?access_token=x", 401),
        ("GET", "/api/v1/user#fragment", 401),
        ("HEAD", "/api/v1/user", 401),
        ("get", "/api/v1/user", 405),
        ("TRACE", "/api/v1/user", 405),
        ("CONNECT", "/api/v1/user", 405),
        ("PROPFIND", "/api/v1/user", 405),
        ("OPTIONS", "/api/v1/user", 405),
        ("OPTIONS", "*", 404),
        ("GET", "*", 404),
        ("CONNECT", "goat:80", 404),
        ("GET", "goat:80", 404),
        ("GET", "http://goat", 404),
        ("GET", "//api/v1/user", 404),
        ("GET", "//goat/api/v1/user", 404),
        ("GET", "/api//v1/user", 404),
        ("GET", "/api/v1/user/", 404),
        ("GET", "/api/v1/./user", 404),
        ("GET", "/api/health/../v1/user", 404),
        ("GET", "/api/health/%2e%2e/v1/user", 404),
        ("GET", "/api/health%2f..%2fv1/user", 404),
        ("GET", "/api/health/..;/v1/user", 404),
        ("GET", "/api/v1/user;x=1", 404),
        ("GET", "/api/v1/user%00", 404),
        ("GET", "/api/v1/%75ser", 404),
        ("GET", "/api\\v1\\user", 404),
        ("GET", "/API/v1/user", 404),
        ("GET", "api/v1/user", 404),
        ("GET", &long, 404),
    ];
    for (method, target, status) in guarded {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: goat\r\nConnection: close\r\n\r\n");
        let responses = server.raw(head);
        let found: Vec<_> = responses.iter().map(|response| response.status).collect();
        let shown: String = target.chars().take(60).collect();
        // Some are malformed, and rejected before routing.
        assert!(found == [status] || found == [400], "{method} {shown}: {found:?}");
    }
    for bytes in [&b"/api/v1/user\xff"[..], b"/api/v1/user?\xc3\x28", b"/api/v1/user/\x7f"] {
        let head = [b"GET ", bytes, b" HTTP/1.1\r\nHost: goat\r\nConnection: close\r\n\r\n"];
        let found = statuses(&server, &head.concat());
        assert!(matches!(found[..], [400 | 401 | 404]), "{bytes:?}: {found:?}");
    }
}

/// A5
#[test]
fn override_headers_are_ignored() {
    let (_folder, server) = server();
    let admin = server.sign_in(ADMIN, ADMIN_PASSWORD);
    let headers = "X-HTTP-Method-Override: DELETE\r\nX-HTTP-Method: DELETE\r\n\
                   X-Method-Override: DELETE\r\nX-Original-URL: /api/health\r\n\
                   X-Rewrite-URL: /api/health\r\nX-Forwarded-Prefix: /api/v1/auth\r\n\
                   X-User: admin\r\nX-Forwarded-User: admin\r\nRemote-User: admin\r\n";
    assert_eq!(server.send("GET", "/api/v1/user", headers, b"").status, 401);
    let cookie = format!("{headers}Cookie: access_token={0}; token={0}\r\n", admin.access);
    assert_eq!(server.send("GET", "/api/v1/user", &cookie, b"").status, 401);
    let path = format!("/api/v1/user?access_token={}", admin.access);
    assert_eq!(server.send("GET", &path, headers, b"").status, 401);
    let bearer = format!("{headers}Authorization: Bearer {}\r\n", admin.access);
    let response = server.send("GET", "/api/v1/user", &bearer, b"");
    assert_eq!((response.status, &response.body["data"]["email"]), (200, &ADMIN.into()));
    let two = format!("{bearer}Authorization: Bearer {}\r\n", admin.access);
    assert_eq!(server.send("GET", "/api/v1/user", &two, b"").status, 400);
}

/// H1
#[test]
fn every_response_restricts_browsers() {
    let (_folder, server) = server();
    let html = "<script>alert(1)</script>";
    let paths = ["/api/docs", "/api/docs/page.js", "/api/openapi.json", "/api/metrics", "/nowhere"];
    let pages = ["/api/docs", "/api/link"];
    let paths = paths.into_iter().chain(["/api/link", "/api/link/page.js"]);
    for path in paths.chain(["/api/v1/user", "/api/v1/user/%3Cscript%3E"]) {
        let response = server.send("GET", path, &format!("Origin: {html}\r\n"), b"");
        assert_eq!(response.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(response.header("x-frame-options"), "DENY", "{path}");
        let policy = response.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none';"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(response.header("access-control-allow-origin"), "", "{path}");
        assert!(!response.text.contains(html), "{path}");
        let kind = response.header("content-type");
        assert_eq!(pages.contains(&path), kind.contains("html"), "{path}: {kind}");
    }
    let scripts = ["/api/docs/page.js", "/api/link/page.js"];
    let script = scripts.map(|path| server.get(path, "").text).concat();
    for sink in
        ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("]
    {
        assert!(!script.contains(sink), "{sink}");
    }
    for store in ["localStorage", "sessionStorage", "document.cookie"] {
        assert!(!script.contains(store), "{store}");
    }
}
