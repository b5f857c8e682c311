//! What every shelf promises.
