//! The algebra of requirements, against a straightforward evaluator.

use std::sync::LazyLock;
use std::time::Duration;

use goat_core::{Permission, RequiredProof, Role};
use proptest::prelude::*;

use super::requirement::{LiveCondition, Requirement};
use super::rule::ProofCondition;

static PERMISSIONS: [Permission; 3] =
    [Permission::new("a:read"), Permission::new("b:read"), Permission::new("c:read")];
const PREDICATES: [&str; 3] = ["one", "two", "three"];

/// The goat does not have the last one.
static ROLES: LazyLock<[Role; 3]> = LazyLock::new(|| {
    ["low", "high", "ghost"].map(|name| Role::parse(name).expect("a role's name"))
});

/// A requirement as written.
#[derive(Clone, Debug)]
enum Tree {
    Permission(usize),
    Role(usize),
    When(usize),
    Recent(u64),
    MultiFactor,
    Person,
    SignedIn,
    All(Vec<Tree>),
    Any(Vec<Tree>),
    And(Box<Tree>, Box<Tree>),
    Or(Box<Tree>, Box<Tree>),
}

/// The facts about a principal.
#[derive(Clone, Debug)]
struct Facts {
    permissions: [bool; 3],
    role: usize,
    predicates: [bool; 3],
    /// Recent, and of several factors.
    proofs: [bool; 2],
    /// Of a session.
    person: bool,
}

impl Tree {
    fn build(&self) -> Requirement {
        match self {
            Self::Permission(index) => (&PERMISSIONS[*index]).into(),
            Self::Role(index) => (&ROLES[*index]).into(),
            Self::When(index) => Requirement::when(PREDICATES[*index], |_| false),
            Self::Recent(seconds) => Requirement::recent(Duration::from_secs(*seconds)),
            Self::MultiFactor => Requirement::multi_factor(),
            Self::Person => Requirement::person(),
            Self::SignedIn => Requirement::signed_in(),
            Self::All(trees) => Requirement::all(trees.iter().map(Self::build)),
            Self::Any(trees) => Requirement::any(trees.iter().map(Self::build)),
            Self::And(one, other) => one.build().and(other.build()),
            Self::Or(one, other) => one.build().or(other.build()),
        }
    }

    fn is_true(&self, facts: &Facts) -> bool {
        match self {
            Self::Permission(index) => facts.permissions[*index],
            Self::Role(2) => false,
            Self::Role(index) => facts.role == *index,
            Self::When(index) => facts.predicates[*index],
            Self::Recent(_) => facts.proofs[0],
            Self::MultiFactor => facts.proofs[1],
            Self::Person => facts.person,
            Self::SignedIn => true,
            Self::All(trees) => !trees.iter().any(|tree| !tree.is_true(facts)),
            Self::Any(trees) => trees.iter().any(|tree| tree.is_true(facts)),
            Self::And(one, other) => one.is_true(facts) && other.is_true(facts),
            Self::Or(one, other) => one.is_true(facts) || other.is_true(facts),
        }
    }
}

impl Facts {
    fn holds(&self, condition: &LiveCondition) -> bool {
        match condition {
            LiveCondition::Permission(asked) => {
                PERMISSIONS.iter().zip(self.permissions).any(|(known, held)| known == asked && held)
            }
            LiveCondition::Role(asked) => ROLES[self.role] == *asked,
            LiveCondition::UnknownRole(_) => false,
            LiveCondition::Predicate(asked) => {
                PREDICATES.iter().zip(self.predicates).any(|(name, is)| *name == asked.name && is)
            }
            LiveCondition::Person => self.person,
            LiveCondition::Proof(ProofCondition::Recent(_)) => self.proofs[0],
            LiveCondition::Proof(ProofCondition::MultiFactor) => self.proofs[1],
        }
    }

    fn with(&self, permissions: &[&Permission]) -> Self {
        let mut more = self.clone();
        for (held, permission) in more.permissions.iter_mut().zip(&PERMISSIONS) {
            *held |= permissions.contains(&permission);
        }
        more
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        4 => (0..3_usize).prop_map(Tree::Permission),
        2 => (0..3_usize).prop_map(Tree::Role),
        2 => (0..3_usize).prop_map(Tree::When),
        1 => (60..63_u64).prop_map(Tree::Recent),
        1 => Just(Tree::MultiFactor),
        1 => Just(Tree::Person),
        1 => Just(Tree::SignedIn),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let pair = (inner.clone(), inner.clone());
        let pair = pair.prop_map(|(one, other)| (Box::new(one), Box::new(other)));
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Tree::All),
            prop::collection::vec(inner, 0..4).prop_map(Tree::Any),
            pair.clone().prop_map(|(one, other)| Tree::And(one, other)),
            pair.prop_map(|(one, other)| Tree::Or(one, other)),
        ]
    })
}

fn facts() -> impl Strategy<Value = Facts> {
    (any::<[bool; 3]>(), 0..3_usize, any::<[bool; 3]>(), any::<[bool; 2]>(), any::<bool>())
        .prop_map(|(permissions, role, predicates, proofs, person)| Facts {
            permissions,
            role,
            predicates,
            proofs,
            person,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// A6
    #[test]
    fn requirement_is_met_if_and_only_if_its_tree_is_true(tree in trees(), facts in facts()) {
        let requirement = tree.build().among(&|role| *role != ROLES[2]);
        prop_assert_eq!(requirement.0.is_met(&|condition| facts.holds(condition)), tree.is_true(&facts));
    }

    /// A step-up is asked for if and only if the proof that it names satisfies the tree.
    #[test]
    fn required_proof_satisfies_the_requirement_or_no_proof_does(
        tree in trees(),
        facts in facts(),
    ) {
        let requirement = tree.build().among(&|role| *role != ROLES[2]);
        let with = |recent, multi| {
            let [is_recent, is_multi] = facts.proofs;
            Facts { proofs: [is_recent || recent, is_multi || multi], ..facts.clone() }
        };
        match requirement.0.required_proof(&|condition| facts.holds(condition)) {
            Some(RequiredProof { max_age, multi }) => {
                prop_assert!(tree.is_true(&with(max_age.is_some(), multi)));
                let is_named = max_age.is_some() || multi;
                prop_assert_eq!(is_named, !tree.is_true(&facts));
            }
            None => prop_assert!(!tree.is_true(&with(true, true))),
        }
    }

    #[test]
    fn scope_names_sufficient_permissions_or_is_absent(
        tree in trees(),
        facts in facts(),
    ) {
        let requirement = tree.build().among(&|role| *role != ROLES[2]);
        match requirement.0.scope(&|condition| facts.holds(condition)) {
            Some(permissions) => {
                prop_assert!(tree.is_true(&facts.with(&permissions)), "{permissions:?}");
                prop_assert!(tree.is_true(&facts) || !permissions.is_empty());
                let mut once = permissions.clone();
                once.sort_unstable();
                once.dedup();
                prop_assert_eq!(once.len(), permissions.len());
            }
            None => {
                let all: Vec<_> = PERMISSIONS.iter().collect();
                prop_assert!(!tree.is_true(&facts.with(&all)));
            }
        }
    }
}

#[test]
fn requirement_displays_in_words() {
    let [read, write, audit] = PERMISSIONS.clone();
    let auditor = Role::parse("auditor").expect("a role's name");
    let own = || Requirement::when("own tenant", |_| true);
    let cases = [
        (Requirement::from(&read), "a:read"),
        (Requirement::from(&auditor), "role auditor"),
        (own(), "own tenant"),
        (Requirement::signed_in(), "signed in"),
        (
            Requirement::from(&read)
                .and(Requirement::recent(Duration::from_secs(300)))
                .and(Requirement::multi_factor()),
            "a:read and recent within 300 s and multi-factor",
        ),
        (Requirement::any::<Role>([]), "nobody"),
        ([read.clone(), write.clone()].into(), "a:read and b:read"),
        ([[&read, &write], [&audit, &read]].into(), "a:read and b:read and c:read and a:read"),
        (
            Requirement::from(&read).and(Requirement::from(&auditor).or(own())),
            "a:read and (role auditor or own tenant)",
        ),
        (
            Requirement::from(&read).and(&write).or(Requirement::any([&audit]).or(&auditor)),
            "(a:read and b:read) or c:read or role auditor",
        ),
        (Requirement::signed_in().and(&read), "a:read"),
        (Requirement::any::<Role>([]).or(&read), "a:read"),
        (Requirement::from(&auditor).among(&|_| false), "unknown role auditor"),
    ];
    for (requirement, expected) in cases {
        assert_eq!(requirement.to_string(), expected);
        assert_eq!(format!("{requirement:?}"), format!("Requirement({expected})"));
    }
}
