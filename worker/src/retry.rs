//! Requests that are done once.
//!
//! A client names a change by `event.id`. The record of it belongs to the transaction of the change itself and is written
//! first: a second copy waits for it, and finds the answer or, where the first one failed, nothing. Neither the death of
//! a worker nor a second worker comes between the change and its record.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use sha2::{Digest as _, Sha256};
use shared::{
    api::{self, Code},
    internal::Session,
};
use sqlx::PgConnection;

use crate::error::Error;

/// `event.id` has at most so many characters.
const MOST_CHARACTERS: usize = 128;

/// A request that must be done once.
#[derive(Clone, Debug)]
pub(crate) struct Once {
    session: Session,
    event_id: String,
    /// `namespace:method`.
    endpoint: String,
    digest: [u8; 32],
}

/// What is known of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// Nothing: it is to be done, and then [`finish`]ed in the same transaction.
    First,
    /// It was done, with this answer.
    Done(String),
}

impl Once {
    /// `None` when `event.id` is empty: the request is done as often as it comes.
    ///
    /// # Errors
    /// 400 when `event.id` is too long or holds a control character, or `data` is not JSON.
    pub(crate) fn new(session: &Session, event_id: &str, endpoint: String, data: &[u8]) -> Result<Option<Self>, Error> {
        if event_id.is_empty() {
            return Ok(None);
        }
        if event_id.chars().count() > MOST_CHARACTERS {
            return Err(Error::bad_request("event.id", format_args!("longer than {MOST_CHARACTERS} characters")));
        }
        if event_id.chars().any(char::is_control) {
            return Err(Error::bad_request("event.id", "holds a control character"));
        }
        let digest = digest(data)?;
        Ok(Some(Self { session: session.clone(), event_id: event_id.to_owned(), endpoint, digest }))
    }

    /// Claims the request for this transaction. While another transaction has it, waits as long as the connection's
    /// `lock_timeout`.
    ///
    /// # Errors
    /// 409 when the id was used for another endpoint or other data; the database's, among them that the lock is held.
    pub(crate) async fn begin(&self, connection: &mut PgConnection) -> Result<Begun, Error> {
        // A record that blocks the first statement may have been removed for its age before the second looks.
        for _ in 0..3 {
            let inserted = sqlx::query(
                "INSERT INTO done_requests (network_id, user_id, sid, event_id, endpoint, digest)
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            )
            .bind(&self.session.network)
            .bind(&self.session.user)
            .bind(&self.session.sid)
            .bind(&self.event_id)
            .bind(&self.endpoint)
            .bind(&self.digest[..])
            .execute(&mut *connection)
            .await?;
            if inserted.rows_affected() == 1 {
                return Ok(Begun::First);
            }
            let record: Option<(String, Vec<u8>, Option<String>)> = sqlx::query_as(
                "SELECT endpoint, digest, answer FROM done_requests
                 WHERE network_id = $1 AND user_id = $2 AND sid = $3 AND event_id = $4",
            )
            .bind(&self.session.network)
            .bind(&self.session.user)
            .bind(&self.session.sid)
            .bind(&self.event_id)
            .fetch_optional(&mut *connection)
            .await?;
            match record {
                Some((endpoint, digest, answer)) if endpoint == self.endpoint && digest == self.digest => {
                    let answer = answer.ok_or_else(|| Error::internal("a request was recorded without an answer"))?;
                    return Ok(Begun::Done(answer));
                }
                Some(_) => return Err(Error::conflict("event.id was used for another request")),
                None => {}
            }
        }
        Err(Error::unavailable("the record of this request comes and goes"))
    }

    /// Records the answer, in the transaction that [`Once::begin`] claimed it for.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn finish(&self, connection: &mut PgConnection, answer: &str) -> Result<(), Error> {
        sqlx::query(
            "UPDATE done_requests SET answer = $5
             WHERE network_id = $1 AND user_id = $2 AND sid = $3 AND event_id = $4",
        )
        .bind(&self.session.network)
        .bind(&self.session.user)
        .bind(&self.session.sid)
        .bind(&self.event_id)
        .bind(answer)
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// Digest of a request's data in a canonical form: white space and the order of keys do not count. Numbers count as
/// their type and value, of what is no 64-bit integer as the nearest double, so `1` and `1.0` differ. Of a key given twice both count.
fn digest(data: &[u8]) -> Result<[u8; 32], Error> {
    let mut canonical = Vec::with_capacity(data.len());
    if data.iter().any(|byte| !byte.is_ascii_whitespace()) {
        let mut json = serde_json::Deserializer::from_slice(data);
        Canonical(&mut canonical)
            .deserialize(&mut json)
            .and_then(|()| json.end())
            .map_err(|error| api::Error::new(Code::BadRequest, format!("data: {error}")))?;
    } else {
        canonical.extend_from_slice(b"null");
    }
    Ok(Sha256::digest(&canonical).into())
}

/// Writes the value that it reads, with the keys of objects sorted.
struct Canonical<'a>(&'a mut Vec<u8>);

impl Canonical<'_> {
    fn write(self, value: &impl serde::Serialize) {
        serde_json::to_writer(self.0, value).expect("a scalar is JSON, and memory takes it");
    }
}

impl<'de> DeserializeSeed<'de> for Canonical<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Canonical<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.write(&());
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.write(&value);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.write(&value);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.write(&value);
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.write(&value);
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.write(&value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        self.0.push(b'[');
        while values.next_element_seed(Canonical(self.0))?.is_some() {
            self.0.push(b',');
        }
        self.0.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut members: Vec<(String, Vec<u8>)> = Vec::new();
        while let Some(key) = entries.next_key()? {
            let mut value = Vec::new();
            entries.next_value_seed(Canonical(&mut value))?;
            members.push((key, value));
        }
        // Stable: a key that is given twice keeps the order in which its values came.
        members.sort_by(|a, b| a.0.cmp(&b.0));
        self.0.push(b'{');
        for (key, value) in &members {
            Canonical(self.0).write(key);
            self.0.push(b':');
            self.0.extend_from_slice(value);
            self.0.push(b',');
        }
        self.0.push(b'}');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(data: &str) -> [u8; 32] {
        digest(data.as_bytes()).expect("JSON")
    }

    #[test]
    fn white_space_and_the_order_of_keys_do_not_count() {
        let data = r#"{"meeting":{"subject":"a","color":{"r":1,"g":2.5}},"ids":[1,-2,null,true]}"#;
        let same =
            " {\"ids\": [1, -2,null , true],\n \"meeting\": {\"color\":{\"g\":2.5,\"r\":1},\"subject\":\"\\u0061\"}} ";
        assert_eq!(of(data), of(same));
        assert_eq!(of(""), of(" null "));
    }

    #[test]
    fn everything_else_counts() {
        let all = [
            "null",
            "false",
            "0",
            "\"\"",
            "[]",
            "{}",
            "1",
            "1.0",
            "\"1\"",
            "[1]",
            "[[1]]",
            "[1,2]",
            "[2,1]",
            "[12]",
            r#"{"a":1}"#,
            r#"{"a":2}"#,
            r#"{"b":1}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":1,"b":1}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":2,"a":1}"#,
            r#"["a",1]"#,
            r#""a\"b""#,
            r#"{"a\":1,\"b":1}"#,
        ];
        for (i, a) in all.iter().enumerate() {
            for b in &all[..i] {
                assert_ne!(of(a), of(b), "{a} and {b}");
            }
        }
    }

    #[test]
    fn v6_two_doubles_are_two_requests_and_two_texts_of_one_are_one() {
        for (one, other) in [
            ("0.019607843831181526", "0.01960784383118153"),
            ("12345678.910111213", "12345678.910111211"),
            ("5e-324", "1e-323"),
            ("1.0", "1.0000000000000002"),
            ("0.0", "-0.0"),
        ] {
            assert_ne!(of(one), of(other), "{one} and {other}");
        }
        for (one, other) in [
            ("0.019607843831181526", "0.01960784383118152618408203125"),
            ("12345678.910111213", "1.2345678910111213e7"),
            ("1.10", "1.1"),
            ("1e1", "10.0"),
            ("2.2250738585072011e-308", "2.225073858507201e-308"),
        ] {
            assert_eq!(of(one), of(other), "{one} and {other}");
        }
    }

    #[test]
    fn what_is_not_json_is_400() {
        let deep = "[".repeat(100_000);
        for data in ["{", "1 2", "{\"a\"}", deep.as_str()] {
            let error = digest(data.as_bytes()).expect_err(data);
            assert!(matches!(error, Error::Told(error) if error.code == Code::BadRequest));
        }
    }

    #[test]
    fn a_large_nested_request_is_digested_without_growing() {
        let (open, ones, close) = ("{\"a\":".repeat(100), "1,".repeat(100_000), "}".repeat(100));
        let data = format!("{open}[{ones}1]{close}");
        assert_eq!(of(&data), of(&data.replace(":[", ": [")));
    }

    #[test]
    fn an_event_id_that_is_too_long_or_holds_control_characters_is_400() {
        let session = Session { network: "n".to_owned(), user: "u".to_owned(), sid: "s".to_owned() };
        let once = |id: &str| Once::new(&session, id, "meeting:createMeeting".to_owned(), b"{}");
        assert!(once("").expect("nothing to remember").is_none());
        assert!(once(&"ж".repeat(128)).expect("128 characters").is_some());
        for id in ["ж".repeat(129), "a\nb".to_owned(), "\u{85}".to_owned()] {
            let error = once(&id).expect_err(&id);
            assert!(matches!(error, Error::Told(error) if error.message.starts_with("event.id")), "{id:?}");
        }
    }
}
