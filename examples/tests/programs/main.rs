//! Runs each example as a process with a database of its own, and sends requests like a client.

mod cookies;
mod keys;
mod letters;
mod many_nodes;
mod mounted;
mod offline;
mod one_node;
mod own_users;
mod program;
mod tonic;
mod vouch;
