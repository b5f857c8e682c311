//! O1, O2: an engine that goes away under a server that runs, and comes back.
