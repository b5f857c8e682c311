//! Logout: ends the session, which invalidates its tokens.

use std::sync::Arc;

use crate::detached::run_to_completion;
use crate::error::Result;
use crate::event::{Event, EventActor, EventKind};
use crate::session::Origin;

use super::{Context, Principal};

impl Context {
    pub(crate) async fn logout(
        self: &Arc<Self>,
        principal: &Principal,
        origin: &Origin,
    ) -> Result<()> {
        let context = Arc::clone(self);
        let (profile, session) = (principal.profile().clone(), principal.require_session()?);
        let address = origin.address;
        run_to_completion(async move {
            let user = profile.id;
            // A store repeats the command after a lost response, so a session that had ended already is no error.
            context.stores.sessions.end(user, session).await?;
            context.validator.sessions_ended(user, &[session]).await;
            let event =
                Event::new(EventKind::SignedOut, context.time.now(), EventActor::User(user))
                    .about(&profile)
                    .in_session(session)
                    .with_address(address);
            context.observer.observe(&event);
            Ok(())
        })
        .await
    }
}
