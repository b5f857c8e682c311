//! `/api/v1/auth`: sign-up, sign-in, refresh, sign-out, step-up, revocation of tokens, and their
//! verification and introspection for other services.

pub(crate) mod confirm;
pub(crate) mod introspect;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod refresh;
pub(crate) mod revoke;
pub(crate) mod signup;
pub(crate) mod step_up;
pub(crate) mod verify;
