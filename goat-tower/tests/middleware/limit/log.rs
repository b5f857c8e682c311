//! Log messages that describe limits.

use goat_core::Quota;
use goat_core::testing::TestGoat;
use goat_tower::{GoatExt, LimitLayer};
use tower::Layer;
use tracing::Level;

use crate::support::log::logged;
use crate::support::whoami;

fn apply(layer: &LimitLayer) {
    let _ = layer.layer(whoami());
}

#[test]
fn a_limit_is_logged_once_for_all_its_services() {
    let test = TestGoat::new();
    let quota = Quota::per_minute(60);
    let limit = test.goat.limit(quota).by_user().by_path_template();
    let lines = logged(|| {
        for layer in [&limit, &limit.clone(), &limit] {
            apply(layer);
        }
    });
    let expected = format!(r#"limit "user-path": {quota}, counted by user and path template"#);
    assert_eq!(lines, [(Level::INFO, expected.clone())]);
    assert_eq!(limit.to_string(), expected);
    assert_eq!(logged(|| apply(&limit)), []);
}

#[test]
fn a_changed_limit_is_logged_again() {
    let test = TestGoat::new();
    let quota = Quota::per_minute(60);
    let limit = test.goat.limit(quota);
    let lines = logged(|| {
        apply(&limit);
        apply(&limit.clone().named("auth").counted_as("login"));
        apply(&limit.clone().named("auth").counted_as("auth"));
        apply(&limit.clone().by_user().by_session().by_token());
        apply(&limit);
    });
    let expected = [
        format!(r#"limit "address": {quota}, counted by address"#),
        format!(r#"limit "auth": {quota}, counted by address as "login""#),
        format!(r#"limit "auth": {quota}, counted by address"#),
        format!(r#"limit "user-session-token": {quota}, counted by user, session and token"#),
    ];
    assert_eq!(lines, expected.map(|line| (Level::INFO, line)));
}

#[test]
fn both_limits_of_a_combined_layer_are_logged() {
    let test = TestGoat::new();
    let limit = test.goat.limit(Quota::per_minute(60));
    let (address, user) = (limit.clone().by_address(), limit.by_user());
    let admit = test.goat.authenticate().limited(address.clone(), user.clone());
    let lines = logged(|| {
        let _ = (admit.layer(whoami()), admit.layer(whoami()));
    });
    let expected = [address.to_string(), user.to_string()];
    assert_eq!(lines, expected.map(|line| (Level::INFO, line)));
}

/// L2: control characters in a name cannot forge log lines.
#[test]
fn a_name_cannot_forge_a_line() {
    let limit = TestGoat::new().goat.limit(Quota::per_minute(1)).named("a\nb\u{1b}");
    assert!(limit.to_string().starts_with(r#"limit "a\nb\u{1b}": "#), "{limit}");
}
