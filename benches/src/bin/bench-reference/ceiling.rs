//! The ceiling of sign-in: Argon2 hashes of one core, at the server's default parameters.

use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};

/// Memory in KiB, passes and lanes.
const PARAMETERS: (u32, u32, u32) = (19_456, 2, 1);
/// The duration of a measurement.
const DURATION: Duration = Duration::from_secs(2);

/// Prints the CPU microseconds of one hash. Memory is allocated once.
pub(crate) fn measure() {
    let (memory, passes, lanes) = PARAMETERS;
    let parameters = Params::new(memory, passes, lanes, None).expect("in bounds");
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
    let mut blocks = vec![Block::default(); hasher.params().block_count()];
    let mut output = [0; 32];
    let (mut hashes, started, before) = (0, Instant::now(), cpu_time());
    while started.elapsed() < DURATION {
        hasher
            .hash_password_into_with_memory(
                b"a long walk on a short pier",
                b"sixteen bytes, a",
                &mut output,
                &mut blocks,
            )
            .expect("a hash");
        hashes += 1;
    }
    println!("{}", (cpu_time() - before) / hashes / 1000);
}

/// Nanoseconds of CPU time of this thread.
fn cpu_time() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split(' ').next().and_then(|word| word.parse().ok()).expect("a number")
}
