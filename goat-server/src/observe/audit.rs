//! Goat's events as lines of the log: who did what to whom, and from where.
//!
//! Users and sessions are named by their ids. No e-mail address is in an event, and so in no line.

use std::borrow::Cow;

use goat_core::event::{Event, EventActor, EventKind};
use tracing::Level;
use tracing::field::display;

/// The target of these lines, for a filter that keeps them apart.
const TARGET: &str = "goat_server::audit";

/// Writes an event down: what may be an attack as a warning, all else as information.
pub(crate) fn audit(event: &Event) {
    let name = event.kind.name();
    let (reason, count, limit) = match &event.kind {
        EventKind::SignInFailed(kind) | EventKind::RefreshFailed(kind) => {
            (Some(kind.code()), None, None)
        }
        EventKind::SessionsRevoked(count) | EventKind::SessionsEvicted(count) => {
            (None, Some(*count), None)
        }
        EventKind::Limited(limit) => (None, None, Some(limit.as_str())),
        _ => (None, None, None),
    };
    let by = match &event.actor {
        EventActor::Anonymous => Cow::Borrowed("anonymous"),
        EventActor::User(user) => Cow::Owned(user.to_string()),
        EventActor::System(reason) => Cow::Owned(format!("system: {reason}")),
    };
    // `user` is whoever asks, on every line of a request; here it is whom it happened to.
    let (subject, session) = (event.user.map(display), event.session.map(display));
    let address = event.address.map(display);
    macro_rules! write_at {
        ($level:expr) => {
            tracing::event!(
                target: TARGET,
                $level,
                event = name,
                by = &*by,
                subject,
                session,
                address,
                reason,
                count,
                limit,
                "{name}"
            )
        };
    }
    if event.kind == EventKind::TokenReused {
        write_at!(Level::WARN);
    } else {
        write_at!(Level::INFO);
    }
}
