//! Rate-limit keys: the parts of a request by which a limit counts.
//!
//! Invariants:
//!
//! - If the key cannot be determined because a layer is missing, that is an error; the request is never left
//!   uncounted.
//! - A request that lacks one part is still counted as long as another part identifies the client.
//! - Malformed or ambiguous values do not create counters: all such requests share one.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use goat_core::limit::LimitKey;
use goat_core::token::TokenPrincipal;
use goat_core::{Credential, Error, Principal, UserId};
use http::HeaderName;
use http::request::Parts;

use crate::address::ClientAddress;
use crate::cookie::Cookies;
use crate::request::credentials::access_token;
use crate::request::path_template::PathTemplate;
use crate::request::principal::Anonymous;
use crate::request::token_principal::OfflineIdentity;
use crate::response::layer_order::layer_order_error;

/// The parts of the key, in the order of the calls; the address if there are none.
#[derive(Clone)]
pub(super) struct By {
    parts: Vec<Part>,
    name: Cow<'static, str>,
}

/// One part of a key.
#[derive(Clone)]
pub(super) enum Part {
    Address,
    User,
    Session,
    ApiKey,
    /// From the `Authorization` header, and from a cookie if enabled.
    Token(Option<Cookies>),
    Header(HeaderName),
    /// The path template; these paths are templates as they are.
    Path(Arc<[Cow<'static, str>]>),
    Custom(Arc<CustomKey>),
}

pub(super) type CustomKey = dyn Fn(&Parts) -> Option<Cow<'_, str>> + Send + Sync;

impl Default for By {
    fn default() -> Self {
        Self { parts: Vec::new(), name: Cow::Borrowed(Part::Address.kind()) }
    }
}

impl By {
    /// Adds a part. A part of the same kind is replaced.
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

    /// The default name of the limit.
    pub(super) fn name(&self) -> &Cow<'static, str> {
        &self.name
    }

    /// Returns the key of a request; `None` if the request does not count.
    ///
    /// A request that lacks a part shares a counter with others that lack it, so that a client cannot evade
    /// the limit by omitting a part. A request that lacks every part that identifies a client does not count:
    /// all anonymous clients would share one counter, which each could exhaust for the others.
    pub(super) fn key(&self, counter: &str, request: &Parts) -> Result<Option<Counted>, Error> {
        let Some((first, others)) = self.parts.split_first() else {
            return Part::Address.key(counter, request);
        };
        if others.is_empty() {
            return first.key(counter, request);
        }
        let mut is_identified = self.parts.iter().all(Part::is_path);
        let mut read = |part: &Part| {
            let key = part.key(counter, request)?;
            is_identified |= key.is_some() && !part.is_path();
            Ok::<_, Error>(key.unwrap_or_else(|| part.absent(counter).into()))
        };
        let mut key = read(first)?;
        for part in others {
            key = key.and(read(part)?);
        }
        Ok(is_identified.then_some(key))
    }
}

/// The key of a request, and the same key with the network of the address that is a part of it, if
/// there is one.
#[derive(Clone, Copy)]
pub(super) struct Counted {
    pub(super) key: LimitKey,
    pub(super) network: Option<LimitKey>,
}

impl Counted {
    fn and(self, other: Self) -> Self {
        let network = match (self.network, other.network) {
            (None, None) => None,
            (one, two) => Some(one.unwrap_or(self.key).and(two.unwrap_or(other.key))),
        };
        Self { key: self.key.and(other.key), network }
    }
}

impl From<LimitKey> for Counted {
    fn from(key: LimitKey) -> Self {
        Self { key, network: None }
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
            Self::ApiKey => "key",
            Self::Token(_) => "token",
            Self::Header(_) => "header",
            Self::Path(_) => "path",
            Self::Custom(_) => "custom",
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Header(name) => name.as_str(),
            other => other.kind(),
        }
    }

    /// Whether a key contains only one of the two.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Custom(_), Self::Custom(_)) => false,
            (Self::Header(one), Self::Header(other)) => one == other,
            (one, other) => one.kind() == other.kind(),
        }
    }

    /// Whether it identifies the resource and not the client.
    fn is_path(&self) -> bool {
        matches!(self, Self::Path(_))
    }

    /// Returns the key of this part of a request; `None` if the request lacks it.
    fn key(&self, counter: &str, request: &Parts) -> Result<Option<Counted>, Error> {
        let kind = self.kind().as_bytes();
        let key = match self {
            Self::Address => {
                let client = ClientAddress::of(&request.extensions).ok_or_else(|| {
                    layer_order_error(
                        "a limit counts by address, but the peer is unknown: put a PeerAddress into \
                         the extensions of each request; with axum, serve the router with \
                         .into_make_service_with_connect_info::<SocketAddr>()",
                    )
                })?;
                return Ok(Some(Counted {
                    key: LimitKey::address(counter, client.ip()),
                    network: LimitKey::network(counter, client.ip()),
                }));
            }
            Self::User => signed_in(request)?.map(|(user, _)| LimitKey::user(counter, user)),
            Self::Session => signed_in(request)?.map(|(_, credential)| match credential {
                Credential::Session(session) => LimitKey::session(counter, session),
                Credential::Key(key) => LimitKey::api_key(counter, key),
            }),
            Self::ApiKey => signed_in(request)?.and_then(|(_, credential)| match credential {
                Credential::Key(key) => Some(LimitKey::api_key(counter, key)),
                Credential::Session(_) => None,
            }),
            Self::Token(cookies) => match access_token(request, cookies.as_ref()) {
                Ok(None) => None,
                Ok(Some((token, _))) => {
                    Some(LimitKey::sequence(counter, &[kind, token.as_bytes()]))
                }
                // Authentication rejects these, so they may share a counter.
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
                    // It is unknown which one the application reads. If each combination had a counter,
                    // an extra line would evade the limit.
                    (Some(_), Some(_)) => Some(LimitKey::sequence(counter, &[kind, name])),
                }
            }
            Self::Path(known) => Some(match template(request, known) {
                Some(template) => LimitKey::sequence(counter, &[kind, template.as_bytes()]),
                None => LimitKey::sequence(counter, &[kind]),
            }),
            Self::Custom(key) => key(request).map(|text| LimitKey::text(counter, &text)),
        };
        Ok(key.map(Counted::from))
    }

    /// The placeholder in a key of several parts for a part that a request lacks.
    fn absent(&self, counter: &str) -> LimitKey {
        LimitKey::sequence(counter, &[b"no", self.kind().as_bytes(), self.name().as_bytes()])
    }
}

/// Returns user and credential of an authenticated request; `None` if it is anonymous.
fn signed_in(request: &Parts) -> Result<Option<(UserId, Credential)>, Error> {
    if let Some(principal) = request.extensions.get::<Principal>() {
        return Ok(Some((principal.user(), principal.credential())));
    }
    match request.extensions.get::<OfflineIdentity>() {
        Some(OfflineIdentity { principal, .. }) => {
            let of = |principal: &TokenPrincipal| {
                (principal.user(), Credential::Session(principal.session()))
            };
            Ok(principal.as_ref().map(of))
        }
        None if request.extensions.get::<Anonymous>().is_some() => Ok(None),
        None => Err(layer_order_error(
            "a limit counts by user, session or API key, but no layer has authenticated the request: put it \
             inside of goat.authenticate(): after it in a ServiceBuilder, before it in the .layer(..) \
             calls of a Router",
        )),
    }
}

/// Returns the path template of a request; `None` if no route matched, for all such requests to share a
/// counter. `known` are paths that are templates as they are.
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
            Self::ApiKey => formatter.write_str("API key"),
            Self::Custom(_) => formatter.write_str("custom key"),
            other => formatter.write_str(other.name()),
        }
    }
}
