//! Password input: from the terminal without echo, twice, or from standard input.

use std::io::{self, BufRead as _, IsTerminal as _};

use goat_core::Secret;

use crate::failure::Failure;

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
        if prompt("Repeat the password: ")?.expose() != first.expose() {
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
    rpassword::prompt_password(text)
        .map(Secret::new)
        .map_err(|error| Failure::new(format!("cannot read the password ({error})")))
}

/// Returns the first line without its line break.
fn first_line(input: impl io::BufRead) -> Result<Secret<String>, Failure> {
    let mut line = String::with_capacity(1024);
    let read = input.take(LONGEST).read_line(&mut line);
    let line = Secret::new(line);
    read.map_err(|error| Failure::new(format!("cannot read the password ({error})")))?;
    let text = line.expose();
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok(Secret::from(text.strip_suffix('\r').unwrap_or(text)))
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
        ] {
            let password = first_line(input.as_bytes()).expect("it is text");
            assert_eq!(password.expose(), expected, "{input:?}");
        }
        assert!(first_line(&b"\xff\n"[..]).is_err());
    }
}
