//! Request side: credentials, origin, request id and path template, and the principal that a layer
//! leaves in the request's extensions.

pub(crate) mod bearer;
pub(crate) mod credentials;
pub(crate) mod origin;
pub(crate) mod path_template;
pub(crate) mod principal;
pub(crate) mod request_id;
pub(crate) mod token_principal;
