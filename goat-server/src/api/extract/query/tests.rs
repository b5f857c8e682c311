//! Accepted queries, and violations of the others.

use proptest::prelude::*;

use super::*;

fn messages<T>(parsed: Result<T, Violations>) -> Vec<String> {
    let violations = parsed.err().unwrap_or_default();
    violations
        .iter()
        .map(|violation| format!("{} {}", violation.field, violation.message))
        .collect()
}

fn page(query: &str) -> Result<(u32, u32, u32), Vec<String>> {
    let parsed = Parameters::read::<Page>(Some(query));
    parsed
        .clone()
        .map_err(|_| messages(parsed))
        .map(|page| (page.number(), page.limit(), page.offset()))
}

#[derive(Debug, PartialEq)]
struct List {
    page: Page,
    roles: Vec<String>,
    search: Option<String>,
    descending: Option<bool>,
}

impl FromQuery for List {
    fn from_query(parameters: &mut Parameters) -> Result<Self, Refused> {
        let page = parameters.page();
        let roles = parameters.repeated_parse("role", |text| match text {
            "client" | "admin" => Ok(text.to_owned()),
            _ => Err("must be client or admin"),
        });
        let search = parameters.optional("search");
        let descending = parameters.one_of("sort", &[("email", false), ("-email", true)]);
        Ok(Self { page: page?, roles: roles?, search: search?, descending: descending? })
    }
}

fn list(query: &str) -> Result<List, Vec<String>> {
    Parameters::read::<List>(Some(query)).map_err(|violations| messages::<()>(Err(violations)))
}

#[test]
fn page_has_defaults_and_bounds() {
    assert_eq!(Parameters::read::<Page>(None).map(|page| page.limit()), Ok(20));
    for (query, expected) in [
        ("", (1, 20, 0)),
        ("page=3", (3, 20, 40)),
        ("limit=100", (1, 100, 0)),
        ("page=007&limit=1", (7, 1, 6)),
        ("page=100&limit=100", (100, 100, 9_900)),
        ("page=500", (500, 20, 9_980)),
        ("page=10000&limit=1", (10_000, 1, 9_999)),
        ("p%61ge=%32", (2, 20, 20)),
        ("&page=2&&", (2, 20, 20)),
    ] {
        assert_eq!(page(query), Ok(expected), "{query}");
    }
}

#[test]
fn numbers_out_of_range_are_rejected() {
    const PAGE: &str = "page must be a whole number from 1 to 10000";
    const LIMIT: &str = "limit must be a whole number from 1 to 100";
    for value in [
        "",
        "0",
        "-1",
        "%2b1",
        "+1",
        "1+",
        "1.0",
        "1e2",
        "0x1",
        "abc",
        "%D9%A1",
        "10001",
        "4294967297",
        "18446744073709551617",
        "99999999999999999999999999999999999999999",
        "1,2",
    ] {
        assert_eq!(page(&format!("page={value}")), Err(vec![PAGE.to_owned()]), "{value}");
    }
    for value in ["", "0", "101", "-20", "ten"] {
        assert_eq!(page(&format!("limit={value}")), Err(vec![LIMIT.to_owned()]), "{value}");
    }
    assert_eq!(page("page&limit"), Err(vec![PAGE.to_owned(), LIMIT.to_owned()]));
}

#[test]
fn page_past_row_ten_thousand_is_rejected() {
    const DEEP: &str = "page must not exceed 10000 when multiplied by limit";
    for query in ["page=501", "page=101&limit=100", "page=5001&limit=2", "limit=100&page=10000"] {
        assert_eq!(page(query), Err(vec![DEEP.to_owned()]), "{query}");
    }
    let both = page("page=10001&limit=0").expect_err("both");
    assert!(both[0].starts_with("page ") && both[1].starts_with("limit "), "{both:?}");
}

#[test]
fn valid_query_is_read() {
    let read = list("role=admin&search=a%2Bb%20c%C3%A9&sort=-email&role=client").expect("a list");
    assert_eq!(read.roles, ["admin", "client"]);
    assert_eq!(read.search.as_deref(), Some("a+b cé"));
    // A plus is a plus, as in a tagged address.
    let tagged = list("search=ann+tag").expect("a list");
    assert_eq!(tagged.search.as_deref(), Some("ann+tag"));
    assert_eq!(read.descending, Some(true));
    assert_eq!(list("search=a=b;c").expect("a list").search.as_deref(), Some("a=b;c"));
    assert_eq!(list("search").expect("a list").search.as_deref(), Some(""));
}

#[test]
fn all_violations_are_reported_at_once() {
    const KNOWN: &str = "is unknown; expected one of page, limit, role, search, sort";
    assert_eq!(
        list(
            "Page=1&limit=x&role=client&role=root&role=boss&search=a&search=a&sort=Email&x=1&x=2&=y&%0aid=3"
        ),
        Err(vec![
            "limit must be a whole number from 1 to 100".to_owned(),
            "role must be client or admin".to_owned(),
            "search must not be given more than once".to_owned(),
            "sort must be one of email, -email".to_owned(),
            format!(" {KNOWN}"),
            format!("\u{fffd}id {KNOWN}"),
            format!("Page {KNOWN}"),
            format!("x {KNOWN}"),
        ]),
    );
}

#[test]
fn malformed_escapes_are_rejected() {
    for value in ["%", "%4", "%4g", "%zz", "%+1", "%ff", "%C3", "%ed%a0%80", "a%"] {
        let refused = list(&format!("search={value}")).expect_err(value);
        assert_eq!(refused, ["search must be valid percent-encoded UTF-8"], "{value}");
    }
    let refused = list("sear%ch=1&%ff=1").expect_err("names");
    assert!(refused[0].starts_with("%ff is unknown"), "{refused:?}");
    assert!(refused[1].starts_with("sear%ch is unknown"), "{refused:?}");
}

#[test]
fn no_query_rejects_every_parameter() {
    for query in [None, Some(""), Some("&")] {
        assert!(Parameters::read::<NoQuery>(query).is_ok(), "{query:?}");
    }
    let refused = messages(Parameters::read::<NoQuery>(Some("page=1&_=2")));
    assert_eq!(refused, ["_ is unknown; remove it", "page is unknown; remove it"]);
}

#[test]
fn rule_over_two_parameters_can_be_reported() {
    let mut parameters = Parameters::parse(Some("after=x&page=2"));
    let page_given = parameters.contains("page");
    let page = parameters.page();
    let after = parameters.optional("after");
    assert_eq!(after, Ok(Some("x".to_owned())));
    assert!(page_given && page.is_ok());
    let refused = parameters.refuse("after", "must not be given together with page");
    assert_eq!(
        messages(parameters.finish::<()>(Err(refused))),
        ["after must not be given together with page"]
    );
}

#[tokio::test]
async fn extractors_read_the_request_query() {
    async fn extract<T: FromRequestParts<(), Rejection = Rejection>>(
        uri: &str,
    ) -> Result<T, Rejection> {
        let (mut parts, ()) = http::Request::get(uri).body(()).expect("a request").into_parts();
        T::from_request_parts(&mut parts, &()).await
    }
    let Query(page) = extract::<Query<Page>>("/list?page=2").await.expect("a page");
    assert_eq!(page.number(), 2);
    assert!(extract::<NoQuery>("/list?").await.is_ok());
    let refused = extract::<NoQuery>("/list?page=2").await.expect_err("a parameter");
    assert_eq!(refused.violations().len(), 1);
    // W1: more parameters than any route reads are not read; empty ones are none.
    for (count, expected) in [(32, false), (33, true), (10_000, true)] {
        let uri = format!("/list?&&page=%ff&{}", "x&&".repeat(count - 1));
        let is_counted = extract::<NoQuery>(&uri).await == Err(Rejection::TooManyParameters);
        assert_eq!(is_counted, expected, "{count}");
        let refused = extract::<Query<Page>>(&uri).await.err();
        assert_eq!(refused == Some(Rejection::TooManyParameters), expected, "{count}");
    }
}

proptest! {
    #[test]
    fn encoding_round_trips(text in any::<String>()) {
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        prop_assert_eq!(decode(&encoded), Some(text));
    }

    #[test]
    fn arbitrary_queries_never_panic(query in any::<String>()) {
        let nothing = query.bytes().all(|byte| byte == b'&');
        prop_assert_eq!(Parameters::read::<NoQuery>(Some(&query)).is_ok(), nothing);
        if let Ok(page) = Parameters::read::<Page>(Some(&query)) {
            prop_assert!(page.offset() + page.limit() <= 10_000);
        }
    }
}

proptest! {
    #[test]
    fn every_valid_page_is_accepted_by_goat_core(number in 0..12_000_u32, limit in 0..120_u32) {
        let query = format!("page={number}&limit={limit}");
        let read = Parameters::read::<Page>(Some(&query)).ok();
        prop_assert_eq!(read.is_some(), PageRequest::new(number, limit).is_some());
        if let Some(request) = read.map(PageRequest::from) {
            prop_assert_eq!((request.page(), request.limit()), (number, limit));
        }
    }
}
