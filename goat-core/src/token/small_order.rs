//! Ed25519 public keys of small order, for which signatures can be forged.
//!
//! Ed25519 has eight points whose order divides eight. If a key is one of them, a signature made
//! without a secret verifies for at least one message in eight, and for the neutral element always.
//! RFC 8032 does not require verifiers to refuse them. No honest key is one, but a placeholder such
//! as 32 zeros is.
//!
//! Invariant: all encodings of these points are covered, including non-canonical ones of `y` modulo
//! the prime, with either sign bit.

/// Mask for the last byte without the sign bit of `x` (RFC 8032 §5.1.2).
const WITHOUT_SIGN: u8 = 0x7f;

/// `y` of the two pairs of points of order eight, little-endian.
const EIGHTH: [[u8; 32]; 2] = [
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// Whether the key is one of these points.
pub(super) fn is_of_small_order(key: &[u8; 32]) -> bool {
    let mut y = *key;
    y[31] &= WITHOUT_SIGN;
    if EIGHTH.contains(&y) {
        return true;
    }
    match (y[0], y[31]) {
        // 0 and 1.
        (0 | 1, 0) => y[1..31].iter().all(|byte| *byte == 0),
        // The prime minus one, which is -1; the prime and the prime plus one, which encode 0 and 1.
        (0xec..=0xee, WITHOUT_SIGN) => y[1..31].iter().all(|byte| *byte == 0xff),
        _ => false,
    }
}
