//! Which node of a cluster has which slot.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{PoisonError, RwLock};

use redis::Value;
use tokio::time::Instant;

use super::super::failure::Failure;

/// How many slots a cluster has.
const SLOTS: usize = 16_384;
/// The owner of a slot that nobody has.
const NOBODY: u16 = u16::MAX;

/// The slot of a key: that of its hash tag, if it has one.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        rest.iter()
            .position(|byte| *byte == b'}')
            .filter(|length| *length > 0)
            .map(|end| &rest[..end])
    });
    let hashed = tag.unwrap_or(key);
    // CRC-16/XMODEM, as the specification of Redis Cluster has it.
    let crc = hashed.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    crc % SLOTS as u16
}

/// A map of the cluster, mended in place where a node says that a slot has moved.
#[derive(Debug)]
pub(super) struct Slots {
    owners: Vec<AtomicU16>,
    addresses: RwLock<Vec<String>>,
    pub(super) learnt: Instant,
}

impl Slots {
    /// Reads the answer to `CLUSTER SLOTS`. `asked` is the address that gave it.
    pub(super) fn read(answer: Value, asked: &str) -> Result<Self, Failure> {
        let slots = Self {
            owners: (0..SLOTS).map(|_| AtomicU16::new(NOBODY)).collect(),
            addresses: RwLock::default(),
            learnt: Instant::now(),
        };
        let unreadable = || Failure::broken("a cluster's slots cannot be read");
        let Value::Array(ranges) = answer else { return Err(unreadable()) };
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
            let known = asked.rsplit_once(':').map_or(asked, |(host, _)| host);
            let host = if host.is_empty() { known } else { &host };
            let address = format!("{host}:{port}");
            for slot in from..=to.min(SLOTS as u16 - 1) {
                slots.give(slot, &address);
            }
        }
        Ok(slots)
    }

    /// Who has the slot.
    pub(super) fn owner(&self, slot: u16) -> Option<String> {
        let owner = self.owners[usize::from(slot)].load(Ordering::Relaxed);
        let addresses = self.addresses.read().unwrap_or_else(PoisonError::into_inner);
        addresses.get(usize::from(owner)).cloned()
    }

    /// From now on the slot is there.
    pub(super) fn give(&self, slot: u16, address: &str) {
        let mut addresses = self.addresses.write().unwrap_or_else(PoisonError::into_inner);
        let place = addresses.iter().position(|known| known == address).unwrap_or_else(|| {
            addresses.push(address.to_owned());
            addresses.len() - 1
        });
        let place = u16::try_from(place).unwrap_or(NOBODY);
        self.owners[usize::from(slot)].store(place, Ordering::Relaxed);
    }

    /// Every node that has or had a slot.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.addresses.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // From the specification: CRC16("123456789") is 0x31C3.
        assert_eq!(slot_of(b"123456789"), 0x31C3);
        assert_eq!(slot_of(b"foo"), 12_182);
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"{user1000}.followers"));
        assert_eq!(slot_of(b"goat:{user1000}"), slot_of(b"user1000"));
        // An empty tag is none, and the first one counts.
        assert_ne!(slot_of(b"foo{}{bar}"), slot_of(b"bar"));
        assert_eq!(slot_of(b"foo{{bar}}zap"), slot_of(b"{bar"));
        assert_eq!(slot_of(b"foo{bar}{zap}"), slot_of(b"bar"));
    }

    #[test]
    fn a_map_is_read_and_mended() {
        let node =
            |port| Value::Array(vec![Value::BulkString(b"10.0.0.1".into()), Value::Int(port)]);
        let nameless = Value::Array(vec![Value::Nil, Value::Int(3)]);
        let range = |from, to, node| Value::Array(vec![Value::Int(from), Value::Int(to), node]);
        let ranges = vec![range(0, 9, node(1)), range(10, 19, node(2)), range(20, 29, nameless)];
        let slots = Slots::read(Value::Array(ranges), "asked:7").expect("a map");
        assert_eq!(slots.owner(0).as_deref(), Some("10.0.0.1:1"));
        assert_eq!(slots.owner(19).as_deref(), Some("10.0.0.1:2"));
        assert_eq!(slots.owner(20).as_deref(), Some("asked:3"));
        assert_eq!(slots.owner(30), None);
        slots.give(0, "elsewhere:4");
        assert_eq!(slots.owner(0).as_deref(), Some("elsewhere:4"));
        assert_eq!(slots.owner(1).as_deref(), Some("10.0.0.1:1"));
        assert!(Slots::read(Value::Nil, "asked:7").is_err());
    }
}
