//! Times in responses: RFC 3339 in UTC, with milliseconds and `Z`.

use goat_core::Timestamp;
use serde::{Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A time in a response: `2026-01-31T09:26:53.589Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Timestamp);

impl From<Timestamp> for Time {
    fn from(time: Timestamp) -> Self {
        Self(time)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let milliseconds = self.0.as_millis();
        // RFC 3339 ends with the year 9999; later times are capped.
        let end = if milliseconds < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        let time = jiff::Timestamp::from_millisecond(milliseconds).unwrap_or(end);
        serializer.collect_str(&format_args!("{time:.3}"))
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("A time as in RFC 3339, in UTC, with milliseconds and `Z`."))
            .examples([serde_json::json!("2026-01-31T09:26:53.589Z")])
            .into()
    }
}

impl ToSchema for Time {
    fn name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(milliseconds: i64) -> String {
        let value = serde_json::to_value(Time(Timestamp::from_millis(milliseconds)));
        value.expect("JSON").as_str().expect("a string").to_owned()
    }

    #[test]
    fn time_has_three_digit_milliseconds_and_z() {
        assert_eq!(shown(1_767_225_600_000), "2026-01-01T00:00:00.000Z");
        assert_eq!(shown(1_767_225_600_120), "2026-01-01T00:00:00.120Z");
        assert_eq!(shown(1), "1970-01-01T00:00:00.001Z");
        assert_eq!(shown(-1), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn time_out_of_range_is_capped() {
        assert!(shown(i64::MAX).starts_with("9999-12-"), "{}", shown(i64::MAX));
        assert!(shown(i64::MIN).ends_with('Z'));
    }
}
