//! Path template: the route of a request, without the values of its parameters.
//!
//! Invariant: templates come from the application and never from a client, so that their number is bounded
//! by the number of routes.

use std::fmt;
use std::sync::Arc;

use http::Extensions;

/// The route of a request, such as `/users/{id}`: the key of
/// [`LimitLayer::by_path_template`](crate::LimitLayer::by_path_template). The log names routes by it too.
///
/// A router puts it into the extensions of requests that match a route, outside of the limit. For axum's
/// router that is not necessary: with the feature `axum`, its `MatchedPath` is read.
///
/// It must be the name of the route and never the path as sent, or each path that a client makes up
/// has a counter of its own. Leave it out if no route matches.
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
    /// Creates a template from a constant.
    #[must_use]
    pub const fn new(template: &'static str) -> Self {
        Self(Template::Static(template))
    }

    /// Returns the template as a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns the template of a request, if a router has set it: in a `PathTemplate`, or else in axum's
    /// `MatchedPath` (feature `axum`).
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<&str> {
        let template = extensions.get::<Self>().map(Self::as_str);
        #[cfg(feature = "axum")]
        let template = template.or_else(|| {
            extensions.get::<::axum::extract::MatchedPath>().map(|matched| matched.as_str())
        });
        template
    }
}

/// A template made at run time.
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
