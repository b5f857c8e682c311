//! Single-flight: callers that share reads against a write.

use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use crate::single_flight::SingleFlight;

/// A store of one value, and the flights of its reads.
#[derive(Default)]
struct Reads {
    flights: SingleFlight<(), u64, &'static str>,
    value: AtomicU64,
    reads: AtomicU64,
}

impl Reads {
    fn read(&self) -> u64 {
        let read = || async {
            self.reads.fetch_add(1, Ordering::SeqCst);
            Ok(self.value.load(Ordering::SeqCst))
        };
        block_on(self.flights.run((), read)).expect("no read fails")
    }
}

fn spawn(reads: &Arc<Reads>, run: impl FnOnce(&Reads) + 'static) -> thread::JoinHandle<()> {
    let reads = Arc::clone(reads);
    thread::spawn(move || run(&reads))
}

/// Another caller reads while a value is written. A call after the write returns the value written.
pub fn a_call_after_a_write_returns_the_value_written() {
    let reads = Arc::new(Reads::default());
    let other = spawn(&reads, |reads| {
        reads.read();
    });
    reads.value.store(1, Ordering::SeqCst);
    assert_eq!(reads.read(), 1);
    other.join().expect("no panic");
    assert_eq!(reads.read(), 1);
}

/// Two callers read while a value is written and read: at most one read each.
pub fn three_callers_share_reads() {
    let reads = Arc::new(Reads::default());
    let others = [(); 2].map(|()| {
        spawn(&reads, |reads| {
            reads.read();
        })
    });
    reads.value.store(1, Ordering::SeqCst);
    assert_eq!(reads.read(), 1);
    for other in others {
        other.join().expect("no panic");
    }
    assert!(reads.reads.load(Ordering::SeqCst) <= 3);
}
