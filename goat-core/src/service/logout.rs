//! Sign out: the session ends, and its tokens are dead from now on.

use std::sync::Arc;

use crate::access::Principal;
use crate::detached::run_to_completion;
use crate::error::Result;
use crate::event::{Event, EventActor, EventKind};
use crate::session::Origin;

use super::Flows;

impl Flows {
    pub(crate) async fn logout(&self, principal: &Principal, origin: &Origin) -> Result<()> {
        let users = Arc::clone(&self.users);
        let (user, session) = (principal.user(), principal.session());
        let address = origin.address;
        run_to_completion(async move {
            users.sessions.end(user, session).await?;
            users.validator.session_ended(user, session).await;
            let event = Event::new(EventKind::SignedOut, users.time.now(), EventActor::User(user))
                .on(user)
                .in_session(session)
                .from_address(address);
            users.observer.observe(&event);
            Ok(())
        })
        .await
    }
}
