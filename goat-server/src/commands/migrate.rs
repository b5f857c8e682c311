//! `goat-server migrate`: migrates the database schema, as a step of a deployment.

use crate::failure::Failure;
use crate::start::settings::Settings;
use crate::start::{AdoptForeign, DataDir, Storage, check_file_access};

use super::console::answer;

pub(super) async fn run(settings: &Settings, adopt: bool) -> Result<(), Failure> {
    let data = DataDir::new(&settings.storage.data_dir);
    check_file_access(settings, &data)?;
    let storage = Storage::open(&settings.storage, &data).await?;
    let adopt = if adopt { AdoptForeign::Allow } else { AdoptForeign::Refuse };
    let migrated = async {
        storage.probe_database().await?;
        storage.refuse_lone_copy(&data).await?;
        storage.migrate(adopt).await
    };
    let migrated = migrated.await;
    storage.close().await;
    let steps = migrated?;
    if steps.is_empty() {
        return answer("the schema is already up to date\n");
    }
    let lines: String = steps.iter().map(|step| format!("migrated: {step}\n")).collect();
    answer(&lines)
}
