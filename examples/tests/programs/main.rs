//! Starts each example on a database of its own, and calls it as a client would.

mod cookies;
mod many_nodes;
mod offline;
mod one_node;
mod own_users;
mod program;
mod tonic;
