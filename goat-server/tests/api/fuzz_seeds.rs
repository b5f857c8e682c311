//! The fuzz targets on their seeds, and on some hundred changes of each seed: the same in every run.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

#[path = "../../fuzz/src/requests.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets call these functions")]
mod requests;
#[path = "../../fuzz/src/server.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets call these functions")]
mod server;

/// Changes of each seed.
const CHANGES: u64 = 300;

/// Bytes that parsers treat in some special way.
const SPECIAL: &[u8] = b"\0\t\n\r \"#$%&'()+,-./019:;<=>?@AZ[\\]_`az{|}~\x7f\x80\xc3\xef\xff";

/// SplitMix64: enough for choosing changes, and reproducible.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound.max(1) as u64) as usize
    }

    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len() + 1);
        let end = (at + self.below(16)).min(bytes.len());
        match self.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            1 if at < bytes.len() => bytes[at] = SPECIAL[self.below(SPECIAL.len())],
            2 => bytes.insert(at, SPECIAL[self.below(SPECIAL.len())]),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let copied = bytes[at..end].to_vec();
                let to = self.below(bytes.len() + 1);
                bytes.splice(to..to, copied);
            }
            _ => {
                let from = self.below(other.len() + 1);
                bytes.splice(at..end, other[from..].iter().copied().take(16));
            }
        }
    }
}

fn run(target: fn(&[u8]), bytes: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| target(bytes))).is_err() {
        panic!("found by the input b\"{}\"", bytes.escape_ascii());
    }
}

fn check(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
    let mut paths: Vec<_> =
        fs::read_dir(folder).expect("seeds").map(|entry| entry.expect("a seed").path()).collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).expect("a seed")).collect();
    for (number, seed) in seeds.iter().enumerate() {
        run(target, seed);
        let mut random = Random(number as u64);
        for _ in 0..CHANGES {
            let mut bytes = seed.clone();
            for _ in 0..=random.below(4) {
                let other = &seeds[random.below(seeds.len())];
                random.change(&mut bytes, other);
            }
            run(target, &bytes);
        }
    }
}

/// J1 to J5, J8
#[test]
fn tokens_and_key_sets() {
    check("token", requests::token);
}

/// K4: the text of API keys, their prefix, and stored scopes.
#[test]
fn api_keys() {
    check("key", requests::key);
}

/// I1, I2
#[test]
fn forwarding_headers() {
    check("forwarding", requests::forwarding);
}

/// B1
#[test]
fn email_addresses() {
    check("email", requests::email);
}

/// P2, P3
#[test]
fn passwords() {
    check("password", requests::password);
}

/// P1
#[test]
fn stored_password_hashes() {
    check("password_hash", requests::password_hash);
}

#[test]
fn cookies() {
    check("cookies", requests::cookies);
}

/// H2
#[test]
fn json_bodies() {
    check("json", server::json);
}

/// A5
#[test]
fn paths_and_queries() {
    check("query", server::query);
}

/// L1
#[test]
fn values_of_settings() {
    check("setting", server::setting);
}

#[test]
fn values_in_redis() {
    check("redis_value", server::redis_value);
}
