//! A range of addresses in CIDR notation.
//!
//! Invariant: the bits beyond the prefix are zero, and a range of IPv4 addresses is never kept in
//! IPv4-mapped or NAT64 form, so addresses are compared only in canonical form.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use goat_core::limit::canonical_address;

/// All addresses that agree in their first `prefix` bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    V4 { network: u32, prefix: u8 },
    V6 { network: u128, prefix: u8 },
}

/// The IPv4 addresses within IPv6: the mapped `::ffff:0:0/96` and NAT64's `64:ff9b::/96`.
const EMBEDDING: [u128; 2] = [0xffff << 32, 0x64_ff9b << 96];
const EMBEDDING_PREFIX: u8 = 96;

impl Range {
    /// Parses `address` or `address/prefix`. Bits beyond the prefix are ignored.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(parse_prefix(prefix)?)),
            None => (text, None),
        };
        match address.parse().ok()? {
            IpAddr::V4(address) => Self::v4(address.to_bits(), prefix.unwrap_or(32)),
            IpAddr::V6(address) => Self::v6(address.to_bits(), prefix.unwrap_or(128)),
        }
    }

    fn v4(bits: u32, prefix: u8) -> Option<Self> {
        (prefix <= 32).then(|| Self::V4 { network: bits & mask_v4(prefix), prefix })
    }

    fn v6(bits: u128, prefix: u8) -> Option<Self> {
        if prefix > 128 {
            return None;
        }
        if prefix >= EMBEDDING_PREFIX
            && let IpAddr::V4(address) = canonical_address(Ipv6Addr::from_bits(bits).into())
        {
            return Self::v4(address.to_bits(), prefix - EMBEDDING_PREFIX);
        }
        Some(Self::V6 { network: bits & mask_v6(prefix), prefix })
    }

    /// Returns whether the range contains every IPv4 or every IPv6 address.
    pub(super) fn is_all_addresses(self) -> bool {
        match self {
            Self::V4 { prefix, .. } => prefix == 0,
            Self::V6 { network, prefix } => {
                let is_within = |range: &u128| range & mask_v6(prefix) == network;
                prefix < EMBEDDING_PREFIX && EMBEDDING.iter().any(is_within)
            }
        }
    }

    /// Returns whether the range contains a canonical address.
    pub(super) fn contains(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::V4 { network, prefix }, IpAddr::V4(address)) => {
                address.to_bits() & mask_v4(prefix) == network
            }
            (Self::V6 { network, prefix }, IpAddr::V6(address)) => {
                address.to_bits() & mask_v6(prefix) == network
            }
            _ => false,
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4 { network, prefix } => {
                write!(formatter, "{}/{prefix}", Ipv4Addr::from_bits(network))
            }
            Self::V6 { network, prefix } => {
                write!(formatter, "{}/{prefix}", Ipv6Addr::from_bits(network))
            }
        }
    }
}

/// Parses a prefix length: digits only, no leading zero; `+8` and `08` are errors.
fn parse_prefix(text: &str) -> Option<u8> {
    let plain =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// Returns a mask with the first `prefix` bits set.
fn mask_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

/// Returns a mask with the first `prefix` bits set.
fn mask_v6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}
