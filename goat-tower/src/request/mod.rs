//! The request as layers read it: credentials, origin, request id, path template, and the principal in its
//! extensions.

pub(crate) mod bearer;
pub(crate) mod credentials;
pub(crate) mod origin;
pub(crate) mod path_template;
pub(crate) mod principal;
pub(crate) mod request_id;
pub(crate) mod token_principal;
