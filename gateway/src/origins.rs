//! Whose web pages may connect and read.
//!
//! Browsers say in `Origin` which page asks. That protects people from pages that use their cookies; here there are none, and
//! who has no token gets nothing, so every page may by default.

use std::{str::FromStr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use crate::Gateway;

/// The setting `allowed-origins`: `*`, or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Everybody's pages.
    Any,
    /// Those of these origins, and of the host that the request is for.
    Listed(Vec<Origin>),
}

/// Where a page comes from (RFC 6454), as far as two can be the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `null`: a page that has none, such as a file.
    Null,
    /// `scheme://host:port`.
    Of {
        /// In small letters, as the host is.
        scheme: String,
        /// A name, or an address.
        host: String,
        /// What is written, else the scheme's own; `None` where we know of none.
        port: Option<u16>,
    },
}

impl AllowedOrigins {
    /// Whether the page that made a request may; a request without `Origin` is no page's.
    pub fn allow(&self, headers: &HeaderMap) -> bool {
        let Self::Listed(allowed) = self else { return true };
        // One that names two is no browser's.
        headers.get_all(header::ORIGIN).iter().all(|origin| {
            let origin = origin.to_str().ok().and_then(Origin::parse);
            origin.is_some_and(|origin| allowed.contains(&origin) || origin.is_of(headers.get(header::HOST)))
        })
    }
}

impl FromStr for AllowedOrigins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        let read = |origin: &str| {
            Origin::parse(origin.trim()).ok_or("not *, and not null or origins such as https://app.example.org:8443")
        };
        Ok(Self::Listed(text.split(',').map(read).collect::<Result<_, _>>()?))
    }
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        if text == "null" {
            return Some(Self::Null);
        }
        let (scheme, authority) = text.split_once("://")?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let scheme = is_scheme.then(|| scheme.to_ascii_lowercase())?;
        let (host, port) = host_and_port(authority)?;
        let usual = match scheme.as_str() {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        Some(Self::Of { scheme, host, port: port.or(usual) })
    }

    /// Whether it is that of the host that a request is for. The scheme may differ: TLS ends before us. So a `Host` without a
    /// port may stand for either of the usual ones.
    fn is_of(&self, host: Option<&HeaderValue>) -> bool {
        let Self::Of { host: own, port, .. } = self else { return false };
        let Some((host, host_port)) = host.and_then(|host| host_and_port(host.to_str().ok()?)) else { return false };
        *own == host && (host_port == *port || host_port.is_none() && matches!(port, Some(80 | 443)))
    }
}

/// Reads `host` or `host:port`, and nothing more.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let authority: Authority = text.parse().ok()?;
    let (host, port) = (authority.host(), authority.port());
    // No user before it, and no port that is none.
    let is_whole = text.len() == host.len() + port.as_ref().map_or(0, |port| 1 + port.as_str().len());
    let is_name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let is_host = !host.is_empty() && (is_name || host.starts_with('['));
    (is_whole && is_host).then(|| (host.to_ascii_lowercase(), port.map(|port| port.as_u16())))
}

/// What pages may ask for, and which headers of theirs matter here.
const ALLOWS: [(HeaderName, HeaderValue); 2] = [
    (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET")),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Authorization, X-Session-Id")),
];

/// Lets pages of allowed origins read the answers, errors included, and answers what their browsers ask beforehand (CORS).
pub async fn cors(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let allowed = &gateway.config.allowed_origins;
    let reader = match allowed {
        AllowedOrigins::Any => Some(HeaderValue::from_static("*")),
        AllowedOrigins::Listed(_) if allowed.allow(request.headers()) => request.headers().get(header::ORIGIN).cloned(),
        AllowedOrigins::Listed(_) => None,
    };
    let mut response = if request.method() == Method::OPTIONS {
        let allows: HeaderMap = reader.iter().flat_map(|_| ALLOWS).collect();
        (StatusCode::NO_CONTENT, allows).into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    if let Some(reader) = reader {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, reader);
    }
    if *allowed != AllowedOrigins::Any {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(origins: &[&str], host: Option<&str>) -> HeaderMap {
        let origins = origins.iter().map(|origin| (header::ORIGIN, *origin));
        let mut headers = HeaderMap::new();
        for (name, value) in origins.chain(host.map(|host| (header::HOST, host))) {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        headers
    }

    fn setting(text: &str) -> AllowedOrigins {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn an_origin_is_allowed_that_is_listed_however_it_is_written() {
        let listed =
            setting("https://App.Example:443, http://127.0.0.1:5173,capacitor://localhost,null,http://[::1]:8000");
        for origin in
            ["https://app.example", "http://127.0.0.1:5173", "capacitor://localhost", "null", "http://[::1]:8000"]
        {
            assert!(listed.allow(&asked(&[origin], Some("other"))), "{origin}");
        }
        let others = "|Null|*|http://app.example|https://app.example:444|https://app.example.evil|https://evil|\
             https://app.example/|https://evil@app.example|https://app.example:|https://app.example:99999|https://*|\
             app.example|://app.example|ionic://localhost|http://[::1]|https://münchen.example";
        for origin in others.split('|') {
            assert!(!listed.allow(&asked(&[origin], Some("other"))), "{origin}");
            assert!(setting("*").allow(&asked(&[origin], Some("other"))), "{origin}");
        }
        assert!(listed.allow(&asked(&[], None)), "no page");
        assert!(!listed.allow(&asked(&["null", "https://evil"], None)), "one of two");
    }

    #[test]
    fn an_origin_is_allowed_that_is_of_the_host_itself() {
        let listed = setting("https://elsewhere");
        for (origin, host) in [
            ("https://api.example", "api.example"),
            // TLS ends before us, and python-socketio may say http all the same.
            ("http://api.example", "API.example"),
            ("https://api.example:443", "api.example"),
            ("https://api.example", "api.example:443"),
            ("http://api.example:8080", "api.example:8080"),
            ("https://api.example:8080", "api.example:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert!(listed.allow(&asked(&[origin], Some(host))), "{origin} {host}");
        }
        for (origin, host) in [
            ("https://api.example", Some("api.example:8080")),
            ("https://api.example:8080", Some("api.example")),
            ("https://api.example:8080", Some("api.example:8081")),
            ("https://example", Some("api.example")),
            ("null", Some("null")),
            ("https://api.example", Some("evil@api.example")),
            ("https://api.example", None),
        ] {
            assert!(!listed.allow(&asked(&[origin], host)), "{origin} {host:?}");
        }
    }

    #[test]
    fn a_setting_that_no_origin_could_ever_match_is_refused() {
        let settings = "| |,|https://a,|*,https://a|https://*.example|https://a/|https://a/path|a.example|\
             https://a:99999|https://user@a|https://münchen.example|https://|1http://a|any";
        for text in settings.split('|') {
            text.parse::<AllowedOrigins>().expect_err(text);
        }
        assert_eq!(setting(" * "), AllowedOrigins::Any);
    }
}
