//! What a layer adds to the response on its way back.

use goat_core::Goat;
use http::header::{AUTHORIZATION, CACHE_CONTROL};
use http::request::Parts;
use http::{HeaderValue, Response};

use crate::charges::{Charges, Collector};

/// The headers that a layer is for.
#[derive(Debug, Default)]
pub struct After {
    no_store: bool,
    show: Option<(Charges, Goat)>,
}

impl After {
    /// What answers credentials is kept by no cache.
    pub(crate) fn guard_from_caches(&mut self, request: &Parts) {
        self.no_store |= request.headers.contains_key(AUTHORIZATION);
    }

    /// Joins the request's collector of limits; if this opens it, the headers are written here.
    pub(crate) fn collect(&mut self, request: &mut Parts, goat: &Goat) -> Charges {
        match Charges::collect(&mut request.extensions) {
            Collector::Joined(charges) => charges,
            Collector::Opened(charges) => {
                self.show = Some((charges.clone(), goat.clone()));
                charges
            }
        }
    }

    pub(crate) fn apply<B>(self, response: &mut Response<B>) {
        if self.no_store {
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        if let Some((charges, goat)) = self.show {
            charges.show(response, goat.time().now());
        }
    }
}
