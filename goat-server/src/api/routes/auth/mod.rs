//! `/api/v1/auth`: sign-up, sign-in, refresh, sign-out, step-up, and token verification for other services.

pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod refresh;
pub(crate) mod signup;
pub(crate) mod step_up;
pub(crate) mod verify;
