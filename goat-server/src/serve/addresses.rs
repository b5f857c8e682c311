//! Bounds per client address: connections, and requests in flight on them, so that one address cannot
//! use up what all clients share (W5). An IPv6 address counts as its /64.
//!
//! Requests have the same bound as connections. Otherwise HTTP/2 would multiply it by the number of
//! streams.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use goat_core::limit::LimitKey;
use goat_tower::address::TrustedProxies;

/// Entries without connections that are kept before they are removed.
const UNUSED_ENTRIES: usize = 64;

/// The connections of each address.
#[derive(Debug)]
pub(super) struct Addresses {
    most: usize,
    exempt: TrustedProxies,
    loads: HashMap<LimitKey, Arc<Load>>,
    /// The size at which unused entries are removed next.
    sweep_at: usize,
}

/// What one address uses.
#[derive(Debug, Default)]
struct Load {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

/// The place of one connection.
#[derive(Debug)]
pub(super) struct Place {
    /// `None`: the address is exempt.
    load: Option<Arc<Load>>,
    most: usize,
}

/// The place of one request in flight.
#[derive(Debug)]
pub(super) struct RequestPlace(Option<Arc<Load>>);

/// Takes one of `most` places.
fn take(count: &AtomicUsize, most: usize) -> bool {
    let taken = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
        (count < most).then_some(count + 1)
    });
    taken.is_ok()
}

impl Addresses {
    pub(super) fn new(most: usize, exempt: TrustedProxies) -> Self {
        Self { most, exempt, loads: HashMap::new(), sweep_at: UNUSED_ENTRIES }
    }

    /// Takes the place of a connection; `None` if its address has no place left.
    pub(super) fn admit(&mut self, address: IpAddr) -> Option<Place> {
        let most = self.most;
        if self.exempt.contains(address) {
            return Some(Place { load: None, most });
        }
        if self.loads.len() >= self.sweep_at {
            self.loads.retain(|_, load| load.connections.load(Ordering::Relaxed) > 0);
            self.sweep_at = self.loads.len() * 2 + UNUSED_ENTRIES;
        }
        let load = self.loads.entry(LimitKey::address("connections", address)).or_default();
        take(&load.connections, most).then(|| Place { load: Some(Arc::clone(load)), most })
    }
}

impl Place {
    /// Takes the place of a request; `None` if the address has no place left.
    pub(super) fn begin_request(&self) -> Option<RequestPlace> {
        let load = match &self.load {
            None => None,
            Some(load) if take(&load.requests, self.most) => Some(Arc::clone(load)),
            Some(_) => return None,
        };
        Some(RequestPlace(load))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(load) = &self.load {
            load.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for RequestPlace {
    fn drop(&mut self) {
        if let Some(load) = &self.0 {
            load.requests.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W5.
    #[test]
    fn address_has_its_places_again_when_its_connections_end() {
        let mut addresses = Addresses::new(2, TrustedProxies::none());
        let mut admit = |address: &str| addresses.admit(address.parse().expect("an address"));
        let (one, two) =
            (admit("192.0.2.7").expect("a place"), admit("::ffff:192.0.2.7").expect("a place"));
        assert!(admit("192.0.2.7").is_none());
        assert!(admit("192.0.2.8").is_some());
        drop(two);
        let again = admit("192.0.2.7").expect("a place");
        let requests =
            [one.begin_request().expect("a place"), again.begin_request().expect("a place")];
        assert!(one.begin_request().is_none());
        drop(requests);
        assert!(one.begin_request().is_some());
    }

    /// W5.
    #[test]
    fn ipv6_counts_by_64_and_trusted_proxies_do_not_count() {
        let mut addresses = Addresses::new(1, "10.0.0.0/8".parse().expect("a range"));
        let mut admit = |address: &str| addresses.admit(address.parse().expect("an address"));
        let _one = admit("2001:db8:1:2::1").expect("a place");
        assert!(admit("2001:db8:1:2:ffff::9").is_none());
        assert!(admit("2001:db8:1:3::1").is_some());
        let proxies: Vec<Place> = (0..9).map(|_| admit("10.1.2.3").expect("a place")).collect();
        assert!(proxies.iter().all(|proxy| proxy.begin_request().is_some()));
    }

    /// W5: memory is bounded by the connections, not by the addresses seen.
    #[test]
    fn addresses_without_connections_are_forgotten() {
        let mut addresses = Addresses::new(1, TrustedProxies::none());
        for number in 0..10_000_u32 {
            drop(addresses.admit(IpAddr::from(number.to_be_bytes())));
        }
        assert!(addresses.loads.len() <= UNUSED_ENTRIES, "{}", addresses.loads.len());
    }
}
