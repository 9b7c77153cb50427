//! What a token says.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};
use shared::{
    api::is_identifier,
    internal::{ProfileClaims, Session},
};

use super::{Refused, Unauthorized, Verified, refusals::shown};

/// Seconds after 1970 at which the year 9999 ends. Later is as good as never, and beyond what clocks can hold.
const NEVER: Duration = Duration::from_secs(253_402_300_800);

/// A session id has at most so many characters.
const MAX_SID_CHARS: usize = 128;

/// A profile claim with more characters is left out.
const MAX_PROFILE_CHARS: usize = 2048;

/// Of an `aud` so many are shown.
const MOST_AUDIENCES_SHOWN: usize = 3;

/// What a token must say beside what every token must.
#[derive(Default)]
pub(super) struct Demands {
    /// One of them stands in `aud`; none: it is not looked at.
    pub audiences: Vec<String>,
    /// `iss` is one of them; none: it is not looked at.
    pub issuers: Vec<String>,
}

/// The claims that we know, not checked yet. `null` is missing.
#[derive(Deserialize)]
pub(super) struct Claims {
    #[serde(default)]
    aud: Value,
    #[serde(default)]
    iss: Value,
    sub: Option<String>,
    sid: Option<String>,
    net: Option<String>,
    exp: Option<Number>,
    nbf: Option<Number>,
    #[serde(default, deserialize_with = "text")]
    given_name: String,
    #[serde(default, deserialize_with = "text")]
    family_name: String,
    #[serde(default, deserialize_with = "text")]
    email: String,
    #[serde(default, deserialize_with = "truth")]
    email_verified: bool,
    #[serde(default, deserialize_with = "text")]
    phone_number: String,
    #[serde(default, deserialize_with = "text")]
    picture: String,
    #[serde(default, deserialize_with = "text")]
    zoneinfo: String,
}

/// A profile claim is no reason to refuse a session: what is no fitting text counts as absent.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) if text.chars().count() <= MAX_PROFILE_CHARS && !text.contains(char::is_control) => text,
        _ => String::new(),
    })
}

fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Value::deserialize(deserializer).map(|value| value == Value::Bool(true))
}

impl Claims {
    /// The session, if everything about it is as it must be at that time. Whether the token is for us at all comes first.
    pub(super) fn verified(self, demands: &Demands, now: SystemTime) -> Result<Verified, Refused> {
        if !demands.issuers.is_empty() && !self.iss.as_str().is_some_and(|iss| is_among(&demands.issuers, iss)) {
            return Err(Refused::new(Unauthorized::Issuer, format!("iss {}", listed(&self.iss))));
        }
        if !demands.audiences.is_empty() && !texts(&self.aud).any(|aud| is_among(&demands.audiences, aud)) {
            return Err(Refused::new(Unauthorized::Audience, format!("aud {}", listed(&self.aud))));
        }
        let missing = |name| Refused::new(Unauthorized::Claim(name), format!("claim {name}"));
        let required = |claim: Option<String>, is_fitting: fn(&str) -> bool, name| {
            claim.filter(|claim| is_fitting(claim)).ok_or_else(|| missing(name))
        };
        let session = Session {
            user: required(self.sub, is_identifier, "sub")?,
            sid: required(self.sid, is_sid, "sid")?,
            network: required(self.net, is_identifier, "net")?,
        };
        let expires_at = self.exp.map(|exp| time(&exp)).ok_or_else(|| missing("exp"))?;
        if let Ok(since) = now.duration_since(expires_at) {
            return Err(Refused::new(Unauthorized::Expired, format!("{} s ago", since.as_secs())));
        }
        if let Some(Ok(until)) = self.nbf.map(|nbf| time(&nbf).duration_since(now))
            && !until.is_zero()
        {
            return Err(Refused::new(Unauthorized::NotYetValid, format!("in {} s", until.as_secs_f64().ceil())));
        }
        let claims = ProfileClaims {
            given_name: self.given_name,
            family_name: self.family_name,
            email: self.email,
            email_verified: self.email_verified,
            phone_number: self.phone_number,
            picture: self.picture,
            zoneinfo: self.zoneinfo,
        };
        Ok(Verified { session, claims, expires_at })
    }
}

fn is_among(names: &[String], name: &str) -> bool {
    names.iter().any(|known| known == name)
}

/// The texts of a claim that is one, or a list of them.
fn texts(claim: &Value) -> impl Iterator<Item = &str> {
    let one = claim.as_str();
    let several = claim.as_array().into_iter().flatten().filter_map(Value::as_str);
    one.into_iter().chain(several)
}

/// `aud` or `iss` as the log shows it.
fn listed(claim: &Value) -> String {
    let shown: Vec<_> = texts(claim).take(MOST_AUDIENCES_SHOWN).map(shown).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

fn is_sid(sid: &str) -> bool {
    (1..=MAX_SID_CHARS).contains(&sid.chars().count()) && !sid.contains(char::is_control)
}

/// A `NumericDate`: seconds after 1970, perhaps with a fraction (RFC 7519 2). Before 1970 is 1970.
fn time(date: &Number) -> SystemTime {
    let since_epoch = match date.as_u64() {
        Some(seconds) => Duration::from_secs(seconds),
        None => {
            let seconds = date.as_f64().unwrap_or_default();
            Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(NEVER)
        }
    };
    SystemTime::UNIX_EPOCH + since_epoch.min(NEVER)
}
