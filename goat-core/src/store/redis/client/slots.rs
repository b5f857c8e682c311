//! Cluster slot map: the hash slot of a key, and the node that owns each slot.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{PoisonError, RwLock};

use redis::Value;
use tokio::time::Instant;

use super::super::failure::Failure;

/// The number of hash slots of a cluster.
const SLOTS: usize = 16_384;
/// Marks a slot without an owner.
const UNASSIGNED: u16 = u16::MAX;

/// Returns the hash slot of a key, computed from its hash tag if it has one.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        rest.iter()
            .position(|byte| *byte == b'}')
            .filter(|length| *length > 0)
            .map(|end| &rest[..end])
    });
    let hashed = tag.unwrap_or(key);
    // CRC-16/XMODEM, as the Redis Cluster specification requires.
    let crc = hashed.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    crc % SLOTS as u16
}

/// The slot map, updated in place by `MOVED` redirections.
#[derive(Debug)]
pub(super) struct Slots {
    owners: Vec<AtomicU16>,
    addresses: RwLock<Vec<String>>,
    pub(super) fetched_at: Instant,
}

impl Slots {
    /// Parses the reply to `CLUSTER SLOTS` of the node at the address `source`.
    pub(super) fn parse(reply: Value, source: &str) -> Result<Self, Failure> {
        let slots = Self {
            owners: (0..SLOTS).map(|_| AtomicU16::new(UNASSIGNED)).collect(),
            addresses: RwLock::default(),
            fetched_at: Instant::now(),
        };
        let unreadable = || Failure::malformed("a cluster's slots cannot be read");
        let Value::Array(ranges) = reply else { return Err(unreadable()) };
        for range in ranges {
            let Value::Array(fields) = range else { return Err(unreadable()) };
            let [Value::Int(from), Value::Int(to), Value::Array(master), ..] = fields.as_slice()
            else {
                return Err(unreadable());
            };
            let (Ok(from), Ok(to)) = (u16::try_from(*from), u16::try_from(*to)) else {
                return Err(unreadable());
            };
            let [host, Value::Int(port), ..] = master.as_slice() else { return Err(unreadable()) };
            let host = match host {
                Value::BulkString(host) if host == b"?" => String::new(),
                Value::BulkString(host) => String::from_utf8_lossy(host).into_owned(),
                _ => String::new(),
            };
            let known = source.rsplit_once(':').map_or(source, |(host, _)| host);
            let host = if host.is_empty() { known } else { &host };
            let address = format!("{host}:{port}");
            for slot in from..=to.min(SLOTS as u16 - 1) {
                slots.assign(slot, &address);
            }
        }
        Ok(slots)
    }

    /// Returns the address of the slot's owner.
    pub(super) fn owner(&self, slot: u16) -> Option<String> {
        let owner = self.owners[usize::from(slot)].load(Ordering::Relaxed);
        let addresses = self.addresses.read().unwrap_or_else(PoisonError::into_inner);
        addresses.get(usize::from(owner)).cloned()
    }

    /// Assigns the slot to the node at an address.
    pub(super) fn assign(&self, slot: u16, address: &str) {
        let mut addresses = self.addresses.write().unwrap_or_else(PoisonError::into_inner);
        let place = addresses.iter().position(|known| known == address).unwrap_or_else(|| {
            addresses.push(address.to_owned());
            addresses.len() - 1
        });
        let place = u16::try_from(place).unwrap_or(UNASSIGNED);
        self.owners[usize::from(slot)].store(place, Ordering::Relaxed);
    }

    /// Returns the address of every node in the map, former owners included.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.addresses.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_slots_match_the_specification() {
        // From the specification: CRC16("123456789") is 0x31C3.
        assert_eq!(slot_of(b"123456789"), 0x31C3);
        assert_eq!(slot_of(b"foo"), 12_182);
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"{user1000}.followers"));
        assert_eq!(slot_of(b"goat:{user1000}"), slot_of(b"user1000"));
        // An empty tag is ignored; the first tag counts.
        assert_ne!(slot_of(b"foo{}{bar}"), slot_of(b"bar"));
        assert_eq!(slot_of(b"foo{{bar}}zap"), slot_of(b"{bar"));
        assert_eq!(slot_of(b"foo{bar}{zap}"), slot_of(b"bar"));
    }

    #[test]
    fn slot_map_is_parsed_and_updated() {
        let node =
            |port| Value::Array(vec![Value::BulkString(b"10.0.0.1".into()), Value::Int(port)]);
        let nameless = Value::Array(vec![Value::Nil, Value::Int(3)]);
        let range = |from, to, node| Value::Array(vec![Value::Int(from), Value::Int(to), node]);
        let ranges = vec![range(0, 9, node(1)), range(10, 19, node(2)), range(20, 29, nameless)];
        let slots = Slots::parse(Value::Array(ranges), "asked:7").expect("a map");
        assert_eq!(slots.owner(0).as_deref(), Some("10.0.0.1:1"));
        assert_eq!(slots.owner(19).as_deref(), Some("10.0.0.1:2"));
        assert_eq!(slots.owner(20).as_deref(), Some("asked:3"));
        assert_eq!(slots.owner(30), None);
        slots.assign(0, "elsewhere:4");
        assert_eq!(slots.owner(0).as_deref(), Some("elsewhere:4"));
        assert_eq!(slots.owner(1).as_deref(), Some("10.0.0.1:1"));
        assert!(Slots::parse(Value::Nil, "asked:7").is_err());
    }
}
