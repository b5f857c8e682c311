//! The contract that holds for every route.

mod authorization;
mod codes;
mod conventions;
mod every_route;
mod precedence;
mod shapes;
