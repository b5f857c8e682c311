//! Session codec: a header of fixed offsets, which the scripts read too, followed by texts.
//!
//! ```text
//!  1  1  version
//!  2  8  epoch             34 16  id of the current token     84  1  length of its key id
//! 10  6  created at        50  6  issued at                   85  …  its key id
//! 16  6  last used at      56  6  expires at                   …  …  address of the previous token's use
//! 22  6  idle at           62 16  id of the previous token     …  …  address of the login
//! 28  6  ends at           78  6  used at                      …  …  device, to the end
//! ```
//!
//! Offsets start at 1, as in Lua; numbers are big-endian, times are milliseconds since 1970. Sixteen
//! zero bytes mean that there is no previous token. An address has its length before it.
//!
//! A session with more than one password as its proof has another version, and 30 bytes before the address
//! of the login: the set of methods (2), the time of the last proof (6), that of the last one of several
//! factors or zero (6), and the actor or zero (16). The scripts copy both with the rest of the value, those
//! of earlier versions of goat too. Such a version reads only the plain form, so this one writes that
//! wherever it suffices.

use std::net::IpAddr;

use crate::clock::Timestamp;
use crate::id::{SessionId, TokenId, UserId};
use crate::proof::{Method, Methods};
use crate::session::{Predecessor, RefreshToken, Session};

/// The format version of a session whose only proof is the password at login.
const PLAIN: u8 = 2;
/// The format version of other sessions. Versions beside these two are not decoded.
const WITH_PROOFS: u8 = 3;
/// The latest time that fits: the year 10889.
const MAX_TIME: u64 = (1 << 48) - 1;

/// Encodes a time as milliseconds in six bytes; `None` if it does not fit.
pub(super) fn time(time: Timestamp) -> Option<[u8; 6]> {
    let milliseconds = u64::try_from(time.as_millis()).ok().filter(|time| *time <= MAX_TIME)?;
    let mut bytes = [0; 6];
    bytes.copy_from_slice(&milliseconds.to_be_bytes()[2..]);
    Some(bytes)
}

/// Encodes a session; `None` if a time or a text does not fit.
pub(super) fn encode(session: &Session) -> Option<Vec<u8>> {
    let Session { current, previous, .. } = session;
    let is_plain = proofs(session) == plain_proofs(session.created_at);
    let mut bytes = vec![if is_plain { PLAIN } else { WITH_PROOFS }];
    bytes.extend(session.epoch.to_be_bytes());
    for at in [session.created_at, session.last_used_at, session.idle_at, session.ends_at] {
        bytes.extend(time(at)?);
    }
    bytes.extend(current.id.as_u128().to_be_bytes());
    bytes.extend(time(current.issued_at)?);
    bytes.extend(time(current.expires_at)?);
    let before = previous.map_or(0, |previous| previous.id.as_u128());
    bytes.extend(before.to_be_bytes());
    bytes.extend(previous.map_or(Some([0; 6]), |previous| time(previous.used_at))?);
    bytes.push(u8::try_from(current.key.len()).ok()?);
    bytes.extend(current.key.as_bytes());
    let address = |bytes: &mut Vec<u8>, address| {
        let octets = octets(address);
        bytes.push(u8::try_from(octets.len()).ok()?);
        bytes.extend(octets);
        Some(())
    };
    address(&mut bytes, previous.and_then(|previous| previous.used_from))?;
    if !is_plain {
        bytes.extend(session.methods.bits().to_be_bytes());
        bytes.extend(time(session.authenticated_at)?);
        bytes.extend(session.multi_at.map_or(Some([0; 6]), time)?);
        bytes.extend(session.actor.map_or(0, UserId::as_u128).to_be_bytes());
    }
    address(&mut bytes, session.address)?;
    bytes.extend(session.device.as_bytes());
    Some(bytes)
}

/// Methods, time of the last proof, of the last one of several factors, and the actor.
type Proofs = (Methods, Timestamp, Option<Timestamp>, Option<UserId>);

fn proofs(session: &Session) -> Proofs {
    (session.methods, session.authenticated_at, session.multi_at, session.actor)
}

fn plain_proofs(created_at: Timestamp) -> Proofs {
    (Methods::of(Method::Password), created_at, None, None)
}

/// Encodes an address; empty if there is none.
pub(super) fn octets(address: Option<IpAddr>) -> Vec<u8> {
    match address {
        None => Vec::new(),
        Some(IpAddr::V4(address)) => address.octets().to_vec(),
        Some(IpAddr::V6(address)) => address.octets().to_vec(),
    }
}

/// Decodes a session; `None` if the bytes are malformed.
pub(super) fn decode(user: UserId, id: SessionId, bytes: &[u8]) -> Option<Session> {
    let mut rest = Rest(bytes);
    let [version] = rest.array()?;
    let epoch = u64::from_be_bytes(rest.array()?);
    let created_at = rest.time()?;
    let last_used_at = rest.time()?;
    let idle_at = rest.time()?;
    let ends_at = rest.time()?;
    let (token, issued_at, expires_at) = (rest.token()?, rest.time()?, rest.time()?);
    let (before, used_at) = (rest.token()?, rest.time()?);
    let key = rest.text()?;
    let used_from = rest.address()?;
    let proofs = match version {
        PLAIN => plain_proofs(created_at),
        // One value for one session: a plain one has the plain form.
        WITH_PROOFS => Some(rest.proofs()?).filter(|proofs| *proofs != plain_proofs(created_at))?,
        _ => return None,
    };
    let (methods, authenticated_at, multi_at, actor) = proofs;
    let address = rest.address()?;
    // Likewise: without a previous token there is no time and no address of its use.
    if before.as_u128() == 0 && (used_at.as_millis() != 0 || used_from.is_some()) {
        return None;
    }
    let device = String::from_utf8(rest.0.to_vec()).ok()?;
    let previous =
        (before.as_u128() != 0).then_some(Predecessor { id: before, used_at, used_from });
    let current = RefreshToken { id: token, issued_at, expires_at, key };
    Some(Session {
        id,
        user,
        epoch,
        device,
        address,
        created_at,
        last_used_at,
        idle_at,
        ends_at,
        current,
        previous,
        methods,
        authenticated_at,
        multi_at,
        actor,
    })
}

/// The bytes that are not yet decoded.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn time(&mut self) -> Option<Timestamp> {
        let bytes: [u8; 6] = self.array()?;
        let milliseconds = bytes.iter().fold(0, |sum, byte| sum << 8 | i64::from(*byte));
        Some(Timestamp::from_millis(milliseconds))
    }

    fn token(&mut self) -> Option<TokenId> {
        Some(TokenId::from_u128(u128::from_be_bytes(self.array()?)))
    }

    fn address(&mut self) -> Option<Option<IpAddr>> {
        Some(match self.array()? {
            [0] => None,
            [4] => Some(IpAddr::from(self.array::<4>()?)),
            [16] => Some(IpAddr::from(self.array::<16>()?)),
            _ => return None,
        })
    }

    fn proofs(&mut self) -> Option<Proofs> {
        let methods = Methods::from_bits(u16::from_be_bytes(self.array()?));
        let (authenticated_at, multi_at) = (self.time()?, self.time()?);
        let actor = u128::from_be_bytes(self.array()?);
        Some((
            methods,
            authenticated_at,
            (multi_at.as_millis() != 0).then_some(multi_at),
            (actor != 0).then(|| UserId::from_u128(actor)),
        ))
    }

    /// Decodes a text with a length prefix.
    fn text(&mut self) -> Option<String> {
        let [length] = self.array()?;
        let (text, rest) = self.0.split_at_checked(length.into())?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::sample::{START, session};

    fn id<T>(make: impl Fn(Timestamp) -> T) -> T {
        make(START)
    }

    proptest! {
        #[test]
        fn encoded_session_is_decoded(
            epoch: u64,
            times in prop::array::uniform9(0_i64..=MAX_TIME as i64),
            address: Option<IpAddr>,
            used_from: Option<IpAddr>,
            device in ".{0,256}",
            key in "[a-zA-Z0-9_-]{0,86}",
            is_used: bool,
            bits: u16,
            is_multi: bool,
            has_actor: bool,
        ) {
            let mut packed = session(id(UserId::generate), START);
            let at = |place: usize| Timestamp::from_millis(times[place]);
            (packed.created_at, packed.last_used_at) = (at(0), at(1));
            (packed.idle_at, packed.ends_at) = (at(2), at(3));
            (packed.current.issued_at, packed.current.expires_at) = (at(4), at(5));
            packed.current.key = key;
            (packed.epoch, packed.address, packed.device) = (epoch, address, device);
            packed.previous =
                is_used.then(|| Predecessor { id: id(TokenId::generate), used_at: at(6), used_from });
            // The plain form.
            packed.authenticated_at = packed.created_at;
            let bytes = encode(&packed).expect("it fits");
            prop_assert_eq!(bytes[0], PLAIN);
            let plain = bytes.len();
            prop_assert_eq!(decode(packed.user, packed.id, &bytes), Some(packed.clone()));

            packed.methods = Methods::from_bits(bits);
            packed.authenticated_at = at(7);
            packed.multi_at = is_multi.then(|| at(8)).filter(|at| at.as_millis() != 0);
            packed.actor = has_actor.then(|| id(UserId::generate));
            let bytes = encode(&packed).expect("it fits");
            if proofs(&packed) != plain_proofs(packed.created_at) {
                prop_assert_eq!((bytes[0], bytes.len()), (WITH_PROOFS, plain + 30));
            }
            prop_assert_eq!(decode(packed.user, packed.id, &bytes), Some(packed));
        }

        /// A decoded session encodes to the same bytes.
        #[test]
        fn decoding_is_lossless(
            mut bytes in prop::collection::vec(any::<u8>(), 0..190),
            has_proofs: bool,
            key in 0_u8..8,
            has_previous: bool,
            used_from in prop::sample::select(vec![0_u8, 4, 16, 5]),
            address in prop::sample::select(vec![0_u8, 4, 16, 5]),
        ) {
            if let Some(first) = bytes.first_mut() {
                *first = if has_proofs { WITH_PROOFS } else { PLAIN };
            }
            if !has_previous && bytes.len() > 83 {
                bytes[61..83].fill(0);
            }
            if let Some(length) = bytes.get_mut(83) {
                *length = key;
            }
            let mut place = 84 + usize::from(key);
            for (address, proofs) in [(used_from, if has_proofs { 30 } else { 0 }), (address, 0)] {
                if let Some(length) = bytes.get_mut(place) {
                    *length = address;
                }
                place += 1 + usize::from(address) + proofs;
            }
            // Only valid UTF-8 here; other texts are rejected.
            bytes.iter_mut().skip(84).for_each(|byte| *byte &= 0x7f);
            let (user, id) = (id(UserId::generate), id(SessionId::generate));
            let read = decode(user, id, &bytes);
            let is_whole = bytes.len() >= place;
            let is_unused = || bytes[77..83].iter().all(|byte| *byte == 0) && used_from == 0;
            let is_sound = is_whole && used_from != 5 && address != 5;
            let is_consistent = is_sound && (bytes[61..77].iter().any(|byte| *byte != 0) || is_unused());
            prop_assert_eq!(read.is_some(), is_consistent);
            if let Some(session) = read {
                prop_assert_eq!(encode(&session), Some(bytes));
            }
        }
    }

    /// A session whose only proof is its password has the bytes that earlier versions write and read.
    #[test]
    fn plain_form_is_that_of_earlier_versions() {
        let at = |milliseconds: u8| [0, 0, 0, 0, 0, milliseconds];
        let time = |milliseconds| Timestamp::from_millis(milliseconds);
        let plain = Session {
            id: SessionId::from_u128(1),
            epoch: 7,
            device: "curl".to_owned(),
            address: "192.0.2.7".parse().ok(),
            created_at: time(1),
            authenticated_at: time(1),
            last_used_at: time(2),
            idle_at: time(3),
            ends_at: time(4),
            current: RefreshToken {
                id: TokenId::from_u128(8),
                issued_at: time(5),
                expires_at: time(6),
                key: "key".to_owned(),
            },
            ..session(UserId::from_u128(2), time(1))
        };
        let parts: [Vec<u8>; 14] = [
            vec![2, 0, 0, 0, 0, 0, 0, 0, 7],
            at(1).to_vec(),
            at(2).to_vec(),
            at(3).to_vec(),
            at(4).to_vec(),
            8_u128.to_be_bytes().to_vec(),
            at(5).to_vec(),
            at(6).to_vec(),
            vec![0; 22],
            vec![3],
            b"key".to_vec(),
            vec![0],
            vec![4, 192, 0, 2, 7],
            b"curl".to_vec(),
        ];
        assert_eq!(encode(&plain), Some(parts.concat()));
        assert_eq!(decode(plain.user, plain.id, &parts.concat()).as_ref(), Some(&plain));

        let proofs = [vec![0, 5], at(9).to_vec(), at(10).to_vec(), vec![0; 16]];
        let stepped_up = Session {
            methods: plain.methods.with(Method::Totp),
            authenticated_at: time(9),
            multi_at: Some(time(10)),
            ..plain
        };
        let (head, tail) = (parts[..12].concat(), parts[12..].concat());
        let mut longer = [head, proofs.concat(), tail].concat();
        longer[0] = 3;
        assert_eq!(encode(&stepped_up), Some(longer));
    }

    #[test]
    fn value_that_does_not_fit_is_not_encoded() {
        let good = session(id(UserId::generate), START);
        assert!(encode(&good).is_some());
        let before_all = Session { created_at: Timestamp::from_millis(-1), ..good.clone() };
        assert_eq!(encode(&before_all), None);
        let current = RefreshToken { key: "k".repeat(256), ..good.current.clone() };
        assert_eq!(encode(&Session { current, ..good.clone() }), None);
        let mut bytes = encode(&good).expect("it fits");
        for version in (0..=255).filter(|version| *version != PLAIN) {
            bytes[0] = version;
            assert_eq!(decode(good.user, good.id, &bytes), None, "{version}");
        }
        bytes[0] = PLAIN;
        for length in 0..86 {
            assert_eq!(decode(good.user, good.id, &bytes[..length]), None);
        }
        // The time of use of no token, and the address.
        let mut bytes = encode(&good).expect("it fits");
        bytes[82] = 1;
        assert_eq!(decode(good.user, good.id, &bytes), None);
        let mut bytes = encode(&good).expect("it fits");
        let place = 84 + good.current.key.len();
        assert_eq!(bytes.splice(place..=place, [4, 192, 0, 2, 7]).collect::<Vec<_>>(), [0]);
        assert_eq!(decode(good.user, good.id, &bytes), None);
    }
}
