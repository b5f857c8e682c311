//! Open-redirect check: decides whether a sign-in may lead back to a target that a request names.
//!
//! Invariant: an accepted target has one reading. A spelling that browsers, proxies and applications
//! could resolve differently is rejected: a backslash, an empty or dotted path segment, an encoded slash,
//! user information, anything but visible ASCII characters.

use super::origin::{InvalidOrigin, PageOrigin};

/// The longest accepted target, in bytes.
const MAX_LENGTH: usize = 2048;

/// The targets to which a sign-in may lead back: paths of the own host, and pages of allowed origins.
///
/// ```
/// use goat_tower::cookie::ReturnTo;
///
/// let pages = ReturnTo::new().allow_origin("https://app.example.org")?;
/// assert!(pages.accepts("/reports?page=2"));
/// assert!(pages.accepts("https://app.example.org/reports"));
///
/// assert!(!pages.accepts("//evil.example"));
/// assert!(!pages.accepts("/\\evil.example"));
/// assert!(!pages.accepts("https://app.example.org@evil.example"));
/// # Ok::<_, goat_tower::cookie::InvalidOrigin>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReturnTo {
    allowed: Vec<PageOrigin<'static>>,
}

impl ReturnTo {
    /// Accepts paths of the own host only.
    #[must_use]
    pub const fn new() -> Self {
        Self { allowed: Vec::new() }
    }

    /// Accepts the pages of one more origin: `https`, or `http` on loopback.
    ///
    /// # Errors
    ///
    /// If the text is not such an origin in the form in which browsers serialize it.
    pub fn allow_origin(mut self, origin: &str) -> Result<Self, InvalidOrigin> {
        self.allowed.push(PageOrigin::parse_allowed(origin)?);
        Ok(self)
    }

    /// Returns whether a redirect to `target` stays on the own host or leads to an allowed origin.
    #[must_use]
    pub fn accepts(&self, target: &str) -> bool {
        if target.len() > MAX_LENGTH {
            return false;
        }
        let Some((scheme, rest)) = target.split_once("://") else { return is_path(target) };
        // The path of a local target may contain `://` in its query.
        if scheme.starts_with('/') {
            return is_path(target);
        }
        let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (origin, path) = target.split_at(scheme.len() + "://".len() + authority);
        PageOrigin::parse(origin).is_some_and(|origin| self.allowed.contains(&origin))
            && (path.is_empty() || is_path(path))
    }
}

/// Returns whether a text is an absolute path, with an optional query and fragment.
fn is_path(text: &str) -> bool {
    let is_visible = |byte: u8| byte.is_ascii_graphic() && !b"\\\"<>`".contains(&byte);
    if !text.bytes().all(is_visible) {
        return false;
    }
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let Some(path) = text[..end].strip_prefix('/') else { return false };
    let path = path.to_ascii_lowercase();
    if ["%2f", "%5c", "%00"].iter().any(|hidden| path.contains(hidden)) {
        return false;
    }
    let path = path.replace("%2e", ".");
    let mut segments = path.split('/');
    let last = segments.next_back().unwrap_or_default();
    let is_dotted = |segment: &str| segment == "." || segment == "..";
    !is_dotted(last) && segments.all(|segment| !segment.is_empty() && !is_dotted(segment))
}
