//! The memory that hashes are made in: allocated once, kept, and wiped after each use.
//!
//! Invariant: never more buffers than hashes have run at once, which the gate bounds.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use argon2::Block;
use zeroize::Zeroize;

/// Buffers of one size. Keeping them spares the kernel thousands of page faults for each hash.
pub(super) struct Buffers {
    blocks: usize,
    idle: Mutex<Vec<Vec<Block>>>,
}

impl Buffers {
    /// Buffers of so many blocks of 1 KiB, none of them made yet.
    pub(super) fn new(blocks: usize) -> Self {
        Self { blocks, idle: Mutex::default() }
    }

    /// Lends a buffer of at least so many blocks. One that must be larger than the others is made
    /// for this use alone.
    pub(super) fn borrow(&self, blocks: usize) -> Borrowed<'_> {
        let kept = if blocks <= self.blocks { self.idle().pop() } else { None };
        let memory = kept.unwrap_or_else(|| vec![Block::new(); blocks.max(self.blocks)]);
        Borrowed { home: self, memory, used: blocks }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Vec<Block>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer on loan. It goes back when this is dropped, wiped.
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
        // Whoever reads this memory later could guess at the password without the salt's cost.
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
    fn a_buffer_is_used_again_and_comes_back_wiped() {
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
    fn only_as_many_buffers_are_kept_as_were_in_use_at_once() {
        let buffers = Buffers::new(1);
        for _ in 0..3 {
            let together = (buffers.borrow(1), buffers.borrow(1));
            drop(together);
        }
        assert_eq!(buffers.idle().len(), 2);
    }

    #[test]
    fn a_larger_buffer_is_not_kept() {
        let buffers = Buffers::new(1);
        assert_eq!(buffers.borrow(5).len(), 5);
        assert!(buffers.idle().is_empty());
    }
}
