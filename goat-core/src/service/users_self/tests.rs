//! A change of the password whose tokens cannot be signed.

use std::sync::Arc;

use crate::auth::{Login, SignUp};
use crate::error::ErrorKind;
use crate::session::Origin;
use crate::store::Stores;
use crate::testing::{ManualClock, PlainHasher};
use crate::token::TokenKeys;
use crate::{Email, Goat};

const ADDRESS: &str = "ann@example.org";
const PASSWORD: &str = "a long walk on a short pier";

fn goat(stores: &Stores, keys: TokenKeys) -> Goat {
    Goat::builder(stores.clone(), keys)
        .hasher(Arc::new(PlainHasher::default()))
        .clock(Arc::new(ManualClock::default()))
        .build()
        .expect("a goat")
}

/// D5, R3: the tokens are signed before the commit.
#[tokio::test]
async fn a_failure_to_sign_the_new_tokens_changes_nothing() {
    let (stores, keys) = (Stores::memory(), TokenKeys::generate());
    let (sound, failing) = (goat(&stores, keys.clone()), goat(&stores, keys.public_only()));
    let email = Email::parse(ADDRESS).expect("an address");
    let request = SignUp { email, password: Some(PASSWORD.into()), origin: Origin::default() };
    sound.sign_up(request).await.expect("a user");
    let login = || {
        let (email, password) = (ADDRESS.into(), PASSWORD.into());
        sound.login(Login { email, password, device_token: None, origin: Origin::default() })
    };
    let tokens = login().await.expect("a session").value.tokens;
    login().await.expect("another session");
    let me = failing.authenticate_token(tokens.access_token.expose()).await.expect("a principal");
    let new = "seven lamps at a quay".into();
    let origin = Origin::default();
    let changed = failing.users().change_password(&me, PASSWORD, &new, &origin);
    assert_eq!(changed.await.expect_err("no signature").kind(), ErrorKind::Internal);
    login().await.expect("the password is as before");
    sound.authenticate_token(tokens.access_token.expose()).await.expect("the session is live");
    sound.refresh(&tokens.refresh_token, &Origin::default()).await.expect("its token is current");
}

/// The new tokens must not require a revision that no state of such a store has.
#[test]
fn a_store_without_revisions_keeps_zero() {
    assert_eq!(super::next_revision(0), 0);
    assert_eq!(super::next_revision(7), 8);
}
