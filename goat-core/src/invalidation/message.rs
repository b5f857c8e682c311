//! Wire format of invalidations and heartbeats.
//!
//! `1 <node> s <user> <session>`, `1 <node> u <user>`, `1 <node> r <revision>`, `1 <node> e`, and
//! `1 <node> h <number>` for a heartbeat. A message of an unknown form means that anything may have
//! changed, so that a node evicts too much rather than too little.

use super::Invalidation;
use crate::id::{SessionId, UserId};

const VERSION: &str = "1";

/// A message, as its receiver understands it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A heartbeat of this node.
    OwnHeartbeat(u64),
    /// An invalidation of another node.
    Invalidation(Invalidation),
    /// To be ignored: another node's heartbeat, or an invalidation of this node.
    Nothing,
    /// Of an unknown form.
    Unknown,
}

pub(super) fn invalidation(node: &str, invalidation: Invalidation) -> String {
    match invalidation {
        Invalidation::Session(user, session) => format!("{VERSION} {node} s {user} {session}"),
        Invalidation::User(user) => format!("{VERSION} {node} u {user}"),
        Invalidation::Roles { revision } => format!("{VERSION} {node} r {revision}"),
        Invalidation::Everything => format!("{VERSION} {node} e"),
    }
}

pub(super) fn heartbeat(node: &str, number: u64) -> String {
    format!("{VERSION} {node} h {number}")
}

/// Parses a message for the node of that name.
pub(super) fn read(text: &str, own: &str) -> Message {
    parse(text, own).unwrap_or(Message::Unknown)
}

fn parse(text: &str, own: &str) -> Option<Message> {
    let mut words = text.split(' ');
    if words.next()? != VERSION {
        return None;
    }
    let node = words.next()?;
    let kind = words.next()?;
    let message = match kind {
        "h" => {
            let number = words.next()?.parse().ok()?;
            if node == own { Message::OwnHeartbeat(number) } else { Message::Nothing }
        }
        "s" => {
            let user = UserId::parse(words.next()?).ok()?;
            let session = SessionId::parse(words.next()?).ok()?;
            Message::Invalidation(Invalidation::Session(user, session))
        }
        "u" => Message::Invalidation(Invalidation::User(UserId::parse(words.next()?).ok()?)),
        "r" => {
            let revision = words.next()?.parse().ok()?;
            Message::Invalidation(Invalidation::Roles { revision })
        }
        "e" => Message::Invalidation(Invalidation::Everything),
        _ => return None,
    };
    if words.next().is_some() {
        return None;
    }
    // The listeners of this process received it before it was sent.
    let is_echo = node == own && matches!(message, Message::Invalidation(_));
    Some(if is_echo { Message::Nothing } else { message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn kinds() -> [Invalidation; 4] {
        let now = Timestamp::from_millis(0);
        let user = UserId::generate(now);
        let session = SessionId::generate(now);
        [
            Invalidation::Session(user, session),
            Invalidation::User(user),
            Invalidation::Roles { revision: u64::MAX },
            Invalidation::Everything,
        ]
    }

    #[test]
    fn other_nodes_parse_a_message_and_the_sender_ignores_it() {
        for one in kinds() {
            let text = invalidation("A", one);
            assert_eq!(read(&text, "B"), Message::Invalidation(one), "{text}");
            assert_eq!(read(&text, "A"), Message::Nothing, "{text}");
            assert!(text.len() < 100, "{text}");
        }
        assert_eq!(read(&heartbeat("A", 7), "A"), Message::OwnHeartbeat(7));
        assert_eq!(read(&heartbeat("A", 7), "B"), Message::Nothing);
    }

    #[test]
    fn malformed_messages_are_unknown_and_never_ignored() {
        let user = UserId::generate(Timestamp::from_millis(0));
        for text in [
            String::new(),
            "1".into(),
            "1 A".into(),
            "2 A r 1".into(),
            "1 A x".into(),
            "1 A r".into(),
            "1 A r -1".into(),
            "1 A r 1 more".into(),
            "1 A h".into(),
            "1 A h -1".into(),
            "1 A u".into(),
            "1 A u somebody".into(),
            format!("1 A s {user}"),
            format!("1  A u {user}"),
            format!("1 A u {user} "),
        ] {
            assert_eq!(read(&text, "B"), Message::Unknown, "{text:?}");
        }
    }
}
