//! The trusted proxies: peers that may set the forwarding header.
//!
//! Invariant: never all addresses. Such a range would accept every client's forged header.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use goat_core::limit::canonical_address;

use super::range::Range;

/// Addresses and CIDR ranges of the trusted proxies. Cheap to clone.
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
    /// Returns the empty set, the default.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Parses addresses or CIDR ranges, one per item. Bits beyond a prefix are ignored.
    ///
    /// # Errors
    ///
    /// On the first item that is neither, or that contains every address of a family: `0.0.0.0/0`,
    /// `::/0`, and their equivalents in IPv4-mapped and NAT64 form.
    pub fn parse<T: AsRef<str>>(ranges: impl IntoIterator<Item = T>) -> Result<Self, InvalidProxy> {
        let parse_one = |text: T| {
            let text = text.as_ref().trim();
            let invalid = |reason| InvalidProxy { text: text.to_owned(), reason };
            match Range::parse(text) {
                None => Err(invalid("is neither an IP address nor a CIDR range")),
                Some(range) if range.is_all_addresses() => {
                    Err(invalid("would trust every address"))
                }
                Some(range) => Ok(range),
            }
        };
        ranges.into_iter().map(parse_one).collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether an address belongs to a trusted proxy; IPv4-mapped and NAT64 addresses count as
    /// IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = canonical_address(address);
        self.0.iter().any(|range| range.contains(address))
    }

    /// Returns whether no proxy is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for TrustedProxies {
    type Err = InvalidProxy;

    /// Parses a comma-separated list; the empty text is the empty set.
    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        if text.trim().is_empty() {
            return Ok(Self::none());
        }
        Self::parse(text.split(','))
    }
}

impl fmt::Display for TrustedProxies {
    /// Writes the ranges, separated by commas; the text parses again.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            write!(formatter, "{separator}{range}")?;
        }
        Ok(())
    }
}

/// Error for an address or range that cannot be trusted.
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
