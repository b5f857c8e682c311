//! Canonical client addresses: one spelling per IPv4 address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The well-known prefix of NAT64: `64:ff9b::/96` (RFC 6052 §2.1).
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// Returns the IPv4 address in an IPv4-mapped (`::ffff:192.0.2.1`) or NAT64 (`64:ff9b::192.0.2.1`) IPv6
/// address, and any other address as it is.
///
/// One client then has one address, whichever way its connection takes. All of NAT64 is one /64, so that
/// without this all clients behind it would share the limits of one address.
///
/// ```
/// use goat_core::limit::canonical_address;
///
/// let address = canonical_address("64:ff9b::192.0.2.1".parse()?);
/// assert_eq!(address.to_string(), "192.0.2.1");
/// # Ok::<_, std::net::AddrParseError>(())
/// ```
#[must_use]
pub fn canonical_address(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => nat64(address).map_or(IpAddr::V6(address), IpAddr::V4),
        v4 => v4,
    }
}

fn nat64(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [prefix @ .., high, low] = address.segments();
    (prefix == NAT64).then(|| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// B6
    #[test]
    fn mapped_and_nat64_addresses_are_ipv4() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("64:ff9b::192.0.2.1", "192.0.2.1"),
            ("64:ff9b::c000:201", "192.0.2.1"),
            ("64:ff9b::", "0.0.0.0"),
            ("64:ff9b::ffff:ffff", "255.255.255.255"),
            // Other prefixes: of a network's own (RFC 8215), a longer one, and a neighbour.
            ("64:ff9b:1::c000:201", "64:ff9b:1::c000:201"),
            ("64:ff9b::1:c000:201", "64:ff9b::1:c000:201"),
            ("64:ff9a::c000:201", "64:ff9a::c000:201"),
            ("::c000:201", "::c000:201"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            let address: IpAddr = text.parse().expect("an address");
            let expected: IpAddr = expected.parse().expect("an address");
            assert_eq!(canonical_address(address), expected, "{text}");
            assert_eq!(canonical_address(canonical_address(address)), expected, "{text}");
        }
    }
}
