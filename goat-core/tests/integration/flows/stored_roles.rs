//! Stored roles: the rules of their changes, their effect, and their races with assignments, sign-ups and
//! requests.

use goat_core::access::{NewRole, Rank, RoleDifference, RoleSummary};
use goat_core::auth::SignUp;
use goat_core::event::{EventActor, EventKind};
use goat_core::session::Origin;
use goat_core::store::{RoleChange, RoleSnapshot, RoleWrite};
use goat_core::testing::Point;
use goat_core::user::{NewUser, UserFilter};
use goat_core::{Actor, ErrorKind, Goat, Permission, Result, Role, Status, User};

use crate::flows::support::{
    Backend, Harness, Outcome, PASSWORD, email, login, on_every_store, system,
};

const REPORTS: Permission = Permission::new("report:read");
const BOOKS: Permission = Permission::new("book:read");

fn new_role(name: &str, rank: u32, permissions: &[Permission]) -> NewRole {
    let name = Role::parse(name).expect("a name");
    NewRole { name, rank: Rank(rank), permissions: permissions.to_vec() }
}

async fn create(harness: &Harness, name: &str, rank: u32, permissions: &[Permission]) -> Role {
    let new = new_role(name, rank, permissions);
    harness.goat.roles().create(system(), new).await.expect("a role").role
}

async fn sign_up(goat: &Goat, name: &str) -> Result<User> {
    let (email, password) = (email(name), PASSWORD.into());
    goat.sign_up(SignUp { email, password: Some(password), origin: Origin::default() }).await
}

fn names(roles: &[RoleSummary]) -> Vec<(&str, u32)> {
    roles.iter().map(|one| (one.role.as_str(), one.rank.0)).collect()
}

/// Roles are created, ranked and deleted with effect on this node and on others that receive the
/// invalidation.
async fn changes_take_effect_before_they_return(backend: Backend) {
    let harness = Harness::with_stored_roles(backend);
    let other = harness.second_node();
    let roles = harness.goat.roles();
    harness.goat.prepare().await.expect("ready");
    other.prepare().await.expect("ready");
    let shipped = [("client", 100), ("operator", 500), ("admin", 1000)];
    assert_eq!(names(&other.roles().list().await.expect("roles")), shipped);

    let made = roles.create(system(), new_role("team-a", 300, &[REPORTS, BOOKS, REPORTS])).await;
    let made = made.expect("a role");
    assert_eq!((made.rank, &made.permissions[..]), (Rank(300), &[BOOKS, REPORTS][..]));
    assert_eq!(roles.get("team-a"), Some(made.role.clone()));
    let listed = other.roles().list().await.expect("roles");
    assert_eq!(names(&listed)[1], ("team-a", 300));
    let ann = harness.member("ann", "team-a").await.tokens;
    for goat in [&harness.goat, &other] {
        let me = goat.authenticate_token(ann.access_token.expose()).await.expect("a session");
        assert_eq!(me.permissions(), [BOOKS, REPORTS]);
    }

    let ranked = roles.set_rank(system(), "team-a", Rank(500)).await.expect("ranked");
    assert_eq!((ranked.rank, ranked.permissions), (Rank(500), made.permissions));
    let listed = other.roles().list().await.expect("roles");
    assert_eq!(names(&listed)[1..3].iter().map(|one| one.1).collect::<Vec<_>>(), [500, 500]);

    let refused = roles.delete(system(), "team-a").await.expect_err("ann has it");
    assert_eq!((refused.kind(), refused.users()), (ErrorKind::RoleInUse, Some(1)));
    let id = harness.principal(&ann).await.user();
    harness.goat.users().change_role(system(), id, harness.role("client")).await.expect("changed");
    roles.delete(system(), "team-a").await.expect("deleted");
    assert_eq!(names(&other.roles().list().await.expect("roles")), shipped);
    assert_eq!(roles.grants_of("team-a").await.kind(), Some(ErrorKind::NotFound));
    // A new role of the same name has none of the old permissions.
    let again = roles.create(system(), new_role("team-a", 1, &[])).await.expect("a role");
    assert_eq!(again.permissions, []);
}

async fn invalid_and_protected_changes_are_refused(backend: Backend) {
    let harness = Harness::with_stored_roles(backend);
    let roles = harness.goat.roles();
    for (new, field) in [
        (new_role("9lives", 1, &[]), "name"),
        (new_role(&"a".repeat(33), 1, &[]), "name"),
        (new_role("a", 1000, &[]), "rank"),
        (new_role("a", 1, &[Permission::FULL_ACCESS]), "permissions"),
    ] {
        let error = roles.create(system(), new).await.expect_err("invalid");
        assert_eq!((error.kind(), &*error.violations()[0].field), (ErrorKind::Invalid, field));
    }
    let taken = roles.create(system(), new_role("operator", 1, &[])).await;
    assert_eq!(taken.kind(), Some(ErrorKind::RoleExists));

    let ranked = |name, rank| roles.set_rank(system(), name, Rank(rank));
    assert_eq!(ranked("ghost", 1).await.kind(), Some(ErrorKind::NotFound));
    assert_eq!(ranked("no role", 1).await.kind(), Some(ErrorKind::NotFound));
    assert_eq!(ranked("operator", 1000).await.kind(), Some(ErrorKind::Invalid));
    assert_eq!(ranked("admin", 1).await.kind(), Some(ErrorKind::RoleProtected));
    for (name, kind) in [
        ("ghost", ErrorKind::NotFound),
        ("admin", ErrorKind::RoleProtected),
        ("client", ErrorKind::RoleProtected),
    ] {
        assert_eq!(roles.delete(system(), name).await.kind(), Some(kind), "{name}");
    }
    let grant = roles.grant(system(), "operator", Permission::FULL_ACCESS).await;
    assert_eq!(grant.kind(), Some(ErrorKind::Invalid));
    // The lowest role is the one given at sign-up, so the former one is not protected any more.
    create(&harness, "guest", 5, &[]).await;
    assert_eq!(sign_up(&harness.goat, "ann").await.expect("signed up").role.as_str(), "guest");
    roles.delete(system(), "client").await.expect("deleted");
    assert_eq!(roles.delete(system(), "guest").await.kind(), Some(ErrorKind::RoleProtected));
    let create = harness.goat.users().create(
        system(),
        NewUser {
            email: email("bob"),
            password: Some(PASSWORD.into()),
            role: Role::parse("client").expect("a name"),
            status: Status::Active,
        },
    );
    assert_eq!(create.await.kind(), Some(ErrorKind::Invalid));
}

/// Of the rules of a change, the permission comes first.
async fn changing_roles_requires_full_access(backend: Backend) {
    let harness = Harness::with_stored_roles(backend);
    let operator = harness.member("olga", "operator").await.tokens;
    let root = harness.member("root", "admin").await;
    let roles = harness.goat.roles();
    let actor = || harness.actor(&operator);
    let forbidden = Some(ErrorKind::Forbidden);
    let new = new_role("9lives", 1000, &[Permission::FULL_ACCESS]);
    assert_eq!(roles.create(actor().await, new).await.kind(), forbidden);
    assert_eq!(roles.set_rank(actor().await, "operator", Rank(999)).await.kind(), forbidden);
    assert_eq!(roles.delete(actor().await, "ghost").await.kind(), forbidden);
    assert_eq!(roles.apply(actor().await, Vec::new()).await.kind(), forbidden);
    harness.events.take();
    let new = new_role("team", 200, &[]);
    roles.create(harness.actor(&root.tokens).await, new).await.expect("a role");
    roles.set_rank(harness.actor(&root.tokens).await, "team", Rank(201)).await.expect("ranked");
    roles.set_rank(harness.actor(&root.tokens).await, "team", Rank(201)).await.expect("unchanged");
    roles.delete(harness.actor(&root.tokens).await, "team").await.expect("deleted");
    let events = harness.events.take();
    let kinds: Vec<_> = events.iter().map(|event| event.kind.clone()).collect();
    assert_eq!(kinds, [EventKind::RoleCreated, EventKind::RoleRanked, EventKind::RoleDeleted]);
    let by = EventActor::User(root.user.id);
    assert!(events.iter().all(|one| one.actor == by), "{events:?}");
    let of_team = |event: &goat_core::event::Event| {
        event.role.as_ref().is_some_and(|role| role.as_str() == "team")
    };
    assert!(events.iter().all(of_team), "{events:?}");
}

/// Users of equal rank do not act on each other, with any permissions.
async fn ranks_decide_who_acts_on_whom(backend: Backend) {
    let harness = Harness::with_stored_roles(backend);
    let delete = Permission::new("user:*");
    create(&harness, "one", 600, std::slice::from_ref(&delete)).await;
    create(&harness, "two", 600, &[]).await;
    let ann = harness.member("ann", "one").await.tokens;
    let bob = harness.user("bob", "two").await.id;
    let users = harness.goat.users();
    let refused = users.change_status(harness.actor(&ann).await, bob, Status::Suspended).await;
    assert_eq!(refused.kind(), Some(ErrorKind::Outranked));
    harness.goat.roles().set_rank(system(), "two", Rank(599)).await.expect("ranked");
    let done = users.change_status(harness.actor(&ann).await, bob, Status::Suspended).await;
    assert_eq!(done.expect("suspended").status, Status::Suspended);
    // A rank that rises after the fresh read protects inside the write.
    let acting = harness.actor(&ann).await;
    let held = harness.failpoints.hold("users.write", Point::Entry);
    let ((), refused) = tokio::join!(
        async {
            held.reached().await;
            harness.goat.roles().set_rank(system(), "two", Rank(700)).await.expect("ranked");
            held.release();
        },
        users.change_status(acting, bob, Status::Active),
    );
    assert_eq!(refused.kind(), Some(ErrorKind::Outranked));
}

/// The store holds at most 1,000 roles.
async fn there_are_at_most_a_thousand_roles(backend: Backend) {
    let harness = Harness::with_stored_roles(backend);
    let roles = harness.goat.roles();
    let many: Vec<_> = (0..995).map(|number| new_role(&format!("r{number}"), 7, &[])).collect();
    roles.apply(system(), many).await.expect("applied");
    create(&harness, "last", 7, &[]).await;
    let (one, two) = tokio::join!(
        roles.create(system(), new_role("x1", 7, &[])),
        roles.create(system(), new_role("x2", 7, &[])),
    );
    let kinds = [one.kind(), two.kind()];
    assert!(kinds.contains(&None) && kinds.contains(&Some(ErrorKind::TooMany)), "{kinds:?}");
    let refused = roles.apply(system(), vec![new_role("x3", 7, &[])]).await;
    assert_eq!(refused.kind(), Some(ErrorKind::TooMany));
    assert_eq!(roles.list().await.expect("roles").len(), 1000);
}

/// A list of roles is applied once, as one change.
async fn applied_list_leaves_no_difference(backend: Backend) {
    let harness = Harness::with_stored_roles(backend);
    let roles = harness.goat.roles();
    let read = Permission::new("user:read");
    let wanted = || {
        vec![
            new_role("admin", 1000, &[Permission::FULL_ACCESS]),
            new_role("operator", 400, &[read.clone(), REPORTS]),
            new_role("support", 300, &[REPORTS]),
        ]
    };
    let planned = roles.compare(&wanted()).await.expect("differences");
    harness.events.take();
    let applied = roles.apply(system(), wanted()).await.expect("applied");
    assert_eq!(planned, applied);
    let shown: Vec<_> = applied.iter().map(RoleDifference::to_string).collect();
    assert_eq!(
        shown,
        [
            "~ role operator, rank 500 -> 400",
            "+ permission report:read of role operator",
            "- permission user:change_status of role operator",
            "- permission user:update of role operator",
            "+ role support, rank 300",
            "+ permission report:read of role support",
        ]
    );
    assert_eq!(harness.events.take().len(), applied.len());
    assert_eq!(roles.compare(&wanted()).await.expect("differences"), []);
    assert_eq!(roles.apply(system(), wanted()).await.expect("applied"), []);
    assert!(harness.events.take().is_empty());

    for (list, kind) in [
        (vec![new_role("admin", 999, &[Permission::FULL_ACCESS])], ErrorKind::RoleProtected),
        (vec![new_role("admin", 1000, &[])], ErrorKind::Invalid),
        (vec![new_role("boss", 999, &[Permission::FULL_ACCESS])], ErrorKind::Invalid),
        (vec![new_role("boss", 1000, &[])], ErrorKind::Invalid),
        (vec![new_role("a", 1, &[]), new_role("a", 2, &[])], ErrorKind::Invalid),
        (vec![new_role("9lives", 1, &[])], ErrorKind::Invalid),
    ] {
        assert_eq!(roles.apply(system(), list).await.kind(), Some(kind));
    }
    assert_eq!(roles.compare(&wanted()).await.expect("differences"), []);
}

async fn held_assignment(
    harness: &Harness,
    assigning: impl Future<Output = Result<User>>,
) -> (Result<User>, Result<()>) {
    let held = harness.failpoints.hold("users.write", Point::Entry);
    let (deleted, assigned) = tokio::join!(
        async {
            held.reached().await;
            let deleted = harness.goat.roles().delete(system(), "team").await;
            held.release();
            deleted
        },
        assigning,
    );
    (assigned, deleted)
}

/// A10: an assignment that was allowed before the deletion of the role is refused inside its write.
async fn deleted_role_is_not_assigned(backend: Backend) {
    let harness = Harness::with_stored_roles(backend);
    let root = harness.member("root", "admin").await.tokens;
    let ann = harness.user("ann", "client").await.id;
    for by_system in [true, false] {
        let actor =
            async || -> Actor { if by_system { system() } else { harness.actor(&root).await } };
        let team = create(&harness, "team", 300, &[]).await;
        let acting = actor().await;
        let change = harness.goat.users().change_role(acting, ann, team.clone());
        let (assigned, deleted) = held_assignment(&harness, change).await;
        deleted.expect("no user has it");
        assert_eq!(assigned.kind(), Some(ErrorKind::Invalid), "by the system: {by_system}");

        let team = create(&harness, "team", 300, &[]).await;
        let new = NewUser {
            email: email("new"),
            password: Some(PASSWORD.into()),
            role: team,
            status: Status::Active,
        };
        let acting = actor().await;
        let (created, deleted) =
            held_assignment(&harness, harness.goat.users().create(acting, new)).await;
        deleted.expect("no user has it");
        assert_eq!(created.kind(), Some(ErrorKind::Invalid), "by the system: {by_system}");
    }
    // Nor is a permission granted to it.
    create(&harness, "team", 300, &[]).await;
    let held = harness.failpoints.hold("roles.write", Point::Entry);
    let roles = harness.goat.roles();
    let ((), granted) = tokio::join!(
        async {
            held.reached().await;
            let delete = |_: &RoleSnapshot| Ok(RoleChange::Delete);
            let team = Role::parse("team").expect("a name");
            let write = RoleWrite { actor: None, key: None, deletes: Some(&team), decide: &delete };
            harness.stores.roles.write(write).await.expect("deleted");
            held.release();
        },
        roles.grant(system(), "team", REPORTS),
    );
    assert_eq!(granted.kind(), Some(ErrorKind::Invalid));
}

/// A10: a sign-up that races the deletion of its role gets the one that is given at sign-up by then.
async fn sign_up_that_races_the_deletion_gets_another_role(backend: Backend) {
    let harness = Harness::with_stored_roles(backend);
    create(&harness, "team", 50, &[]).await;
    let held = harness.failpoints.hold("users.write", Point::Entry);
    let (roles, goat) = (harness.goat.roles(), &harness.goat);
    let ((), user) = tokio::join!(
        async {
            held.reached().await;
            create(&harness, "guest", 10, &[]).await;
            roles.delete(system(), "team").await.expect("no user has it");
            held.release();
        },
        sign_up(goat, "ann"),
    );
    assert_eq!(user.expect("signed up").role.as_str(), "guest");
}

/// A10: many sign-ups and assignments and one deletion, at once: no user has a role that does not exist.
async fn no_user_is_left_with_a_deleted_role(backend: Backend) {
    let harness = Harness::with_stored_roles(backend);
    let root = harness.member("root", "admin").await.tokens;
    for round in 0..6 {
        let team = create(&harness, "team", 1, &[]).await;
        let acting = harness.actor(&root).await;
        let user = harness.user(&format!("moved{round}"), "client").await;
        let start = std::sync::Arc::new(tokio::sync::Barrier::new(5));
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..5 {
            let (goat, start) = (harness.goat.clone(), std::sync::Arc::clone(&start));
            let (team, id) = (team.clone(), user.id);
            let acting = (number == 1).then(|| Actor::system("a test"));
            tasks.spawn(async move {
                start.wait().await;
                match number {
                    0 => {
                        let guest = new_role(&format!("guest{round}"), 0, &[]);
                        goat.roles().create(system(), guest).await.expect("a role");
                        goat.roles().delete(system(), "team").await.ok();
                    }
                    1 => {
                        let actor = acting.expect("an actor");
                        goat.users().change_role(actor, id, team).await.ok();
                    }
                    _ => {
                        sign_up(&goat, &format!("u{round}x{number}")).await.expect("signed up");
                    }
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("no panic");
        }
        drop(acting);
        let filter = UserFilter::default();
        let users = harness.goat.users();
        let known: Vec<_> = harness.goat.roles().names();
        for user in users.list_all(filter).await.expect("a page").users {
            assert!(known.contains(&user.role), "round {round}: {}", user.role);
        }
        // For the next round.
        let filter = UserFilter { roles: vec![team], ..UserFilter::default() };
        for user in users.list_all(filter).await.expect("a page").users {
            users.delete(system(), user.id).await.expect("deleted");
        }
        harness.goat.roles().delete(system(), "team").await.ok();
    }
}

/// A10: a request that races the deletion of its role is served under the old or the new role, never
/// under none.
async fn request_that_races_the_deletion_keeps_the_rights_of_one_role(backend: Backend) {
    let harness = Harness::with_stored_roles(backend);
    create(&harness, "next", 200, &[REPORTS, BOOKS]).await;
    create(&harness, "team", 300, &[REPORTS]).await;
    let ann = harness.member("ann", "team").await;
    // The cache has nothing that is young enough.
    harness.advance(2);
    let held = harness.failpoints.hold("sessions.find", Point::Return);
    let ((), me) = tokio::join!(
        async {
            held.reached().await;
            let (users, next) = (harness.goat.users(), harness.role("next"));
            users.change_role(system(), ann.user.id, next).await.expect("changed");
            harness.goat.roles().delete(system(), "team").await.expect("deleted");
            held.release();
        },
        harness.authenticate(&ann.tokens),
    );
    let me = me.expect("a live session");
    assert!(me.may(&REPORTS), "{:?}", me.role());
    let me = harness.principal(&ann.tokens).await;
    assert_eq!(me.role().as_str(), "next");
    assert!(me.may(&REPORTS) && me.may(&BOOKS));
}

/// Access tokens that carry permissions have those of a role that exists.
async fn token_of_a_login_that_races_the_deletion_has_permissions(backend: Backend) {
    let harness =
        Harness::build(backend, true, |settings| settings.access_token_permissions = true);
    create(&harness, "next", 200, &[BOOKS]).await;
    create(&harness, "team", 300, &[REPORTS]).await;
    let ann = harness.user("ann", "team").await.id;
    let held = harness.failpoints.hold("users.by_email", Point::Return);
    let ((), signed_in) = tokio::join!(
        async {
            held.reached().await;
            let next = harness.role("next");
            harness.goat.users().change_role(system(), ann, next).await.expect("changed");
            harness.goat.roles().delete(system(), "team").await.expect("deleted");
            held.release();
        },
        login(&harness.goat, "ann@example.org", PASSWORD),
    );
    let token = signed_in.expect("signed in").tokens.access_token;
    let claims = token.expose().split('.').nth(1).expect("claims").to_owned();
    let claims = base64_decoded(&claims);
    assert!(claims.contains("book:read"), "{claims}");
}

fn base64_decoded(text: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for byte in text.bytes() {
        let value = ALPHABET.iter().position(|one| *one == byte).expect("base64url");
        bits = (bits << 6) | u32::try_from(value).expect("six bits");
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).expect("a byte"));
        }
    }
    String::from_utf8(bytes).expect("JSON")
}

/// A8: the role given at sign-up, if the settings name one, must exist and not have `full_access`.
async fn named_sign_up_role_is_checked(backend: Backend) {
    let named = |name: &str| Some(Role::parse(name).expect("a name"));
    let harness =
        Harness::build(backend, true, |settings| settings.signup_role = named("operator"));
    harness.goat.prepare().await.expect("ready");
    let ann = sign_up(&harness.goat, "ann").await.expect("signed up");
    assert_eq!(ann.role.as_str(), "operator");
    let refused = harness.goat.roles().delete(system(), "operator").await;
    assert_eq!(refused.kind(), Some(ErrorKind::RoleProtected));
    harness.goat.roles().delete(system(), "client").await.expect("it is not given at sign-up");
    for (name, reason) in [("ghost", "does not exist"), ("admin", "full_access")] {
        let settings = goat_core::Settings { signup_role: named(name), ..Default::default() };
        let keys = goat_core::token::TokenKeys::generate();
        let goat = Goat::builder(harness.stores.clone(), keys).settings(settings).stored_roles();
        let error = goat.build().expect("a goat").prepare().await.expect_err("a refused start");
        assert_eq!(error.kind(), ErrorKind::Configuration, "{name}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

on_every_store![
    changes_take_effect_before_they_return,
    invalid_and_protected_changes_are_refused,
    changing_roles_requires_full_access,
    ranks_decide_who_acts_on_whom,
    there_are_at_most_a_thousand_roles,
    applied_list_leaves_no_difference,
    deleted_role_is_not_assigned,
    sign_up_that_races_the_deletion_gets_another_role,
    no_user_is_left_with_a_deleted_role,
    request_that_races_the_deletion_keeps_the_rights_of_one_role,
    token_of_a_login_that_races_the_deletion_has_permissions,
    named_sign_up_role_is_checked,
];

/// The roles of a fixed set do not change, and the role given at sign-up is one of the lower ones.
#[tokio::test]
async fn fixed_roles_do_not_change() {
    let harness = Harness::on(Backend::memory());
    let roles = harness.goat.roles();
    let fixed = Some(ErrorKind::Configuration);
    assert_eq!(roles.create(system(), new_role("team", 1, &[])).await.kind(), fixed);
    assert_eq!(roles.set_rank(system(), "client", Rank(1)).await.kind(), fixed);
    assert_eq!(roles.delete(system(), "operator").await.kind(), fixed);
    assert_eq!(roles.compare(&[]).await.kind(), fixed);
    for (name, is_fit) in [("operator", true), ("admin", false), ("ghost", false)] {
        let signup_role = Some(Role::parse(name).expect("a name"));
        let settings = goat_core::Settings { signup_role, ..Default::default() };
        let keys = goat_core::token::TokenKeys::generate();
        let built = Goat::builder(goat_core::Stores::memory(), keys).settings(settings).build();
        assert_eq!(built.is_ok(), is_fit, "{name}");
    }
}
