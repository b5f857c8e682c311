//! Refreshing, running out, and asking what a token may do.

use crate::replay::play::{Person, Play};
use crate::support::app::PASSWORD;

pub(crate) async fn tokens_are_refreshed_and_reused(play: &mut Play) {
    let ann = play.member("ann", "client").await;
    let other = play.login("ann@example.org").await;
    play.wait(60);
    let second = ann.refreshed(&play.refresh(&ann.refresh).await);
    // Within the leeway the predecessor gets the very same successor, until that is used.
    play.wait(20);
    let again = ann.refreshed(&play.refresh(&ann.refresh).await);
    play.get("/api/v1/user", &again).await;
    let third = ann.refreshed(&play.refresh(&second.refresh).await);
    play.get("/api/v1/sessions", &third).await;
    play.wait(31);
    play.get("/api/v1/user", &third).await;
    play.refresh(&second.refresh).await;
    for person in [&ann, &second, &third, &other] {
        play.get("/api/v1/user", person).await;
        play.refresh(&person.refresh).await;
    }
    play.refresh(&other.access).await;
    play.refresh("nonsense").await;
    play.refresh("").await;
    let bob = play.member("bob", "client").await;
    let next = bob.refreshed(&play.refresh(&bob.refresh).await);
    play.refresh(&next.refresh).await;
    // The predecessor of a token that was used: at once.
    play.refresh(&bob.refresh).await;
    play.get("/api/v1/user", &next).await;
    play.try_login("bob@example.org", PASSWORD).await;
}

pub(crate) async fn tokens_and_sessions_run_out(play: &mut Play) {
    const DAY: u64 = 24 * 3600;
    let ann = play.member("ann", "client").await;
    let idle = play.login("ann@example.org").await;
    play.wait(299);
    play.get("/api/v1/user", &ann).await;
    play.wait(60);
    play.get("/api/v1/user", &ann).await;
    let mut last = ann.clone();
    for _ in 0..5 {
        last = last.refreshed(&play.refresh(&last.refresh).await);
        play.get("/api/v1/sessions", &last).await;
        play.wait(6 * DAY);
    }
    // Of the second session nothing is left; of the first, its absolute end has come.
    play.refresh(&idle.refresh).await;
    play.refresh(&last.refresh).await;
    play.get("/api/v1/user", &last).await;
    let fresh = play.login("ann@example.org").await;
    play.get("/api/v1/sessions", &fresh).await;
    play.wait(7 * DAY - 1);
    let fresh = fresh.refreshed(&play.refresh(&fresh.refresh).await);
    play.wait(7 * DAY);
    play.refresh(&fresh.refresh).await;
}

pub(crate) async fn services_ask_what_a_token_may(play: &mut Play) {
    const VERIFY: &str = "/api/v1/auth/verify";
    let people: Vec<Person> = vec![
        play.member("ann", "admin").await,
        play.member("oli", "operator").await,
        play.member("carl", "client").await,
    ];
    for person in &people {
        for query in [
            "",
            "?permission=user:read",
            "?permission=user:read&permission=user:delete",
            "?permission=report:read",
            "?permission=",
            "?permission=Nonsense",
            "?role=admin",
        ] {
            play.get(&format!("{VERIFY}{query}"), person).await;
        }
    }
    play.call(&format!("GET {VERIFY}")).send().await;
    play.call(&format!("HEAD {VERIFY}")).by(&people[1]).send().await;
    play.wait(400);
    play.get(VERIFY, &people[1]).await;
}
