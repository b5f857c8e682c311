//! Authorization policy: random histories compared with a naive model of the rules, and races of
//! administrative actions.

use goat_core::access::{NewRole, Rank};
use goat_core::auth::SignedIn;
use goat_core::testing::Point;
use goat_core::user::{NewUser, UserFilter, UserUpdate};
use goat_core::{Actor, ErrorKind, GrantId, PageRequest, Permission, Result, Role, Status, UserId};

use crate::flows::support::{
    Backend, Harness, OTHER_PASSWORD, Outcome, PASSWORD, email, login, on_every_store, system,
};

/// SplitMix64: a history can be repeated from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

const START: goat_core::Timestamp = goat_core::Timestamp::from_millis(0);
const ROLES: [&str; 3] = ["client", "operator", "admin"];
const TOP: usize = 2;
/// The ranks that a history gives to stored roles; two roles may get the same.
const RANKS: [u32; 7] = [0, 50, 100, 300, 500, 700, 999];
/// How many roles a history over stored roles knows, the shipped ones included.
const STORED: usize = 6;
const PERMISSIONS: [&str; 12] = [
    "user:write",
    "user:update",
    "user:change_role",
    "user:change_status",
    "user:delete",
    "user:read",
    "user:*",
    "refund:read",
    "refund:approve",
    "refund:*",
    "report:read",
    "full_access",
];

#[derive(Clone, Debug)]
struct Person {
    id: UserId,
    name: String,
    password: &'static str,
    role: usize,
    status: Status,
    signed_in: Option<SignedIn>,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Create { role: usize, status: Status },
    ChangeRole(usize),
    ChangeStatus(Status),
    Delete,
    SetPassword,
    ChangeEmail,
    EndSessions,
    Grant(usize, &'static str),
    Revoke(usize, &'static str),
    CreateRole(usize, u32),
    SetRank(usize, u32),
    DeleteRole(usize),
}

/// Returns the name of a role. Those beyond the shipped ones exist once a history has created them.
fn name_of(role: usize) -> String {
    ROLES.get(role).map_or_else(|| format!("team-{role}"), |name| (*name).to_owned())
}

fn role_of(role: usize) -> Role {
    Role::parse(&name_of(role)).expect("a name")
}

impl Action {
    /// The role and permission of a change of permissions.
    fn grant(self) -> Option<(usize, &'static str)> {
        match self {
            Self::Grant(role, permission) | Self::Revoke(role, permission) => {
                Some((role, permission))
            }
            _ => None,
        }
    }
}

/// The rules, written naively.
struct Model {
    people: Vec<Person>,
    /// The rank of each role that exists.
    ranks: [Option<u32>; STORED],
    /// The role given at sign-up: of equal ranks, the store's clock decides which is the lowest.
    signup: usize,
    granted: Vec<(usize, &'static str)>,
}

impl Model {
    fn administers(person: &Person) -> bool {
        person.role == TOP && person.status == Status::Active
    }

    fn has(&self, role: usize, permission: &str) -> bool {
        let wildcard = permission.split_once(':').map(|(resource, _)| format!("{resource}:*"));
        self.granted.iter().any(|(holder, granted)| {
            *holder == role
                && (*granted == "full_access"
                    || *granted == permission
                    || wildcard.as_deref() == Some(granted))
        })
    }

    fn may_act_on(&self, role: usize, other: usize) -> bool {
        let permissions = self.granted.iter().filter(|(holder, _)| *holder == other);
        role == TOP
            || (self.ranks[other] < self.ranks[role]
                && permissions.into_iter().all(|(_, one)| self.has(role, one)))
    }

    fn exists(&self, role: usize) -> bool {
        self.ranks[role].is_some()
    }

    /// The expected outcome of a change of the roles themselves.
    fn expect_role(&self, actor: Option<usize>, action: Action) -> Option<ErrorKind> {
        if actor.is_some_and(|actor| !self.has(self.people[actor].role, "full_access")) {
            return Some(ErrorKind::Forbidden);
        }
        match action {
            Action::CreateRole(role, _) => self.exists(role).then_some(ErrorKind::RoleExists),
            Action::SetRank(role, _) | Action::DeleteRole(role) if !self.exists(role) => {
                Some(ErrorKind::NotFound)
            }
            Action::SetRank(TOP, _) | Action::DeleteRole(TOP) => Some(ErrorKind::RoleProtected),
            Action::DeleteRole(role) if role == self.signup => Some(ErrorKind::RoleProtected),
            Action::DeleteRole(role) => {
                let is_used = self.people.iter().any(|person| person.role == role);
                is_used.then_some(ErrorKind::RoleInUse)
            }
            _ => None,
        }
    }

    /// The expected outcome of a change of permissions.
    fn expect_grant(&self, actor: Option<usize>, action: Action) -> Option<ErrorKind> {
        let (role, permission) = action.grant().expect("a change of permissions");
        let is_granted = self.granted.contains(&(role, permission));
        if actor.is_some_and(|actor| !self.has(self.people[actor].role, "full_access")) {
            return Some(ErrorKind::Forbidden);
        }
        match action {
            Action::Grant(..) if !self.exists(role) => Some(ErrorKind::Invalid),
            Action::Grant(..) if permission == "full_access" && role != TOP => {
                Some(ErrorKind::Invalid)
            }
            Action::Grant(..) => is_granted.then_some(ErrorKind::PermissionExists),
            _ if !is_granted => Some(ErrorKind::NotFound),
            _ => (permission == "full_access").then_some(ErrorKind::LastAdministrator),
        }
    }

    /// The expected outcome of an action. `actor` and `target` are indices into `people`; no actor
    /// means the system.
    fn expect(
        &self,
        actor: Option<usize>,
        target: Option<usize>,
        action: Action,
    ) -> Option<ErrorKind> {
        let needs = match action {
            Action::Create { .. } => "user:write",
            Action::ChangeRole(_) => "user:change_role",
            Action::ChangeStatus(_) => "user:change_status",
            Action::Delete => "user:delete",
            Action::SetPassword | Action::ChangeEmail | Action::EndSessions => "user:update",
            Action::Grant(..) | Action::Revoke(..) => return self.expect_grant(actor, action),
            Action::CreateRole(..) | Action::SetRank(..) | Action::DeleteRole(_) => {
                return self.expect_role(actor, action);
            }
        };
        let own = actor.map(|actor| self.people[actor].role);
        if own.is_some_and(|own| !self.has(own, needs)) {
            return Some(ErrorKind::Forbidden);
        }
        let may_give = |role| own.is_none_or(|own| self.may_act_on(own, role));
        if let Action::Create { role, status } = action {
            return if status == Status::Suspended || !self.exists(role) {
                Some(ErrorKind::Invalid)
            } else if may_give(role) {
                None
            } else {
                Some(ErrorKind::RoleNotAssignable)
            };
        }
        if matches!(action, Action::ChangeRole(role) if !self.exists(role)) {
            return Some(ErrorKind::Invalid);
        }
        let Some(place) = target else { return Some(ErrorKind::NotFound) };
        let target = &self.people[place];
        if actor == Some(place) || !may_give(target.role) {
            return Some(ErrorKind::Outranked);
        }
        let last = Self::administers(target)
            && self.people.iter().filter(|person| Self::administers(person)).count() == 1;
        let last = last.then_some(ErrorKind::LastAdministrator);
        match action {
            Action::ChangeRole(role) if !may_give(role) => Some(ErrorKind::RoleNotAssignable),
            Action::ChangeRole(role) if role != target.role => last,
            Action::ChangeStatus(status) if status != target.status => {
                match (target.status, status) {
                    (Status::Inactive | Status::Suspended, Status::Active) => None,
                    (Status::Active, Status::Suspended) => last,
                    _ => Some(ErrorKind::InvalidTransition),
                }
            }
            Action::Delete => last,
            _ => None,
        }
    }
}

async fn perform(
    harness: &Harness,
    actor: Actor,
    target: UserId,
    action: Action,
    fresh: &str,
) -> Result<Option<UserId>> {
    let users = harness.goat.users();
    match action {
        Action::Create { role, status } => {
            let new = NewUser {
                email: email(fresh),
                password: Some(PASSWORD.into()),
                role: role_of(role),
                status,
            };
            return users.create(actor, new).await.map(|user| Some(user.id));
        }
        Action::ChangeRole(role) => {
            drop(users.change_role(actor, target, role_of(role)).await?);
        }
        Action::ChangeStatus(status) => drop(users.change_status(actor, target, status).await?),
        Action::Delete => users.delete(actor, target).await?,
        Action::SetPassword => {
            let update = UserUpdate { email: None, password: Some(OTHER_PASSWORD.into()) };
            drop(users.update(actor, target, update).await?);
        }
        Action::ChangeEmail => {
            let update = UserUpdate { email: Some(email(fresh)), password: None };
            drop(users.update(actor, target, update).await?);
        }
        Action::EndSessions => {
            harness.goat.sessions().revoke_all_of(actor, target).await?;
        }
        Action::Grant(role, permission) => {
            let permission = Permission::parse(permission).expect("a permission");
            drop(harness.goat.roles().grant(actor, &name_of(role), permission).await?);
        }
        Action::Revoke(role, permission) => {
            let grants = harness.goat.roles().grants_of(&name_of(role)).await.unwrap_or_default();
            let held = grants.iter().find(|grant| grant.permission.as_str() == permission);
            let unknown = || GrantId::generate(START);
            let id = held.map_or_else(unknown, |grant| grant.id);
            harness.goat.roles().revoke(actor, id).await?;
        }
        Action::CreateRole(role, rank) => {
            let (name, rank) = (role_of(role), Rank(rank));
            let new = NewRole { name, rank, permissions: Vec::new() };
            drop(harness.goat.roles().create(actor, new).await?);
        }
        Action::SetRank(role, rank) => {
            drop(harness.goat.roles().set_rank(actor, &name_of(role), Rank(rank)).await?);
        }
        Action::DeleteRole(role) => harness.goat.roles().delete(actor, &name_of(role)).await?,
    }
    Ok(None)
}

/// A2, A3, A9: performs random actions and compares with the model after each. With stored roles, these
/// are created, ranked and deleted too.
async fn history(harness: &Harness, seed: u64, steps: usize, has_stored_roles: bool) {
    let mut random = Random(seed);
    let mut granted: Vec<(usize, &'static str)> =
        vec![(1, "user:read"), (1, "user:update"), (1, "user:change_status"), (TOP, "full_access")];
    for permission in PERMISSIONS {
        // The lower role seldom gets what the higher one lacks: otherwise most actions are refused.
        for (role, sides) in [(1, 2), (0, 8)] {
            let is_new = permission != "full_access" && !granted.contains(&(role, permission));
            if random.below(sides) == 0 && is_new {
                let grant = Action::Grant(role, permission);
                perform(harness, system(), UserId::generate(START), grant, "unused")
                    .await
                    .expect("granted");
                granted.push((role, permission));
            }
        }
    }
    let mut ranks = [None; STORED];
    ranks[..3].copy_from_slice(&[Some(100), Some(500), Some(1000)]);
    let roles = if has_stored_roles { STORED } else { 3 };
    let mut model = Model { people: Vec::new(), ranks, signup: 0, granted };
    for (name, role) in [("root", TOP), ("vice", TOP), ("olga", 1), ("otto", 1), ("carl", 0)] {
        let id = harness.user(name, ROLES[role]).await.id;
        let (name, password) = (name.to_owned(), PASSWORD);
        let status = Status::Active;
        model.people.push(Person { id, name, password, role, status, signed_in: None });
    }
    let gone = UserId::generate(START);

    for step in 0..steps {
        let fresh = format!("fresh{step}");
        let actor =
            Some(random.below(model.people.len() + 1)).filter(|at| *at < model.people.len());
        let target =
            Some(random.below(model.people.len() + 1)).filter(|at| *at < model.people.len());
        let action = match random.below(if has_stored_roles { 19 } else { 13 }) {
            0 if model.people.len() < 9 => {
                Action::Create { role: random.below(roles), status: Status::ALL[random.below(3)] }
            }
            1..=3 => Action::ChangeRole(random.below(roles)),
            4..=6 => Action::ChangeStatus(Status::ALL[random.below(3)]),
            7 if model.people.len() > 3 => Action::Delete,
            8 => Action::SetPassword,
            9 => Action::ChangeEmail,
            10 => Action::Grant(random.below(roles), PERMISSIONS[random.below(PERMISSIONS.len())]),
            11..=12 => {
                Action::Revoke(random.below(roles), PERMISSIONS[random.below(PERMISSIONS.len())])
            }
            13..=14 => Action::CreateRole(random.below(roles), RANKS[random.below(RANKS.len())]),
            15..=16 => Action::SetRank(random.below(roles), RANKS[random.below(RANKS.len())]),
            17..=18 => Action::DeleteRole(random.below(roles)),
            _ => Action::EndSessions,
        };
        let acting = match actor {
            None => system(),
            Some(place) => {
                let person = &mut model.people[place];
                if person.status != Status::Active {
                    continue;
                }
                if person.signed_in.is_none() {
                    let address = crate::flows::support::address(&person.name);
                    let signed_in = login(&harness.goat, address, person.password).await;
                    person.signed_in = Some(signed_in.expect("an active user signs in"));
                }
                let tokens = &person.signed_in.as_ref().expect("just signed in").tokens;
                harness.actor(tokens).await
            }
        };
        let case = format!("seed {seed}, step {step}: {action:?} by {actor:?} on {target:?}");
        let expected = model.expect(actor, target, action);
        let target_id = target.map_or(gone, |place| model.people[place].id);
        let outcome = perform(harness, acting, target_id, action, &fresh).await;
        assert_eq!(outcome.kind(), expected, "{case}: {:#?}", model.people);

        if let Ok(created) = outcome {
            match (action, target) {
                (Action::Grant(role, permission), _) => model.granted.push((role, permission)),
                (Action::Revoke(role, permission), _) => {
                    model.granted.retain(|granted| *granted != (role, permission));
                }
                (Action::CreateRole(role, rank) | Action::SetRank(role, rank), _) => {
                    model.ranks[role] = Some(rank);
                }
                (Action::DeleteRole(role), _) => {
                    model.ranks[role] = None;
                    model.granted.retain(|(holder, _)| *holder != role);
                }
                (Action::Create { role, status }, _) => model.people.push(Person {
                    id: created.expect("an id"),
                    name: fresh,
                    password: PASSWORD,
                    role,
                    status,
                    signed_in: None,
                }),
                (Action::ChangeRole(role), Some(place)) => model.people[place].role = role,
                (Action::ChangeEmail, Some(place)) => model.people[place].name = fresh,
                (Action::ChangeStatus(status), Some(place)) => {
                    let person = &mut model.people[place];
                    if status == Status::Suspended && person.status != status {
                        ended(harness, person, &case).await;
                    }
                    person.status = status;
                }
                (Action::SetPassword, Some(place)) => {
                    let person = &mut model.people[place];
                    person.password = OTHER_PASSWORD;
                    ended(harness, person, &case).await;
                }
                (Action::EndSessions, Some(place)) => {
                    ended(harness, &mut model.people[place], &case).await;
                }
                (Action::Delete, Some(place)) => {
                    ended(harness, &mut model.people.remove(place), &case).await;
                }
                (_, None) => unreachable!("an action needs a target"),
            }
        }
        compare_roles(harness, &mut model, &case).await;
        compare(harness, &model, &case).await;
        let viewed = random.below(model.people.len());
        compare_views(harness, &model, viewed, &case).await;
    }
}

/// Asserts that the sessions of a user have ended.
async fn ended(harness: &Harness, person: &mut Person, case: &str) {
    if let Some(signed_in) = person.signed_in.take() {
        let refused = Some(ErrorKind::SessionRevoked);
        assert_eq!(harness.authenticate(&signed_in.tokens).await.kind(), refused, "{case}");
        assert_eq!(harness.refresh(&signed_in.tokens).await.kind(), refused, "{case}");
    }
}

/// Asserts that the roles are those of the model, in its ranks, and that the one given at sign-up is the
/// lowest.
async fn compare_roles(harness: &Harness, model: &mut Model, case: &str) {
    let listed = harness.goat.roles().list().await.expect("the roles");
    let mut real: Vec<_> =
        listed.iter().map(|one| (one.role.as_str().to_owned(), one.rank.0)).collect();
    assert!(real.is_sorted_by_key(|(_, rank)| *rank), "{case}: {real:?}");
    let lowest = real[0].0.clone();
    real.sort();
    let ranks = model.ranks.iter().enumerate();
    let mut expected: Vec<_> =
        ranks.filter_map(|(role, rank)| Some((name_of(role), (*rank)?))).collect();
    expected.sort();
    assert_eq!(real, expected, "{case}");
    for one in &listed {
        let role = (0..STORED).find(|role| name_of(*role) == one.role.as_str()).expect("known");
        let mut held: Vec<_> = one.permissions.iter().map(Permission::as_str).collect();
        let granted = model.granted.iter().filter(|(holder, _)| *holder == role);
        let mut granted: Vec<_> = granted.map(|(_, permission)| *permission).collect();
        held.sort_unstable();
        granted.sort_unstable();
        assert_eq!(held, granted, "{case}: {}", one.role);
    }
    let signup = harness.goat.roles().at_signup().expect("a role");
    assert_eq!(signup.as_str(), lowest, "{case}");
    model.signup = (0..STORED).find(|role| name_of(*role) == lowest).expect("a known role");
}

async fn compare(harness: &Harness, model: &Model, case: &str) {
    assert!(harness.goat.users().has_administrator().await.expect("an answer"), "{case}");
    let page = PageRequest::new(1, 100).expect("a page");
    let filter = UserFilter { page, ..UserFilter::default() };
    let listed = harness.goat.users().list_all(filter).await.expect("a page").users;
    assert_eq!(listed.len(), model.people.len(), "{case}");
    for person in &model.people {
        let user = listed.iter().find(|user| user.id == person.id).expect("it is listed");
        let real = (user.role.as_str(), user.status, user.email.as_str().to_owned());
        let address = crate::flows::support::address(&person.name);
        let role = name_of(person.role);
        assert_eq!(real, (role.as_str(), person.status, address), "{case}");
        if let Some(signed_in) = &person.signed_in {
            let principal = harness.principal(&signed_in.tokens).await;
            assert_eq!(principal.role().as_str(), role, "{case}");
        }
    }
}

/// Asserts that each signed-in user sees the users that the rules allow, in lists and alone.
async fn compare_views(harness: &Harness, model: &Model, viewed: usize, case: &str) {
    let page = PageRequest::new(1, 100).expect("a page");
    for (place, person) in model.people.iter().enumerate() {
        let Some(signed_in) = &person.signed_in else { continue };
        let me = harness.principal(&signed_in.tokens).await;
        let sees = |other: usize| {
            place == other || model.may_act_on(person.role, model.people[other].role)
        };
        let filter = UserFilter { page, ..UserFilter::default() };
        let listed = harness.goat.users().list(&me, filter).await;
        let found = harness.goat.users().find(&me, model.people[viewed].id).await.kind();
        let viewed_id = model.people[viewed].id;
        let sessions = harness.goat.sessions().list_of(&me, viewed_id, page).await.kind();
        if !model.has(person.role, "user:read") {
            let forbidden = Some(ErrorKind::Forbidden);
            assert_eq!([listed.kind(), found, sessions], [forbidden; 3], "{case}");
            continue;
        }
        let listed = listed.expect("a page");
        let mut ids: Vec<_> = listed.users.iter().map(|user| user.id).collect();
        let seen = (0..model.people.len()).filter(|other| sees(*other));
        let mut expected: Vec<_> = seen.map(|other| model.people[other].id).collect();
        ids.sort_unstable();
        expected.sort_unstable();
        assert_eq!(ids, expected, "{case}: list of {place}, {:?}", model.granted);
        assert_eq!(listed.total, expected.len() as u64, "{case}");
        let hidden = (!sees(viewed)).then_some(ErrorKind::Outranked);
        assert_eq!([found, sessions], [hidden; 2], "{case}: {viewed} for {place}");
    }
}

/// A2, A3
async fn a_random_history_agrees_with_the_rules(backend: Backend) {
    history(&Harness::on(backend), 100, 150, false).await;
}

/// A9: the history of A2 also creates, ranks and deletes roles.
async fn a_random_history_with_stored_roles_agrees_with_the_rules(backend: Backend) {
    history(&Harness::with_stored_roles(backend), 300, 200, true).await;
}

/// A2, A3: more histories on the fastest backend.
#[tokio::test]
async fn many_random_histories_agree_with_the_rules() {
    for seed in 100..140 {
        history(&Harness::on(Backend::memory()), seed, 80, false).await;
    }
}

/// A9: more histories on the fastest backend.
#[tokio::test]
async fn many_random_histories_with_stored_roles_agree_with_the_rules() {
    for seed in 300..340 {
        history(&Harness::with_stored_roles(Backend::memory()), seed, 120, true).await;
    }
}

/// A3
async fn administrators_who_remove_each_other_concurrently_leave_one(backend: Backend) {
    let harness = Harness::on(backend);
    harness.user("system-root", "admin").await;
    let actions = [Action::ChangeRole(0), Action::ChangeStatus(Status::Suspended), Action::Delete];
    let mut round = 0;
    for first in actions {
        for second in actions {
            round += 1;
            let names = [format!("one{round}"), format!("two{round}")];
            let one = harness.member(&names[0], "admin").await;
            let two = harness.member(&names[1], "admin").await;
            // From here on these two are the only administrators.
            clear_other_administrators(&harness, [one.user.id, two.user.id]).await;
            let actors = (harness.actor(&one.tokens).await, harness.actor(&two.tokens).await);
            let held = [
                harness.failpoints.hold("users.write", Point::Entry),
                harness.failpoints.hold("users.write", Point::Entry),
            ];
            // Both have done their fresh read and are held before their write.
            let ((), a, b) = tokio::join!(
                async {
                    for held in &held {
                        held.reached().await;
                    }
                    drop(held);
                },
                perform(&harness, actors.0, two.user.id, first, "unused"),
                perform(&harness, actors.1, one.user.id, second, "unused"),
            );
            let case = format!("{first:?} and {second:?}: {a:?} and {b:?}");
            assert_eq!([a.is_ok(), b.is_ok()].iter().filter(|ok| **ok).count(), 1, "{case}");
            assert!(harness.goat.users().has_administrator().await.expect("an answer"), "{case}");
        }
    }
}

/// A3
async fn administrators_who_delete_themselves_concurrently_leave_one(backend: Backend) {
    let harness = Harness::on(backend);
    let mut leaving = Vec::new();
    for number in 0..4 {
        let tokens = harness.member(&format!("admin{number}"), "admin").await.tokens;
        leaving.push(harness.principal(&tokens).await);
    }
    let leaving: Vec<_> = leaving
        .into_iter()
        .map(|me| {
            let goat = harness.goat.clone();
            tokio::spawn(async move { goat.users().delete_self(&me, PASSWORD).await })
        })
        .collect();
    let mut refused = Vec::new();
    for one in leaving {
        refused.extend(one.await.expect("no panic").kind());
    }
    assert_eq!(refused, [ErrorKind::LastAdministrator]);
    assert!(harness.goat.users().has_administrator().await.expect("an answer"));
}

async fn clear_other_administrators(harness: &Harness, kept: [UserId; 2]) {
    let filter = UserFilter { roles: vec![harness.role("admin")], ..UserFilter::default() };
    for user in harness.goat.users().list_all(filter).await.expect("a page").users {
        if !kept.contains(&user.id) {
            harness.goat.users().delete(system(), user.id).await.expect("deleted");
        }
    }
}

/// A2: the write re-checks the actor, since the fresh read may be outdated.
async fn an_actor_who_lost_rights_after_the_fresh_read_is_refused_inside_the_write(
    backend: Backend,
) {
    let harness = Harness::on(backend);
    harness.user("root", "admin").await;
    let demotions = [
        (Action::ChangeRole(0), ErrorKind::Forbidden),
        (Action::ChangeStatus(Status::Suspended), ErrorKind::SessionRevoked),
        (Action::SetPassword, ErrorKind::SessionRevoked),
        (Action::EndSessions, ErrorKind::SessionRevoked),
        (Action::Delete, ErrorKind::SessionRevoked),
    ];
    let actions = [
        Action::Create { role: 0, status: Status::Active },
        Action::ChangeRole(1),
        Action::ChangeStatus(Status::Suspended),
        Action::Delete,
        Action::SetPassword,
        Action::ChangeEmail,
        Action::EndSessions,
    ];
    for (number, (demotion, expected)) in demotions.into_iter().enumerate() {
        for (other, action) in actions.into_iter().enumerate() {
            let name = |what: &str| format!("{what}{number}x{other}");
            let actor = harness.member(&name("actor"), "admin").await;
            let target = harness.member(&name("target"), "client").await;
            let acting = harness.actor(&actor.tokens).await;
            let fresh = name("fresh");
            let held = harness.failpoints.hold("users.write", Point::Entry);
            let ((), outcome) = tokio::join!(
                async {
                    held.reached().await;
                    perform(&harness, system(), actor.user.id, demotion, "unused")
                        .await
                        .expect("applied");
                    held.release();
                },
                perform(&harness, acting, target.user.id, action, &fresh),
            );
            assert_eq!(outcome.kind(), Some(expected), "{demotion:?} before {action:?}");
            harness.principal(&target.tokens).await;
        }
        // Writes of roles re-check the actor too.
        let actor = harness.member(&format!("granter{number}"), "admin").await;
        let acting = harness.actor(&actor.tokens).await;
        let held = harness.failpoints.hold("roles.write", Point::Entry);
        let ((), outcome) = tokio::join!(
            async {
                held.reached().await;
                perform(&harness, system(), actor.user.id, demotion, "unused")
                    .await
                    .expect("applied");
                held.release();
            },
            harness.goat.roles().grant(acting, "client", Permission::new("user:delete")),
        );
        assert_eq!(outcome.kind(), Some(expected), "{demotion:?} before a grant");
    }
}

/// A2: the write also re-checks the target's rank.
async fn a_target_promoted_meanwhile_cannot_be_managed(backend: Backend) {
    let harness = Harness::on(backend);
    let actor = harness.member("olga", "operator").await;
    let target = harness.user("carl", "client").await.id;
    for action in
        [Action::ChangeStatus(Status::Suspended), Action::SetPassword, Action::EndSessions]
    {
        perform(&harness, system(), target, Action::ChangeRole(0), "unused")
            .await
            .expect("a client");
        let acting = harness.actor(&actor.tokens).await;
        let held = harness.failpoints.hold("users.write", Point::Entry);
        let ((), outcome) = tokio::join!(
            async {
                held.reached().await;
                let promotion = Action::ChangeRole(1);
                perform(&harness, system(), target, promotion, "unused").await.expect("promoted");
                held.release();
            },
            perform(&harness, acting, target, action, "unused"),
        );
        assert_eq!(outcome.kind(), Some(ErrorKind::Outranked), "{action:?}");
    }
}

/// A2: the write also re-checks the permissions of the target's role and of the assigned role.
async fn a_permission_granted_to_the_target_meanwhile_protects_it(backend: Backend) {
    let harness = Harness::on(backend);
    let roles = harness.goat.roles();
    for permission in ["user:write", "user:delete", "user:change_role"] {
        let grant = Action::Grant(1, permission);
        perform(&harness, system(), UserId::generate(START), grant, "unused").await.expect("done");
    }
    let actor = harness.member("olga", "operator").await;
    let target = harness.user("carl", "client").await.id;
    let approve = Permission::new("refund:approve");
    let (hidden, unassignable) = (ErrorKind::Outranked, ErrorKind::RoleNotAssignable);
    for (action, expected) in [
        (Action::SetPassword, hidden),
        (Action::ChangeEmail, hidden),
        (Action::ChangeStatus(Status::Suspended), hidden),
        (Action::ChangeRole(0), hidden),
        (Action::EndSessions, hidden),
        (Action::Delete, hidden),
        (Action::Create { role: 0, status: Status::Active }, unassignable),
    ] {
        let acting = harness.actor(&actor.tokens).await;
        let held = harness.failpoints.hold("users.write", Point::Entry);
        let (grant, outcome) = tokio::join!(
            async {
                held.reached().await;
                let grant = roles.grant(system(), "client", approve.clone()).await;
                held.release();
                grant.expect("granted")
            },
            perform(&harness, acting, target, action, "fresh"),
        );
        assert_eq!(outcome.kind(), Some(expected), "{action:?}");
        // An operator with the permission may act on the user again.
        let own = roles.grant(system(), "operator", approve.clone()).await.expect("granted");
        let acting = harness.actor(&actor.tokens).await;
        let seen = harness.principal(&actor.tokens).await;
        harness.goat.users().find(&seen, target).await.expect("visible");
        perform(&harness, acting, target, Action::EndSessions, "unused").await.expect("done");
        for id in [own.id, grant.id] {
            roles.revoke(system(), id).await.expect("revoked");
        }
    }
}

/// A2: a refused actor causes no hashing and learns nothing about the target.
async fn a_refused_actor_costs_no_hash_and_learns_nothing(backend: Backend) {
    let harness = Harness::on(backend);
    let victim = "victim.with.a.long.name";
    let root = harness.user(victim, "admin").await.id;
    let operator = harness.member("olga", "operator").await.tokens;
    let client = harness.member("carl", "client").await.tokens;
    drop(harness.hasher.take_calls());
    let users = harness.goat.users();
    let set = |password: &str| UserUpdate { email: None, password: Some(password.into()) };
    // A policy violation would reveal whether the password is the address.
    for guess in [victim, &crate::flows::support::address(victim), OTHER_PASSWORD] {
        let refused = users.update(harness.actor(&operator).await, root, set(guess)).await.kind();
        assert_eq!(refused, Some(ErrorKind::Outranked), "{guess}");
        let refused = users.update(harness.actor(&client).await, root, set(guess)).await.kind();
        assert_eq!(refused, Some(ErrorKind::Forbidden), "{guess}");
    }
    for tokens in [&operator, &client] {
        let new = NewUser {
            email: email(victim),
            password: Some("short".into()),
            role: harness.role("admin"),
            status: Status::Suspended,
        };
        let refused = users.create(harness.actor(tokens).await, new).await.kind();
        assert_eq!(refused, Some(ErrorKind::Forbidden));
    }
    assert!(harness.hasher.take_calls().is_empty());
    // For a permitted target the policy checks the address.
    let carl = harness.principal(&client).await.user();
    let update = UserUpdate { email: Some(email("somebody.new")), password: None };
    users.update(harness.actor(&operator).await, carl, update).await.expect("changed");
    let address = crate::flows::support::address("somebody.new");
    let invalid = users.update(harness.actor(&operator).await, carl, set(&address)).await;
    assert_eq!(invalid.kind(), Some(ErrorKind::Invalid));
}

/// A list contains the users that the caller may act on, and the caller.
async fn lists_contain_manageable_users_and_the_caller(backend: Backend) {
    let harness = Harness::on(backend);
    for (name, role) in [("root", "admin"), ("otto", "operator"), ("carl", "client")] {
        harness.user(name, role).await;
    }
    for (name, role, seen) in [
        ("rita", "admin", vec!["carl", "olga", "otto", "rita", "root"]),
        ("olga", "operator", vec!["carl", "olga"]),
    ]
    .into_iter()
    .rev()
    {
        let me = harness.principal(&harness.member(name, role).await.tokens).await;
        let listed = harness.goat.users().list(&me, UserFilter::default()).await.expect("a page");
        let mut names: Vec<_> = listed
            .users
            .iter()
            .map(|user| user.email.as_str().split('@').next().expect("a name").to_owned())
            .collect();
        names.sort();
        assert_eq!(names, seen);
        assert_eq!(listed.total, seen.len() as u64);
        for user in harness.goat.users().list_all(UserFilter::default()).await.expect("all").users {
            let visible = listed.users.iter().any(|listed| listed.id == user.id);
            let found = harness.goat.users().find(&me, user.id).await.kind();
            let sessions = harness.goat.sessions();
            let page = sessions.list_of(&me, user.id, PageRequest::default()).await.kind();
            let expected = (!visible).then_some(ErrorKind::Outranked);
            assert_eq!((found, page), (expected, expected));
        }
    }
    let tokens = harness.sign_in("carl").await.tokens;
    let carl = harness.principal(&tokens).await;
    let refused = harness.goat.users().list(&carl, UserFilter::default()).await.kind();
    assert_eq!(refused, Some(ErrorKind::Forbidden));
}

on_every_store![
    a_random_history_agrees_with_the_rules,
    a_random_history_with_stored_roles_agrees_with_the_rules,
    administrators_who_remove_each_other_concurrently_leave_one,
    administrators_who_delete_themselves_concurrently_leave_one,
    an_actor_who_lost_rights_after_the_fresh_read_is_refused_inside_the_write,
    a_target_promoted_meanwhile_cannot_be_managed,
    a_permission_granted_to_the_target_meanwhile_protects_it,
    a_refused_actor_costs_no_hash_and_learns_nothing,
    lists_contain_manageable_users_and_the_caller,
];
