//! goat on the database of an application: its connection pool, its transactions, and its table of users.

mod pools;
mod support;
mod tables;
mod transactions;
