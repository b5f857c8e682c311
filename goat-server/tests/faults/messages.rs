//! Messages from a node to a backend, as far as the loss of one makes a difference: a black hole at two
//! messages at the same place has the same effect.

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Begin,
    Commit,
    /// Any other, by its first word: the statement of PostgreSQL, or the command of Redis and its script.
    Other(String),
}

/// Where in a flow a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    message: Message,
    /// Whether a transaction was open.
    is_inside: bool,
    /// Whether a transaction had committed.
    is_after: bool,
}

impl Message {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let word = match bytes {
            [b'*', ..] => command(bytes),
            // A simple query, and a statement to prepare under a name.
            [b'Q', _, _, _, _, text @ ..] => first_word(text),
            [b'P', _, _, _, _, rest @ ..] => {
                first_word(rest.split(|byte| *byte == 0).nth(1).unwrap_or_default())
            }
            // Another message of PostgreSQL, such as the start of a connection or a prepared statement.
            _ => bytes.first().map(|byte| format!("{byte:#x}")).unwrap_or_default(),
        };
        match &*word {
            "BEGIN" => Self::Begin,
            "COMMIT" => Self::Commit,
            _ => Self::Other(word),
        }
    }
}

impl Place {
    /// Returns the place of the message with a number, from 1, among those of a flow.
    pub(crate) fn of(number: u64, messages: &[Message]) -> Self {
        let number = usize::try_from(number).expect("few messages");
        let (before, message) = (&messages[..number - 1], messages[number - 1].clone());
        let last = before.iter().rfind(|message| !matches!(message, Message::Other(_)));
        let is_inside = last == Some(&Message::Begin);
        Self { message, is_inside, is_after: before.contains(&Message::Commit) }
    }
}

fn first_word(text: &[u8]) -> String {
    let end = text.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(text.len());
    String::from_utf8_lossy(&text[..end]).to_ascii_uppercase()
}

/// The first command of a Redis pipeline, and its first argument if that is the id of a script.
fn command(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut words = text.split("\r\n").filter(|part| !part.starts_with(['*', '$']));
    let (name, argument) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if name.eq_ignore_ascii_case("EVALSHA") { argument.to_owned() } else { name.to_owned() }
}
