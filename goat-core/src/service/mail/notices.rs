//! Notices to the owner of an account, of changes that took effect.

use crate::courier::{Letter, Message};
use crate::language::Languages;
use crate::session::Origin;
use crate::user::{User, UserKind};

use super::super::Context;
use super::super::open_session::DEVICE_LENGTH;

impl Context {
    /// Sends a notice to a user, if there is a courier. A service account reads no mail. A full queue loses
    /// the notice: the change has taken effect.
    ///
    /// To an address that was never verified, which may be a stranger's, notices count in the limit of letters,
    /// and are not sent beyond it.
    pub(crate) async fn notify(&self, user: &User, languages: &Languages, message: Message) {
        let Some(mail) = self.mail.as_ref().filter(|_| user.kind() == UserKind::Person) else {
            return;
        };
        if user.email_verified_at.is_none()
            && self.credential_limits.acquire_letter(user.email.canonical()).await.is_err()
        {
            return;
        }
        match mail.courier.reserve_notice() {
            Ok(permit) => {
                permit.send(Letter::new(user.email.clone(), languages.clone(), message));
            }
            Err(error) => {
                let message = message.name();
                tracing::warn!(%error, user = %user.id, message, "notice to the owner lost");
            }
        }
    }

    /// Tells the owner of a sign-in without a valid device token, a few times an hour.
    pub(crate) async fn notify_new_device(&self, user: &User, origin: Origin) {
        if self.mail.is_none() || !self.credential_limits.may_tell_of_device(user.id).await {
            return;
        }
        let Origin { address, device, languages } = origin;
        let device = device.unwrap_or_default().chars().take(DEVICE_LENGTH).collect();
        let at = self.time.now();
        self.notify(user, &languages, Message::NewDevice { at, device, address }).await;
    }

    /// Tells the owner of a right first proof with a wrong second factor, at most once an hour.
    pub(crate) async fn notify_wrong_factor(&self, user: &User, origin: &Origin) {
        if self.mail.is_none() || !self.credential_limits.may_tell_of_factor(user.id).await {
            return;
        }
        let message = Message::SecondFactorFailed { at: self.time.now(), address: origin.address };
        self.notify(user, &origin.languages, message).await;
    }
}
