//! Time, always as an argument. Nothing in `guest/` ever reads a clock of its own.

use serde::{Deserialize, Serialize};

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    /// The instant `ms` milliseconds later. Saturates, so that hostile input cannot overflow.
    #[must_use]
    pub fn plus(self, ms: u64) -> Millis {
        Millis(self.0.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)))
    }

    /// Milliseconds from `earlier` to `self`; negative if `earlier` is later. Saturates.
    #[must_use]
    pub fn since(self, earlier: Millis) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A text that is not a date and time in the expected form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a date and time like {like}")]
pub struct TimeError {
    found: String,
    like: &'static str,
}

impl TimeError {
    fn new(found: &str, like: &'static str) -> TimeError {
        TimeError { found: found.chars().take(40).collect(), like }
    }
}

/// Reads ServiceNow's `YYYY-MM-DD HH:MM:SS`, which is UTC and has whole seconds.
///
/// # Errors
/// When the text has another form or names no real instant.
pub fn parse_servicenow(text: &str) -> Result<Millis, TimeError> {
    let error = || TimeError::new(text, "2026-04-29 14:30:00");
    let shape_is_right = text.len() == 19
        && text.bytes().enumerate().all(|(i, b)| match i {
            4 | 7 => b == b'-',
            10 => b == b' ',
            13 | 16 => b == b':',
            _ => b.is_ascii_digit(),
        });
    if !shape_is_right {
        return Err(error());
    }
    let civil: jiff::civil::DateTime = text.parse().map_err(|_| error())?;
    let instant = civil.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| error())?;
    Ok(Millis(instant.timestamp().as_millisecond()))
}

/// Reads an RFC 3339 instant such as `2023-10-27T14:30:00.000Z`.
///
/// # Errors
/// When the text has another form or names no real instant.
pub fn parse_rfc3339(text: &str) -> Result<Millis, TimeError> {
    text.parse::<jiff::Timestamp>()
        .map(|t| Millis(t.as_millisecond()))
        .map_err(|_| TimeError::new(text, "2023-10-27T14:30:00.000Z"))
}

/// Reads an HTTP date such as `Wed, 29 Apr 2026 14:30:00 GMT`.
///
/// # Errors
/// When the text has another form or names no real instant.
pub fn parse_http_date(text: &str) -> Result<Millis, TimeError> {
    jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .map(|t| Millis(t.as_millisecond()))
        .map_err(|_| TimeError::new(text, "Wed, 29 Apr 2026 14:30:00 GMT"))
}

/// Writes an instant as an HTTP date: `Wed, 29 Apr 2026 14:30:00 GMT`.
#[must_use]
pub fn http_date_text(at: Millis) -> String {
    let instant = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&instant)
        .unwrap_or_default()
}

/// Writes an instant as RFC 3339: `2023-10-27T14:30:00Z`.
#[must_use]
pub fn rfc3339_text(at: Millis) -> String {
    jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

/// Writes an instant the way ServiceNow does; what is below a second is dropped.
#[must_use]
pub fn servicenow_text(at: Millis) -> String {
    let seconds = at.0.div_euclid(1000);
    let timestamp = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let civil = timestamp.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        civil.year(),
        civil.month(),
        civil.day(),
        civil.hour(),
        civil.minute(),
        civil.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servicenow_time_round_trips() {
        let at = parse_servicenow("2026-04-29 14:30:00").unwrap();
        assert_eq!(servicenow_text(at), "2026-04-29 14:30:00");
        assert_eq!(servicenow_text(at.plus(999)), "2026-04-29 14:30:00");
    }

    #[test]
    fn other_forms_are_refused() {
        for bad in ["", "2026-04-29T14:30:00", "29-04-2026 14:30:00", "2026-02-30 00:00:00"] {
            assert!(parse_servicenow(bad).is_err(), "{bad}");
        }
        assert!(parse_rfc3339("${call.startTime}").is_err());
    }
}
