//! Letters that the program writes into a folder.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::TIMEOUT;

/// The length of a link's token.
const TOKEN: usize = 78;

/// Returns all letters in a data folder, with their file names, in their order.
pub(crate) fn letters(data: &Path) -> Vec<(String, String)> {
    // Without a letter there is no folder.
    let entries = fs::read_dir(data.join("mail")).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    // A file that is being written has a name with a dot.
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    let read = |name: String| {
        let text = fs::read_to_string(data.join("mail").join(&name)).expect("a letter");
        (name, text)
    };
    names.into_iter().map(read).collect()
}

/// Returns the token of a letter's link, if it has one.
pub(crate) fn token_of(letter: &str) -> Option<String> {
    // Quoted-printable.
    let text = letter.replace("=\r\n", "").replace("=3D", "=");
    let is_part = |one: char| one.is_ascii_digit() || one.is_ascii_uppercase();
    let mut words = text.split(|one: char| !is_part(one));
    words.find(|word| word.len() == TOKEN).map(str::to_owned)
}

/// Waits for a letter to an address with a message of this name, and returns the token of its link; of
/// several, that of the newest.
pub(crate) fn link_token(data: &Path, to: &str, name: &str) -> String {
    let letter = letter(data, to, name);
    token_of(&letter).unwrap_or_else(|| panic!("no link in {letter}"))
}

/// Waits for a letter to an address with a message of this name; of several, it is the newest.
pub(crate) fn letter(data: &Path, to: &str, name: &str) -> String {
    let begun = Instant::now();
    let (end, to) = (format!("-{name}.eml"), format!("\r\nTo: {to}\r\n"));
    loop {
        let letters = letters(data).into_iter();
        let letter = letters.rev().find(|(file, text)| file.ends_with(&end) && text.contains(&to));
        if let Some((_, text)) = letter {
            return text;
        }
        assert!(begun.elapsed() < TIMEOUT, "no letter {name}{to}");
        thread::sleep(Duration::from_millis(10));
    }
}
