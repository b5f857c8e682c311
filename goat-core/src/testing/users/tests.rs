//! Runs the suite against faulty stores: it must detect each violation.

use async_trait::async_trait;

use super::*;
use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::store::Aged;
use crate::store::memory::MemoryDirectory;
use crate::user::{UserPage, UserState};

/// The fault of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Times are truncated to seconds.
    TruncatesTimes,
    /// Times are truncated to seconds in lists.
    TruncatesTimesInLists,
    /// The revision never rises.
    NeverRaisesTheRevision,
    /// Writes return a raised revision, reads do not.
    RaisesTheRevisionInResultsOnly,
    /// The revision is always zero.
    RevisionIsZero,
    /// A new address keeps the time at which the earlier one was verified.
    KeepsTheVerification,
    /// A write without a new address leaves the time of the verification as it was.
    WritesNoVerification,
    /// Lists show no verification.
    ListsNoVerification,
}

#[derive(Debug)]
struct FaultyStore {
    inner: MemoryDirectory,
    fault: Fault,
}

impl FaultyStore {
    fn store(fault: Fault) -> Arc<dyn UserStore> {
        Arc::new(Self { inner: MemoryDirectory::default(), fault })
    }

    fn counted(&self, revision: u64) -> u64 {
        match self.fault {
            Fault::NeverRaisesTheRevision | Fault::RaisesTheRevisionInResultsOnly => {
                revision.min(1)
            }
            Fault::RevisionIsZero => 0,
            _ => revision,
        }
    }

    fn account(&self, mut account: Account) -> Account {
        account.revision = self.counted(account.revision);
        account.user = self.user(account.user, Fault::TruncatesTimes);
        account
    }

    fn state_of(&self, state: UserState) -> UserState {
        let user = self.user(state.user, Fault::TruncatesTimes);
        UserState { user, revision: self.counted(state.revision), ..state }
    }

    fn user(&self, mut user: User, fault: Fault) -> User {
        if self.fault == fault {
            let cut = |time: Timestamp| Timestamp::from_seconds(time.as_millis().div_euclid(1000));
            user.created_at = cut(user.created_at);
            user.updated_at = cut(user.updated_at);
            user.last_login_at = user.last_login_at.map(cut);
            user.email_verified_at = user.email_verified_at.map(cut);
        }
        user
    }

    fn written(&self, written: UserWriteOutcome) -> UserWriteOutcome {
        if self.fault == Fault::RaisesTheRevisionInResultsOnly {
            return written;
        }
        match written {
            UserWriteOutcome::Unchanged(account) => {
                UserWriteOutcome::Unchanged(self.account(account))
            }
            UserWriteOutcome::Changed { before, after } => UserWriteOutcome::Changed {
                before: before.map(|before| self.account(before)),
                after: self.account(after),
            },
            UserWriteOutcome::Deleted(before) => UserWriteOutcome::Deleted(self.account(before)),
            refused => refused,
        }
    }
}

#[async_trait]
impl UserStore for FaultyStore {
    async fn by_email(&self, canonical: &str) -> Result<Option<Account>, StoreError> {
        Ok(self.inner.by_email(canonical).await?.map(|account| self.account(account)))
    }

    async fn by_id(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        Ok(self.inner.by_id(id).await?.map(|account| self.account(account)))
    }

    async fn state(&self, id: UserId) -> Result<Option<UserState>, StoreError> {
        Ok(self.inner.state(id).await?.map(|state| self.state_of(state)))
    }

    async fn cached_state(&self, id: UserId) -> Result<Aged<Option<UserState>>, StoreError> {
        Ok(Aged::now(self.state(id).await?))
    }

    async fn list(&self, query: &UserQuery) -> Result<UserPage, StoreError> {
        let mut page = self.inner.list(query).await?;
        let cut = |user| self.user(user, Fault::TruncatesTimesInLists);
        page.users = page.users.into_iter().map(cut).collect();
        if self.fault == Fault::ListsNoVerification {
            page.users.iter_mut().for_each(|user| user.email_verified_at = None);
        }
        Ok(page)
    }

    async fn write(&self, write: UserWrite<'_>) -> Result<UserWriteOutcome, StoreError> {
        let decide = |snapshot: &UserSnapshot| {
            let mut change = (write.decide)(snapshot);
            if let (Ok(UserChange::Put(after)), Some(before)) = (&mut change, &snapshot.target) {
                let moves = after.user.email != before.user.email;
                if self.fault == Fault::KeepsTheVerification && moves
                    || self.fault == Fault::WritesNoVerification && !moves
                {
                    after.user.email_verified_at = before.user.email_verified_at;
                }
            }
            change
        };
        let UserWrite { actor, key, target, top_role, assigns, .. } = write;
        let write = UserWrite { actor, key, target, top_role, assigns, decide: &decide };
        Ok(self.written(self.inner.write(write).await?))
    }

    async fn signed_in(
        &self,
        id: UserId,
        at: Timestamp,
        rehashed: Option<Rehashed<'_>>,
    ) -> Result<Option<UserState>, StoreError> {
        let state = self.inner.signed_in(id, at, rehashed).await?;
        Ok(state.map(|state| self.state_of(state)))
    }

    async fn has_active_user_in(&self, role: &Role) -> Result<bool, StoreError> {
        self.inner.has_active_user_in(role).await
    }

    async fn sample_hashes(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        self.inner.sample_hashes(limit).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
}

/// Whether a case succeeds with a fault.
async fn passes<F>(case: impl FnOnce(Arc<dyn UserStore>) -> F, fault: Fault) -> bool
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(case(FaultyStore::store(fault))).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_a_fault_conforms() {
    assert!(passes(|store| async move { conformance(&store).await }, Fault::None).await);
}

#[tokio::test]
async fn truncated_times_are_detected() {
    let keeps = |store| async move { an_account_is_read_back_as_written(&store).await };
    assert!(!passes(keeps, Fault::TruncatesTimes).await);
    let signs_in = |store| async move { a_sign_in_changes_only_the_last_login(&store).await };
    assert!(!passes(signs_in, Fault::TruncatesTimes).await);
    let lists = |store| async move { a_list_applies_filter_order_and_page(&store).await };
    assert!(!passes(lists, Fault::TruncatesTimesInLists).await);
    let goes_on = |store| async move { a_list_continues_after_a_user(&store).await };
    assert!(!passes(goes_on, Fault::TruncatesTimesInLists).await);
}

#[tokio::test]
async fn a_wrong_revision_is_detected() {
    for fault in [
        Fault::NeverRaisesTheRevision,
        Fault::RaisesTheRevisionInResultsOnly,
        Fault::RevisionIsZero,
    ] {
        let counts = |store| async move { each_stored_write_raises_the_revision(&store).await };
        assert!(!passes(counts, fault).await, "{fault:?}");
        let at_once =
            |store| async move { concurrent_writes_each_raise_the_revision(&store).await };
        assert!(!passes(at_once, fault).await, "{fault:?}");
    }
    let shown = |store| async move { a_cached_state_includes_every_completed_write(&store).await };
    assert!(!passes(shown, Fault::RaisesTheRevisionInResultsOnly).await);
}

#[tokio::test]
async fn a_verification_apart_from_the_address_is_detected() {
    for fault in
        [Fault::KeepsTheVerification, Fault::WritesNoVerification, Fault::ListsNoVerification]
    {
        let moves = |store| async move { a_verification_moves_with_the_address(&store).await };
        assert!(!passes(moves, fault).await, "{fault:?}");
    }
}

/// Users that an application created without goat.
#[tokio::test]
async fn ids_that_do_not_match_creation_times_are_detected() {
    for (made_at, conforms) in [(later(7), true), (START, false)] {
        let stands = |store: Arc<dyn UserStore>| async move {
            for _ in 0..120 {
                let mut account = account(&role());
                account.user.created_at = later(7);
                account.user.id = UserId::generate(later(7));
                put(&store, &account).await;
            }
            let mut account = account(&role());
            account.user.created_at = later(7);
            account.user.id = UserId::generate(made_at);
            put(&store, &account).await;
            ids_match_creation_times(&store).await;
        };
        assert_eq!(passes(stands, Fault::None).await, conforms);
    }
}
