//! The answer to a message: the token of its link, or its code with the challenge of the request.
//!
//! A token or code of the wrong form is a wrong answer, and not an invalid member: a response does not tell the
//! two apart.

use goat_core::ChallengeId;
use goat_core::auth::MailAnswer;
use utoipa::ToSchema;

use crate::api::extract::{Fields, FromFields, Refused};

/// Requests the members of an answer: `token`, or `challenge` and `code`.
pub(super) fn mail_answer(fields: &mut Fields) -> Result<MailAnswer, Refused> {
    let has_link = fields.contains("token");
    let has_code = fields.contains("challenge") || fields.contains("code");
    let token = fields.optional_secret("token");
    let challenge = fields.optional_parse("challenge", ChallengeId::parse);
    let code = fields.optional_secret("code");
    match (has_link, has_code) {
        (true, false) => {
            let token = token?.ok_or_else(|| fields.refuse("token", "is required"))?;
            Ok(MailAnswer::link(token))
        }
        (false, true) => {
            let (challenge, code) = (challenge?, code?);
            let missing = "is required, unless token is given";
            let challenge = challenge.ok_or_else(|| fields.refuse("challenge", missing));
            let code = code.ok_or_else(|| fields.refuse("code", missing));
            Ok(MailAnswer::code(challenge?, code?))
        }
        (true, true) => Err(fields.refuse("token", "must be absent if challenge or code is given")),
        (false, false) => Err(fields.refuse("token", "is required, or challenge and code")),
    }
}

/// The answer to a message.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MailAnswerBody {
    /// By link or by code.
    #[schema(ignore)]
    pub(super) answer: MailAnswer,
}

impl FromFields for MailAnswerBody {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        Ok(Self { answer: mail_answer(fields)? })
    }
}

/// The address to which a message is sent.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MailRequestBody {
    /// The e-mail address, at most 254 bytes. Surrounding white space is removed.
    #[schema(value_type = String, format = Email, example = "ann@example.org")]
    pub(super) email: goat_core::Email,
}

impl FromFields for MailRequestBody {
    fn from_fields(fields: &mut Fields) -> Result<Self, Refused> {
        Ok(Self { email: fields.parse("email", goat_core::Email::parse)? })
    }
}
