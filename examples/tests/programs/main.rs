//! Starts each example on a database of its own, and calls it as a client would.

mod many_nodes;
mod offline;
mod one_node;
mod own_users;
mod program;
