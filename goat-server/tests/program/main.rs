//! The program as an operator meets it: started, refused, asked, and ended.

mod harness;

mod check;
mod first_start;
mod refusals;
mod shutdown;
mod users;
