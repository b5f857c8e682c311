//! `goat-server migrate`: migrates the database schema and applies the roles file, as a step of a
//! deployment.

use std::path::Path;
use std::sync::Arc;

use goat_core::access::RoleDifference;
use goat_core::event::Observer;
use goat_core::token::TokenKeys;
use goat_core::{Clock, Goat, SystemClock};

use crate::failure::Failure;
use crate::observe::audit::AuditObserver;
use crate::start::settings::Settings;
use crate::start::{self, AdoptForeign, DataDir, Storage, check_file_access};

use super::console::answer;

pub(super) async fn run(settings: &Settings, adopt: bool) -> Result<(), Failure> {
    let data = DataDir::new(&settings.storage.data_dir);
    check_file_access(settings, &data)?;
    let storage = Storage::open(&settings.storage, &data).await?;
    let adopt = if adopt { AdoptForeign::Allow } else { AdoptForeign::Refuse };
    let migrated = async {
        storage.probe_database().await?;
        storage.refuse_lone_copy(&data).await?;
        let steps = storage.migrate(adopt).await?;
        let changes = match &settings.accounts.roles_file {
            Some(path) => apply(&storage, settings, path).await?,
            None => Vec::new(),
        };
        Ok::<_, Failure>((steps, changes))
    };
    let migrated = migrated.await;
    storage.close().await;
    let (steps, changes) = migrated?;
    let mut lines = match steps.is_empty() {
        true => "the schema is already up to date\n".to_owned(),
        false => steps.iter().map(|step| format!("migrated: {step}\n")).collect(),
    };
    lines.extend(changes.iter().map(|change| format!("roles file: {change}\n")));
    answer(&lines)
}

/// Applies the roles file. Running servers are notified as by any change of roles.
async fn apply(
    storage: &Storage,
    settings: &Settings,
    path: &Path,
) -> Result<Vec<RoleDifference>, Failure> {
    let observer: Arc<dyn Observer> = Arc::new(AuditObserver);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let stores = storage.invalidating_stores(settings, &observer, &clock).await?;
    let goat = Goat::builder(stores, TokenKeys::generate())
        .settings(start::rules(settings)?)
        .clock(clock)
        .observer(observer)
        .stored_roles()
        .build()?;
    start::apply_roles(&goat, path).await
}
