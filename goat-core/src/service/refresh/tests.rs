//! Exhaustive model of refresh rotation: every interleaving of a few refreshes on any nodes, a changed
//! password, and the end of the session, with requests, responses and writes that are lost or late, a node
//! that crashes between two steps, and a session store that goes back in time.
//!
//! The steps are those of the flow, over the real store in memory and the real rules. A crashed node is a
//! request that takes no further step. The properties are the promises of the flow: a token works once and
//! its direct predecessor yields the same successor (R1), any other use ends the session (R2), an ended
//! session stays ended (R4, R9), and tokens from before a changed password neither work nor end anything
//! (D5).

use std::hash::Hash;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::{SessionId, TokenId, UserId};
use crate::session::{Predecessor, RefreshToken, Session, SessionEpoch, TokenReplacement};
use crate::store::memory::MemorySessions;
use crate::store::{Rotated, Rotation, SessionStore};
use crate::testing::explore::{Model, explore};
use crate::testing::sample::session;

/// The grace period, in ticks.
const GRACE: u64 = 2;
const TICK: Duration = Duration::from_secs(1);
/// More sessions than there are.
const MANY: u32 = 10;

/// A broken rule, which the model must detect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    /// A refresh does not apply a replacement that the session store lacks.
    ReplacementNotApplied,
    /// A rotation does not compare the epoch of the presented token.
    EpochIgnored,
    /// The grace period begins anew with each repeat.
    GraceExtended,
    /// A rotation creates the session that it does not find.
    RotationCreates,
}

/// The bounds of an exploration.
struct Rotations {
    refreshes: usize,
    ticks: u64,
    goes_back: bool,
    mutation: Option<Mutation>,
}

#[derive(Clone)]
struct State {
    now: u64,
    epoch: SessionEpoch,
    replacement: Option<TokenReplacement>,
    store: MemorySessions,
    /// An earlier state of the store, to which it may return once.
    dump: Option<MemorySessions>,
    went_back: bool,
    issued: Vec<Issued>,
    refreshes: Vec<Refresh>,
    change: Progress,
    end: End,
    violation: Option<&'static str>,
}

/// An issued refresh token. Whether clients share it, and which of them stole it, makes no difference.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Issued {
    epoch: u64,
    /// Whether a client received it.
    is_delivered: bool,
    /// The time of its first use, and its successor.
    used: Option<(u64, usize)>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Refresh {
    token: usize,
    step: Step,
    /// Whether it began after the change of the password.
    after_change: bool,
    /// Whether it began after the end of the session.
    after_end: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Sent,
    Found { may_lack_replacement: bool },
    Completed,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Progress {
    Ahead,
    Committed,
    Completed,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum End {
    None,
    /// As durable as the session store.
    Logout,
    /// By the user's epoch: durable whatever the session store does.
    Revocation(Progress),
}

#[derive(Clone, Debug)]
enum Action {
    Tick,
    Send(usize),
    Read(usize),
    ApplyReplacement(usize),
    Rotate { refresh: usize, is_response_lost: bool },
    CommitPassword,
    StoreReplacement { is_lost: bool },
    Logout,
    CommitRevocation,
    StoreRevocation { is_lost: bool },
    Dump,
    GoBack,
}

/// Completes a call of the store in memory, which never waits.
fn call<T>(future: impl Future<Output = Result<T, crate::StoreError>>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result.expect("the store responds"),
        Poll::Pending => panic!("the store in memory does not wait"),
    }
}

const USER: UserId = UserId::from_u128(1);
const SESSION: SessionId = SessionId::from_u128(2);

fn token_id(number: usize) -> TokenId {
    TokenId::from_u128(100 + number as u128)
}

fn at(tick: u64) -> Timestamp {
    Timestamp::from_seconds(1_767_225_600) + TICK * u32::try_from(tick).expect("few ticks")
}

fn token(number: usize, now: u64) -> RefreshToken {
    let expires_at = at(now) + Duration::from_secs(3600);
    RefreshToken { id: token_id(number), issued_at: at(now), expires_at, key: String::new() }
}

fn first_session() -> Session {
    Session { id: SESSION, current: token(0, 0), ..session(USER, at(0)) }
}

fn found(store: &MemorySessions) -> Option<Session> {
    call(store.find(USER, SESSION)).map(|view| view.session)
}

impl State {
    fn is_live(&self) -> bool {
        found(&self.store).is_some_and(|session| session.is_live(self.epoch, at(self.now)))
    }

    fn require(&mut self, holds: bool, property: &'static str) {
        if !holds {
            self.violation.get_or_insert(property);
        }
    }

    fn read(&mut self, refresh: usize) {
        let session =
            found(&self.store).filter(|session| session.is_live(self.epoch, at(self.now)));
        let epoch = self.issued[self.refreshes[refresh].token].epoch;
        self.refreshes[refresh].step = match session {
            None => Step::Completed,
            Some(session) if epoch < session.epoch => Step::Completed,
            Some(session) => {
                let may_lack_replacement = session.may_lack_replacement(self.epoch);
                Step::Found { may_lack_replacement }
            }
        };
    }

    fn store_replacement(&self) {
        if let Some(replacement) = &self.replacement {
            call(self.store.replace_tokens(USER, replacement, at(self.now)));
        }
    }

    fn apply_replacement(&mut self, refresh: usize) {
        self.store_replacement();
        let epoch = self.replacement.as_ref().map_or(0, |replacement| replacement.epoch);
        if self.issued[self.refreshes[refresh].token].epoch < epoch {
            self.refreshes[refresh].step = Step::Completed;
        }
    }

    fn rotate(&mut self, refresh: usize, is_response_lost: bool, mutation: Option<Mutation>) {
        let Refresh { token: presented, after_change, after_end, .. } = self.refreshes[refresh];
        self.refreshes[refresh].step = Step::Completed;
        let epoch = self.issued[presented].epoch;
        let rotation = Rotation {
            session: SESSION,
            user: USER,
            presented: token_id(presented),
            epoch: if mutation == Some(Mutation::EpochIgnored) { u64::MAX } else { epoch },
            successor: token(self.issued.len(), self.now),
            address: None,
            now: at(self.now),
            leeway: TICK * u32::try_from(GRACE).expect("few ticks"),
        };
        let mut rotated = call(self.store.rotate(&rotation));
        if rotated == Rotated::Unknown && mutation == Some(Mutation::RotationCreates) {
            let current = RefreshToken { id: rotation.presented, ..token(0, 0) };
            call(self.store.create(&Session { current, epoch, ..first_session() }, MANY));
            rotated = call(self.store.rotate(&rotation));
        }
        let used = self.issued[presented].used;
        let is_in_grace = used.is_some_and(|(used_at, successor)| {
            self.now < used_at + GRACE && self.issued[successor].used.is_none()
        });
        // After the store went back, the history of its tokens is not theirs.
        let is_past_known = !self.went_back;
        let is_older = |replacement: &TokenReplacement| epoch < replacement.epoch;
        let is_replaced = after_change && self.replacement.as_ref().is_some_and(is_older);
        match rotated {
            Rotated::Unknown => return,
            Rotated::Replaced => {
                self.require(found(&self.store).is_some(), "a replaced token ends nothing");
                return;
            }
            Rotated::Reused(_) => {
                let is_right = used.is_some() && !is_in_grace;
                self.require(is_right || !is_past_known, "only reuse ends a session");
                self.require(!is_replaced, "a replaced token ends nothing");
                return;
            }
            Rotated::Rotated(session) => {
                self.require(used.is_none() || !is_past_known, "a token works once");
                let successor = self.issued.len();
                self.issued[presented].used = Some((self.now, successor));
                self.issued.push(Issued {
                    epoch: session.epoch,
                    is_delivered: !is_response_lost,
                    used: None,
                });
            }
            Rotated::Repeated(session) => {
                let successor = used.map(|(_, successor)| token_id(successor));
                let is_same = successor == Some(session.current.id) && is_in_grace;
                self.require(is_same || !is_past_known, "a repeat yields the same successor");
                if let Some((_, successor)) = used {
                    self.issued[successor].is_delivered |= !is_response_lost;
                }
                if mutation == Some(Mutation::GraceExtended) {
                    let previous = session
                        .previous
                        .map(|previous| Predecessor { used_at: at(self.now), ..previous });
                    call(self.store.create(&Session { previous, ..session }, MANY));
                }
            }
        }
        self.require(!is_replaced, "a replaced token does not work");
        self.require(!after_end, "an ended session stays ended");
    }
}

impl Model for Rotations {
    type State = State;
    type Action = Action;

    fn initial(&self) -> State {
        let store = MemorySessions::default();
        call(store.create(&first_session(), MANY));
        State {
            now: 0,
            epoch: SessionEpoch::default(),
            replacement: None,
            store,
            dump: None,
            went_back: false,
            issued: vec![Issued { epoch: 0, is_delivered: true, used: None }],
            refreshes: Vec::new(),
            change: Progress::Ahead,
            end: End::None,
            violation: None,
        }
    }

    fn actions(&self, state: &State) -> Vec<Action> {
        let mut actions = Vec::new();
        if state.now < self.ticks {
            actions.push(Action::Tick);
        }
        if state.refreshes.len() < self.refreshes {
            let delivered =
                (0..state.issued.len()).filter(|&token| state.issued[token].is_delivered);
            actions.extend(delivered.map(Action::Send));
        }
        for (refresh, Refresh { step, .. }) in state.refreshes.iter().enumerate() {
            match step {
                Step::Sent => actions.push(Action::Read(refresh)),
                Step::Found { may_lack_replacement: true } => {
                    actions.push(Action::ApplyReplacement(refresh));
                }
                Step::Found { may_lack_replacement: false } => {
                    let rotate = |is_response_lost| Action::Rotate { refresh, is_response_lost };
                    actions.extend([false, true].map(rotate));
                }
                Step::Completed => {}
            }
        }
        match state.change {
            Progress::Ahead if state.is_live() => actions.push(Action::CommitPassword),
            Progress::Committed => {
                let store = |is_lost| Action::StoreReplacement { is_lost };
                actions.extend([false, true].map(store));
            }
            _ => {}
        }
        match state.end {
            End::None => actions.extend([Action::Logout, Action::CommitRevocation]),
            End::Revocation(Progress::Committed) => {
                let store = |is_lost| Action::StoreRevocation { is_lost };
                actions.extend([false, true].map(store));
            }
            _ => {}
        }
        if self.goes_back && !state.went_back {
            let is_dumped = state.dump.is_some();
            actions.push(if is_dumped { Action::GoBack } else { Action::Dump });
        }
        actions
    }

    fn apply(&self, state: &mut State, action: &Action) {
        match *action {
            Action::Tick => state.now += 1,
            Action::Send(token) => {
                // The end of a session by logout is as durable as the session store.
                let after_end = match state.end {
                    End::None => false,
                    End::Logout => !self.goes_back,
                    End::Revocation(_) => true,
                };
                let after_change = state.change != Progress::Ahead;
                state.refreshes.push(Refresh { token, step: Step::Sent, after_change, after_end });
            }
            Action::Read(refresh) => state.read(refresh),
            Action::ApplyReplacement(refresh) => {
                state.refreshes[refresh].step = Step::Found { may_lack_replacement: false };
                if self.mutation != Some(Mutation::ReplacementNotApplied) {
                    state.apply_replacement(refresh);
                }
            }
            Action::Rotate { refresh, is_response_lost } => {
                state.rotate(refresh, is_response_lost, self.mutation);
            }
            Action::CommitPassword => {
                state.epoch = state.epoch.next(Some(SESSION));
                let (epoch, number) = (state.epoch.number, state.issued.len());
                let token = token(number, state.now);
                state.replacement = Some(TokenReplacement { session: SESSION, epoch, token });
                state.issued.push(Issued { epoch, is_delivered: false, used: None });
                state.change = Progress::Committed;
            }
            Action::StoreReplacement { is_lost } => {
                if !is_lost {
                    state.store_replacement();
                }
                let replacement =
                    state.replacement.as_ref().map(|replacement| replacement.token.id);
                for (number, token) in state.issued.iter_mut().enumerate() {
                    token.is_delivered |= Some(token_id(number)) == replacement;
                }
                state.change = Progress::Completed;
            }
            Action::Logout => {
                call(state.store.end(USER, SESSION));
                state.end = End::Logout;
            }
            Action::CommitRevocation => {
                state.epoch = state.epoch.next(None);
                state.end = End::Revocation(Progress::Committed);
            }
            Action::StoreRevocation { is_lost } => {
                if !is_lost {
                    call(state.store.revoke_all(USER, state.epoch, at(state.now), None));
                }
                state.end = End::Revocation(Progress::Completed);
            }
            Action::Dump => state.dump = Some(state.store.clone()),
            Action::GoBack => {
                state.store = state.dump.take().expect("a dump");
                state.went_back = true;
            }
        }
    }

    fn key(&self, state: &State) -> impl Hash {
        let of = |store: &MemorySessions| {
            found(store).map(|session| {
                let previous = session.previous.map(|previous| (previous.id, previous.used_at));
                (session.epoch, session.current.id, previous)
            })
        };
        let replaced = state.replacement.as_ref().map(|replacement| replacement.token.id);
        (
            (state.now, state.epoch.number, state.epoch.kept, replaced),
            (of(&state.store), state.dump.as_ref().map(of), state.went_back),
            (state.issued.clone(), state.refreshes.clone(), state.change, state.end),
            state.violation,
        )
    }

    fn violation(&self, state: &State) -> Option<String> {
        if matches!(state.end, End::Revocation(_)) && state.is_live() {
            return Some("a revoked session is not live".to_owned());
        }
        state.violation.map(ToOwned::to_owned)
    }
}

const EXPLORATIONS: [Rotations; 2] = [
    Rotations { refreshes: 3, ticks: 2, goes_back: false, mutation: None },
    Rotations { refreshes: 2, ticks: 1, goes_back: true, mutation: None },
];

/// R1, R2, R4, R9, D5
#[test]
fn every_interleaving_of_refreshes_keeps_the_promises() {
    for model in EXPLORATIONS {
        let states = explore(&model, 400_000).expect("no violation");
        assert!(states > 1_000, "{states} states");
    }
}

#[test]
fn a_broken_rule_is_detected() {
    for (mutation, property) in [
        (Mutation::ReplacementNotApplied, "a replaced token does not work"),
        (Mutation::EpochIgnored, "only reuse ends a session"),
        (Mutation::GraceExtended, "a repeat yields the same successor"),
        (Mutation::RotationCreates, "a token works once"),
    ] {
        let violations = EXPLORATIONS.map(|model| {
            let model = Rotations { mutation: Some(mutation), ..model };
            explore(&model, 400_000).err().map(|violation| violation.property)
        });
        assert_eq!(violations[0].as_deref(), Some(property), "{mutation:?}");
    }
}
