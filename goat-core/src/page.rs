//! Pagination: page requests and pages.

use std::num::NonZeroU32;

/// The last entry of a list that a page can reach; beyond it, lists continue after an id.
pub const PAGE_REACH: u64 = 10_000;

/// The maximum number of entries per page.
pub const PAGE_MAXIMUM: u32 = 100;

/// A page number and a page size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    page: NonZeroU32,
    limit: NonZeroU32,
}

impl PageRequest {
    /// Returns a request for a page from 1 up, of 1 to 100 entries; `None` for other numbers, and for
    /// pages beyond the first 10,000 entries.
    #[must_use]
    pub fn new(page: u32, limit: u32) -> Option<Self> {
        let request = Self { page: NonZeroU32::new(page)?, limit: NonZeroU32::new(limit)? };
        let reach = u64::from(page) * u64::from(limit);
        (limit <= PAGE_MAXIMUM && reach <= PAGE_REACH).then_some(request)
    }

    /// Returns the page number, from 1.
    #[must_use]
    pub const fn page(self) -> u32 {
        self.page.get()
    }

    /// Returns the page size.
    #[must_use]
    pub const fn limit(self) -> u32 {
        self.limit.get()
    }

    /// Returns the number of entries before the page.
    #[must_use]
    pub fn offset(self) -> u64 {
        u64::from(self.page() - 1) * u64::from(self.limit())
    }
}

impl Default for PageRequest {
    /// The first twenty entries.
    fn default() -> Self {
        Self { page: NonZeroU32::MIN, limit: NonZeroU32::MIN.saturating_add(19) }
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// The number of entries in the whole list.
    pub total: u64,
}

impl<T> Page<T> {
    /// Returns a page of a complete list.
    pub(crate) fn of(all: Vec<T>, request: PageRequest) -> Self {
        let total = all.len() as u64;
        let offset = usize::try_from(request.offset()).unwrap_or(usize::MAX);
        let items = all.into_iter().skip(offset).take(request.limit() as usize).collect();
        Self { items, total }
    }
}
