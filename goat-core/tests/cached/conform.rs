//! Cached stores, against the suites of the ports.
