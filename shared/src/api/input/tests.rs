use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::*;
use crate::api::{CustomMap, LocalTimestamp, Rgba, Timestamp};

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Everything {
    meeting: Inner,
    invited_user_ids: Vec<String>,
    custom_data: CustomMap,
    changed: Option<String>,
    start_date: Timestamp,
    local_date: LocalTimestamp,
    duration: i64,
    count: u32,
    repetition: u8,
    price: f64,
    is_recurring: bool,
    skins: BTreeMap<String, String>,
    matrix: Vec<Vec<Inner>>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Inner {
    color: Rgba,
    title: Option<String>,
}

fn read(json: &str) -> Result<Everything, String> {
    from_json("data", json).map_err(|error| error.to_string())
}

fn refused(json: &str) -> String {
    read(json).expect_err(json)
}

#[test]
fn missing_and_null_are_unset_and_unknown_fields_are_ignored() {
    let unset = Everything::default();
    for json in [
        "",
        " \n",
        "null",
        "{}",
        r#"{"unknown":{"a":[1,"b",null,{"c":true}]},"more":"\u0001"}"#,
        r#"{"meeting":null,"invitedUserIds":null,"customData":null,"changed":null,"startDate":null,"localDate":null,
            "duration":null,"price":null,"isRecurring":null,"skins":null}"#,
        r#"{"meeting":{"color":null,"title":null}}"#,
        r#"{"meeting":{"color":{"r":null}}}"#,
        r#" { "startDate" : "0001-01-01T00:00:00Z" } "#,
    ] {
        assert_eq!(read(json).as_ref(), Ok(&unset), "{json}");
    }
}

#[test]
fn given_is_told_from_missing() {
    assert_eq!(read(r#"{"changed":""}"#).expect("input").changed.as_deref(), Some(""));
    assert_eq!(read(r#"{"chan\u0067ed":"\u0061"}"#).expect("input").changed.as_deref(), Some("a"));
}

#[test]
fn whole_numbers_may_be_written_with_a_fraction_or_an_exponent() {
    let input = read(r#"{"duration":3600.0,"count":36e2,"repetition":5.00,"price":3}"#).expect("input");
    assert_eq!((input.duration, input.count, input.repetition, input.price), (3600, 3600, 5, 3.0));
    assert_eq!(read(r#"{"duration":-9223372036854775808}"#).expect("input").duration, i64::MIN);
}

#[test]
fn a_wrong_type_names_the_field_by_its_path() {
    for (json, message) in [
        (r#"[]"#, "data: expected an object"),
        (r#""text""#, "data: expected an object"),
        (r#"7"#, "data: expected an object"),
        (r#"{"meeting":[]}"#, "data.meeting: expected an object"),
        (r#"{"meeting":{"color":{"r":"red"}}}"#, "data.meeting.color.r: expected a number"),
        (r#"{"meeting":{"color":{"r":true}}}"#, "data.meeting.color.r: expected a number"),
        (r#"{"invitedUserIds":"alice"}"#, "data.invitedUserIds: expected a list"),
        (r#"{"invitedUserIds":{}}"#, "data.invitedUserIds: expected a list"),
        (r#"{"invitedUserIds":["a","b","c",4]}"#, "data.invitedUserIds[3]: expected a string"),
        (r#"{"invitedUserIds":["a",null]}"#, "data.invitedUserIds[1]: expected a string"),
        (r#"{"matrix":[[],[{},{"title":0}]]}"#, "data.matrix[1][1].title: expected a string"),
        (r#"{"changed":["a"]}"#, "data.changed: expected a string"),
        (r#"{"duration":"3600"}"#, "data.duration: expected a whole number"),
        (
            r#"{"duration":0.5}"#,
            "data.duration: expected a whole number from -9223372036854775808 to 9223372036854775807",
        ),
        (
            r#"{"duration":9223372036854775808}"#,
            "data.duration: expected a whole number from -9223372036854775808 to 9223372036854775807",
        ),
        (r#"{"count":-1}"#, "data.count: expected a whole number from 0 to 4294967295"),
        (r#"{"repetition":256}"#, "data.repetition: expected a whole number from 0 to 255"),
        (r#"{"isRecurring":1}"#, "data.isRecurring: expected true or false"),
        (r#"{"isRecurring":"true"}"#, "data.isRecurring: expected true or false"),
        (r#"{"startDate":1893456000}"#, "data.startDate: expected a string"),
        (r#"{"startDate":"tomorrow"}"#, "data.startDate: expected a timestamp such as 2030-05-04T09:30:00+02:00"),
        (
            r#"{"localDate":"2030-05-04T09:30:00+01:00[Europe/Berlin]"}"#,
            "data.localDate: the time zone contradicts the offset",
        ),
        (r#"{"customData":[]}"#, "data.customData: expected an object"),
        (r#"{"customData":"{}"}"#, "data.customData: expected an object"),
        (r#"{"skins":{"hat":7}}"#, "data.skins.hat: expected a string"),
        (r#"{"changed":"a","changed":"b"}"#, "data: duplicate field `changed`"),
    ] {
        assert_eq!(refused(json), message, "{json}");
    }
}

#[test]
fn what_no_reader_down_the_line_could_take_is_refused_wherever_it_stands() {
    for (json, message) in [
        (r#"{"changed":"a\u0000b"}"#, "data.changed: holds the character U+0000"),
        (r#"{"customData":{"a":[{"b":"\u0000"}]}}"#, "data.customData.a[0].b: holds the character U+0000"),
        (r#"{"customData":{"a\u0000":1}}"#, "data.customData: holds the character U+0000"),
        (r#"{"unknown":"\u0000"}"#, "data.unknown: holds the character U+0000"),
        (r#"{"customData":{"a":"\ud800"}}"#, "data.customData.a: not JSON: unexpected end of hex escape"),
        (r#"{"meeting":{"color":{"r":1e400}}}"#, "data.meeting.color.r: not JSON: number out of range"),
        (r#"{"customData":{"a":-1e400}}"#, "data.customData.a: not JSON: number out of range"),
        (r#"{"changed":"a"} x"#, "data: not JSON: trailing characters"),
        (r#"{"changed":"#, "data.changed: not JSON: EOF while parsing a value"),
        (r#"{"duration":01}"#, "data.duration: not JSON: invalid number"),
        (r#"{"duration":NaN}"#, "data.duration: not JSON: expected value"),
        ("\u{a0}", "data: not JSON: expected value"),
    ] {
        assert_eq!(refused(json), message, "{json}");
    }
    // An escaped backslash before "u0000" is no escape of U+0000.
    assert_eq!(read(r#"{"changed":"\\u0000"}"#).expect("input").changed.as_deref(), Some("\\u0000"));
}

#[test]
fn a_custom_structure_keeps_the_order_of_keys_and_the_text_of_numbers() {
    let custom = r#"{"b":1.10,"a":1E2,"c":123456789012345678901234567890,"b":null,"d":{"é":"\u00e9"}}"#;
    let input = read(&format!(r#"{{"customData": {custom} }}"#)).expect("input");
    assert_eq!(input.custom_data.as_str(), custom);
}

#[test]
fn raw_values_come_through_as_they_are() {
    #[derive(Deserialize)]
    struct Raw {
        data: Box<RawValue>,
    }
    let raw: Raw = from_json("", r#"{"data": [1.0, null] }"#).expect("input");
    assert_eq!(raw.data.get(), "[1.0, null]");
}

#[test]
fn hostile_depth_is_refused_before_anything_recurses() {
    for open in ["[", "{\"a\":", "{\"customData\":[", "{\"unknown\":["] {
        let message = refused(&open.repeat(100_000));
        assert_eq!(message, "data: nested more than 64 levels deep");
    }
    let nested = |levels: usize| format!(r#"{{"customData":{{"a":{}1{}}}}}"#, "[".repeat(levels), "]".repeat(levels));
    assert!(read(&nested(MAX_DEPTH - 2)).is_ok());
    assert_eq!(refused(&nested(MAX_DEPTH - 1)), "data: nested more than 64 levels deep");
    let text = format!(r#"{{"changed":"{}\"{}"}}"#, "[".repeat(100), "{".repeat(100));
    assert!(read(&text).is_ok(), "brackets in a string are no levels");
}

#[test]
fn a_hostile_field_name_is_not_repeated_in_full() {
    let message = refused(&format!(r#"{{"{}":"\u0000"}}"#, "é".repeat(10_000)));
    assert_eq!(message, format!("data.{}…: holds the character U+0000", "é".repeat(64)));
}

#[test]
fn it_becomes_error_400() {
    let error = Error::from(from_json::<Everything>("data", "7").expect_err("no object"));
    assert_eq!(error, Error::new(Code::BadRequest, "data: expected an object"));
}

/// Any JSON, at most `depth` levels of it.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let name = prop_oneof![
        "[a-z\\PC]{0,6}",
        prop::sample::select(vec![
            "meeting",
            "color",
            "r",
            "title",
            "customData",
            "matrix",
            "skins",
            "duration",
            "startDate",
            "invitedUserIds",
        ])
        .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        any::<i64>().prop_map(|n| json!(n)),
        any::<u64>().prop_map(|n| json!(n)),
        any::<f64>().prop_map(|n| json!(n)),
        ".{0,8}".prop_map(|s| json!(s)),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..6).prop_map(|fields| json!(fields)),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_panics(json in any_json()) {
        let _ = read(&json.to_string());
    }

    #[test]
    fn no_text_panics(json in "\\PC{0,60}|[\\[\\]{}:,\"\\\\u0dDeE+.na-]{0,60}") {
        let _ = read(&json);
    }

    #[test]
    fn what_serde_json_reads_strictly_reads_the_same(json in any_json()) {
        let text = json.to_string();
        match (serde_json::from_str::<Everything>(&text), read(&text)) {
            (Ok(strict), Ok(input)) => prop_assert_eq!(input, strict),
            // serde takes a list for an object.
            (Ok(_), Err(message)) => {
                prop_assert!(message.ends_with("expected an object") || message.ends_with("U+0000"), "{}", message);
            }
            (Err(_), _) => {}
        }
    }

    /// V6, for any pattern of bits that is a number, and any text of it.
    #[test]
    fn the_double_that_was_sent_is_the_one_that_is_read_and_written(bits: u64, more in 0_usize..40) {
        let double = f64::from_bits(bits);
        prop_assume!(double.is_finite());
        let shortest = serde_json::to_string(&double).expect("JSON");
        // 17 digits name a double; what follows them must not matter.
        for written in [shortest.clone(), format!("{double:.17e}"), format!("{double:.more$e}", more = 17 + more)] {
            let expected: f64 = written.parse().expect("a number");
            prop_assert_eq!(expected.to_bits(), bits, "{}", written);
            let color: Rgba = from_json("data", &format!(r#"{{"r":{written},"a":{written}}}"#)).expect("a colour");
            prop_assert_eq!((color.r.to_bits(), color.a.to_bits()), (bits, bits), "{}", written);
            // As the directory's structures are kept in the database, and sent to clients.
            let kept = serde_json::to_string(&color).expect("JSON");
            let again: Rgba = from_json("", &kept).expect("a colour");
            prop_assert_eq!((again.r.to_bits(), again.a.to_bits()), (bits, bits), "{}", kept);
        }
        let digits = |text: &str| {
            let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
            let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
            digits.trim_matches('0').len()
        };
        prop_assert_eq!(digits(&shortest), digits(&format!("{double:e}")), "no digit more than it needs: {}", shortest);
    }

    /// Texts between two doubles, or beside the middle of them: the nearest is read, as the standard library does.
    #[test]
    fn a_text_between_two_doubles_is_read_as_the_nearest(
        before in "[1-9][0-9]{0,25}", after in "[0-9]{1,25}", exponent in -330_i32..310,
    ) {
        let written = format!("{before}.{after}e{exponent}");
        let nearest: f64 = written.parse().expect("a number");
        match from_json::<Rgba>("data", &format!(r#"{{"g":{written}}}"#)) {
            Ok(color) => prop_assert_eq!(color.g.to_bits(), nearest.to_bits(), "{}", written),
            Err(error) => prop_assert!(nearest.is_infinite(), "{}: {}", written, error),
        }
    }

    #[test]
    fn custom_structures_are_kept_byte_by_byte(json in any_json()) {
        if !json.to_string().contains("\\u0000") {
            let custom = format!("{{\"x\": {json:#}}}");
            let input = read(&format!("{{\"customData\":{custom}}}"));
            prop_assert_eq!(input.map(|input| input.custom_data.as_str().to_owned()), Ok(custom));
        }
    }
}
