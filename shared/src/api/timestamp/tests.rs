use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(text: &str) -> Result<String, TimestampError> {
    text.parse::<Timestamp>().map(|timestamp| timestamp.to_string())
}

#[test]
fn any_offset_is_read_and_utc_is_written() {
    for (text, expected) in [
        ("2030-05-04T09:30:00Z", "2030-05-04T09:30:00Z"),
        ("2030-05-04t09:30:00z", "2030-05-04T09:30:00Z"),
        ("2030-05-04T09:30:00+02:00", "2030-05-04T07:30:00Z"),
        ("2030-05-04T09:30:00-00:00", "2030-05-04T09:30:00Z"),
        ("2030-05-04T09:30:00-23:59", "2030-05-05T09:29:00Z"),
        ("2030-05-04T09:30:00.5+00:00", "2030-05-04T09:30:00.5Z"),
        ("2030-05-04T09:30:00.000000Z", "2030-05-04T09:30:00Z"),
        ("2030-05-04T09:30:00.123456789Z", "2030-05-04T09:30:00.123456Z"),
        ("1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999999Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
        ("9999-12-31T23:59:60Z", "9999-12-31T23:59:59Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("2030-02-28T23:59:59+00:00[UTC]", "2030-02-28T23:59:59Z"),
        ("2030-05-04T09:30:00+02:00[Europe/Berlin]", "2030-05-04T07:30:00Z"),
        ("2030-05-04T09:30:00Z[Europe/Berlin]", "2030-05-04T09:30:00Z"),
        ("2030-05-04T09:30:00+02:00[!europe/berlin][u-ca=gregory]", "2030-05-04T07:30:00Z"),
        ("2030-05-04T09:30:00+02:00[+02:00]", "2030-05-04T07:30:00Z"),
        ("2030-05-04T09:30:00Z[u-ca=gregory]", "2030-05-04T09:30:00Z"),
        ("1850-01-01T00:00:00+00:53[Europe/Berlin]", "1849-12-31T23:07:00Z"),
    ] {
        assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_no_timestamp_is_refused_with_its_reason() {
    use TimestampError::{Malformed, NoSuchTime, OutOfRange, UnknownCriticalTag, UnknownZone, ZoneContradictsOffset};
    let long = format!("2030-05-04T09:30:00Z[{}]", "a".repeat(300));
    for (text, expected) in [
        ("", Malformed),
        ("tomorrow", Malformed),
        ("2030-05-04", Malformed),
        ("2030-05-04T09:30Z", Malformed),
        ("2030-05-04T09:30:00", Malformed),
        ("2030-05-04 09:30:00Z", Malformed),
        ("20300504T093000Z", Malformed),
        (" 2030-05-04T09:30:00Z", Malformed),
        ("2030-05-04T09:30:00Z ", Malformed),
        ("2030-05-04T09:30:00.Z", Malformed),
        ("2030-05-04T09:30:00,5Z", Malformed),
        ("2030-05-04T09:30:00.1234567890Z", Malformed),
        ("2030-05-04T09:30:00+2:00", Malformed),
        ("2030-05-04T09:30:00+0200", Malformed),
        ("2030-05-04T09:30:00+02:00:00", Malformed),
        ("+2030-05-04T09:30:00Z", Malformed),
        ("-001-05-04T09:30:00Z", Malformed),
        ("２０３０-05-04T09:30:00Z", Malformed),
        ("2030-05-04T09:30:00é", Malformed),
        ("2030-05-04T09:30:00Z[", Malformed),
        ("2030-05-04T09:30:00Z[Europe/Berlin", Malformed),
        ("2030-05-04T09:30:00Z[Europe/Berlin][Europe/Berlin]", Malformed),
        ("2030-05-04T09:30:00Z[u-ca=gregory][Europe/Berlin]", Malformed),
        ("2030-05-04T09:30:00+02:00[+02:00x]", Malformed),
        (&long, Malformed),
        ("2030-00-04T09:30:00Z", NoSuchTime),
        ("2030-02-29T09:30:00Z", NoSuchTime),
        ("2030-05-04T24:00:00Z", NoSuchTime),
        ("2030-05-04T09:60:00Z", NoSuchTime),
        ("2030-05-04T09:30:61Z", NoSuchTime),
        ("2030-05-04T09:30:00+24:00", NoSuchTime),
        ("2030-05-04T09:30:00+00:60", NoSuchTime),
        ("0000-01-01T00:00:00Z", OutOfRange),
        ("0001-01-01T00:00:00+00:01", OutOfRange),
        ("9999-12-31T23:59:59-00:01", OutOfRange),
        ("9999-12-31T12:00:00+01:00[Europe/Berlin]", OutOfRange),
        ("2030-05-04T09:30:00Z[]", UnknownZone),
        ("2030-05-04T09:30:00Z[Mars/Olympus]", UnknownZone),
        ("2030-05-04T09:30:00Z[../../etc/passwd]", UnknownZone),
        ("2030-05-04T09:30:00Z[é]", UnknownZone),
        ("2030-05-04T09:30:00Z[Etc/Unknown]", UnknownZone),
        ("2030-05-04T09:30:00+01:00[Europe/Berlin]", ZoneContradictsOffset),
        ("2030-01-04T09:30:00+02:00[Europe/Berlin]", ZoneContradictsOffset),
        ("2030-05-04T09:30:00+00:00[Europe/London]", ZoneContradictsOffset),
        ("2030-05-04T09:30:00+02:00[+01:00]", ZoneContradictsOffset),
        ("2030-05-04T09:30:00Z[!u-ca=hebrew]", UnknownCriticalTag),
    ] {
        assert_eq!(read(text), Err(expected), "{text}");
    }
}

#[test]
fn the_written_offset_and_zone_are_kept_where_a_rule_needs_them() {
    let local = |text: &str| text.parse::<LocalTimestamp>().expect(text);
    let zulu = local("2030-05-04T09:30:00Z");
    assert_eq!((zulu.offset_seconds, zulu.zone), (None, None));
    assert_eq!(local("2030-05-04T09:30:00-00:00").offset_seconds, None);
    assert_eq!(local("2030-05-04T09:30:00+00:00").offset_seconds, Some(0));
    assert_eq!(local("2030-05-04T09:30:00-03:30").offset_seconds, Some(-12_600));
    let berlin = local("2030-05-04T09:30:00+02:00[europe/berlin]");
    assert_eq!(berlin.zone.as_ref().and_then(TimeZone::iana_name), Some("Europe/Berlin"));
    assert_eq!(berlin.instant, "2030-05-04T07:30:00Z".parse().expect("a timestamp"));
}

#[test]
fn a_zone_is_written_as_it_is_read() {
    for text in ["Europe/Berlin", "UTC", "America/Argentina/Buenos_Aires", "+05:45", "-03:30", "-00:30", "+23:59"] {
        let zone = zone_written(text).expect("a zone");
        assert_eq!(write_zone(&zone).as_deref(), Some(text));
        assert_eq!(zone_written(text), Some(zone));
    }
    for text in ["", "Mars/Olympus", "+5:45", "+05:60", "+05:45:00", "+05:45 "] {
        assert_eq!(zone_written(text), None, "{text:?}");
    }
}

#[test]
fn an_offset_is_that_of_a_zone_only_while_the_zone_has_it() {
    let berlin = zone_named("Europe/Berlin").expect("a zone");
    for (text, is_its_own) in [
        ("2030-07-01T12:00:00+02:00", true),
        ("2030-01-01T12:00:00+02:00", false),
        ("2030-01-01T12:00:00+01:00", true),
        ("2030-01-01T12:00:00Z", false),
        // Before zones the clocks of Berlin had +00:53:28.
        ("1850-01-01T12:00:00+00:53", true),
    ] {
        let written: LocalTimestamp = text.parse().expect("a timestamp");
        assert_eq!(written.has_offset_of(&berlin), is_its_own, "{text}");
    }
}

#[test]
fn unset_is_the_first_instant_of_the_year_one_in_and_out() {
    assert_eq!(Timestamp::default().to_string(), "0001-01-01T00:00:00Z");
    assert_eq!("0001-01-01T00:00:00Z".parse(), Ok(Timestamp::UNSET));
    assert!(!Timestamp::UNSET.is_set());
    assert_eq!(Timestamp::UNSET.instant(), None);
    assert_eq!(Timestamp::from(None), Timestamp::UNSET);
    assert_eq!(LocalTimestamp::default().instant, Timestamp::UNSET);
}

#[test]
fn instants_beyond_the_wire_become_the_nearest_on_it() {
    assert_eq!(Timestamp::from(DateTime::<Utc>::MAX_UTC), Timestamp::MAX);
    assert_eq!(Timestamp::from(DateTime::<Utc>::MIN_UTC), Timestamp::UNSET);
    assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999999Z");
    assert_eq!(Timestamp::from_micros(Timestamp::MAX.micros() + 1), None);
    assert_eq!(Timestamp::from_micros(Timestamp::UNSET.micros() - 1), None);
}

#[test]
fn it_is_a_string_in_json() {
    let timestamp: Timestamp = serde_json::from_value(json!("2030-05-04T09:30:00.25+02:00")).expect("a timestamp");
    assert_eq!(json!(timestamp), json!("2030-05-04T07:30:00.25Z"));
    let error = serde_json::from_value::<Timestamp>(json!(7)).expect_err("a number is none");
    assert!(error.to_string().contains("expected a timestamp"), "{error}");
}

/// Whether what is read, if anything, is the same when it was written and read again; and its zone too.
fn comes_back(text: &str) -> bool {
    let Ok(local) = text.parse::<LocalTimestamp>() else { return true };
    let instant = local.instant;
    let is_its_own = |zone: &TimeZone| local.offset_seconds.is_none() || local.has_offset_of(zone);
    (Timestamp::UNSET..=Timestamp::MAX).contains(&instant)
        && instant.to_string().parse() == Ok(instant)
        && local
            .zone
            .as_ref()
            .is_none_or(|zone| is_its_own(zone) && write_zone(zone).is_some_and(|name| zone_written(&name).is_some()))
}

proptest! {
    #[test]
    fn every_instant_survives_writing_and_reading(micros in Timestamp::UNSET.micros()..=Timestamp::MAX.micros()) {
        let timestamp = Timestamp::from_micros(micros).expect("in range");
        prop_assert_eq!(timestamp.to_string().parse(), Ok(timestamp));
        if let Some(instant) = timestamp.instant() {
            prop_assert_eq!(Timestamp::from(instant), timestamp);
        }
    }

    #[test]
    fn every_offset_names_the_same_instant(
        micros in -62_000_000_000_000_000_i64..253_000_000_000_000_000,
        minutes in -1439_i32..=1439,
    ) {
        let timestamp = Timestamp::from_micros(micros).expect("in range");
        let offset = chrono::FixedOffset::east_opt(minutes * 60).expect("an offset");
        let written = timestamp.instant().expect("set").with_timezone(&offset).to_rfc3339();
        prop_assert_eq!(written.parse(), Ok(timestamp));
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,40}|[-0-9TtZz:.+\\[\\]!=/a-f]{0,40}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{0,10})?([Zz]|[+-][0-9]{2}:[0-9]{2})(\\[!?[A-Za-z/=+:0-9é]{0,20}\\]){0,2}") {
        prop_assert!(comes_back(&text));
    }

    #[test]
    fn what_is_read_from_a_timestamp_that_was_changed_is_written_and_read_again_as_the_same(
        at in Timestamp::UNSET.micros()..=Timestamp::MAX.micros(),
        suffix in prop::sample::select(vec![
            "Z", "z", "+02:00", "-23:59", "-00:00", "+00:00[UTC]", "Z[Europe/Berlin]", "Z[!u-ca=gregory]", "+02:00[+02:00]",
            "Z[Europe/Berlin][u-ca=x]",
        ]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), "[-0-9TZ:.+\\[\\]!=/a-z é]{0,2}", 0..2_usize), 0..3),
    ) {
        let written = Timestamp::from_micros(at).expect("in range").to_string();
        let mut text = format!("{}{suffix}", written.trim_end_matches('Z'));
        for (place, instead, removed) in changes {
            let mut characters: Vec<char> = text.chars().collect();
            let place = place.index(characters.len().max(1));
            characters.splice(place..(place + removed).min(characters.len()), instead.chars());
            text = characters.into_iter().collect();
        }
        prop_assert!(comes_back(&text), "{}", text);
    }
}
