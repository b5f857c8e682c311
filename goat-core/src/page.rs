//! Pages: which part of a list, and how much there is in all.

use std::num::NonZeroU32;

/// How far into a list pages reach; further on, a list is continued after an id.
pub const PAGE_REACH: u64 = 10_000;

/// The most entries of one page.
pub const PAGE_MAXIMUM: u32 = 100;

/// Which page of a list, and how many entries a page has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    page: NonZeroU32,
    limit: NonZeroU32,
}

impl PageRequest {
    /// A page from 1 up, of 1 to 100 entries; `None` for other numbers, and where the two together
    /// reach past 10,000 entries.
    #[must_use]
    pub fn new(page: u32, limit: u32) -> Option<Self> {
        let request = Self { page: NonZeroU32::new(page)?, limit: NonZeroU32::new(limit)? };
        let reach = u64::from(page) * u64::from(limit);
        (limit <= PAGE_MAXIMUM && reach <= PAGE_REACH).then_some(request)
    }

    /// The number of the page, from 1.
    #[must_use]
    pub const fn page(self) -> u32 {
        self.page.get()
    }

    /// How many entries a page has.
    #[must_use]
    pub const fn limit(self) -> u32 {
        self.limit.get()
    }

    /// How many entries come before this page.
    #[must_use]
    pub fn offset(self) -> u64 {
        u64::from(self.page() - 1) * u64::from(self.limit())
    }
}

impl Default for PageRequest {
    /// The first twenty.
    fn default() -> Self {
        Self { page: NonZeroU32::MIN, limit: NonZeroU32::MIN.saturating_add(19) }
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// How many entries the whole list has.
    pub total: u64,
}

impl<T> Page<T> {
    /// Cuts a page out of a list that is all there.
    pub(crate) fn of(all: Vec<T>, request: PageRequest) -> Self {
        let total = all.len() as u64;
        let offset = usize::try_from(request.offset()).unwrap_or(usize::MAX);
        let items = all.into_iter().skip(offset).take(request.limit() as usize).collect();
        Self { items, total }
    }
}
