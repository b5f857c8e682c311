//! Help texts from the settings table: the settings part of `--help`, and `.env.example`.

use std::fmt::Write as _;

use super::table::{Exposure, Section, Setting, TABLE};

/// The width at which texts are wrapped.
const WIDTH: usize = 96;

/// Returns the settings part of `--help`.
pub(crate) fn settings() -> String {
    let mut text = String::from("Settings:\n");
    let introduction = "Set an environment variable, add a line to the file .env in the working \
        directory, or pass a flag; secrets have no flags. Flags override the environment, and the \
        environment overrides .env. To read a secret from a file, set NAME_FILE to its path; \
        in production, others must not be able to read the file. \
        Durations are written 500ms, 10s, 5m or 168h, and rate limits N/DURATION or off. If a \
        setting is invalid, the program exits with status 78.";
    push(&mut text, "  ", introduction);
    for (setting, heading) in with_headings() {
        if let Some(section) = heading {
            text += &format!("\n{}:\n", section.title());
        }
        let names = [Some(setting.name.to_owned()), setting.file_variable()];
        let flag = setting.flag().map(|flag| format!("--{flag} <VALUE>"));
        let names: Vec<String> = names.into_iter().flatten().chain(flag).collect();
        text += &format!("  {}\n", names.join(", "));
        push(&mut text, "      ", setting.help);
        push(&mut text, "      ", &bounds(setting));
    }
    text
}

/// Returns the content of `.env.example`.
#[cfg(test)]
pub(super) fn env_example() -> String {
    use super::table::Fallback;

    let mut text = String::new();
    let introduction = "The settings of goat-server and their defaults. Copy this file to .env in the \
        working directory and change the values you need. Flags and the process environment \
        override it. Enclose a value that contains spaces, quotes, # or $ in 'single quotes', \
        which keep it unchanged. To read a secret from a file, set NAME_FILE to its path; in production, \
        others must not be able to read the file. \
        Durations are written 500ms, 10s, 5m or 168h, and rate limits N/DURATION or off.";
    push(&mut text, "# ", introduction);
    for (setting, heading) in with_headings() {
        if let Some(section) = heading {
            text += &format!("\n# ---- {} ----\n", section.title());
        }
        text += "\n";
        push(&mut text, "# ", setting.help);
        push(&mut text, "# ", &bounds(setting));
        let value = match setting.default {
            Fallback::Text(value) => value,
            Fallback::Unset | Fallback::Words(_) => "",
        };
        text += &format!("#{}={value}\n", setting.name);
    }
    text
}

/// Returns the settings, each with its section if it is the first of it.
fn with_headings() -> impl Iterator<Item = (&'static Setting, Option<Section>)> {
    let mut current = None;
    TABLE.iter().map(move |setting| {
        let begins = current.replace(setting.section) != Some(setting.section);
        (*setting, begins.then_some(setting.section))
    })
}

/// Returns the allowed values of a setting and its default.
fn bounds(setting: &Setting) -> String {
    let secret = if setting.exposure == Exposure::Secret { "Secret. " } else { "" };
    format!("{secret}Accepts {}. Default: {}.", setting.kind, setting.default)
}

/// Appends a paragraph, wrapped at the width, with a prefix on each line.
fn push(text: &mut String, prefix: &str, paragraph: &str) {
    let mut column = 0;
    for word in paragraph.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > WIDTH {
            text.push('\n');
            column = 0;
        }
        let before = if column == 0 { prefix } else { " " };
        // Writing to a `String` does not fail.
        let _ = write!(text, "{before}{word}");
        column += before.len() + length;
    }
    text.push('\n');
}
