//! `goat-server openapi`: prints the OpenAPI document. Needs no settings.

use crate::failure::Failure;

use super::console::answer;

pub(super) fn run() -> Result<(), Failure> {
    answer(&format!("{}\n", crate::api::openapi().trim_end()))
}
