//! The templates of all messages: built in for English and German, replaced and extended by the files of
//! `GOAT_MAIL_TEMPLATES`.
//!
//! Invariant: every template is parsed and complete at the start, so that no letter fails because of one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use goat_core::Languages;
use goat_core::courier::Message;

use super::template::{Form, Template};
use super::values::{Value, Values};
use crate::failure::Failure;
use crate::start::text::decode;

/// The language without which no message is.
const FALLBACK: &str = "en";

/// The largest template, in bytes.
const LARGEST: u64 = 64 * 1024;

/// A message as templates know it: some messages have a template for each of two cases.
#[derive(Debug)]
struct Kind {
    name: &'static str,
    /// Its values besides those of every message.
    values: &'static [Value],
    built_in: [BuiltIn; 2],
}

#[derive(Debug)]
struct BuiltIn {
    language: &'static str,
    text: &'static str,
    html: &'static str,
}

/// The values of every message.
const COMMON: [Value; 2] = [Value::Site, Value::Email];

macro_rules! kinds {
    ($($name:literal: $($value:ident)*;)*) => {
        [$(Kind {
            name: $name,
            values: &[$(Value::$value),*],
            built_in: [
                BuiltIn {
                    language: "en",
                    text: include_str!(concat!("../../../assets/mail/", $name, ".en.txt")),
                    html: include_str!(concat!("../../../assets/mail/", $name, ".en.html")),
                },
                BuiltIn {
                    language: "de",
                    text: include_str!(concat!("../../../assets/mail/", $name, ".de.txt")),
                    html: include_str!(concat!("../../../assets/mail/", $name, ".de.html")),
                },
            ],
        }),*]
    };
}

static KINDS: [Kind; 15] = kinds! {
    "confirm-sign-up": Link Code Expires;
    "account-exists":;
    "verify-email": Link Code Expires;
    "reset-password": Link Code Expires;
    "reset-password-recovery-code": Link Code Expires;
    "nothing-to-reset":;
    "confirm-new-email": Link Code Expires;
    "email-changed": At;
    "email-changed-undo": Link Expires At;
    "password-changed": At Factors Keys;
    "key-created": At Name;
    "second-factor-failed": At Ip;
    "new-device": At Device Ip;
    "sign-in-code": Link Code Expires;
    "invitation": Link Expires;
};

/// Returns the name of a message's template.
fn template_name(message: &Message) -> &'static str {
    match message {
        Message::ResetPassword { needs_recovery_code: true, .. } => "reset-password-recovery-code",
        Message::EmailChanged { undo: Some(_), .. } => "email-changed-undo",
        other => other.name(),
    }
}

impl Kind {
    fn find(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name)
    }

    fn values(&self) -> Vec<Value> {
        COMMON.iter().chain(self.values).copied().collect()
    }

    /// Returns the value that each of its templates must have.
    fn required(&self) -> Option<Value> {
        self.values.contains(&Value::Link).then_some(Value::Link)
    }

    /// Parses a text template: its first line is the subject.
    fn parse_text(&self, text: &str) -> Result<(Template, Template), String> {
        let (subject, body) = text.split_once('\n').unwrap_or((text, ""));
        let (subject, body) = (subject.trim(), body.trim_start_matches(['\r', '\n']));
        if subject.is_empty() {
            return Err("has no subject: its first line is empty".into());
        }
        if body.trim().is_empty() {
            return Err("has no text after the subject, which is its first line".into());
        }
        // Mail servers log subjects, and devices show them while they are locked.
        let open: Vec<_> = self.values().into_iter().filter(|value| !value.is_secret()).collect();
        let subject = Template::parse(subject, Form::Subject, &open, None, 1)
            .map_err(|complaint| format!("{complaint}, for the subject"))?;
        let first = 1 + text[..text.len() - body.len()].matches('\n').count();
        let body = Template::parse(body, Form::Text, &self.values(), self.required(), first)?;
        Ok((subject, body))
    }

    fn parse_html(&self, html: &str) -> Result<Template, String> {
        if html.trim().is_empty() {
            return Err("is empty".into());
        }
        Template::parse(html, Form::Html, &self.values(), self.required(), 1)
    }
}

/// The templates of one message in one language.
#[derive(Clone, Debug)]
struct Texts {
    subject: Template,
    body: Template,
    /// Without it, the letter is text alone.
    html: Option<Template>,
}

/// The parts of a rendered letter.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) subject: String,
    pub(super) body: String,
    pub(super) html: Option<String>,
}

/// All templates, by name and language.
#[derive(Debug)]
pub(super) struct Templates(BTreeMap<&'static str, BTreeMap<String, Texts>>);

impl Templates {
    /// Parses the built-in templates, and those of a folder in their place.
    ///
    /// # Errors
    ///
    /// The folder cannot be read; or a file in it has a name that is no template's, is larger than 64 KiB, is
    /// not UTF-8, has no subject, lacks `{link}` where the message has a link, or has an unknown placeholder.
    /// The failure names every such file.
    pub(super) fn load(folder: Option<&Path>) -> Result<Self, Failure> {
        let mut templates = Self(BTreeMap::new());
        for kind in &KINDS {
            for built_in in &kind.built_in {
                templates
                    .add(kind, built_in.language, Some(built_in.text), Some(built_in.html))
                    .map_err(|fault| {
                        Failure::new(format!("{}: {fault}; this is a bug", kind.name))
                    })?;
            }
        }
        let Some(folder) = folder else { return Ok(templates) };
        let failed = |path: &Path, fault: &str| {
            Failure::configuration(format!("GOAT_MAIL_TEMPLATES: {} {fault}", path.display()))
        };
        let names =
            names(folder).map_err(|error| failed(folder, &format!("cannot be read ({error})")))?;
        let mut faults = Vec::new();
        // Texts first: HTML needs the text of its language.
        for form in [Form::Text, Form::Html] {
            for name in &names {
                let path = folder.join(name);
                if let Err(fault) = templates.add_file(&path, name, form) {
                    faults.push(failed(&path, &fault));
                }
            }
        }
        Failure::all(faults)?;
        Ok(templates)
    }

    /// Adds a file if it is of this form. A file that is no template counts as text.
    fn add_file(&mut self, path: &Path, name: &str, form: Form) -> Result<(), String> {
        let extension = match form {
            Form::Html => ".html",
            _ if name.ends_with(".html") => return Ok(()),
            _ => ".txt",
        };
        let Some(stem) = name.strip_suffix(extension) else {
            return if form == Form::Html {
                Ok(())
            } else {
                Err("is no template: its name must be MESSAGE.LANGUAGE.txt or .html".into())
            };
        };
        let Some((message, language)) = stem.split_once('.').filter(|(_, tag)| is_language(tag))
        else {
            return Err(
                "has no language in its name, which must be MESSAGE.LANGUAGE.txt or .html".into()
            );
        };
        let Some(kind) = Kind::find(message) else {
            let known: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
            return Err(format!("is not of a known message: {}", known.join(", ")));
        };
        let content = read(path)?;
        match form {
            Form::Html => self.add(kind, language, None, Some(&content)),
            _ => self.add(kind, language, Some(&content), None),
        }
    }

    fn add(
        &mut self,
        kind: &'static Kind,
        language: &str,
        text: Option<&str>,
        html: Option<&str>,
    ) -> Result<(), String> {
        let text = text.map(|text| kind.parse_text(text)).transpose()?;
        let html = html.map(|html| kind.parse_html(html)).transpose()?;
        let languages = self.0.entry(kind.name).or_default();
        let language = language.to_ascii_lowercase();
        match (languages.get_mut(&language), text, html) {
            (Some(texts), text, html) => {
                if let Some((subject, body)) = text {
                    (texts.subject, texts.body) = (subject, body);
                }
                texts.html = html.or(texts.html.take());
            }
            (None, Some((subject, body)), html) => {
                languages.insert(language, Texts { subject, body, html });
            }
            (None, None, _) => {
                return Err(format!(
                    "needs {}.{language}.txt beside it, whose first line is the subject",
                    kind.name
                ));
            }
        }
        Ok(())
    }

    /// Returns the language of a letter: the best of those that its reader prefers and the message has, or
    /// English.
    pub(super) fn language(&self, message: &Message, preferred: &Languages) -> &str {
        let languages = self.0.get(template_name(message));
        let available = languages.into_iter().flat_map(BTreeMap::keys).map(String::as_str);
        preferred.pick(available).unwrap_or(FALLBACK)
    }

    /// Renders a message; `None` if it is not known.
    pub(super) fn render(
        &self,
        message: &Message,
        language: &str,
        values: &Values,
    ) -> Option<Rendered> {
        let texts = self.0.get(template_name(message))?.get(language)?;
        Some(Rendered {
            subject: texts.subject.render(values).trim_end().to_owned(),
            body: texts.body.render(values),
            html: texts.html.as_ref().map(|html| html.render(values)),
        })
    }
}

/// Returns the names of a folder's files, sorted, without hidden ones.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Reads a template.
fn read(path: &Path) -> Result<String, String> {
    let unreadable = |error: io::Error| format!("cannot be read ({error})");
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err("is larger than 64 KiB".into());
    }
    decode(bytes).map_err(str::to_owned)
}

/// Whether a part of a file name is a language tag: subtags of letters and digits (RFC 5646 §2.1).
fn is_language(tag: &str) -> bool {
    let mut subtags = tag.split('-');
    let is_primary = |part: &str| {
        (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    let is_subtag = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    subtags.next().is_some_and(is_primary) && subtags.all(is_subtag)
}

#[cfg(test)]
mod tests;
