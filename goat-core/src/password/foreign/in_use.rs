//! The foreign schemes in use, each with its dearest parameters so far.

#[cfg(any(test, feature = "testing"))]
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::kdf::Kdf;

/// At most one entry per scheme. Entries stay until the process ends.
#[derive(Debug, Default)]
pub(super) struct InUse {
    dearest: Mutex<Vec<Kdf>>,
    /// The units of work done, by scheme.
    #[cfg(any(test, feature = "testing"))]
    work: Mutex<BTreeMap<&'static str, u64>>,
}

impl InUse {
    /// Notes a stored hash.
    pub(super) fn note(&self, kdf: Kdf) {
        let mut dearest = lock(&self.dearest);
        match dearest.iter_mut().find(|known| known.scheme() == kdf.scheme()) {
            Some(known) if known.units() < kdf.units() => *known = kdf,
            Some(_) => {}
            None => dearest.push(kdf),
        }
    }

    /// Returns the dearest parameters of each scheme in use.
    pub(super) fn dearest(&self) -> Vec<Kdf> {
        lock(&self.dearest).clone()
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn count(&self, kdf: Kdf) {
        *lock(&self.work).entry(kdf.scheme().name()).or_default() += kdf.units();
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn take_work(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut lock(&self.work))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
