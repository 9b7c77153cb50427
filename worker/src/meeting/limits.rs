//! How long, how many and when (M3, M8). Beyond a limit is 400 (V6).

use chrono::TimeDelta;
use shared::api::Timestamp;

use crate::{
    error::Error,
    meeting::row::{Content, Time},
};

/// A subject has one character at least and so many at most.
const MAX_SUBJECT_CHARS: usize = 255;

/// A description has at most so many characters.
const MAX_DESCRIPTION_CHARS: usize = 10_000;

/// A meeting is at most so long. The database relies on it too.
pub(crate) const MAX_DURATION: TimeDelta = TimeDelta::days(31);

/// A meeting has at most so many participants beside its organizer.
pub(crate) const MAX_INVITED: usize = 100;

/// One can ask for meetings in a range of at most so much time.
const MAX_RANGE: TimeDelta = TimeDelta::days(366);

/// An answer lists at most so many meetings.
pub(crate) const MAX_LISTED: usize = 1000;

impl Content {
    /// Lets pass what a meeting may be. `path` is where the request has it, such as `data`.
    ///
    /// # Errors
    /// 400, naming the field.
    pub(crate) fn checked(self, path: &str) -> Result<Self, Error> {
        let subject = self.subject.chars().take(MAX_SUBJECT_CHARS + 1).count();
        if !(1..=MAX_SUBJECT_CHARS).contains(&subject) {
            let what = format!("expected 1 to {MAX_SUBJECT_CHARS} characters");
            return Err(Error::bad_request(format_args!("{path}.subject"), what));
        }
        if self.description.chars().count() > MAX_DESCRIPTION_CHARS {
            let what = format!("expected at most {MAX_DESCRIPTION_CHARS} characters");
            return Err(Error::bad_request(format_args!("{path}.description"), what));
        }
        if !self.color.is_finite() {
            return Err(Error::bad_request(format_args!("{path}.color"), "expected finite numbers"));
        }
        self.time.checked(path, MAX_DURATION)?;
        Ok(self)
    }
}

impl Time {
    /// Reads the `startDate` and `endDate` that the request has at `path`.
    ///
    /// # Errors
    /// 400 when one is unset.
    pub(crate) fn of_request(path: &str, start: Timestamp, end: Timestamp) -> Result<Self, Error> {
        let instant = |field: &str, timestamp: Timestamp| {
            let unset = || Error::bad_request(format_args!("{path}.{field}"), "expected a timestamp");
            timestamp.instant().ok_or_else(unset)
        };
        Ok(Self { starts_at: instant("startDate", start)?, ends_at: instant("endDate", end)? })
    }

    fn checked(self, path: &str, longest: TimeDelta) -> Result<Self, Error> {
        let refuse = |what: &str| Err(Error::bad_request(format_args!("{path}.endDate"), what));
        if self.starts_at >= self.ends_at {
            return refuse("expected a time after startDate");
        }
        if self.ends_at - self.starts_at > longest {
            return refuse(&format!("expected at most {} days after startDate", longest.num_days()));
        }
        Ok(self)
    }

    /// Reads the range that a request asks meetings for.
    ///
    /// # Errors
    /// 400, naming the field.
    pub(crate) fn range_of_request(start: Timestamp, end: Timestamp) -> Result<Self, Error> {
        Self::of_request("data", start, end)?.checked("data", MAX_RANGE)
    }
}

#[cfg(test)]
mod tests {
    use shared::api::Rgba;

    use super::*;

    fn content() -> Content {
        Content {
            subject: "Plans".to_owned(),
            description: String::new(),
            color: Rgba::default().into(),
            time: time("2030-01-01T10:00:00Z", "2030-01-01T11:00:00Z"),
        }
    }

    fn time(start: &str, end: &str) -> Time {
        let [start, end] = [start, end].map(|text| text.parse().expect("a timestamp"));
        Time::of_request("data", start, end).expect("set")
    }

    fn field(result: Result<impl std::fmt::Debug, Error>) -> String {
        let error = result.expect_err("too much").to_string();
        error.split(": ").next().expect("a field").to_owned()
    }

    #[test]
    fn limits_of_texts_count_characters() {
        let longest = Content { subject: "é".repeat(255), description: "é".repeat(10_000), ..content() };
        assert!(longest.checked("data").is_ok());
        for subject in [String::new(), "é".repeat(256)] {
            assert_eq!(field(Content { subject, ..content() }.checked("data")), "400 data.subject");
        }
        let description = "é".repeat(10_001);
        assert_eq!(field(Content { description, ..content() }.checked("data")), "400 data.description");
    }

    #[test]
    fn a_meeting_ends_after_its_start_and_within_31_days() {
        let table = [
            ("2030-01-01T00:00:00Z", "2030-02-01T00:00:00Z", true),
            ("2030-01-01T00:00:00Z", "2030-02-01T00:00:00.000001Z", false),
            ("2030-01-01T00:00:00Z", "2030-01-01T00:00:00.000001Z", true),
            ("2030-01-01T00:00:00Z", "2030-01-01T00:00:00Z", false),
            ("2030-01-02T00:00:00Z", "2030-01-01T00:00:00Z", false),
            ("1815-06-18T11:00:00Z", "1815-06-18T22:00:00Z", true),
        ];
        for (start, end, good) in table {
            let checked = Content { time: time(start, end), ..content() }.checked("data");
            assert_eq!(checked.is_ok(), good, "{start} to {end}");
        }
    }

    #[test]
    fn one_asks_for_at_most_366_days() {
        let range = |end: &str| {
            let [start, end] = ["2030-01-01T00:00:00Z", end].map(|text| text.parse().expect("a timestamp"));
            Time::range_of_request(start, end)
        };
        assert!(range("2031-01-02T00:00:00Z").is_ok());
        assert_eq!(field(range("2031-01-02T00:00:00.000001Z")), "400 data.endDate");
    }

    #[test]
    fn an_unset_time_is_400_and_names_the_field() {
        let set = "2030-01-01T00:00:00Z".parse().expect("a timestamp");
        assert_eq!(field(Time::of_request("data", Timestamp::UNSET, set)), "400 data.startDate");
        assert_eq!(field(Time::of_request("data", set, Timestamp::UNSET)), "400 data.endDate");
    }

    #[test]
    fn a_field_is_named_where_the_request_has_it() {
        let named = |content: Content| field(content.checked("data.meeting"));
        assert_eq!(named(Content { subject: String::new(), ..content() }), "400 data.meeting.subject");
        let over = time("2030-01-02T00:00:00Z", "2030-01-01T00:00:00Z");
        assert_eq!(named(Content { time: over, ..content() }), "400 data.meeting.endDate");
        let unset = Time::of_request("data.meeting", Timestamp::UNSET, Timestamp::UNSET);
        assert_eq!(field(unset), "400 data.meeting.startDate");
    }

    #[test]
    fn a_colour_is_finite() {
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let color = Rgba { g: odd, ..Rgba::default() }.into();
            assert_eq!(field(Content { color, ..content() }.checked("data")), "400 data.color");
        }
    }
}
