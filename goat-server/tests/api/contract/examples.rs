//! The front-end example calls routes of the API.

use goat_server::api::table;

#[test]
fn react_example_calls_routes_that_exist() {
    let sources = [
        include_str!("../../../../examples/react/src/api.js"),
        include_str!("../../../../examples/react/src/main.jsx"),
    ]
    .concat();
    // `"POST", "/auth/login"`, with an id as `${session.id}`.
    let calls: Vec<(&str, String)> = sources
        .split(['(', '\n'])
        .filter_map(|text| {
            let (method, rest) = text.trim().strip_prefix('"')?.split_once("\", ")?;
            let path = rest.get(1..)?.split(rest.get(..1)?).next()?;
            let path = path.split("${").next()?.trim_end_matches('/');
            let id = if rest.contains("${") { "/{id}" } else { "" };
            path.starts_with('/').then(|| (method, format!("/api/v1{path}{id}")))
        })
        .collect();
    assert_eq!(calls.len(), 6, "{calls:?}");
    for (method, path) in &calls {
        let exists = table().iter().any(|route| route.method() == method && route.path() == path);
        assert!(exists, "{method} {path}");
    }
}
