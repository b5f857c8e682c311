//! Sign out: the session ends, and its tokens are dead from now on.

use std::sync::Arc;

use crate::access::Principal;
use crate::error::Result;
use crate::event::{Doer, Event, EventKind};
use crate::session::Origin;
use crate::task::to_the_end;

use super::Flows;

impl Flows {
    pub(crate) async fn logout(&self, principal: &Principal, origin: &Origin) -> Result<()> {
        let users = Arc::clone(&self.users);
        let (user, session) = (principal.user(), principal.session());
        let address = origin.address;
        to_the_end(async move {
            users.sessions.end(user, session).await?;
            users.verdicts.session_ended(user, session).await;
            let event = Event::new(EventKind::SignedOut, users.time.now(), Doer::User(user))
                .on(user)
                .in_session(session)
                .coming_from(address);
            users.observer.observe(&event);
            Ok(())
        })
        .await
    }
}
