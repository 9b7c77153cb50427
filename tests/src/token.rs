//! Session tokens, as the platform would sign them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

/// What the stacks' gateways trust.
pub const JWT_SECRET: &str = "the secret of the harness that is long enough for HS256";

/// A token for an hour.
pub fn token(user: &str, network: &str, sid: &str) -> String {
    token_for(user, network, sid, Duration::from_secs(3600))
}

/// A token that expires after this.
pub fn token_for(user: &str, network: &str, sid: &str, lifetime: Duration) -> String {
    let exp = (SystemTime::now() + lifetime).duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    sign(&json!({"sub": user, "net": network, "sid": sid, "exp": exp}))
}

/// A token with any claims.
pub fn sign(claims: &Value) -> String {
    sign_with(JWT_SECRET, claims)
}

/// A token with any claims, signed with any secret.
pub fn sign_with(secret: &str, claims: &Value) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::default(), claims, &key).expect("claims can be signed")
}
