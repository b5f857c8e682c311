//! Memory for Argon2: allocated once, reused, and wiped after each use.
//!
//! Invariant: at most as many buffers as hashes have run concurrently, which the bulkhead bounds.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use argon2::Block;
use zeroize::Zeroize;

/// Pool of buffers of one size. Reuse saves thousands of page faults per hash.
pub(super) struct Buffers {
    blocks: usize,
    idle: Mutex<Vec<Vec<Block>>>,
}

impl Buffers {
    /// Creates an empty pool of buffers of `blocks` blocks of 1 KiB.
    pub(super) fn new(blocks: usize) -> Self {
        Self { blocks, idle: Mutex::default() }
    }

    /// Borrows a buffer of at least `blocks` blocks. A larger one than the pool's is allocated for
    /// this use only.
    pub(super) fn borrow(&self, blocks: usize) -> Borrowed<'_> {
        let kept = if blocks <= self.blocks { self.idle().pop() } else { None };
        let memory = kept.unwrap_or_else(|| vec![Block::new(); blocks.max(self.blocks)]);
        Borrowed { home: self, memory, used: blocks }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Vec<Block>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A borrowed buffer. It is wiped and returned to the pool on drop.
pub(super) struct Borrowed<'a> {
    home: &'a Buffers,
    memory: Vec<Block>,
    used: usize,
}

impl Deref for Borrowed<'_> {
    type Target = [Block];

    fn deref(&self) -> &[Block] {
        &self.memory[..self.used]
    }
}

impl DerefMut for Borrowed<'_> {
    fn deref_mut(&mut self) -> &mut [Block] {
        &mut self.memory[..self.used]
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        // Leftover memory would allow guesses at the password without the cost of the hash.
        self.iter_mut().for_each(Zeroize::zeroize);
        if self.memory.len() == self.home.blocks {
            let memory = std::mem::take(&mut self.memory);
            self.home.idle().push(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P7
    #[test]
    fn buffers_are_reused_and_wiped() {
        let buffers = Buffers::new(4);
        let mut first = buffers.borrow(4);
        first[3].as_mut()[0] = 7;
        let place = first.as_ptr();
        drop(first);

        let again = buffers.borrow(2);
        assert_eq!((again.as_ptr(), again.len()), (place, 2));
        drop(again);
        let whole = buffers.borrow(4);
        assert!(whole.iter().all(|block| block.as_ref().iter().all(|&word| word == 0)));
    }

    /// P7
    #[test]
    fn the_pool_holds_as_many_buffers_as_were_in_use_at_once() {
        let buffers = Buffers::new(1);
        for _ in 0..3 {
            let together = (buffers.borrow(1), buffers.borrow(1));
            drop(together);
        }
        assert_eq!(buffers.idle().len(), 2);
    }

    #[test]
    fn larger_buffers_do_not_enter_the_pool() {
        let buffers = Buffers::new(1);
        assert_eq!(buffers.borrow(5).len(), 5);
        assert!(buffers.idle().is_empty());
    }
}
