//! The layers on the stacks that services are built from: hyper's server over TCP with HTTP/1.1 and
//! HTTP/2, axum, and tower's own layers. No signature here names a type of goat that an application
//! would not name.

#[cfg(feature = "axum")]
mod application;
#[cfg(feature = "axum")]
mod axum;
mod bodies;
mod errors;
mod hyper;
#[cfg(feature = "axum")]
mod paths;
mod single_layers;
mod tower;
