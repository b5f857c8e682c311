//! What a limit counts by: one thing of a request, or several at once.
//!
//! Invariants:
//!
//! - Who is to be counted and cannot be told is an error, and never goes uncounted.
//! - To leave something out never makes a request uncounted while anything else says who asks.
//! - What a client can send in a form that nobody reads makes no counter of its own: all such requests
//!   share one.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use goat_core::limit::LimitKey;
use goat_core::{Error, Principal, SessionId, UserId};
use http::HeaderName;
use http::request::Parts;

use crate::address::ClientAddress;
use crate::cookie::Cookies;
use crate::request::credentials::access_token;
use crate::request::path_template::PathTemplate;
use crate::request::principal::Anonymous;
use crate::request::token_principal::OfflineIdentity;
use crate::response::layer_order::layer_order_error;

/// All that is counted by, in the order in which it was said; by address if nothing was.
#[derive(Clone)]
pub(super) struct By {
    parts: Vec<Part>,
    name: Cow<'static, str>,
}

/// One of the things that are counted by.
#[derive(Clone)]
pub(super) enum Part {
    Address,
    User,
    Session,
    /// Of the `Authorization` header, or of a cookie too.
    Token(Option<Cookies>),
    Header(HeaderName),
    /// By template, and these paths as they are.
    Path(Arc<[Cow<'static, str>]>),
    Key(Arc<KeyOf>),
}

pub(super) type KeyOf = dyn Fn(&Parts) -> Option<Cow<'_, str>> + Send + Sync;

impl Default for By {
    fn default() -> Self {
        Self { parts: Vec::new(), name: Cow::Borrowed(Part::Address.kind()) }
    }
}

impl By {
    /// Counts by this too. What is said twice counts once, as it was said last.
    pub(super) fn and(&mut self, part: Part) {
        match self.parts.iter_mut().find(|known| known.is_like(&part)) {
            Some(known) => *known = part,
            None => self.parts.push(part),
        }
        self.name = match self.parts.as_slice() {
            [Part::Header(name)] => Cow::Owned(name.as_str().to_owned()),
            [one] => Cow::Borrowed(one.kind()),
            several => Cow::Owned(several.iter().map(Part::name).collect::<Vec<_>>().join("-")),
        };
    }

    /// What the limit is called unless told.
    pub(super) fn name(&self) -> &Cow<'static, str> {
        &self.name
    }

    /// Whom the request counts against; `None` if it does not count here.
    ///
    /// A request that lacks a part counts among those that lack it, so that nobody leaves a count by
    /// leaving something out. One that lacks all that could tell who asks does not count: all
    /// strangers would share one counter, and each could use it up for the others.
    pub(super) fn key(&self, counter: &str, request: &Parts) -> Result<Option<LimitKey>, Error> {
        let Some((first, others)) = self.parts.split_first() else {
            return Part::Address.key(counter, request);
        };
        if others.is_empty() {
            return first.key(counter, request);
        }
        let mut is_told = self.parts.iter().all(Part::is_path);
        let mut read = |part: &Part| {
            let key = part.key(counter, request)?;
            is_told |= key.is_some() && !part.is_path();
            Ok::<_, Error>(key.unwrap_or_else(|| part.absent(counter)))
        };
        let mut key = read(first)?;
        for part in others {
            key = key.and(read(part)?);
        }
        Ok(is_told.then_some(key))
    }
}

/// In words: `user and path template`.
impl fmt::Display for By {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((last, others)) = self.parts.split_last() else {
            return Part::Address.fmt(formatter);
        };
        for (index, part) in others.iter().enumerate() {
            write!(formatter, "{part}{}", if index + 1 < others.len() { ", " } else { " and " })?;
        }
        last.fmt(formatter)
    }
}

impl Part {
    fn kind(&self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::User => "user",
            Self::Session => "session",
            Self::Token(_) => "token",
            Self::Header(_) => "header",
            Self::Path(_) => "path",
            Self::Key(_) => "key",
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Header(name) => name.as_str(),
            other => other.kind(),
        }
    }

    /// Whether to say the one is to say the other.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Key(_), Self::Key(_)) => false,
            (Self::Header(one), Self::Header(other)) => one == other,
            (one, other) => one.kind() == other.kind(),
        }
    }

    /// Whether it says only what is asked for, and not who asks.
    fn is_path(&self) -> bool {
        matches!(self, Self::Path(_))
    }

    /// What a request has of it; `None` if it lacks it.
    fn key(&self, counter: &str, request: &Parts) -> Result<Option<LimitKey>, Error> {
        let kind = self.kind().as_bytes();
        Ok(match self {
            Self::Address => {
                let client = ClientAddress::of(&request.extensions).ok_or_else(|| {
                    layer_order_error(
                        "a limit counts by address and nobody knows the peer: put a PeerAddress \
                         into the extensions of each request; with axum, serve the router with \
                         .into_make_service_with_connect_info::<SocketAddr>()",
                    )
                })?;
                Some(LimitKey::address(counter, client.ip()))
            }
            Self::User => signed_in(request)?.map(|(user, _)| LimitKey::user(counter, user)),
            Self::Session => {
                signed_in(request)?.map(|(_, session)| LimitKey::session(counter, session))
            }
            Self::Token(cookies) => match access_token(request, cookies.as_ref()) {
                Ok(None) => None,
                Ok(Some(token)) => Some(LimitKey::sequence(counter, &[kind, token.as_bytes()])),
                // Nobody is let in by it, so whoever sends such a thing may share a counter.
                Err(_) => Some(LimitKey::sequence(counter, &[kind])),
            },
            Self::Header(name) => {
                let mut values = request.headers.get_all(name).iter();
                let name = name.as_str().as_bytes();
                match (values.next(), values.next()) {
                    (None, _) => None,
                    (Some(value), None) => {
                        Some(LimitKey::sequence(counter, &[kind, name, value.as_bytes()]))
                    }
                    // Which of them the application reads is not known here. Were each combination
                    // counted apart, a line more would be a way out of the count.
                    (Some(_), Some(_)) => Some(LimitKey::sequence(counter, &[kind, name])),
                }
            }
            Self::Path(known) => Some(match template(request, known) {
                Some(template) => LimitKey::sequence(counter, &[kind, template.as_bytes()]),
                None => LimitKey::sequence(counter, &[kind]),
            }),
            Self::Key(key) => key(request).map(|text| LimitKey::text(counter, &text)),
        })
    }

    /// What stands for it in a key of several where a request lacks it.
    fn absent(&self, counter: &str) -> LimitKey {
        LimitKey::sequence(counter, &[b"no", self.kind().as_bytes(), self.name().as_bytes()])
    }
}

/// Who is signed in; `None` where nobody is and need not be.
fn signed_in(request: &Parts) -> Result<Option<(UserId, SessionId)>, Error> {
    if let Some(principal) = request.extensions.get::<Principal>() {
        return Ok(Some((principal.user(), principal.session())));
    }
    match request.extensions.get::<OfflineIdentity>() {
        Some(OfflineIdentity { principal, .. }) => {
            Ok(principal.as_ref().map(|principal| (principal.user(), principal.session())))
        }
        None if request.extensions.get::<Anonymous>().is_some() => Ok(None),
        None => Err(layer_order_error(
            "a limit counts by user or session and nobody has looked for one: put it inside of \
             goat.authenticate(): after it in a ServiceBuilder, before it in the .layer(..) calls of a \
             Router",
        )),
    }
}

/// The template of a request's path; `None` for what all requests share that are for no route. `known`
/// are paths that stand for themselves.
fn template<'a>(request: &'a Parts, known: &'a [Cow<'static, str>]) -> Option<&'a str> {
    let path = request.uri.path();
    let known = || known.iter().find(|known| *known == path).map(Cow::as_ref);
    match request.extensions.get::<PathTemplate>() {
        Some(template) => Some(template.as_str()),
        None => known().or_else(|| PathTemplate::of(&request.extensions)),
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(formatter, "header {name}"),
            Self::Path(_) => formatter.write_str("path template"),
            other => formatter.write_str(other.name()),
        }
    }
}
