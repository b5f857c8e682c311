use http::header::COOKIE;
use http::{HeaderValue, Method, Request};
use proptest::prelude::*;

use super::read::{Found, find};
use super::*;

const COOKIES: Cookies = Cookies::new();
const ACCESS: &str = "__Host-goat-access";
const REFRESH: &str = "__Host-goat-refresh";

fn headers(lines: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(COOKIE, HeaderValue::from_bytes(line).expect("a header's value"));
    }
    headers
}

fn read(lines: &[&[u8]]) -> Option<Result<String, CookieError>> {
    find(&headers(lines), "__Host-a").map(|found| found.token().map(str::to_owned))
}

#[test]
fn a_cookie_is_found_in_any_position_and_in_split_headers() {
    for good in [
        &[&b"__Host-a=x.y"[..]][..],
        &[b"b=1; __Host-a=x.y; c=2"],
        &[b"b=1;__Host-a=x.y;c=2"],
        &[b"b=1", b"__Host-a=x.y", b"c=2"],
        &[b"", b"; ;;=;x; __Host-a=x.y;"],
        &[b"\t__Host-a \t=\t x.y \t"],
        &[b"b=\xff\xfe; __Host-a=x.y; \xff=__Host-a"],
        &[b"b=__Host-a=z; __Host-a=x.y"],
        &[b"b=\"1; __Host-a=x.y"],
        &[b"$Version=1; __Host-a=x.y; $Path=/"],
    ] {
        let shown: Vec<_> = good.iter().map(|line| line.escape_ascii().to_string()).collect();
        assert_eq!(read(good), Some(Ok("x.y".to_owned())), "{shown:?}");
    }
}

/// A sibling domain's page can set cookies of all these names; `__Host-` protects only the real
/// one.
#[test]
fn similar_names_do_not_match() {
    for other in [
        &b"__Host-b=x"[..],
        b"__host-a=x",
        b"__HOST-A=x",
        b"__Host-a",
        b"__Host-aa=x",
        b"a__Host-a=x",
        b"\"__Host-a\"=x",
        b"__Host-a%20=x",
        b"%5F_Host-a=x",
        b"\xe2\x80\x80__Host-a=x",
        b"\xc2\xa0__Host-a=x",
        b"\xa0__Host-a=x",
        b"b=1,__Host-a=x",
        b"b=1 __Host-a=x",
        b"$Version=1,__Host-a=x",
        b"b=\"; c=1, __Host-a=x\"",
    ] {
        assert_eq!(read(&[other]), None, "{}", other.escape_ascii());
    }
}

/// J8
#[test]
fn a_value_that_is_not_a_token_is_malformed() {
    for bad in [
        &b"__Host-a="[..],
        b"__Host-a= ",
        b"__Host-a=\"x.y\"",
        b"__Host-a=x y",
        b"__Host-a=x,y",
        b"__Host-a=x%2Ey",
        b"__Host-a=x=y",
        b"__Host-a==x",
        b"__Host-a=x\\",
        b"__Host-a=x\xff",
        b"__Host-a=\xc3\xb6",
        b"__Host-a=Bearer x",
    ] {
        assert_eq!(read(&[bad]), Some(Err(CookieError::Malformed)), "{}", bad.escape_ascii());
    }
}

/// J8
#[test]
fn a_cookie_over_8_kib_is_rejected() {
    let line = |length, byte| [b"b=1; __Host-a=".to_vec(), vec![byte; length]].concat();
    assert_eq!(read(&[&line(8192, b'x')]), Some(Ok("x".repeat(8192))));
    assert_eq!(read(&[&line(8193, b'x')]), Some(Err(CookieError::TooLong)));
    assert_eq!(read(&[&line(8193, b'"')]), Some(Err(CookieError::TooLong)));
}

#[test]
fn repeated_cookies_are_rejected_even_if_they_agree() {
    for lines in [
        &[&b"__Host-a=x; __Host-a=x"[..]][..],
        &[b"__Host-a=x; b=1; __Host-a=y"],
        &[b"__Host-a=x", b"__Host-a=x"],
        &[b"__Host-a=", b"__Host-a=x"],
        &[b"__Host-a=x; __Host-a =y"],
    ] {
        assert_eq!(read(lines), Some(Err(CookieError::Repeated)));
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_neither_hide_nor_forge_a_cookie(
        lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4),
        token in "[A-Za-z0-9._~+/-]{1,20}={0,2}",
        place in any::<prop::sample::Index>(),
    ) {
        let name = "__Host-a";
        let mut lines: Vec<_> =
            lines.into_iter().filter(|line| HeaderValue::from_bytes(line).is_ok()).collect();
        let joined = |lines: &[Vec<u8>]| lines.join(&b"; "[..]);
        // Splitting the header differently does not change the result.
        let all = headers(&lines.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let one = headers(&[&joined(&lines)]);
        prop_assert_eq!(find(&all, name), find(&one, name));
        prop_assert_eq!(find(&all, name), None, "the name is not among the random cookies");
        // The token is found regardless of the surrounding cookies.
        lines.insert(place.index(lines.len() + 1), format!("{name}={token}").into_bytes());
        let all = headers(&lines.iter().map(Vec::as_slice).collect::<Vec<_>>());
        prop_assert_eq!(find(&all, name), Some(Found::One(token.as_bytes())));
        prop_assert_eq!(find(&all, name).map(Found::token), Some(Ok(token.as_str())));
        lines.push(format!("{name}={token}").into_bytes());
        let one = headers(&[&joined(&lines)]);
        prop_assert_eq!(find(&one, name), Some(Found::Several));
    }
}

/// A request for `https://api.example.org` with additional headers.
fn request(method: Method, more: &[(&'static str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri("/reports");
    if !more.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "api.example.org");
    }
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn accepts(cookies: &Cookies, more: &[(&'static str, &str)]) -> bool {
    cookies.check(&request(Method::POST, more)).is_ok()
}

#[test]
fn sec_fetch_site_decides_if_present() {
    const SITE: &str = "sec-fetch-site";
    for (accepted, more) in [
        (true, &[(SITE, "same-origin")][..]),
        (true, &[(SITE, "none")]),
        (true, &[(SITE, "same-origin"), ("origin", "null")]),
        (true, &[(SITE, "same-origin"), ("origin", "https://elsewhere.example.org")]),
        (false, &[(SITE, "same-site")]),
        (false, &[(SITE, "cross-site")]),
        (false, &[(SITE, "same-site"), ("origin", "https://www.example.org")]),
        (false, &[(SITE, "cross-site"), ("origin", "https://api.example.org")]),
        (false, &[(SITE, "")]),
        (false, &[(SITE, "Same-Origin")]),
        (false, &[(SITE, "same-origin, none")]),
        (false, &[(SITE, "something new"), ("origin", "https://api.example.org")]),
        (false, &[(SITE, "same-origin"), (SITE, "same-origin")]),
        (false, &[(SITE, "same-origin"), (SITE, "cross-site")]),
        (
            false,
            &[(SITE, "same-origin"), ("origin", "https://api.example.org"), ("origin", "null")],
        ),
        (false, &[(SITE, "same-origin\u{f6}")]),
    ] {
        assert_eq!(accepts(&COOKIES, more), accepted, "{more:?}");
    }
}

#[test]
fn without_sec_fetch_site_the_origin_must_equal_the_target() {
    let own = [
        ("api.example.org", "https://api.example.org"),
        ("API.example.org", "https://api.EXAMPLE.org"),
        ("api.example.org:443", "https://api.example.org"),
        ("api.example.org", "https://api.example.org:443"),
        ("api.example.org:8443", "https://api.example.org:8443"),
        ("[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ("[2001:DB8::1]", "https://[2001:db8::1]"),
        ("192.0.2.7", "https://192.0.2.7"),
        ("localhost", "http://localhost"),
        ("localhost:80", "http://localhost"),
        ("localhost:3000", "http://localhost:3000"),
        ("app.localhost:3000", "http://app.localhost:3000"),
        ("127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("[::1]:3000", "http://[::1]:3000"),
    ];
    for (host, origin) in own {
        assert!(accepts(&COOKIES, &[("host", host), ("origin", origin)]), "{host} {origin}");
    }
    let others = [
        ("api.example.org", "https://www.example.org"),
        ("api.example.org", "https://example.org"),
        ("api.example.org", "https://x.api.example.org"),
        ("api.example.org", "https://api.example.org.evil.example"),
        ("api.example.org", "https://api.example.org."),
        ("api.example.org", "https://evil.example/?api.example.org"),
        ("api.example.org", "https://api.example.org@evil.example"),
        ("api.example.org", "https://evil.example@api.example.org"),
        ("evil.example@api.example.org", "https://api.example.org"),
        ("api.example.org", "https://api.example.org:8443"),
        ("api.example.org:8443", "https://api.example.org"),
        ("api.example.org:80", "https://api.example.org"),
        ("api.example.org", "http://api.example.org"),
        ("api.example.org:80", "http://api.example.org"),
        ("192.0.2.7", "http://192.0.2.7"),
        ("localhost.example.org", "http://localhost.example.org"),
        ("notlocalhost:3000", "http://notlocalhost:3000"),
        ("localhost:3000", "http://localhost:3001"),
        ("localhost:3000", "http://127.0.0.1:3000"),
        ("localhost:443", "http://localhost"),
        ("[::1]:3000", "http://[::2]:3000"),
        ("[::1]x", "https://[::1]"),
        ("[::1", "https://[::1]"),
        ("[]", "https://[]"),
        ("[evil]", "https://[evil]"),
        ("::1", "https://::1"),
        ("", "https://"),
        ("null", "null"),
        ("null", "https://null/"),
        ("api.example.org", ""),
        ("api.example.org", "api.example.org"),
        ("api.example.org", "https:api.example.org"),
        ("api.example.org", "ftp://api.example.org"),
        ("api.example.org", "https://api.example.org https://api.example.org"),
        ("api.example.org", "https://api.example.org:"),
        ("api.example.org", "https://api.example.org:+443"),
        ("api.example.org", "https://api.example.org:65979"),
        ("api.example.org/", "https://api.example.org"),
        ("b\u{fc}cher.example", "https://b\u{fc}cher.example"),
    ];
    for (host, origin) in others {
        assert!(!accepts(&COOKIES, &[("host", host), ("origin", origin)]), "{host} {origin}");
    }
}

#[test]
fn a_request_without_sec_fetch_site_and_origin_is_rejected() {
    assert!(!accepts(&COOKIES, &[]));
    assert!(!accepts(&COOKIES, &[("referer", "https://api.example.org/form")]));
}

#[test]
fn the_request_target_precedes_the_host_header_and_two_host_headers_are_rejected() {
    let target = |uri: &str, hosts: &[&str]| {
        let mut request = Request::post(uri).header("origin", "https://api.example.org");
        for host in hosts {
            request = request.header("host", *host);
        }
        COOKIES.check(&request.body(()).expect("a request").into_parts().0).is_ok()
    };
    // HTTP/2 behind a proxy that terminates TLS.
    assert!(target("https://api.example.org/reports", &[]));
    assert!(target("http://api.example.org/reports", &[]));
    assert!(target("https://api.example.org/reports", &["evil.example"]));
    assert!(!target("https://evil.example/reports", &["api.example.org"]));
    assert!(target("/reports", &["api.example.org"]));
    assert!(!target("/reports", &["api.example.org", "api.example.org"]));
    assert!(!target("/reports", &[]));
}

#[test]
fn a_safe_method_is_not_checked_unless_it_opens_a_websocket() {
    let foreign = ("origin", "https://evil.example");
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
        assert_eq!(COOKIES.check(&request(method.clone(), &[foreign])), Ok(()));
        let upgrade = request(method, &[foreign, ("upgrade", "websocket")]);
        assert_eq!(COOKIES.check(&upgrade), Err(CookieError::CrossSite));
    }
    let own = [("upgrade", "websocket"), ("origin", "https://api.example.org")];
    assert_eq!(COOKIES.check(&request(Method::GET, &own)), Ok(()));
    let made_up = Method::from_bytes(b"get").expect("a method");
    for method in [
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::CONNECT,
        Method::from_bytes(b"PROPFIND").expect("a method"),
        made_up,
    ] {
        assert_eq!(COOKIES.check(&request(method, &[foreign])), Err(CookieError::CrossSite));
    }
}

#[test]
fn an_allowed_origin_is_accepted_with_and_without_sec_fetch_site() {
    let cookies = COOKIES
        .allow_origin("https://www.example.org")
        .and_then(|cookies| cookies.allow_origin("http://localhost:5173"))
        .expect("origins");
    for (accepted, site, origin) in [
        (true, Some("same-site"), "https://www.example.org"),
        (true, Some("cross-site"), "https://www.example.org"),
        (true, None, "https://www.example.org"),
        (true, None, "https://WWW.example.org:443"),
        (true, Some("same-site"), "http://localhost:5173"),
        (false, Some("same-site"), "http://localhost:5174"),
        (false, Some("same-site"), "http://www.example.org"),
        (false, Some("same-site"), "https://localhost:5173"),
        (false, Some("same-site"), "https://evil.example.org"),
        (false, Some("same-site"), "null"),
        (false, None, "https://www.example.org.evil.example"),
    ] {
        let mut more = vec![("origin", origin)];
        more.extend(site.map(|site| ("sec-fetch-site", site)));
        assert_eq!(accepts(&cookies, &more), accepted, "{more:?}");
    }
    assert!(!accepts(&cookies, &[("sec-fetch-site", "same-site")]));
}

#[test]
fn only_serialized_origins_can_be_allowed() {
    for bad in [
        "",
        "null",
        "*",
        "https://*.example.org",
        "www.example.org",
        "http://www.example.org",
        "https://www.example.org/",
        "https://www.example.org:port",
        "https://b\u{fc}cher.example",
        "HTTPS://www.example.org",
    ] {
        let error = COOKIES.allow_origin(bad).expect_err(bad);
        assert!(error.to_string().contains("https://host"), "{error}");
    }
}

/// The origin is checked before the cookie is parsed, so a foreign page learns nothing about it.
#[test]
fn the_origin_is_checked_before_the_token() {
    for cookie in
        [format!("{ACCESS}=\"; {REFRESH}=\""), format!("{ACCESS}=a; {ACCESS}=b; {REFRESH}=a")]
    {
        let shown = ("cookie", cookie.as_str());
        let foreign = request(Method::POST, &[shown, ("sec-fetch-site", "cross-site")]);
        assert_eq!(COOKIES.access_token(&foreign), Err(CookieError::CrossSite));
        assert_eq!(COOKIES.refresh_token(&foreign).err(), Some(CookieError::CrossSite));
    }
    // Without an access cookie there is nothing to check; a refresh always requires the origin.
    let foreign = request(Method::POST, &[("sec-fetch-site", "cross-site")]);
    assert_eq!(COOKIES.access_token(&foreign), Ok(None));
    assert_eq!(COOKIES.refresh_token(&foreign).err(), Some(CookieError::CrossSite));
}

#[test]
fn the_refresh_token_is_read_after_the_origin_check_for_every_method() {
    let cookie = format!("{ACCESS}=a.b; {REFRESH}=c.d");
    let from =
        |method, site| request(method, &[("cookie", cookie.as_str()), ("sec-fetch-site", site)]);
    for method in [Method::POST, Method::GET] {
        let own = COOKIES.refresh_token(&from(method.clone(), "same-origin"));
        assert_eq!(own.expect("a token").expose(), "c.d");
        let foreign = COOKIES.refresh_token(&from(method, "same-site"));
        assert_eq!(foreign.err(), Some(CookieError::CrossSite));
    }
    let none = request(Method::POST, &[("sec-fetch-site", "same-origin"), ("cookie", "a=b")]);
    assert_eq!(COOKIES.refresh_token(&none).err(), Some(CookieError::Missing));
    let other = COOKIES.names("__Host-x", "__Host-y");
    let own = from(Method::POST, "same-origin");
    assert_eq!(other.refresh_token(&own).err(), Some(CookieError::Missing));
    assert_eq!(other.access_token(&own), Ok(None));
}

#[test]
fn cookie_names_must_have_the_host_prefix() {
    let names = |access, refresh| {
        std::panic::catch_unwind(|| Cookies::new().names(access, refresh)).is_ok()
    };
    assert!(names("__Host-a", "__Host-b"));
    assert!(names("__Host-Http-a", "__Host-b.c_d-1"));
    for bad in ["", "a", "__Secure-a", "__host-a", "__Host-", "__Host-a b", "__Host-a=", "__Host-;"]
    {
        assert!(!names(bad, "__Host-b") && !names("__Host-b", bad), "{bad:?}");
    }
    assert!(!names("__Host-a", "__Host-a"), "equal names are rejected");
}
