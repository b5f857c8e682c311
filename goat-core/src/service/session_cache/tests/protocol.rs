//! Exhaustive model of cache invalidation with leases: every interleaving of a change on one node with reads
//! on that node and on another one, whose subscription loses or delays messages, ends, and is replaced, and
//! which crashes.
//!
//! Cache, fill tokens, lease and heartbeats are the real ones; the model carries messages and time. The
//! properties are the promises of the caches: after a change is answered, its node serves no old right and
//! revives no session; the other node does neither after the invalidation arrived, nor after the lease if a
//! sent invalidation is lost, and never beyond the staleness.

use std::collections::VecDeque;
use std::hash::Hash;
use std::sync::LazyLock;

use tokio::time::Instant;

use super::*;
use crate::access::{Role, RoleRows, RoleSource, RoleTable};
use crate::clock::Timestamp;
use crate::invalidation::Heartbeats;
use crate::session::{Session, SessionEpoch};
use crate::testing::explore::{Model, explore};
use crate::testing::sample;
use crate::user::{Revisions, User, UserState};

const TICK: Duration = Duration::from_secs(1);
/// In ticks. The lease is half of it.
const STALENESS: u64 = 4;
const LEASE: u64 = STALENESS / 2;
/// Heartbeats that the model keeps in flight.
const MAX_HEARTBEATS: usize = 2;

const USER: UserId = UserId::from_u128(1);
const SESSION: SessionId = SessionId::from_u128(2);
const CREDENTIAL: Credential = Credential::Session(SESSION);
/// The user's revision before the change.
const OLD_REVISION: u64 = 1;
/// The node that makes the change, and the other one.
const WRITER: usize = 0;
const READER: usize = 1;

/// A broken rule, which the model must detect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    /// The invalidation precedes the commit.
    InvalidatedBeforeCommit,
    /// A slow read fills the cache after an eviction.
    FillTokenIgnored,
    /// The age of an entry counts from the end of its read.
    AgeFromFill,
    /// Entries are served without a lease.
    LeaseIgnored,
    /// The cache is used again after a reconnection without being cleared.
    NotClearedOnConnection,
    /// The lease counts from the return of a heartbeat.
    LeaseFromReturn,
    /// The end of a subscription does not end the lease.
    LeaseNotEnded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// The user gets another role.
    Role,
    /// The session ends.
    Logout,
}

/// The bounds of an exploration.
#[derive(Clone, Copy)]
struct Nodes {
    change: Change,
    ticks: u64,
    /// By node.
    reads: [u8; 2],
    /// How often the subscription loses messages.
    breaks: u8,
    crashes: u8,
    mutation: Option<Mutation>,
}

struct Node {
    cache: SessionCache,
    lease: Arc<Lease>,
    read: Option<Read>,
    reads: u8,
}

/// A read that has loaded the session, and holds a fill token from before.
#[derive(Clone, Copy)]
struct Read {
    fill_token: FillToken,
    /// `None` if the session had ended.
    loaded: Option<Right>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Right {
    Old,
    New,
}

#[derive(Clone)]
struct State {
    now: u64,
    nodes: [Node; 2],
    subscription: Option<Subscription>,
    next_heartbeat: u64,
    /// The tick of the last heartbeat.
    beat_at: Option<u64>,
    breaks: u8,
    crashes: u8,
    /// The steps of the change that are done.
    steps: usize,
    /// The tick of the commit.
    committed_at: Option<u64>,
    is_evicted: bool,
    /// The tick at which the invalidation was sent without an error.
    sent_at: Option<u64>,
    is_received: bool,
}

#[derive(Clone)]
struct Subscription {
    heartbeats: Heartbeats,
    /// `None` once it has lost messages, and before the node notices.
    arriving: Option<VecDeque<Message>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Message {
    Heartbeat(u64),
    Invalidation,
}

/// A step of the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Commit,
    Evict,
    Send,
}

#[derive(Clone, Debug)]
enum Action {
    Tick,
    Read(usize),
    Fill(usize),
    Commit,
    Evict,
    Send { fails: bool },
    SendHeartbeat,
    Deliver,
    Lose,
    NoticeLoss,
    Subscribe,
    Crash,
}

impl Node {
    fn new() -> Self {
        let lease = Arc::new(Lease::default());
        let cache = SessionCache::with_shards(1, ticks(STALENESS), 10, Arc::clone(&lease));
        Self { cache, lease, read: None, reads: 0 }
    }

    /// As a listener starts out on a channel that can lose messages.
    fn disconnected() -> Self {
        let node = Self::new();
        node.lease.end();
        node
    }

    fn evict(&self, change: Change, now: u64) {
        match change {
            Change::Role => self.cache.evict_user(USER, elapsed(now)),
            Change::Logout => self.cache.evict_session(USER, SESSION),
        }
    }
}

impl Clone for Node {
    fn clone(&self) -> Self {
        let lease = Arc::new(self.lease.copied());
        let cache = self.cache.copied(Arc::clone(&lease));
        Self { cache, lease, read: self.read, reads: self.reads }
    }
}

/// For the model, which returns to earlier states.
impl SessionCache {
    fn copied(&self, lease: Arc<Lease>) -> Self {
        let copied = |shard: &Mutex<Shard>| {
            Mutex::new(shard.lock().unwrap_or_else(PoisonError::into_inner).clone())
        };
        let &Self { staleness, most_per_shard, .. } = self;
        Self { shards: self.shards.iter().map(copied).collect(), staleness, most_per_shard, lease }
    }

    /// Returns the right of the entry, and when it becomes stale.
    fn entry(&self) -> Option<(Right, Duration)> {
        let shard = self.shard(USER);
        let entry = shard.users.get(&USER)?.first()?;
        Some((right(&entry.principal), entry.stale_at))
    }
}

fn ticks(count: u64) -> Duration {
    TICK * u32::try_from(count).expect("few ticks")
}

fn elapsed(tick: u64) -> Duration {
    ticks(100 + tick)
}

fn instant(tick: u64) -> Instant {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    *START + elapsed(tick)
}

/// A change of the user raises the revision.
fn principal(right: Right) -> Principal {
    static PRINCIPALS: LazyLock<[Principal; 2]> = LazyLock::new(|| {
        let account = sample::account(&Role::parse("client").expect("a role"));
        let user = User { id: USER, ..account.user };
        let table = Arc::new(RoleTable::new(RoleRows::default(), &RoleSource::default()));
        let ends_at = Timestamp::from_seconds(i64::from(u32::MAX));
        let session = sample::session(USER, sample::START);
        let session = Session { id: SESSION, idle_at: ends_at, ends_at, ..session };
        [OLD_REVISION, OLD_REVISION + 1].map(|revision| {
            let (user, epoch) = (user.clone(), SessionEpoch::default());
            let state = UserState { user, epoch, roles_revision: Some(0), revision };
            Principal::new(0, state, &session, Arc::clone(&table), 0)
        })
    });
    PRINCIPALS[usize::from(right == Right::New)].clone()
}

fn right(principal: &Principal) -> Right {
    if principal.revisions().user == OLD_REVISION { Right::Old } else { Right::New }
}

impl Nodes {
    fn steps(&self) -> Vec<Step> {
        let mut steps = vec![Step::Commit, Step::Evict, Step::Send];
        if self.mutation == Some(Mutation::InvalidatedBeforeCommit) {
            steps.rotate_left(1);
        }
        steps.retain(|step| *step != Step::Evict || self.reads[WRITER] > 0);
        steps
    }

    /// Whether a node has an old right, or may still read one. Without any, nothing can go wrong.
    fn may_serve_old(&self, state: &State) -> bool {
        let has_old = |node: &Node| {
            let loaded = node.read.and_then(|read| read.loaded);
            [node.cache.entry().map(|(right, _)| right), loaded].contains(&Some(Right::Old))
        };
        let may_read = |(node, most): (&Node, &u8)| node.reads < *most;
        state.nodes.iter().any(has_old)
            || state.committed_at.is_none() && state.nodes.iter().zip(&self.reads).any(may_read)
    }

    fn subscription() -> Subscription {
        let heartbeats = Heartbeats::new(ticks(LEASE));
        Subscription { heartbeats, arriving: Some(VecDeque::new()) }
    }

    fn serves_old(&self, node: &Node, now: u64) -> bool {
        let served = if self.mutation == Some(Mutation::LeaseIgnored) {
            node.cache.entry().filter(|(_, stale_at)| elapsed(now) < *stale_at).map(|(old, _)| old)
        } else {
            let revisions = Revisions::default();
            node.cache.get_uncounted(USER, CREDENTIAL, revisions, elapsed(now)).as_ref().map(right)
        };
        served == Some(Right::Old)
    }

    fn fill(&self, node: &mut Node, now: u64) {
        let Some(Read { mut fill_token, loaded: Some(right) }) = node.read.take() else { return };
        match self.mutation {
            Some(Mutation::FillTokenIgnored) => {
                fill_token = node.cache.begin(USER, fill_token.read_at);
            }
            Some(Mutation::AgeFromFill) => fill_token.read_at = elapsed(now),
            _ => {}
        }
        node.cache.insert(fill_token, &principal(right), Duration::ZERO, elapsed(now));
    }

    fn deliver(&self, state: &mut State) {
        let reader = &state.nodes[READER];
        let Some(subscription) = &mut state.subscription else { return };
        match subscription.arriving.as_mut().and_then(VecDeque::pop_front) {
            None => {}
            Some(Message::Invalidation) => {
                reader.evict(self.change, state.now);
                state.is_received = true;
            }
            Some(Message::Heartbeat(number)) => {
                let Some(mut until) = subscription.heartbeats.take(number) else { return };
                if self.mutation == Some(Mutation::LeaseFromReturn) {
                    until = instant(state.now + LEASE);
                }
                let lease = until.saturating_duration_since(instant(state.now));
                if lease.is_zero() {
                    return;
                }
                if self.mutation == Some(Mutation::NotClearedOnConnection) {
                    reader.lease.renew(elapsed(state.now) + lease);
                } else {
                    reader.cache.connected(elapsed(state.now), lease, || {});
                }
            }
        }
    }
}

impl Model for Nodes {
    type State = State;
    type Action = Action;

    fn initial(&self) -> State {
        State {
            now: 0,
            nodes: [Node::new(), Node::disconnected()],
            subscription: Some(Self::subscription()),
            next_heartbeat: 0,
            beat_at: None,
            breaks: 0,
            crashes: 0,
            steps: 0,
            committed_at: None,
            is_evicted: false,
            sent_at: None,
            is_received: false,
        }
    }

    fn actions(&self, state: &State) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.may_serve_old(state) {
            return actions;
        }
        if state.now < self.ticks {
            actions.push(Action::Tick);
        }
        for (number, node) in state.nodes.iter().enumerate() {
            match node.read {
                None if node.reads < self.reads[number] => actions.push(Action::Read(number)),
                None => {}
                Some(_) => actions.push(Action::Fill(number)),
            }
        }
        match self.steps().get(state.steps) {
            None => {}
            Some(Step::Commit) => actions.push(Action::Commit),
            Some(Step::Evict) => actions.push(Action::Evict),
            Some(Step::Send) => actions.extend([false, true].map(|fails| Action::Send { fails })),
        }
        if self.reads[READER] == 0 {
            return actions;
        }
        match &state.subscription {
            None => actions.push(Action::Subscribe),
            Some(Subscription { arriving: None, .. }) => actions.push(Action::NoticeLoss),
            Some(Subscription { arriving: Some(arriving), .. }) => {
                if state.beat_at != Some(state.now) && arriving.len() < MAX_HEARTBEATS {
                    actions.push(Action::SendHeartbeat);
                }
                if !arriving.is_empty() {
                    actions.push(Action::Deliver);
                }
                if state.breaks < self.breaks {
                    actions.push(Action::Lose);
                }
            }
        }
        if state.crashes < self.crashes {
            actions.push(Action::Crash);
        }
        actions
    }

    fn apply(&self, state: &mut State, action: &Action) {
        let now = state.now;
        match *action {
            Action::Tick => state.now += 1,
            Action::Read(number) => {
                let loaded = match (state.committed_at, self.change) {
                    (None, _) => Some(Right::Old),
                    (Some(_), Change::Role) => Some(Right::New),
                    (Some(_), Change::Logout) => None,
                };
                let node = &mut state.nodes[number];
                let fill_token = node.cache.begin(USER, elapsed(now));
                node.read = Some(Read { fill_token, loaded });
                node.reads += 1;
            }
            Action::Fill(number) => self.fill(&mut state.nodes[number], now),
            Action::Commit => {
                state.committed_at = Some(now);
                state.steps += 1;
            }
            Action::Evict => {
                state.nodes[WRITER].evict(self.change, now);
                state.is_evicted = true;
                state.steps += 1;
            }
            Action::Send { fails } => {
                state.steps += 1;
                if fails {
                    return;
                }
                state.sent_at = Some(now);
                let subscription = state.subscription.as_mut();
                if let Some(arriving) = subscription.and_then(|one| one.arriving.as_mut()) {
                    arriving.push_back(Message::Invalidation);
                }
            }
            Action::SendHeartbeat => {
                state.beat_at = Some(now);
                let number = state.next_heartbeat;
                state.next_heartbeat += 1;
                let Some(subscription) = &mut state.subscription else { return };
                subscription.heartbeats.record(number, instant(now));
                if let Some(arriving) = &mut subscription.arriving {
                    arriving.push_back(Message::Heartbeat(number));
                }
            }
            Action::Deliver => self.deliver(state),
            Action::Lose => {
                if let Some(subscription) = &mut state.subscription {
                    subscription.arriving = None;
                }
                state.breaks += 1;
            }
            Action::NoticeLoss => {
                state.subscription = None;
                if self.mutation != Some(Mutation::LeaseNotEnded) {
                    state.nodes[READER].lease.end();
                }
            }
            Action::Subscribe => state.subscription = Some(Self::subscription()),
            Action::Crash => {
                let reads = state.nodes[READER].reads;
                state.nodes[READER] = Node { reads, ..Node::disconnected() };
                state.subscription = None;
                state.crashes += 1;
            }
        }
    }

    fn key(&self, state: &State) -> impl Hash {
        let nodes = [WRITER, READER].map(|number| {
            let node = &state.nodes[number];
            let begun = node.cache.begin(USER, Duration::ZERO);
            let read = node.read.map(|Read { fill_token, loaded }| {
                (fill_token.evictions == begun.evictions, fill_token.read_at, loaded)
            });
            (node.cache.entry(), node.lease.until(), read, node.reads)
        });
        // Of the heartbeats in flight, those that can still arrive matter.
        let subscription = state.subscription.as_ref().map(|subscription| {
            let mut heartbeats = subscription.heartbeats.clone();
            subscription.arriving.as_ref().map(|arriving| {
                let message = |message: &Message| match *message {
                    Message::Invalidation => None,
                    Message::Heartbeat(number) => heartbeats.take(number),
                };
                arriving.iter().map(message).collect::<Vec<_>>()
            })
        });
        (
            (state.now, state.beat_at == Some(state.now), state.breaks, state.crashes),
            (nodes, subscription),
            (state.steps, state.committed_at, state.sent_at, state.is_received),
        )
    }

    fn violation(&self, state: &State) -> Option<String> {
        let committed_at = state.committed_at?;
        let is_old = |number: usize| self.serves_old(&state.nodes[number], state.now);
        let since = |tick: u64| state.now.saturating_sub(tick.max(committed_at));
        let violated = if is_old(WRITER) && state.is_evicted {
            "a node serves no old right after its own change"
        } else if !is_old(READER) {
            return None;
        } else if state.is_received {
            "a node serves no old right after the invalidation"
        } else if state.sent_at.is_some_and(|sent_at| since(sent_at) >= LEASE) {
            "a sent invalidation takes effect within the lease"
        } else if since(committed_at) >= STALENESS {
            "no old right is served beyond the staleness"
        } else {
            return None;
        };
        Some(violated.to_owned())
    }
}

/// The node that makes the change; the other one has no part in it.
const OWN: Nodes =
    Nodes { change: Change::Role, ticks: 1, reads: [3, 0], breaks: 0, crashes: 0, mutation: None };
/// The other node, whose subscription breaks.
const BREAK: Nodes = Nodes { ticks: STALENESS, reads: [0, 1], breaks: 1, ..OWN };
/// The other node crashes.
const CRASH: Nodes = Nodes { breaks: 0, crashes: 1, ..BREAK };

/// More states than any exploration visits.
const MOST: usize = 50_000;

/// A7, R4, R7
#[test]
fn every_interleaving_of_changes_and_reads_bounds_the_staleness() {
    for model in [OWN, BREAK, CRASH] {
        for change in [Change::Role, Change::Logout] {
            let states = explore(&Nodes { change, ..model }, MOST).expect("no violation");
            assert!(states > 100, "{states} states");
        }
    }
}

#[test]
fn a_broken_rule_is_detected() {
    let own = "a node serves no old right after its own change";
    let sent = "a sent invalidation takes effect within the lease";
    for (mutation, model, property) in [
        (Mutation::InvalidatedBeforeCommit, OWN, own),
        (
            Mutation::InvalidatedBeforeCommit,
            BREAK,
            "a node serves no old right after the invalidation",
        ),
        (Mutation::FillTokenIgnored, OWN, own),
        (Mutation::FillTokenIgnored, BREAK, "a node serves no old right after the invalidation"),
        (Mutation::AgeFromFill, BREAK, "no old right is served beyond the staleness"),
        (Mutation::LeaseIgnored, BREAK, sent),
        (Mutation::NotClearedOnConnection, BREAK, sent),
        (Mutation::LeaseFromReturn, BREAK, sent),
        (Mutation::LeaseNotEnded, BREAK, sent),
    ] {
        for change in [Change::Role, Change::Logout] {
            let model = Nodes { change, mutation: Some(mutation), ..model };
            let violation = explore(&model, MOST).expect_err("a violation");
            assert_eq!(violation.property, property, "{mutation:?} of {change:?}");
        }
    }
}
