//! What a limit counts by.
//!
//! Invariant: who is to be counted and cannot be told is an error, and never goes uncounted.

use std::borrow::Cow;
use std::sync::Arc;

use goat_core::limit::LimitKey;
use goat_core::{Error, Principal};
use http::request::Parts;

use crate::address::ClientAddress;
use crate::misplaced::misplaced;
use crate::principal::Anonymous;

/// Who is counted.
#[derive(Clone)]
pub(super) enum By {
    Address,
    User,
    Key(Arc<KeyOf>),
}

type KeyOf = dyn Fn(&Parts) -> Option<Cow<'_, str>> + Send + Sync;

impl By {
    /// What the limit is called unless told.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::User => "user",
            Self::Key(_) => "key",
        }
    }

    /// Whom the request counts against; `None` if it does not count here.
    pub(super) fn key(&self, counter: &str, request: &Parts) -> Result<Option<LimitKey>, Error> {
        match self {
            Self::Address => match ClientAddress::of(&request.extensions) {
                Some(client) => Ok(Some(LimitKey::address(counter, client.ip()))),
                None => Err(misplaced(
                    "a limit counts by address and nobody knows the peer: put a PeerAddress into \
                     the extensions of each request; with axum, serve the router with \
                     .into_make_service_with_connect_info::<SocketAddr>()",
                )),
            },
            Self::User => match request.extensions.get::<Principal>() {
                Some(principal) => Ok(Some(LimitKey::user(counter, principal.user()))),
                None if request.extensions.get::<Anonymous>().is_some() => Ok(None),
                None => Err(misplaced(
                    "a limit counts by user and nobody has looked for one: put it inside of \
                     goat.authenticate()",
                )),
            },
            Self::Key(key) => Ok(key(request).map(|text| LimitKey::text(counter, &text))),
        }
    }
}
