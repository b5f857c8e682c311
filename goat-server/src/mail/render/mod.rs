//! Rendering: a letter becomes a MIME message, text and HTML, in a language of its reader.
//!
//! Invariants:
//! - no value adds a header, a line or markup (M11): values are one line of visible characters, HTML is escaped,
//!   and lettre encodes headers;
//! - nothing in a letter loads anything, and no part of a request is in its link (M5);
//! - the message is ASCII with CRLF, so that it passes any mail server.

pub(crate) mod link;
mod template;
mod templates;
mod text;
mod values;

use std::path::Path;
use std::time::{Duration, SystemTime};

use goat_core::courier::Letter;
use goat_core::{Email, Timestamp};
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message as Mime};

use super::carrier::Mail;
use crate::failure::Failure;
use link::link_for;
use templates::Templates;
use values::Values;

/// Renders letters.
#[derive(Debug)]
pub(super) struct Renderer {
    templates: Templates,
    from: Mailbox,
    site: String,
    link_url: String,
}

impl Renderer {
    /// Reads and checks the templates.
    ///
    /// # Errors
    ///
    /// As [`Templates::load`].
    pub(super) fn new(
        from: Mailbox,
        site: String,
        link_url: String,
        templates: Option<&Path>,
    ) -> Result<Self, Failure> {
        Ok(Self { templates: Templates::load(templates)?, from, site, link_url })
    }

    /// Renders a letter. The error is for the log.
    pub(super) fn render(&self, letter: &Letter, now: Timestamp) -> Result<Mail, &'static str> {
        let message = &letter.message;
        let language = self.templates.language(message, &letter.languages);
        let values = Values::of(letter, language, &self.site, &self.link_url);
        let rendered = self.templates.render(message, language, &values);
        let rendered = rendered.ok_or("this version has no template for the message")?;
        let to = address(&letter.to).ok_or("mail servers do not accept such an address")?;
        let subject = if rendered.subject.is_empty() { &self.site } else { &rendered.subject };
        let milliseconds = u64::try_from(now.as_millis()).unwrap_or_default();
        let envelope = Envelope::new(Some(self.from.email.clone()), vec![to.clone()]);
        let builder = Mime::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to.clone()))
            .subject(subject)
            .date(SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds))
            .message_id(Some(self.message_id().ok_or("the operating system has no randomness")?))
            // Automatic replies and out-of-office notes are not wanted (RFC 3834 §5; Exchange).
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .raw_header(header("X-Auto-Response-Suppress", "All"))
            .raw_header(header("Content-Language", language))
            .envelope(envelope.map_err(|_| "the envelope is invalid")?);
        let text = SinglePart::plain(rendered.body);
        let built = match rendered.html {
            Some(html) => builder.multipart(
                MultiPart::alternative().singlepart(text).singlepart(SinglePart::html(html)),
            ),
            None => builder.singlepart(text),
        };
        Ok(Mail {
            message: message.name(),
            from: self.from.email.clone(),
            to,
            content: built.map_err(|_| "the message cannot be built")?.formatted(),
            link: link_for(message, &self.link_url),
        })
    }

    /// Returns a new id: it stays the same when the letter is sent again. `None` without randomness.
    fn message_id(&self) -> Option<String> {
        let (high, low) = (getrandom::u64().ok()?, getrandom::u64().ok()?);
        Some(format!("<{high:016x}{low:016x}@{}>", self.from.email.domain()))
    }
}

/// Returns an address as mail servers take it: the local part as given, the domain in ASCII. So no server
/// needs SMTPUTF8.
pub(super) fn address(email: &Email) -> Option<Address> {
    let (local, _) = email.as_str().rsplit_once('@')?;
    Address::new(local, email.domain()).ok()
}

/// Checks the templates of a folder.
///
/// # Errors
///
/// As [`Templates::load`].
pub(crate) fn check_templates(folder: Option<&Path>) -> Result<(), Failure> {
    Templates::load(folder).map(drop)
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

#[cfg(test)]
mod tests;
