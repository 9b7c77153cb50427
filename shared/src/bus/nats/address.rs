//! Reads `nats-url`. async-nats takes no credentials from it, and would show them in its log.

use std::str::FromStr;

use async_nats::ServerAddr;
use percent_encoding::percent_decode_str;

use super::BadUrl;

/// Servers of one cluster, and how to sign in there.
pub(super) struct Address {
    pub(super) servers: Vec<ServerAddr>,
    pub(super) credentials: Option<Credentials>,
}

/// What stands before the `@`.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    Password { user: String, password: String },
    Token(String),
}

impl FromStr for Address {
    type Err = BadUrl;

    fn from_str(urls: &str) -> Result<Self, BadUrl> {
        let mut servers = Vec::new();
        let mut credentials = None;
        for url in urls.split(',').map(str::trim) {
            let server: ServerAddr = url.parse().map_err(|_| BadUrl)?;
            if !["nats", "tls"].contains(&server.scheme()) || server.host().is_empty() {
                return Err(BadUrl);
            }
            let own = Credentials::of(&server)?;
            if own.is_some() && credentials.is_some() && own != credentials {
                return Err(BadUrl);
            }
            credentials = credentials.or(own);
            servers.push(without_credentials(server)?);
        }
        Ok(Self { servers, credentials })
    }
}

impl Credentials {
    fn of(server: &ServerAddr) -> Result<Option<Self>, BadUrl> {
        let decode = |text| percent_decode_str(text).decode_utf8().map(String::from).map_err(|_| BadUrl);
        Ok(match (server.username(), server.password()) {
            (None, None) => None,
            (None, Some(_)) => return Err(BadUrl),
            (Some(token), None) => Some(Self::Token(decode(token)?)),
            (Some(user), Some(password)) => Some(Self::Password { user: decode(user)?, password: decode(password)? }),
        })
    }
}

fn without_credentials(server: ServerAddr) -> Result<ServerAddr, BadUrl> {
    let mut url = server.into_inner();
    url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| BadUrl)?;
    ServerAddr::from_url(url).map_err(|_| BadUrl)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(urls: &str) -> Option<(Vec<String>, Option<Credentials>)> {
        let address: Address = urls.parse().ok()?;
        Some((address.servers.iter().map(|server| server.as_url_str().to_owned()).collect(), address.credentials))
    }

    #[test]
    fn credentials_are_taken_out_of_the_address_and_decoded() {
        let password =
            |user: &str, password: &str| Credentials::Password { user: user.into(), password: password.into() };
        for (urls, servers, credentials) in [
            ("nats://localhost", &["nats://localhost"][..], None),
            ("localhost:4333", &["nats://localhost:4333"], None),
            ("tls://[::1]:4222", &["tls://[::1]:4222"], None),
            ("nats://u:p%40%2F%3A@h:1", &["nats://h:1"], Some(password("u", "p@/:"))),
            ("nats://t%C3%A9@h", &["nats://h"], Some(Credentials::Token("té".into()))),
            ("nats://u:p@a, nats://b", &["nats://a", "nats://b"], Some(password("u", "p"))),
            ("nats://u:p@a,nats://u:p@b", &["nats://a", "nats://b"], Some(password("u", "p"))),
        ] {
            let read = read(urls);
            let expected = (servers.iter().map(ToString::to_string).collect(), credentials);
            assert!(read == Some(expected), "{urls}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for urls in [
            "",
            ",",
            "nats://a,",
            "nats://",
            "http://a",
            "ws://a",
            "nats://a:99999",
            "nats://u:p@a,nats://v:p@b",
            "nats://:p@a",
            "nats://u:%FF@a",
            "nats://a b",
        ] {
            assert!(read(urls).is_none(), "{urls:?}");
        }
    }
}
