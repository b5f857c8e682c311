//! Invalidations and heartbeats as the short texts that travel between nodes.
//!
//! `1 <node> s <user> <session>`, `1 <node> u <user>`, `1 <node> r`, `1 <node> e`, and
//! `1 <node> h <number>` for a heartbeat. What another version says and this one does not understand
//! means that anything may have changed: it makes a node forget too much, never too little.

use super::Invalidation;
use crate::id::{SessionId, UserId};

const VERSION: &str = "1";

/// What a text says to the node that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A heartbeat of this very node.
    OwnHeartbeat(u64),
    /// An invalidation of another node.
    Invalidation(Invalidation),
    /// Nothing new: another node's heartbeat, or an invalidation of one's own.
    Nothing,
    /// This version does not know.
    Unknown,
}

pub(super) fn invalidation(node: &str, invalidation: Invalidation) -> String {
    match invalidation {
        Invalidation::Session(user, session) => format!("{VERSION} {node} s {user} {session}"),
        Invalidation::User(user) => format!("{VERSION} {node} u {user}"),
        Invalidation::Roles => format!("{VERSION} {node} r"),
        Invalidation::Everything => format!("{VERSION} {node} e"),
    }
}

pub(super) fn heartbeat(node: &str, number: u64) -> String {
    format!("{VERSION} {node} h {number}")
}

/// Reads a text as the node of that name.
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
    let said = match kind {
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
        "r" => Message::Invalidation(Invalidation::Roles),
        "e" => Message::Invalidation(Invalidation::Everything),
        _ => return None,
    };
    if words.next().is_some() {
        return None;
    }
    // Its own listeners were told before it was sent.
    let is_echo = node == own && matches!(said, Message::Invalidation(_));
    Some(if is_echo { Message::Nothing } else { said })
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
            Invalidation::Roles,
            Invalidation::Everything,
        ]
    }

    #[test]
    fn what_is_written_is_read_by_others_and_is_nothing_new_to_the_writer() {
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
    fn what_is_not_understood_is_never_taken_for_nothing() {
        let user = UserId::generate(Timestamp::from_millis(0));
        for text in [
            String::new(),
            "1".into(),
            "1 A".into(),
            "2 A r".into(),
            "1 A x".into(),
            "1 A r more".into(),
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
