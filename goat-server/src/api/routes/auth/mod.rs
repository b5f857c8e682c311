//! `/api/v1/auth`: sign-up, sign-in, refresh, sign-out, step-up, recovery, answers to mail, revocation of
//! tokens, and their verification and introspection for other services.

pub(crate) mod change_email;
pub(crate) mod code;
pub(crate) mod confirm;
pub(crate) mod introspect;
pub(crate) mod invite;
pub(crate) mod login;
pub(crate) mod logout;
mod mail_answer;
pub(crate) mod recover;
pub(crate) mod refresh;
pub(crate) mod revoke;
pub(crate) mod signup;
pub(crate) mod signup_confirm;
pub(crate) mod step_up;
pub(crate) mod verify;
pub(crate) mod verify_email;
