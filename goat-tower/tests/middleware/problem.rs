//! Problems that an application makes.

use std::io;

use goat_tower::Problem;
use tracing::Level;

use crate::support::log::logged;

#[test]
fn an_internal_error_is_logged_with_its_causes() {
    let cause = io::Error::other("the disk is full");
    let lines = logged(|| {
        let error = goat_core::StoreError::broken("write").with_source(cause);
        assert_eq!(Problem::internal(error).code(), "internal");
    });
    let [(Level::ERROR, line)] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(line.contains("internal error of the application: "), "{line}");
    assert!(line.ends_with(": the disk is full"), "{line}");
}
