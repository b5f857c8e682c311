//! Who may do what to whom: random histories against a naive reading of the rules, and acts that
//! overtake one another.

use goat_core::auth::SignedIn;
use goat_core::testing::Point;
use goat_core::user::{NewUser, UserFilter, UserUpdate};
use goat_core::{Actor, ErrorKind, PageRequest, Permission, Result, Status, UserId};

use crate::support::{
    Ground, House, OTHER_PASSWORD, Outcome, PASSWORD, email, login, on_every_store, system,
};

/// SplitMix64: a seed makes a history that can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides as u64) as usize
    }
}

const ROLES: [&str; 3] = ["client", "operator", "admin"];
const TOP: usize = 2;
const NEEDS: [&str; 6] = [
    "user:write",
    "user:update",
    "user:change_role",
    "user:change_status",
    "user:delete",
    "user:read",
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
enum Act {
    Create { role: usize, status: Status },
    ChangeRole(usize),
    ChangeStatus(Status),
    Delete,
    SetPassword,
    ChangeEmail,
    EndSessions,
}

/// The rules of the contract, written down as they are read.
struct Model {
    people: Vec<Person>,
    granted: Vec<(usize, &'static str)>,
}

impl Model {
    fn administers(person: &Person) -> bool {
        person.role == TOP && person.status == Status::Active
    }

    fn outranks(actor: usize, role: usize) -> bool {
        actor == TOP || role < actor
    }

    /// What must come of an act. `actor` and `target` are places in `people`; no actor: the system.
    fn expect(&self, actor: Option<usize>, target: Option<usize>, act: Act) -> Option<ErrorKind> {
        let needs = match act {
            Act::Create { .. } => "user:write",
            Act::ChangeRole(_) => "user:change_role",
            Act::ChangeStatus(_) => "user:change_status",
            Act::Delete => "user:delete",
            Act::SetPassword | Act::ChangeEmail | Act::EndSessions => "user:update",
        };
        let rank = actor.map(|actor| self.people[actor].role);
        if rank.is_some_and(|role| role != TOP && !self.granted.contains(&(role, needs))) {
            return Some(ErrorKind::Forbidden);
        }
        let may_give = |role| rank.is_none_or(|rank| Self::outranks(rank, role));
        if let Act::Create { role, status } = act {
            return if status == Status::Suspended {
                Some(ErrorKind::Invalid)
            } else if may_give(role) {
                None
            } else {
                Some(ErrorKind::RoleNotAssignable)
            };
        }
        let Some(place) = target else { return Some(ErrorKind::NotFound) };
        let target = &self.people[place];
        if actor == Some(place) || rank.is_some_and(|rank| !Self::outranks(rank, target.role)) {
            return Some(ErrorKind::Outranked);
        }
        let last = Self::administers(target)
            && self.people.iter().filter(|person| Self::administers(person)).count() == 1;
        let last = last.then_some(ErrorKind::LastAdministrator);
        match act {
            Act::ChangeRole(role) if !may_give(role) => Some(ErrorKind::RoleNotAssignable),
            Act::ChangeRole(role) if role != target.role => last,
            Act::ChangeStatus(status) if status != target.status => match (target.status, status) {
                (Status::Inactive | Status::Suspended, Status::Active) => None,
                (Status::Active, Status::Suspended) => last,
                _ => Some(ErrorKind::InvalidTransition),
            },
            Act::Delete => last,
            _ => None,
        }
    }
}

async fn perform(
    house: &House,
    actor: Actor,
    target: UserId,
    act: Act,
    fresh: &str,
) -> Result<Option<UserId>> {
    let users = house.goat.users();
    match act {
        Act::Create { role, status } => {
            let new = NewUser {
                email: email(fresh),
                password: PASSWORD.into(),
                role: house.role(ROLES[role]),
                status,
            };
            return users.create(actor, new).await.map(|user| Some(user.id));
        }
        Act::ChangeRole(role) => {
            drop(users.change_role(actor, target, house.role(ROLES[role])).await?);
        }
        Act::ChangeStatus(status) => drop(users.change_status(actor, target, status).await?),
        Act::Delete => users.delete(actor, target).await?,
        Act::SetPassword => {
            let update = UserUpdate { email: None, password: Some(OTHER_PASSWORD.into()) };
            drop(users.update(actor, target, update).await?);
        }
        Act::ChangeEmail => {
            let update = UserUpdate { email: Some(email(fresh)), password: None };
            drop(users.update(actor, target, update).await?);
        }
        Act::EndSessions => {
            house.goat.sessions().revoke_all_of(actor, target).await?;
        }
    }
    Ok(None)
}

/// A2, A3: one history of random acts, compared with the model after each.
async fn history(house: &House, seed: u64, steps: usize) {
    let mut dice = Dice(seed);
    let mut granted: Vec<(usize, &'static str)> =
        vec![(1, "user:read"), (1, "user:update"), (1, "user:change_status")];
    for need in NEEDS {
        for (role, name) in ROLES.into_iter().enumerate().take(TOP) {
            if dice.roll(3) == 0 && !granted.contains(&(role, need)) {
                let permission = Permission::new(need);
                house.goat.roles().grant(system(), name, permission).await.expect("granted");
                granted.push((role, need));
            }
        }
    }
    let mut model = Model { people: Vec::new(), granted };
    for (name, role) in [("root", TOP), ("vice", TOP), ("olga", 1), ("otto", 1), ("carl", 0)] {
        let id = house.user(name, ROLES[role]).await.id;
        let (name, password) = (name.to_owned(), PASSWORD);
        let status = Status::Active;
        model.people.push(Person { id, name, password, role, status, signed_in: None });
    }
    let gone = UserId::generate(goat_core::Timestamp::from_millis(0));

    for step in 0..steps {
        let fresh = format!("fresh{step}");
        let actor = Some(dice.roll(model.people.len() + 1)).filter(|at| *at < model.people.len());
        let target = Some(dice.roll(model.people.len() + 1)).filter(|at| *at < model.people.len());
        let act = match dice.roll(10) {
            0 if model.people.len() < 9 => {
                Act::Create { role: dice.roll(3), status: Status::ALL[dice.roll(3)] }
            }
            1..=3 => Act::ChangeRole(dice.roll(3)),
            4..=6 => Act::ChangeStatus(Status::ALL[dice.roll(3)]),
            7 if model.people.len() > 3 => Act::Delete,
            8 => Act::SetPassword,
            9 => Act::ChangeEmail,
            _ => Act::EndSessions,
        };
        let acting = match actor {
            None => system(),
            Some(place) => {
                let person = &mut model.people[place];
                if person.status != Status::Active {
                    continue;
                }
                if person.signed_in.is_none() {
                    let address = crate::support::address(&person.name);
                    let signed_in = login(&house.goat, address, person.password).await;
                    person.signed_in = Some(signed_in.expect("an active user signs in"));
                }
                let tokens = &person.signed_in.as_ref().expect("just signed in").tokens;
                house.actor(tokens).await
            }
        };
        let case = format!("seed {seed}, step {step}: {act:?} by {actor:?} on {target:?}");
        let expected = model.expect(actor, target, act);
        let target_id = target.map_or(gone, |place| model.people[place].id);
        let outcome = perform(house, acting, target_id, act, &fresh).await;
        assert_eq!(outcome.kind(), expected, "{case}: {:#?}", model.people);

        if let Ok(created) = outcome {
            match (act, target) {
                (Act::Create { role, status }, _) => model.people.push(Person {
                    id: created.expect("an id"),
                    name: fresh,
                    password: PASSWORD,
                    role,
                    status,
                    signed_in: None,
                }),
                (Act::ChangeRole(role), Some(place)) => model.people[place].role = role,
                (Act::ChangeEmail, Some(place)) => model.people[place].name = fresh,
                (Act::ChangeStatus(status), Some(place)) => {
                    let person = &mut model.people[place];
                    if status == Status::Suspended && person.status != status {
                        ended(house, person, &case).await;
                    }
                    person.status = status;
                }
                (Act::SetPassword, Some(place)) => {
                    let person = &mut model.people[place];
                    person.password = OTHER_PASSWORD;
                    ended(house, person, &case).await;
                }
                (Act::EndSessions, Some(place)) => {
                    ended(house, &mut model.people[place], &case).await;
                }
                (Act::Delete, Some(place)) => {
                    ended(house, &mut model.people.remove(place), &case).await;
                }
                (_, None) => unreachable!("nothing is done to nobody"),
            }
        }
        compare(house, &model, &case).await;
    }
}

/// The sessions of somebody have just ended.
async fn ended(house: &House, person: &mut Person, case: &str) {
    if let Some(signed_in) = person.signed_in.take() {
        let refused = Some(ErrorKind::SessionRevoked);
        assert_eq!(house.authenticate(&signed_in.tokens).await.kind(), refused, "{case}");
        assert_eq!(house.refresh(&signed_in.tokens).await.kind(), refused, "{case}");
    }
}

async fn compare(house: &House, model: &Model, case: &str) {
    assert!(house.goat.users().has_administrator().await.expect("an answer"), "{case}");
    let page = PageRequest::new(1, 100).expect("a page");
    let filter = UserFilter { page, ..UserFilter::default() };
    let listed = house.goat.users().list_all(filter).await.expect("a page").users;
    assert_eq!(listed.len(), model.people.len(), "{case}");
    for person in &model.people {
        let user = listed.iter().find(|user| user.id == person.id).expect("it is listed");
        let real = (user.role.as_str(), user.status, user.email.as_str().to_owned());
        let address = crate::support::address(&person.name);
        assert_eq!(real, (ROLES[person.role], person.status, address), "{case}");
        if let Some(signed_in) = &person.signed_in {
            let principal = house.principal(&signed_in.tokens).await;
            assert_eq!(principal.role().as_str(), ROLES[person.role], "{case}");
        }
    }
}

/// A2, A3
async fn a_random_history_agrees_with_the_rules(ground: Ground) {
    history(&House::on(ground), 1, 150).await;
}

/// A2, A3: more of them where they cost nothing.
#[tokio::test]
async fn many_random_histories_agree_with_the_rules() {
    for seed in 100..140 {
        history(&House::on(Ground::memory()), seed, 80).await;
    }
}

/// A3
async fn two_administrators_who_remove_each_other_at_once_leave_one(ground: Ground) {
    let house = House::on(ground);
    house.user("system-root", "admin").await;
    let acts = [Act::ChangeRole(0), Act::ChangeStatus(Status::Suspended), Act::Delete];
    let mut round = 0;
    for first in acts {
        for second in acts {
            round += 1;
            let names = [format!("one{round}"), format!("two{round}")];
            let one = house.member(&names[0], "admin").await;
            let two = house.member(&names[1], "admin").await;
            // From here on these two are the only administrators.
            clear_other_administrators(&house, [one.user.id, two.user.id]).await;
            let actors = (house.actor(&one.tokens).await, house.actor(&two.tokens).await);
            let held = [
                house.pauses.hold("users.write", Point::Entry),
                house.pauses.hold("users.write", Point::Entry),
            ];
            // Both have made their fresh read and stand before their write.
            let ((), a, b) = tokio::join!(
                async {
                    for held in &held {
                        held.reached().await;
                    }
                    drop(held);
                },
                perform(&house, actors.0, two.user.id, first, "unused"),
                perform(&house, actors.1, one.user.id, second, "unused"),
            );
            let case = format!("{first:?} and {second:?}: {a:?} and {b:?}");
            assert_eq!([a.is_ok(), b.is_ok()].iter().filter(|ok| **ok).count(), 1, "{case}");
            assert!(house.goat.users().has_administrator().await.expect("an answer"), "{case}");
        }
    }
}

/// A3
async fn administrators_who_all_leave_at_once_leave_one(ground: Ground) {
    let house = House::on(ground);
    let mut leaving = Vec::new();
    for number in 0..4 {
        let tokens = house.member(&format!("admin{number}"), "admin").await.tokens;
        leaving.push(house.principal(&tokens).await);
    }
    let leaving: Vec<_> = leaving
        .into_iter()
        .map(|me| {
            let goat = house.goat.clone();
            tokio::spawn(async move { goat.users().delete_self(&me, PASSWORD).await })
        })
        .collect();
    let mut refused = Vec::new();
    for one in leaving {
        refused.extend(one.await.expect("no panic").kind());
    }
    assert_eq!(refused, [ErrorKind::LastAdministrator]);
    assert!(house.goat.users().has_administrator().await.expect("an answer"));
}

async fn clear_other_administrators(house: &House, kept: [UserId; 2]) {
    let filter = UserFilter { roles: vec![house.role("admin")], ..UserFilter::default() };
    for user in house.goat.users().list_all(filter).await.expect("a page").users {
        if !kept.contains(&user.id) {
            house.goat.users().delete(system(), user.id).await.expect("deleted");
        }
    }
}

/// A2: the fresh read is the past; the write asks again.
async fn an_actor_who_fell_after_the_fresh_read_is_refused_inside_the_write(ground: Ground) {
    let house = House::on(ground);
    house.user("root", "admin").await;
    let falls = [
        (Act::ChangeRole(0), ErrorKind::Forbidden),
        (Act::ChangeStatus(Status::Suspended), ErrorKind::SessionRevoked),
        (Act::SetPassword, ErrorKind::SessionRevoked),
        (Act::EndSessions, ErrorKind::SessionRevoked),
        (Act::Delete, ErrorKind::SessionRevoked),
    ];
    let acts = [
        Act::Create { role: 0, status: Status::Active },
        Act::ChangeRole(1),
        Act::ChangeStatus(Status::Suspended),
        Act::Delete,
        Act::SetPassword,
        Act::ChangeEmail,
        Act::EndSessions,
    ];
    for (number, (fall, expected)) in falls.into_iter().enumerate() {
        for (other, act) in acts.into_iter().enumerate() {
            let name = |what: &str| format!("{what}{number}x{other}");
            let actor = house.member(&name("actor"), "admin").await;
            let target = house.member(&name("target"), "client").await;
            let acting = house.actor(&actor.tokens).await;
            let fresh = name("fresh");
            let held = house.pauses.hold("users.write", Point::Entry);
            let ((), outcome) = tokio::join!(
                async {
                    held.reached().await;
                    perform(&house, system(), actor.user.id, fall, "unused").await.expect("fell");
                    held.release();
                },
                perform(&house, acting, target.user.id, act, &fresh),
            );
            assert_eq!(outcome.kind(), Some(expected), "{fall:?} before {act:?}");
            house.principal(&target.tokens).await;
        }
        // What roles may do is guarded alike.
        let actor = house.member(&format!("granter{number}"), "admin").await;
        let acting = house.actor(&actor.tokens).await;
        let held = house.pauses.hold("roles.write", Point::Entry);
        let ((), outcome) = tokio::join!(
            async {
                held.reached().await;
                perform(&house, system(), actor.user.id, fall, "unused").await.expect("fell");
                held.release();
            },
            house.goat.roles().grant(acting, "client", Permission::new("user:delete")),
        );
        assert_eq!(outcome.kind(), Some(expected), "{fall:?} before a grant");
    }
}

/// A2: and so may the target have risen.
async fn a_target_who_rose_meanwhile_is_out_of_reach(ground: Ground) {
    let house = House::on(ground);
    let actor = house.member("olga", "operator").await;
    let target = house.user("carl", "client").await.id;
    for act in [Act::ChangeStatus(Status::Suspended), Act::SetPassword, Act::EndSessions] {
        perform(&house, system(), target, Act::ChangeRole(0), "unused").await.expect("a client");
        let acting = house.actor(&actor.tokens).await;
        let held = house.pauses.hold("users.write", Point::Entry);
        let ((), outcome) = tokio::join!(
            async {
                held.reached().await;
                let rise = Act::ChangeRole(1);
                perform(&house, system(), target, rise, "unused").await.expect("risen");
                held.release();
            },
            perform(&house, acting, target, act, "unused"),
        );
        assert_eq!(outcome.kind(), Some(ErrorKind::Outranked), "{act:?}");
    }
}

/// A2: nothing is paid for somebody who may not, and nothing is told.
async fn who_may_not_act_costs_no_hash_and_learns_nothing(ground: Ground) {
    let house = House::on(ground);
    let victim = "victim.with.a.long.name";
    let root = house.user(victim, "admin").await.id;
    let operator = house.member("olga", "operator").await.tokens;
    let client = house.member("carl", "client").await.tokens;
    drop(house.hasher.take_calls());
    let users = house.goat.users();
    let set = |password: &str| UserUpdate { email: None, password: Some(password.into()) };
    // What the policy says of a password would show whether it is the address.
    for guess in [victim, &crate::support::address(victim), OTHER_PASSWORD] {
        let refused = users.update(house.actor(&operator).await, root, set(guess)).await.kind();
        assert_eq!(refused, Some(ErrorKind::Outranked), "{guess}");
        let refused = users.update(house.actor(&client).await, root, set(guess)).await.kind();
        assert_eq!(refused, Some(ErrorKind::Forbidden), "{guess}");
    }
    for tokens in [&operator, &client] {
        let new = NewUser {
            email: email(victim),
            password: "short".into(),
            role: house.role("admin"),
            status: Status::Suspended,
        };
        let refused = users.create(house.actor(tokens).await, new).await.kind();
        assert_eq!(refused, Some(ErrorKind::Forbidden));
    }
    assert!(house.hasher.take_calls().is_empty());
    // For a user within reach the policy knows the address.
    let carl = house.principal(&client).await.user();
    let update = UserUpdate { email: Some(email("somebody.new")), password: None };
    users.update(house.actor(&operator).await, carl, update).await.expect("changed");
    let address = crate::support::address("somebody.new");
    let invalid = users.update(house.actor(&operator).await, carl, set(&address)).await;
    assert_eq!(invalid.kind(), Some(ErrorKind::Invalid));
}

/// A list shows whom the caller may act on, and the caller.
async fn lists_show_only_whom_one_may_act_on_and_oneself(ground: Ground) {
    let house = House::on(ground);
    for (name, role) in [("root", "admin"), ("otto", "operator"), ("carl", "client")] {
        house.user(name, role).await;
    }
    for (name, role, seen) in [
        ("rita", "admin", vec!["carl", "olga", "otto", "rita", "root"]),
        ("olga", "operator", vec!["carl", "olga"]),
    ]
    .into_iter()
    .rev()
    {
        let me = house.principal(&house.member(name, role).await.tokens).await;
        let listed = house.goat.users().list(&me, UserFilter::default()).await.expect("a page");
        let mut names: Vec<_> = listed
            .users
            .iter()
            .map(|user| user.email.as_str().split('@').next().expect("a name").to_owned())
            .collect();
        names.sort();
        assert_eq!(names, seen);
        assert_eq!(listed.total, seen.len() as u64);
        for user in house.goat.users().list_all(UserFilter::default()).await.expect("all").users {
            let visible = listed.users.iter().any(|listed| listed.id == user.id);
            let found = house.goat.users().find(&me, user.id).await.kind();
            let sessions = house.goat.sessions();
            let page = sessions.list_of(&me, user.id, PageRequest::default()).await.kind();
            let expected = (!visible).then_some(ErrorKind::Outranked);
            assert_eq!((found, page), (expected, expected));
        }
    }
    let tokens = house.sign_in("carl").await.tokens;
    let carl = house.principal(&tokens).await;
    let refused = house.goat.users().list(&carl, UserFilter::default()).await.kind();
    assert_eq!(refused, Some(ErrorKind::Forbidden));
}

on_every_store![
    a_random_history_agrees_with_the_rules,
    two_administrators_who_remove_each_other_at_once_leave_one,
    administrators_who_all_leave_at_once_leave_one,
    an_actor_who_fell_after_the_fresh_read_is_refused_inside_the_write,
    a_target_who_rose_meanwhile_is_out_of_reach,
    who_may_not_act_costs_no_hash_and_learns_nothing,
    lists_show_only_whom_one_may_act_on_and_oneself,
];
