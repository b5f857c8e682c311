//! Refresh, expiry and verification.

use crate::replay::run::{Run, User};
use crate::support::app::PASSWORD;

pub(crate) async fn refresh_and_reuse(run: &mut Run) {
    let ann = run.member("ann", "client").await;
    let other = run.login("ann@example.org").await;
    run.wait(60);
    let second = ann.refreshed(&run.refresh(&ann.refresh).await);
    // In the grace period the predecessor gets the same successor, until that is used.
    run.wait(8);
    let again = ann.refreshed(&run.refresh(&ann.refresh).await);
    run.get("/api/v1/user", &again).await;
    let third = ann.refreshed(&run.refresh(&second.refresh).await);
    run.get("/api/v1/sessions", &third).await;
    run.wait(11);
    run.get("/api/v1/user", &third).await;
    run.refresh(&second.refresh).await;
    for user in [&ann, &second, &third, &other] {
        run.get("/api/v1/user", user).await;
        run.refresh(&user.refresh).await;
    }
    run.refresh(&other.access).await;
    run.refresh("nonsense").await;
    run.refresh("").await;
    let bob = run.member("bob", "client").await;
    let next = bob.refreshed(&run.refresh(&bob.refresh).await);
    run.refresh(&next.refresh).await;
    // The predecessor of a used token is reuse immediately.
    run.refresh(&bob.refresh).await;
    run.get("/api/v1/user", &next).await;
    run.try_login("bob@example.org", PASSWORD).await;
}

pub(crate) async fn expiry(run: &mut Run) {
    const DAY: u64 = 24 * 3600;
    let ann = run.member("ann", "client").await;
    let idle = run.login("ann@example.org").await;
    run.wait(299);
    run.get("/api/v1/user", &ann).await;
    run.wait(60);
    run.get("/api/v1/user", &ann).await;
    let mut last = ann.clone();
    for _ in 0..5 {
        last = last.refreshed(&run.refresh(&last.refresh).await);
        run.get("/api/v1/sessions", &last).await;
        run.wait(6 * DAY);
    }
    // The second session is idle for too long; the first reached its absolute end.
    run.refresh(&idle.refresh).await;
    run.refresh(&last.refresh).await;
    run.get("/api/v1/user", &last).await;
    let fresh = run.login("ann@example.org").await;
    run.get("/api/v1/sessions", &fresh).await;
    run.wait(7 * DAY - 1);
    let fresh = fresh.refreshed(&run.refresh(&fresh.refresh).await);
    run.wait(7 * DAY);
    run.refresh(&fresh.refresh).await;
}

pub(crate) async fn verify(run: &mut Run) {
    const VERIFY: &str = "/api/v1/auth/verify";
    let users: Vec<User> = vec![
        run.member("ann", "admin").await,
        run.member("oli", "operator").await,
        run.member("carl", "client").await,
    ];
    for user in &users {
        for query in [
            "",
            "?permission=user:read",
            "?permission=user:read&permission=user:delete",
            "?permission=report:read",
            "?permission=",
            "?permission=Nonsense",
            "?role=admin",
        ] {
            run.get(&format!("{VERIFY}{query}"), user).await;
        }
    }
    run.call(&format!("GET {VERIFY}")).send().await;
    run.call(&format!("HEAD {VERIFY}")).by(&users[1]).send().await;
    run.wait(400);
    run.get(VERIFY, &users[1]).await;
}

pub(crate) async fn introspection_and_revocation(run: &mut Run) {
    const FORM: &str = "application/x-www-form-urlencoded";
    let boss = run.member("boss", "admin").await;
    let oli = run.member("oli", "operator").await;
    let carl = run.member("carl", "client").await;
    run.wait(60);
    let next = carl.refreshed(&run.refresh(&carl.refresh).await);
    for token in [&oli.access, &carl.access, &carl.refresh, &next.refresh, "nonsense", ""] {
        for by in [&boss, &oli] {
            let form = format!("token={token}&token_type_hint=access_token");
            run.call("POST /api/v1/auth/introspect").by(by).text(FORM, &form).send().await;
        }
    }
    run.wait(400);
    for token in [&oli.access, &next.access, &carl.refresh, "nonsense", ""] {
        let form = format!("token={token}");
        run.call("POST /api/v1/auth/revoke").text(FORM, &form).send().await;
        run.refresh(&oli.refresh).await;
        run.refresh(&next.refresh).await;
    }
    run.refresh(&boss.refresh).await;
}
