//! The suite against stores that break one promise each: it must notice all of them.

use async_trait::async_trait;

use super::*;
use crate::aged::Aged;
use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::store::memory::MemoryDirectory;
use crate::user::{User, UserPage, UserQuery, UserState};

/// What a store does wrong with what it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Times are kept in whole seconds.
    CutsMilliseconds,
    /// A list's times are.
    CutsMillisecondsInLists,
    /// The revision stays as it was at first.
    CountsOnce,
    /// Writes say that they were counted, and reads know nothing of it.
    CountsInAnswersOnly,
    /// Nothing is counted.
    CountsNothing,
}

#[derive(Debug)]
struct Spoilt {
    inner: MemoryDirectory,
    fault: Fault,
}

impl Spoilt {
    fn store(fault: Fault) -> Arc<dyn UserStore> {
        Arc::new(Self { inner: MemoryDirectory::default(), fault })
    }

    fn counted(&self, revision: u64) -> u64 {
        match self.fault {
            Fault::CountsOnce | Fault::CountsInAnswersOnly => revision.min(1),
            Fault::CountsNothing => 0,
            _ => revision,
        }
    }

    fn account(&self, mut account: Account) -> Account {
        account.revision = self.counted(account.revision);
        account.user = self.user(account.user, Fault::CutsMilliseconds);
        account
    }

    fn user(&self, mut user: User, fault: Fault) -> User {
        if self.fault == fault {
            let cut = |time: Timestamp| Timestamp::from_seconds(time.as_millis().div_euclid(1000));
            user.created_at = cut(user.created_at);
            user.updated_at = cut(user.updated_at);
            user.last_login_at = user.last_login_at.map(cut);
        }
        user
    }

    fn written(&self, written: UserWriteOutcome) -> UserWriteOutcome {
        if self.fault == Fault::CountsInAnswersOnly {
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
impl UserStore for Spoilt {
    async fn by_email(&self, canonical: &str) -> Result<Option<Account>, StoreError> {
        Ok(self.inner.by_email(canonical).await?.map(|account| self.account(account)))
    }

    async fn by_id(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        Ok(self.inner.by_id(id).await?.map(|account| self.account(account)))
    }

    async fn state(&self, id: UserId) -> Result<Option<UserState>, StoreError> {
        let state = self.inner.state(id).await?;
        Ok(state.map(|state| UserState { revision: self.counted(state.revision), ..state }))
    }

    async fn cached_state(&self, id: UserId) -> Result<Aged<Option<UserState>>, StoreError> {
        Ok(Aged::now(self.state(id).await?))
    }

    async fn list(&self, query: &UserQuery) -> Result<UserPage, StoreError> {
        let mut page = self.inner.list(query).await?;
        let cut = |user| self.user(user, Fault::CutsMillisecondsInLists);
        page.users = page.users.into_iter().map(cut).collect();
        Ok(page)
    }

    async fn write(&self, write: UserWrite<'_>) -> Result<UserWriteOutcome, StoreError> {
        Ok(self.written(self.inner.write(write).await?))
    }

    async fn signed_in(
        &self,
        id: UserId,
        at: Timestamp,
        rehashed: Option<Rehashed<'_>>,
    ) -> Result<Option<User>, StoreError> {
        let user = self.inner.signed_in(id, at, rehashed).await?;
        Ok(user.map(|user| self.user(user, Fault::CutsMilliseconds)))
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

/// Whether a case comes to its end over a store.
async fn passes<F>(case: impl FnOnce(Arc<dyn UserStore>) -> F, fault: Fault) -> bool
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(case(Spoilt::store(fault))).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_a_fault_conforms() {
    assert!(passes(|store| async move { conformance(&store).await }, Fault::None).await);
}

#[tokio::test]
async fn times_that_are_cut_are_noticed() {
    let keeps = |store| async move { an_account_is_kept_as_it_was_put(&store).await };
    assert!(!passes(keeps, Fault::CutsMilliseconds).await);
    let signs_in = |store| async move { a_sign_in_is_noted_and_touches_nothing_else(&store).await };
    assert!(!passes(signs_in, Fault::CutsMilliseconds).await);
    let lists = |store| async move { a_list_is_what_filter_order_and_page_say(&store).await };
    assert!(!passes(lists, Fault::CutsMillisecondsInLists).await);
    let goes_on = |store| async move { a_list_goes_on_after_a_user(&store).await };
    assert!(!passes(goes_on, Fault::CutsMillisecondsInLists).await);
}

#[tokio::test]
async fn a_revision_that_does_not_rise_is_noticed() {
    for fault in [Fault::CountsOnce, Fault::CountsInAnswersOnly, Fault::CountsNothing] {
        let counts = |store| async move { every_write_that_is_kept_is_counted(&store).await };
        assert!(!passes(counts, fault).await, "{fault:?}");
        let at_once = |store| async move { writes_at_once_are_counted_each(&store).await };
        assert!(!passes(at_once, fault).await, "{fault:?}");
    }
    let shown =
        |store| async move { a_recent_state_shows_every_write_that_was_answered(&store).await };
    assert!(!passes(shown, Fault::CountsInAnswersOnly).await);
}

/// Users of an application's own, whom goat did not make.
#[tokio::test]
async fn ids_that_were_not_made_for_the_time_of_their_users_are_noticed() {
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
            users_stand_where_their_ids_say(&store).await;
        };
        assert_eq!(passes(stands, Fault::None).await, conforms);
    }
}
