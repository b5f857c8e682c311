//! Proofs of a session: their methods and times.

use std::sync::Arc;

use crate::id::UserId;
use crate::proof::{Method, Methods};
use crate::session::{Session, TokenReplacement};
use crate::store::SessionStore;
use crate::testing::sample::{START, later, session, token};

use super::rotation::rotated;
use super::{create, find};

/// Sessions of every kind of proof.
fn kinds(user: UserId) -> Vec<Session> {
    let mut vouched = session(user, later(1));
    vouched.methods = Methods::of(Method::Vouched);
    let mut stepped_up = session(user, later(2));
    stepped_up.methods = Methods::of(Method::Password).with(Method::Totp);
    stepped_up.authenticated_at = later(30);
    stepped_up.multi_at = Some(later(30));
    stepped_up.address = "2001:db8::1".parse().ok();
    let mut recent = session(user, later(3));
    recent.authenticated_at = later(40);
    let mut of_a_later_version = session(user, later(4));
    of_a_later_version.methods = Methods::from_bits(u16::MAX);
    of_a_later_version.actor = Some(UserId::generate(START));
    vec![session(user, START), vouched, stepped_up, recent, of_a_later_version]
}

/// G5: a session is read back with its proofs, and neither a rotation nor a replacement of its tokens
/// changes them.
pub async fn the_proofs_of_a_session_outlive_its_tokens(store: &Arc<dyn SessionStore>) {
    let user = UserId::generate(START);
    let mut sessions = kinds(user);
    for session in &sessions {
        create(store, session).await;
        assert_eq!(find(store, user, session.id).await.as_ref(), Some(session));
    }
    for session in &mut sessions {
        *session = rotated(store, session, later(60)).await;
        assert_eq!(find(store, user, session.id).await.as_ref(), Some(&*session));
    }
    for session in &mut sessions {
        let token = token(later(61));
        let replacement = TokenReplacement { session: session.id, epoch: 1, token };
        assert!(session.replace_tokens(&replacement, later(61)));
        let replaced = store.replace_tokens(user, &replacement, later(61)).await;
        assert!(replaced.expect("the store responds"));
        assert_eq!(find(store, user, session.id).await.as_ref(), Some(&*session));
        *session = rotated(store, session, later(62)).await;
        assert_eq!(find(store, user, session.id).await.as_ref(), Some(&*session));
    }
}
