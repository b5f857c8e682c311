//! A node that starts cold under load.
