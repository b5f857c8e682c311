//! Password input: from the terminal without echo, twice, or from standard input.

use std::io::{self, BufRead as _, IsTerminal as _};

use goat_core::Secret;

use crate::failure::Failure;
use crate::start::text::decode;

/// More than any policy allows; a longer input is not meant as a password.
const LONGEST: u64 = 16 * 1024;

/// Reads a new password.
///
/// # Errors
///
/// If there is no input, the two entries differ, or the input cannot be read.
pub(super) fn ask() -> Result<Secret<String>, Failure> {
    let password = if io::stdin().is_terminal() {
        let first = prompt("New password: ")?;
        if !prompt("Repeat the password: ")?.is_same_as(&first) {
            return Err(Failure::new("the passwords do not match"));
        }
        first
    } else {
        first_line(io::stdin().lock())?
    };
    if password.expose().is_empty() {
        return Err(Failure::new(
            "no password given: enter it at the terminal, or pass it as the first line of standard input",
        ));
    }
    Ok(password)
}

fn prompt(text: &str) -> Result<Secret<String>, Failure> {
    let typed = rpassword::prompt_password(text)
        .map_err(|error| Failure::new(format!("cannot read the password ({error})")))?;
    password(typed.into_bytes())
}

/// Returns the first line without its line break.
fn first_line(input: impl io::BufRead) -> Result<Secret<String>, Failure> {
    let mut line = Vec::with_capacity(1024);
    input
        .take(LONGEST)
        .read_until(b'\n', &mut line)
        .map_err(|error| Failure::new(format!("cannot read the password ({error})")))?;
    password(line)
}

fn password(bytes: Vec<u8>) -> Result<Secret<String>, Failure> {
    decode(bytes)
        .map(Secret::new)
        .map_err(|complaint| Failure::new(format!("the password {complaint}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn piped_password_is_the_unmodified_first_line() {
        for (input, expected) in [
            ("one two\n", "one two"),
            ("one two", "one two"),
            ("one two\r\nthree\n", "one two"),
            (" spaces count \n", " spaces count "),
            ("", ""),
            ("\n", ""),
            ("\u{feff}one two\r\n", "one two"),
        ] {
            let password = first_line(input.as_bytes()).expect("it is text");
            assert_eq!(password.expose(), expected, "{input:?}");
        }
        assert!(first_line(&b"\xff\n"[..]).is_err());
        assert!(first_line(&b"one\0two\n"[..]).is_err());
    }
}
