//! Audit log: goat's events as log lines, with actor, action, subject and origin.
//!
//! Users and sessions appear by id. No event holds an e-mail address, so no line does.

use std::borrow::Cow;

use goat_core::event::{Event, EventActor, EventKind, Observer};
use tracing::Level;
use tracing::field::display;

/// The target of audit lines, for a filter that separates them.
pub(super) const TARGET: &str = "goat_server::audit";

/// Writes that a command has brought back a backup, which ended this many sessions.
#[cfg(feature = "sqlite")]
pub(crate) fn restored(count: u64) {
    const NAME: &str = "backup-restored";
    tracing::info!(target: TARGET, event = NAME, by = "system: command line", count, "{NAME}");
}

/// Observer that writes the audit log alone, for commands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AuditObserver;

impl Observer for AuditObserver {
    fn observe(&self, event: &Event) {
        audit(event);
    }
}

/// Writes an event: a possible attack as a warning, any other event as information.
pub(crate) fn audit(event: &Event) {
    let name = event.kind.name();
    let keys = match &event.kind {
        EventKind::AttributesChanged(keys) => Some(keys.join(",")),
        _ => None,
    };
    let (reason, count, limit) = match &event.kind {
        EventKind::SignInFailed(kind) | EventKind::RefreshFailed(kind) => {
            (Some(kind.code()), None, None)
        }
        EventKind::AnswerFailed(purpose) => (Some(purpose.as_str()), None, None),
        EventKind::SessionsRevoked(count)
        | EventKind::SessionsEvicted(count)
        | EventKind::KeysRevoked(count) => (None, Some(*count), None),
        EventKind::Limited(limit) => (None, None, Some(limit.as_str())),
        _ => (None, None, None),
    };
    let by = match &event.actor {
        EventActor::Anonymous => Cow::Borrowed("anonymous"),
        EventActor::User(user) => Cow::Owned(user.to_string()),
        EventActor::System(reason) => Cow::Owned(format!("system: {reason}")),
    };
    // `user` is the actor on every line of a request; `subject` is the user that the event
    // concerns.
    let (subject, session) = (event.user.map(display), event.session.map(display));
    let (role, address) = (event.role.as_ref().map(display), event.address.map(display));
    let key = event.key.map(display);
    let method = event.method.as_ref().map(display);
    macro_rules! write_at {
        ($level:expr) => {
            tracing::event!(
                target: TARGET,
                $level,
                event = name,
                by = &*by,
                subject,
                session,
                key,
                role,
                method,
                address,
                reason,
                count,
                limit,
                keys,
                "{name}"
            )
        };
    }
    match event.kind {
        EventKind::TokenReused | EventKind::RefreshRepeatedElsewhere => write_at!(Level::WARN),
        _ => write_at!(Level::INFO),
    }
}
