//! Reading and writing the text of a timestamp.

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, Timelike as _};
use jiff::tz::{Offset, TimeZone};

use super::{LocalTimestamp, MICROS_PER_SECOND, Timestamp, TimestampError, zone_named};

/// Nothing that is a timestamp is longer; keeps the work on hostile text small.
const MAX_BYTES: usize = 256;

/// Reads `date-time` of RFC 3339 and the suffix of RFC 9557.
pub(super) fn parse(text: &str) -> Result<LocalTimestamp, TimestampError> {
    if text.len() > MAX_BYTES {
        return Err(TimestampError::Malformed);
    }
    let mut rest = Rest(text);
    let (written, micros_of_second) = date_time(&mut rest)?;
    let offset_seconds = offset(&mut rest)?;
    let micros =
        (written.and_utc().timestamp() - i64::from(offset_seconds.unwrap_or(0))) * MICROS_PER_SECOND + micros_of_second;
    let instant = Timestamp::from_micros(micros).ok_or(TimestampError::OutOfRange)?;
    let zone = suffix(&mut rest)?;
    if let (Some(zone), Some(offset)) = (&zone, offset_seconds)
        && !has_offset(zone, instant, offset)?
    {
        return Err(TimestampError::ZoneContradictsOffset);
    }
    Ok(LocalTimestamp { instant, offset_seconds, zone })
}

/// `2030-05-04T09:30:00.123456789`; the date and time to the second, and the microseconds. A leap second is read as the
/// second before it, like RFC 9557's implementations do.
fn date_time(rest: &mut Rest<'_>) -> Result<(NaiveDateTime, i64), TimestampError> {
    let year = rest.digits(4)?;
    rest.byte(b"-")?;
    let month = rest.digits(2)?;
    rest.byte(b"-")?;
    let day = rest.digits(2)?;
    rest.byte(b"Tt")?;
    let hour = rest.digits(2)?;
    rest.byte(b":")?;
    let minute = rest.digits(2)?;
    rest.byte(b":")?;
    let second = rest.digits(2)?;
    let micros = if rest.byte(b".").is_ok() { fraction(rest)? } else { 0 };
    let second = if second == 60 { 59 } else { second };
    i32::try_from(year)
        .ok()
        .and_then(|year| NaiveDate::from_ymd_opt(year, month, day))
        .and_then(|date| date.and_hms_opt(hour, minute, second))
        .map(|written| (written, micros))
        .ok_or(TimestampError::NoSuchTime)
}

/// One to nine digits, cut to microseconds.
fn fraction(rest: &mut Rest<'_>) -> Result<i64, TimestampError> {
    let digits = rest.while_in(|b| b.is_ascii_digit());
    if !(1..=9).contains(&digits.len()) {
        return Err(TimestampError::Malformed);
    }
    Ok(digits.bytes().chain(std::iter::repeat(b'0')).take(6).fold(0, |micros, b| micros * 10 + i64::from(b - b'0')))
}

/// `Z`, or seconds east of UTC.
fn offset(rest: &mut Rest<'_>) -> Result<Option<i32>, TimestampError> {
    if rest.byte(b"Zz").is_ok() {
        return Ok(None);
    }
    let sign = rest.byte(b"+-")?;
    let seconds = hours_and_minutes(rest)?;
    Ok(match sign {
        b'-' if seconds == 0 => None,
        b'-' => Some(-seconds),
        _ => Some(seconds),
    })
}

fn hours_and_minutes(rest: &mut Rest<'_>) -> Result<i32, TimestampError> {
    let hours = rest.digits(2)?;
    rest.byte(b":")?;
    let minutes = rest.digits(2)?;
    if hours > 23 || minutes > 59 {
        return Err(TimestampError::NoSuchTime);
    }
    i32::try_from(hours * 3600 + minutes * 60).map_err(|_| TimestampError::NoSuchTime)
}

/// `[Europe/Berlin]`, then tags such as `[u-ca=gregory]`. An exclamation mark says that a tag must not be ignored.
fn suffix(rest: &mut Rest<'_>) -> Result<Option<TimeZone>, TimestampError> {
    let mut zone = None;
    let mut is_first = true;
    while !rest.0.is_empty() {
        rest.byte(b"[")?;
        let is_critical = rest.byte(b"!").is_ok();
        let tag = rest.while_in(|b| b != b']');
        rest.byte(b"]")?;
        match tag.split_once('=') {
            None if is_first => zone = Some(zone_of(tag)?),
            Some((key, value)) if is_tag_word(key) && is_tag_word(value) => {
                if is_critical {
                    return Err(TimestampError::UnknownCriticalTag);
                }
            }
            _ => return Err(TimestampError::Malformed),
        }
        is_first = false;
    }
    Ok(zone)
}

fn is_tag_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// A name, or an offset such as `+02:00`.
pub(super) fn zone_of(tag: &str) -> Result<TimeZone, TimestampError> {
    let mut rest = Rest(tag);
    let Ok(sign) = rest.byte(b"+-") else {
        return zone_named(tag).ok_or(TimestampError::UnknownZone);
    };
    let seconds = hours_and_minutes(&mut rest)?;
    if !rest.0.is_empty() {
        return Err(TimestampError::Malformed);
    }
    Offset::from_seconds(if sign == b'-' { -seconds } else { seconds })
        .map(TimeZone::fixed)
        .map_err(|_| TimestampError::NoSuchTime)
}

/// Whether the zone's offset at that instant is the written one. Offsets of the far past have seconds, which cannot be
/// written: to the minute is enough.
pub(super) fn has_offset(zone: &TimeZone, instant: Timestamp, written_seconds: i32) -> Result<bool, TimestampError> {
    let instant = jiff::Timestamp::from_microsecond(instant.micros()).map_err(|_| TimestampError::OutOfRange)?;
    let seconds = zone.to_offset(instant).seconds();
    Ok(seconds == written_seconds || (seconds + 30).div_euclid(60) * 60 == written_seconds)
}

/// `+05:45`; `None` when there are seconds.
pub(super) fn write_offset(seconds: i32) -> Option<String> {
    let minutes = seconds / 60;
    let sign = if seconds < 0 { '-' } else { '+' };
    (seconds % 60 == 0).then(|| format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60))
}

/// In UTC with `Z`, and with as many digits of the fraction as are not zero.
pub(super) struct Written {
    text: [u8; PATTERN.len()],
    length: usize,
}

const PATTERN: &[u8] = b"0000-00-00T00:00:00.000000Z";

impl Written {
    /// Digit by digit: an answer has hundreds of these, and a formatter looks at its pattern anew for each.
    pub(super) fn of(micros: i64) -> Self {
        let at = DateTime::from_timestamp_micros(micros).unwrap_or_default();
        let mut text: [u8; PATTERN.len()] = PATTERN.try_into().expect("as long as itself");
        let parts = [
            (0..4, at.year().unsigned_abs()),
            (5..7, at.month()),
            (8..10, at.day()),
            (11..13, at.hour()),
            (14..16, at.minute()),
            (17..19, at.second()),
            (20..26, at.timestamp_subsec_micros()),
        ];
        for (place, mut number) in parts {
            for digit in text[place].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        let mut end = text.len() - 1;
        while text[end - 1] == b'0' && end > "0000-00-00T00:00:00.".len() {
            end -= 1;
        }
        if text[end - 1] == b'.' {
            end -= 1;
        }
        text[end] = b'Z';
        Self { text, length: end + 1 }
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..self.length]).expect("digits")
    }
}

/// What has not been read yet.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn byte(&mut self, one_of: &[u8]) -> Result<u8, TimestampError> {
        match self.0.as_bytes().first() {
            Some(byte) if one_of.contains(byte) => {
                self.0 = &self.0[1..];
                Ok(*byte)
            }
            _ => Err(TimestampError::Malformed),
        }
    }

    fn digits(&mut self, count: usize) -> Result<u32, TimestampError> {
        let digits = self.0.get(..count).ok_or(TimestampError::Malformed)?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(TimestampError::Malformed);
        }
        self.0 = &self.0[count..];
        digits.parse().map_err(|_| TimestampError::Malformed)
    }

    /// `wanted` must not take part of a character: it may take every byte that is not ASCII, or none.
    fn while_in(&mut self, wanted: impl Fn(u8) -> bool) -> &'a str {
        let end = self.0.bytes().position(|b| !wanted(b)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }
}
