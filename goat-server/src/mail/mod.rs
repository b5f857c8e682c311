//! Mail: the courier of goat-server, which renders letters and delivers them by SMTP, or into a folder for
//! development.
//!
//! | part | task |
//! |---|---|
//! | [`MailCourier`] | accepts letters: a bounded queue in memory, without waiting |
//! | `delivery` | takes them from the queue, with retries, until shutdown |
//! | `render` | templates, links, and the MIME message |
//! | `smtp`, `folder` | the carriers |
//!
//! A crash loses the letters that wait: they hold links, and a queue on a disk would hold them in clear text.
//! Readers ask again.

mod backoff;
mod carrier;
mod delivery;
mod folder;
mod places;
pub(crate) mod render;
mod smtp;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use goat_core::Clock;
use goat_core::courier::{Courier, Permit, QueueFull};
use http::Uri;
use lettre::message::Mailbox;
use tokio::sync::mpsc;

pub use delivery::{Deliveries, Mailbag};
pub(crate) use render::check_templates;
pub use render::link::link_for;

use crate::failure::Failure;
use crate::observe::metrics::{MailLoss, MailMetrics};
use crate::start::settings::{MailDelivery, MailFrom, MailSettings};
use backoff::Backoff;
use carrier::Carrier;
use delivery::{Delivery, Waiting};
use folder::{Folder, Terminal};
use places::{Place, Places};
use render::Renderer;
use smtp::{Server, Smtp};

/// The courier of goat-server.
///
/// ```no_run
/// use std::path::Path;
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use goat_core::SystemClock;
/// use goat_server::mail::MailCourier;
/// use goat_server::serve::Lifecycle;
/// use goat_server::start::settings::{Flags, Settings};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let flags = Flags::default();
/// let (settings, _) = Settings::load(std::env::vars_os(), &flags, Path::new(".env"))?;
/// let (mail, http) = (&settings.mail, &settings.http);
/// let clock = Arc::new(SystemClock::start());
/// let made = MailCourier::from_settings(mail, http.public_url.as_ref(), clock)?;
/// let Some((courier, mailbag)) = made else { return Ok(()) };
/// let lifecycle = Lifecycle::new();
/// let deliveries = mailbag.start(&lifecycle);
/// // Build a goat with `.courier(Arc::new(courier))`, and serve it. At the end:
/// lifecycle.drain();
/// deliveries.drain(tokio::time::Instant::now() + Duration::from_secs(15)).await;
/// # drop(courier);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MailCourier {
    places: Places,
    letters: mpsc::UnboundedSender<Waiting>,
    metrics: MailMetrics,
}

impl MailCourier {
    /// Creates the courier, and the mailbag that delivers its letters once it is started; `None` without
    /// `GOAT_MAIL_URL`, and without a URL for links.
    ///
    /// # Errors
    ///
    /// A file of `GOAT_MAIL_TEMPLATES` is not a valid template, or mail servers do not accept the sender.
    pub fn from_settings(
        settings: &MailSettings,
        public_url: Option<&Uri>,
        clock: Arc<dyn Clock>,
    ) -> Result<Option<(Self, Mailbag)>, Failure> {
        let (Some(to), Some(link_url)) = (&settings.delivery, &settings.link_url) else {
            return Ok(None);
        };
        let site = site(public_url, link_url);
        let terminal = Terminal::default();
        let carrier: Box<dyn Carrier> = match to {
            MailDelivery::Smtp(server) => {
                Box::new(Smtp::new(Server::new(server, &site)?, settings.timeout))
            }
            MailDelivery::Files(path) => {
                Box::new(Folder::new(path.clone(), Arc::clone(&clock), terminal.clone()))
            }
        };
        let from = sender(&settings.from)?;
        let templates = settings.templates.as_deref();
        let renderer = Renderer::new(from, site, link_url.clone(), templates)?;
        let metrics = MailMetrics::default();
        let delivery = Delivery { renderer, carrier, backoff: Backoff::default(), clock, metrics };
        Ok(Some(Self::over(delivery, settings.queue, terminal)))
    }

    fn over(delivery: Delivery, queue: usize, terminal: Terminal) -> (Self, Mailbag) {
        let places = Places::new(queue);
        // The places bound it.
        let (letters, waiting) = mpsc::unbounded_channel();
        let courier = Self { places: places.clone(), letters, metrics: delivery.metrics.clone() };
        let delivery = Arc::new(delivery);
        (courier, Mailbag { delivery, places, letters: waiting, terminal })
    }

    fn permit(&self, place: Option<Place>) -> Result<Permit, QueueFull> {
        let Some(place) = place else {
            self.metrics.rejected();
            return Err(QueueFull);
        };
        let letters = self.letters.clone();
        let metrics = self.metrics.clone();
        Ok(Permit::new(move |letter| {
            if let Err(mpsc::error::SendError((letter, _))) = letters.send((letter, place)) {
                let message = letter.message.name();
                metrics.lost(MailLoss::Shutdown, 1);
                tracing::warn!(
                    letter = message,
                    reason = MailLoss::Shutdown.name(),
                    "letter dropped"
                );
            }
        }))
    }
}

impl Courier for MailCourier {
    fn reserve(&self) -> Result<Permit, QueueFull> {
        self.permit(self.places.take())
    }

    fn reserve_notice(&self) -> Result<Permit, QueueFull> {
        self.permit(self.places.take_for_notice())
    }
}

/// Returns the name of the application in letters: the host under which clients reach it.
fn site(public_url: Option<&Uri>, link_url: &str) -> String {
    let host = |url: &Uri| url.host().map(|host| host.trim_matches(['[', ']']).to_owned());
    let of_link = || link_url.parse().ok().as_ref().and_then(host);
    public_url.and_then(host).or_else(of_link).unwrap_or_default()
}

/// Returns the sender, with the domain of its address in ASCII.
fn sender(from: &MailFrom) -> Result<Mailbox, Failure> {
    let address = render::address(&from.address)
        .ok_or_else(|| Failure::configuration("GOAT_MAIL_FROM: mail servers do not accept it"))?;
    Ok(Mailbox::new(from.name.clone(), address))
}

#[cfg(test)]
impl MailCourier {
    async fn all_free(&self) {
        self.places.all_free().await;
    }

    fn metrics(&self) -> &MailMetrics {
        &self.metrics
    }
}
