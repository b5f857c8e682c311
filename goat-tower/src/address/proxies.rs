//! The proxies whose word is taken.
//!
//! Invariant: never everybody. A range of all addresses would believe every client's own header.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use super::range::Range;

/// Addresses and ranges of the proxies whose forwarding header is believed. Cheap to clone.
///
/// ```
/// use goat_tower::address::TrustedProxies;
///
/// let proxies: TrustedProxies = "10.0.0.0/8, 2001:db8::/32, 192.0.2.1".parse()?;
/// assert!(proxies.contains("10.1.2.3".parse()?));
/// assert!(proxies.contains("::ffff:10.1.2.3".parse()?));
/// assert!(!proxies.contains("192.0.2.2".parse()?));
/// assert!("0.0.0.0/0".parse::<TrustedProxies>().is_err());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Arc<[Range]>);

impl TrustedProxies {
    /// Nobody: the default.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Parses addresses or CIDR ranges, one an item. Bits beyond a prefix are ignored.
    ///
    /// # Errors
    ///
    /// The first that is neither, or that holds every address of a family: `0.0.0.0/0`, `::/0`, and
    /// what comes to the same by way of IPv4 in its IPv6 form.
    pub fn parse<T: AsRef<str>>(ranges: impl IntoIterator<Item = T>) -> Result<Self, InvalidProxy> {
        let parse_one = |text: T| {
            let text = text.as_ref().trim();
            let invalid = |reason| InvalidProxy { text: text.to_owned(), reason };
            match Range::parse(text) {
                None => Err(invalid("is neither an IP address nor a CIDR range")),
                Some(range) if range.is_everybody() => Err(invalid("would trust everybody")),
                Some(range) => Ok(range),
            }
        };
        ranges.into_iter().map(parse_one).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an address is a trusted proxy's, in whichever form it is written.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|range| range.contains(address))
    }

    /// Whether nobody is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for TrustedProxies {
    type Err = InvalidProxy;

    /// Parses a list separated by commas; the empty text is nobody.
    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        if text.trim().is_empty() {
            return Ok(Self::none());
        }
        Self::parse(text.split(','))
    }
}

impl fmt::Display for TrustedProxies {
    /// The ranges, separated by commas, as they parse again.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            write!(formatter, "{separator}{range}")?;
        }
        Ok(())
    }
}

/// An address or range of a proxy that cannot be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidProxy {
    text: String,
    reason: &'static str,
}

impl fmt::Display for InvalidProxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "trusted proxy {:?} {}", self.text, self.reason)
    }
}

impl std::error::Error for InvalidProxy {}
