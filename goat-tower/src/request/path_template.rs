//! The template of a request's path: which route it is, whatever stands in its parameters.
//!
//! Invariant: a template is an application's word and never a client's, so that there are as many as
//! there are routes.

use std::fmt;
use std::sync::Arc;

use http::Extensions;

/// Which route a request is for, such as `/users/{id}`: what
/// [`LimitLayer::by_path_template`](crate::LimitLayer::by_path_template) counts by.
///
/// A router of one's own puts it into the extensions of the requests that it has a route for, before
/// the limit is asked. axum's router need not: its own `MatchedPath` is read, with the feature `axum`.
/// Where a layer is missing, the log names the route by it too.
///
/// It must be the route's name and never the path as it was sent, or each path that a client thinks
/// of has a counter of its own. What matches no route gets none.
///
/// ```
/// use goat_tower::PathTemplate;
/// use http::Request;
///
/// let mut request = Request::get("/users/7").body(()).expect("a request");
/// request.extensions_mut().insert(PathTemplate::new("/users/{id}"));
/// assert_eq!(PathTemplate::of(request.extensions()), Some("/users/{id}"));
/// ```
#[derive(Clone)]
pub struct PathTemplate(Template);

#[derive(Clone)]
enum Template {
    Static(&'static str),
    Shared(Arc<str>),
}

impl PathTemplate {
    /// The template of a route that is written in the code.
    #[must_use]
    pub const fn new(template: &'static str) -> Self {
        Self(Template::Static(template))
    }

    /// The template.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The template of a request's path, if a router has said: in a `PathTemplate`, or else in the
    /// `MatchedPath` of axum (feature `axum`).
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<&str> {
        let said = extensions.get::<Self>().map(Self::as_str);
        #[cfg(feature = "axum")]
        let said = said.or_else(|| {
            extensions.get::<::axum::extract::MatchedPath>().map(|matched| matched.as_str())
        });
        said
    }
}

/// The template of a route that was made while running.
impl From<Arc<str>> for PathTemplate {
    fn from(template: Arc<str>) -> Self {
        Self(Template::Shared(template))
    }
}

impl From<&'static str> for PathTemplate {
    fn from(template: &'static str) -> Self {
        Self::new(template)
    }
}

impl fmt::Debug for PathTemplate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("PathTemplate").field(&self.as_str()).finish()
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Template {
    fn as_str(&self) -> &str {
        match self {
            Self::Static(template) => template,
            Self::Shared(template) => template,
        }
    }
}
