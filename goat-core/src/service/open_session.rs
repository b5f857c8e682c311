//! Opening of sessions: every way to sign in ends here, with a proof.
//!
//! Invariants:
//! - only this flow calls [`SessionStore::create`](crate::store::SessionStore::create), and it takes a
//!   [`Proof`];
//! - a proof from before a suspension, a new password or the end of all sessions opens nothing: the
//!   session epoch of the user decides, before the write and after it;
//! - the account's status is revealed only to a proof;
//! - a proof of one factor opens nothing where a second factor is in force;
//! - a service account has no session;
//! - nothing after the commit of the session can fail the sign-in.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::access::permissions;
use crate::clock::Timestamp;
use crate::detached::run_to_completion;
use crate::error::{ErrorKind, Result};
use crate::event::{Event, EventActor, EventKind};
use crate::id::{SessionId, TokenId, UserId};
use crate::password::TriedPassword;
use crate::proof::{Assurance, MethodName, Proof, Vouch};
use crate::secret::Secret;
use crate::session::{Origin, Session};
use crate::store::{Rehashed, UserChange, UserSnapshot};
use crate::token::DeviceClaims;
use crate::user::{Account, Status, User, UserKind};

use super::context::{Acting, changed, explain_service};
use super::pending_sign_in::LoginLimits;
use super::{Actor, ActorView, Context, Policy, Sessions, TokenPair};

/// Stored length of a `User-Agent`, in characters.
pub(super) const DEVICE_LENGTH: usize = 256;

/// Lifetime of a device token. A lost one expires; a login returns a new one.
const DEVICE_TOKEN_TTL: Duration = Duration::from_secs(180 * 86_400);

/// How long a proof opens a session. The lifetime of the session counts from the proof.
const PROOF_TTL: Duration = Duration::from_secs(600);

/// The result of a sign-in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The user.
    pub user: User,
    /// The new session.
    pub session: SessionId,
    /// The session's tokens.
    pub tokens: TokenPair,
    /// A new device token, for the next login from this device. It grants nothing.
    pub device_token: Secret<String>,
}

/// A sign-in whose proof was checked.
pub(super) struct SignIn {
    /// The account of the proof's user, as of the proof or later.
    pub(super) account: Account,
    pub(super) proof: Proof,
    /// The password, if it was shown and its stored hash is outdated.
    pub(super) outdated: Option<TriedPassword>,
    pub(super) origin: Origin,
    /// The limits by which it counted.
    pub(super) limits: LoginLimits,
    /// The actor that signs another user in.
    pub(super) actor: Option<EventActor>,
    /// Whether the owner is told of a sign-in without a valid device token.
    pub(super) is_new_device: bool,
}

impl SignIn {
    /// A sign-in of the user itself, by a proof without a password.
    pub(super) fn new(account: Account, proof: Proof, origin: Origin, limits: LoginLimits) -> Self {
        let (outdated, actor, is_new_device) = (None, None, false);
        Self { account, proof, outdated, origin, limits, actor, is_new_device }
    }
}

/// The facts of a sign-in in the event of its failure.
pub(super) struct Subject {
    /// The user, if the account exists: for the event, not for the response.
    pub(super) user: Option<UserId>,
    pub(super) by: MethodName,
    pub(super) address: Option<IpAddr>,
    pub(super) actor: EventActor,
}

impl Sessions {
    /// Opens a session of a user that the operator's own system authenticated. goat takes its word; the
    /// status, the session limit and required factors of the user apply as to any other sign-in.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] without `session:create`, [`ErrorKind::SessionRequired`] for an API key whose
    /// scopes do not name it, [`ErrorKind::NotFound`],
    /// [`ErrorKind::Outranked`] also for the actor itself, [`ErrorKind::InvalidTransition`] for a service
    /// account, and those of
    /// [`Goat::open_session`](crate::Goat::open_session).
    pub async fn open(
        &self,
        actor: Actor,
        user: UserId,
        vouch: Vouch,
        origin: Origin,
    ) -> Result<SignedIn> {
        self.context.open_session_as(actor, user, vouch, origin).await
    }
}

impl Context {
    /// Returns the proof of a user that the application authenticated by its own means.
    pub(crate) async fn vouch(&self, user: UserId, vouch: Vouch) -> Result<Proof> {
        let account = self.stores.users.by_id(user).await?.ok_or(ErrorKind::NotFound)?;
        Ok(Proof::vouched(user, account.epoch.number, vouch, self.time.now()))
    }

    /// Opens a session for a proof. A failure is an event.
    pub(crate) async fn open_session(
        self: &Arc<Self>,
        proof: Proof,
        origin: Origin,
    ) -> Result<SignedIn> {
        let account = self.stores.users.by_id(proof.user()).await?;
        self.open_found(account, proof, origin, None).await
    }

    /// Opens a session of another user, which the actor's system authenticated. A failure is an event.
    async fn open_session_as(
        self: &Arc<Self>,
        actor: Actor,
        user: UserId,
        vouch: Vouch,
        origin: Origin,
    ) -> Result<SignedIn> {
        actor.check(&permissions::SESSION_CREATE)?;
        actor.require_named(&permissions::SESSION_CREATE)?;
        let account = self.account_to_sign_in(&actor, user).await?;
        let proof = Proof::vouched(user, account.epoch.number, vouch, self.time.now());
        self.open_found(Some(account), proof, origin, Some(actor.event_actor())).await
    }

    /// Reads a user together with the actor, which must still be allowed to sign it in: the actor was read
    /// before the body of its request.
    async fn account_to_sign_in(&self, actor: &Actor, user: UserId) -> Result<Account> {
        let facts = actor.facts();
        let table = self.role_table.table(None).await?;
        let rule = |snapshot: &UserSnapshot| {
            let (needs, view) = (&permissions::SESSION_CREATE, ActorView::from(snapshot));
            let standing = self.policy.authorize(facts.as_ref(), view, needs, &table)?;
            let account = snapshot.target.as_ref().ok_or(ErrorKind::NotFound)?;
            Policy::check_target(&standing, &account.user)?;
            Ok(UserChange::Nothing)
        };
        let acting = Acting::of(facts.as_ref());
        let (_, account) = changed(self.write_user(acting, user, None, &rule).await?)?;
        Ok(account)
    }

    async fn open_found(
        self: &Arc<Self>,
        account: Option<Account>,
        proof: Proof,
        origin: Origin,
        actor: Option<EventActor>,
    ) -> Result<SignedIn> {
        let (user, by, address) = (proof.user(), proof.by().clone(), origin.address);
        let by_another = actor.clone();
        let opened = async {
            let account = account.ok_or(ErrorKind::InvalidCredentials)?;
            let limits = LoginLimits::Unlimited;
            let sign_in = SignIn::new(account, proof, origin, limits);
            self.open_session_of(SignIn { actor: by_another, ..sign_in }).await
        };
        opened.await.inspect_err(|error| {
            let actor = actor.unwrap_or(EventActor::Anonymous);
            let subject = Subject { user: Some(user), by, address, actor };
            self.note_failed_sign_in(error.kind(), subject);
        })
    }

    /// Emits the event of a sign-in that opened no session: of a failure, or of a first proof that waits
    /// for a second factor.
    pub(super) fn note_failed_sign_in(&self, kind: ErrorKind, subject: Subject) {
        let Subject { user, by, address, actor } = subject;
        let kind = match kind {
            ErrorKind::SecondFactorRequired => EventKind::SignInPending,
            kind => EventKind::SignInFailed(kind),
        };
        let mut event = Event::new(kind, self.time.now(), actor);
        (event.user, event.method) = (user, Some(by));
        self.observer.observe(&event.with_address(address));
    }

    /// Opens the session of a sign-in.
    pub(super) async fn open_session_of(self: &Arc<Self>, sign_in: SignIn) -> Result<SignedIn> {
        let SignIn { account, proof, outdated, origin, limits, actor, is_new_device } = sign_in;
        check_epoch(&proof, account.epoch.number)?;
        if account.user.kind() == UserKind::Service {
            return Err(explain_service(ErrorKind::InvalidTransition.into()));
        }
        if proof.user() != account.user.id || self.time.now() > proof.at() + PROOF_TTL {
            return Err(ErrorKind::InvalidCredentials.into());
        }
        // TIMING: the status is checked last, so that only a proof reveals it.
        match account.user.status {
            Status::Active => {}
            Status::Inactive => return Err(ErrorKind::AccountInactive.into()),
            Status::Suspended => return Err(ErrorKind::AccountSuspended.into()),
        }
        if proof.assurance() == Assurance::Single {
            // A store that does not answer is an error, never a session.
            let factors = self.stores.factors.of(account.user.id).await?;
            if factors.are_in_force() {
                let held =
                    self.hold_sign_in(&proof, &factors, &origin, limits, is_new_device).await?;
                return Err(held);
            }
        }
        let rehashed = match outdated {
            Some(password) => self.rehash(&password).await,
            None => None,
        };
        let user = &account.user;
        let actor = actor.unwrap_or(EventActor::User(user.id));
        let permissions = self.token_permissions(user.id, &user.role).await?;
        let context = Arc::clone(self);
        // Evicted sessions are invalidated and the events emitted even if the client disconnects.
        run_to_completion(async move {
            let hash = account.password_hash.expose();
            let rehashed = rehashed.as_ref().map(|new| Rehashed { old: hash, new: new.expose() });
            // The first sign-in has no device to know.
            let notice = is_new_device && account.user.last_login_at.is_some();
            let origin_of_notice = notice.then(|| origin.clone());
            let signed_in =
                context.create_session(&proof, rehashed, permissions, origin, actor).await?;
            if let Some(origin) = origin_of_notice {
                context.notify_new_device(&signed_in.user, origin).await;
            }
            Ok(signed_in)
        })
        .await
    }

    /// Returns a hash of the same password at the current parameters. A failure leaves the rehash to a
    /// later login.
    async fn rehash(&self, verified: &TriedPassword) -> Option<Secret<String>> {
        match self.hasher.rehash(verified).await {
            Ok(hash) => Some(Secret::new(hash)),
            Err(error) => {
                tracing::debug!(%error, "password not rehashed at login");
                None
            }
        }
    }

    async fn create_session(
        &self,
        proof: &Proof,
        rehashed: Option<Rehashed<'_>>,
        permissions: Option<Vec<String>>,
        origin: Origin,
        actor: EventActor,
    ) -> Result<SignedIn> {
        let id = proof.user();
        let now = self.time.now();
        let is_rehashed = rehashed.is_some();
        let state = self.stores.users.signed_in(id, now, rehashed).await?;
        let state = state.ok_or(ErrorKind::InvalidCredentials)?;
        self.validator.signed_in(id);
        if is_rehashed {
            self.emit(EventKind::PasswordRehashed, EventActor::User(id), &state.user);
        }
        check_epoch(proof, state.epoch.number)?;
        // The session's lifetime counts from the proof.
        let at = proof.at();
        let ends_at = (at + self.settings.session_ttl).floor_to_second();
        let current = self.next_refresh_token(now, ends_at);
        let device = origin.device.as_deref().unwrap_or_default();
        let session = Session {
            id: SessionId::generate(now),
            user: id,
            // That of the proof: a later epoch ends this session.
            epoch: proof.epoch(),
            device: device.chars().take(DEVICE_LENGTH).collect(),
            address: origin.address,
            created_at: at,
            last_used_at: now,
            idle_at: current.expires_at,
            ends_at,
            current,
            previous: None,
            methods: proof.methods(),
            authenticated_at: at,
            multi_at: (proof.assurance() == Assurance::Multi).then_some(at),
            actor: None,
        };
        // Signed before the commit, so that nothing after it can fail.
        let tokens = self.sign(&session, &state.user, permissions, state.revisions(), now)?;
        let user = state.user;
        let device_token = self.sign_device(id, now)?;
        let most = self.settings.sessions_per_user;
        let evicted = self.stores.sessions.create(&session, most).await?;
        // ATOMIC: evicted sessions are invalid in this process before the sign-in returns.
        self.validator.sessions_ended(id, &evicted).await;
        self.credential_limits.reset_account(user.email.canonical()).await;
        let event = |kind| Event::new(kind, now, actor.clone()).about(&user);
        let mut signed_in = event(EventKind::SignedIn).in_session(session.id);
        signed_in.method = Some(proof.by().clone());
        self.observer.observe(&signed_in.with_address(session.address));
        if !evicted.is_empty() {
            let kind = EventKind::SessionsEvicted(evicted.len() as u64);
            self.observer.observe(&event(kind).with_address(session.address));
        }
        Ok(SignedIn { user, session: session.id, tokens, device_token })
    }

    pub(super) fn sign_device(&self, user: UserId, now: Timestamp) -> Result<Secret<String>> {
        let claims = DeviceClaims {
            user,
            id: TokenId::generate(now),
            issued_at: now,
            expires_at: now + DEVICE_TOKEN_TTL,
        };
        Ok(Secret::new(self.tokens.sign_device(&claims)?))
    }
}

/// Checks that no session of the user ended for good since the proof was made.
fn check_epoch(proof: &Proof, epoch: u64) -> Result<(), ErrorKind> {
    if proof.epoch() == epoch { Ok(()) } else { Err(ErrorKind::InvalidCredentials) }
}

#[cfg(test)]
mod tests;
