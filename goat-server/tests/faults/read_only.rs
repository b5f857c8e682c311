//! O1: engines that response and refuse writes: a standby, a replica. What can be read is answered,
//! what cannot be written is a 503, nothing is half done, and all is well again once they are masters.

use goat_engines::{Postgres, PostgresOptions, Redis, RedisOptions};
use serde_json::json;

use super::responses::{impatient, in_time, is_success, once_well, wait_until_ready};
use crate::support::node::{Node, PASSWORD, Person, node, node_with};
use crate::support::process::Response;
use crate::support::two_nodes::{Act, Pair, Scene};

fn is_refused(case: &str, ask: impl FnOnce() -> Option<Response>) {
    let response = in_time(case, ask);
    assert!(!is_success(case, &response), "{case}: {response:?}");
}

/// Everything that writes to the database.
fn writes_to_the_database(at: Node, scene: &Scene) {
    let credentials = json!({"email": format!("new-{}", scene.email), "password": PASSWORD});
    is_refused("signup", || at.0.post("/api/v1/auth/signup", None, &credentials));
    for act in [Act::ChangePassword, Act::Suspend, Act::Delete, Act::RaiseRole, Act::Grant] {
        is_refused(&format!("{act:?}"), || act.perform(at, scene));
    }
    is_refused("revoke all", || Act::RevokeAll.perform(at, scene));
}

fn writes_to_sessions(at: Node, scene: &Scene) {
    is_refused("login", || Some(scene.login(at)));
    is_refused("refresh", || Some(at.refresh(&scene.ann)));
    is_refused("logout", || Act::Logout.perform(at, scene));
    is_refused("revoke", || Act::RevokeSession.perform(at, scene));
}

fn reads(at: Node, scene: &Scene) {
    for _ in 0..3 {
        for person in [&scene.ann, &scene.second] {
            assert_eq!(at.profile(person).status, 200);
        }
        let list = scene.command(at, "GET", "/api/v1/user/list", None).expect("a response");
        assert_eq!(list.status, 200, "{list:?}");
        let sessions = scene.ask(at, "GET", "/api/v1/sessions", None).expect("a response");
        assert_eq!(sessions.body["data"].as_array().map(Vec::len), Some(2), "{sessions:?}");
    }
    assert_eq!(at.profile(&forged(&scene.ann)).status, 401, "nobody is let in unchecked");
}

/// A token of nobody.
fn forged(person: &Person) -> Person {
    let (signed, _) = person.access.rsplit_once('.').expect("three parts");
    Person { access: format!("{signed}.{}", "A".repeat(43)), refresh: person.refresh.clone() }
}

/// Nothing of what was refused was done, and now all of it can be.
fn is_well_again(nodes: [Node; 2], scene: &Scene) {
    for node in nodes {
        wait_until_ready("again", node);
        let profile = once_well("profile", || Some(node.profile(&scene.ann)));
        assert_eq!(profile.status, 200, "{profile:?}");
        assert_eq!(once_well("second", || Some(node.profile(&scene.second))).status, 200);
        let login = once_well("login", || Some(scene.login(node)));
        assert_eq!(login.status, 200, "the password is the one before: {login:?}");
    }
    let refreshed = once_well("refresh", || Some(nodes[0].refresh(&scene.ann)));
    assert_eq!(refreshed.status, 200, "R3: {refreshed:?}");
    let suspended = once_well("suspend", || Act::Suspend.perform(nodes[0], scene));
    assert_eq!(suspended.status, 200, "{suspended:?}");
    for node in nodes {
        let next = Person::of(&refreshed);
        crate::support::node::soon("it is obeyed", || node.profile(&next).status == 401);
    }
}

#[test]
fn a_standby_answers_reads_and_is_a_503_for_writes_until_it_is_promoted() {
    let postgres = Postgres::start(PostgresOptions::default());
    let url = postgres.url();
    let pair = Pair::that_hear([(); 2].map(|()| impatient(node(&url))));
    let admin = pair.one.administrator();
    let scene = Scene::new(pair.one, &admin);
    postgres.make_standby();
    for node in pair.nodes() {
        // Its connections were cut; what is asked finds new ones.
        assert_eq!(once_well("read", || Some(node.profile(&scene.ann))).status, 200);
        reads(node, &scene);
        writes_to_the_database(node, &scene);
        writes_to_sessions(node, &scene);
        reads(node, &scene);
    }
    postgres.promote();
    is_well_again(pair.nodes(), &scene);
    pair.stop();
}

#[test]
fn a_standby_beside_redis_lets_sessions_begin_and_end() {
    let postgres = Postgres::start(PostgresOptions::default());
    let redis = Redis::start(RedisOptions::default());
    let url = postgres.url();
    let pair = Pair::that_hear([(); 2].map(|()| impatient(node_with(&url, &redis.url()))));
    let admin = pair.one.administrator();
    let scene = Scene::new(pair.one, &admin);
    let gone = Scene::new(pair.one, &admin);
    postgres.make_standby();
    for node in pair.nodes() {
        assert_eq!(once_well("read", || Some(node.profile(&scene.ann))).status, 200);
        reads(node, &scene);
        writes_to_the_database(node, &scene);
        reads(node, &scene);
    }
    // Sessions are Redis's own.
    let response = in_time("logout", || Act::Logout.perform(pair.one, &gone));
    if is_success("logout", &response) {
        crate::support::node::soon("it is obeyed", || pair.other.profile(&gone.ann).status == 401);
    }
    postgres.promote();
    is_well_again(pair.nodes(), &scene);
    assert_eq!(pair.other.profile(&gone.ann).status, 401, "{response:?}");
    pair.stop();
}

/// B8: where limits are counted, nothing can be answered by a server that counts nothing.
#[test]
fn a_replica_is_a_503_for_what_writes_and_lets_nobody_in_unchecked() {
    let master = Redis::start(RedisOptions::default());
    let redis = Redis::start(RedisOptions::default());
    let url = Postgres::shared().create_database();
    let site = || node_with(&url, &redis.url());
    let pair = Pair::that_hear([impatient(site()), site()]);
    let admin = pair.one.administrator();
    let scene = Scene::new(pair.one, &admin);
    let dump = redis.cli(&["DBSIZE"]);
    // A replica of an empty master has nothing: what it had comes back when the master has it.
    master.replica_of(&redis);
    master.cli(&["REPLICAOF", "NO", "ONE"]);
    redis.replica_of(&master);
    assert_eq!(redis.cli(&["DBSIZE"]), dump);
    for node in pair.nodes() {
        writes_to_sessions(node, &scene);
    }
    for (node, person) in [(pair.one, forged(&scene.ann)), (pair.other, forged(&scene.ann))] {
        let refused = in_time("forged", || Some(node.profile(&person)));
        assert!([401, 503].contains(&refused.status), "{refused:?}");
    }
    redis.cli(&["REPLICAOF", "NO", "ONE"]);
    is_well_again(pair.nodes(), &scene);
    pair.stop();
}
