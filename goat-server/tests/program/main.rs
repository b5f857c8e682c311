//! The program as an operator meets it: started, refused, asked, and ended.

#[path = "../process/mod.rs"]
mod process;

mod check;
mod first_start;
mod limits;
mod refusals;
mod shutdown;
mod users;
