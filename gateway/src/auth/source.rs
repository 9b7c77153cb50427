//! Where public keys come from: a file or an address with a JSON Web Key Set (RFC 7517).

use std::{
    fmt,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use reqwest::{
    Client, Url,
    header::{ACCEPT, CACHE_CONTROL, HeaderMap},
    redirect::Policy,
};
use tokio::time::timeout;

/// The whole of a reading takes at most so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// A key set is at most so large.
const MAX_BYTES: usize = 256 * 1024;

/// A key set as it was read.
#[derive(Debug)]
pub(super) struct Loaded {
    pub json: Vec<u8>,
    /// For how long it is fresh, as its publisher says.
    pub max_age: Option<Duration>,
}

/// A key set's place.
#[derive(Clone)]
pub(super) enum Source {
    File(PathBuf),
    Url(Box<Url>, Client),
}

impl fmt::Debug for Source {
    /// Without the address: it may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Url(..) => f.write_str("Url(…)"),
        }
    }
}

impl Source {
    /// The file of the setting `jwks-file`.
    pub(super) fn file(path: &Path) -> Self {
        Self::File(path.to_owned())
    }

    /// The address of the setting `jwks-url`.
    pub(super) fn url(url: &str) -> Result<Self> {
        let url = Url::parse(url).context("jwks-url is no address")?;
        ensure!(
            matches!(url.scheme(), "http" | "https") && url.has_host(),
            "jwks-url does not begin with https:// or http://"
        );
        // Fails when there is one already, which does as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(PATIENCE)
            .redirect(Policy::none())
            .user_agent(concat!("convene-gateway/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("jwks-url: no HTTP client")?;
        Ok(Self::Url(Box::new(url), client))
    }

    /// The key set's JSON, from a file.
    pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
        // What is no file might never come to its end, nor be opened.
        ensure!(fs::metadata(path).context("cannot be opened")?.is_file(), "is no file");
        let mut json = Vec::new();
        let file = File::open(path).context("cannot be opened")?;
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut json).context("cannot be read")?;
        ensure!(json.len() <= MAX_BYTES, "larger than {MAX_BYTES} bytes");
        Ok(json)
    }

    /// Reads the key set.
    ///
    /// # Errors
    /// It is not there, too large, or not read in time. The error does not hold the address.
    pub(super) async fn load(&self) -> Result<Loaded> {
        match self {
            Self::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || Self::read(&path));
                let json = timeout(PATIENCE, read).await.context("not read in time")???;
                Ok(Loaded { json, max_age: None })
            }
            Self::Url(url, client) => fetch(url.as_ref().clone(), client).await,
        }
    }
}

async fn fetch(url: Url, client: &Client) -> Result<Loaded> {
    let mut response = client
        .get(url)
        .header(ACCEPT, "application/json")
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(reqwest::Error::without_url)?;
    ensure!(response.status().is_success(), "answered with status {}", response.status());
    let max_age = max_age(response.headers());
    let mut json = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(reqwest::Error::without_url)? {
        ensure!(json.len() + chunk.len() <= MAX_BYTES, "larger than {MAX_BYTES} bytes");
        json.extend_from_slice(&chunk);
    }
    Ok(Loaded { json, max_age })
}

/// What `Cache-Control` says (RFC 9111 5.2.2): the shortest, where it says several things.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(CACHE_CONTROL).into_iter().filter_map(|value| value.to_str().ok());
    let seconds = values.flat_map(|value| value.split(',')).filter_map(|directive| {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "max-age" => value.trim().trim_matches('"').parse().ok(),
            "no-cache" | "no-store" => Some(0),
            _ => None,
        }
    });
    seconds.min().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn the_shortest_age_that_is_stated_counts_and_nonsense_does_not() {
        for (values, expected) in [
            (&[][..], None),
            (&["max-age=300"], Some(300)),
            (&["public, Max-Age=300, must-revalidate"], Some(300)),
            (&["max-age=\"300\""], Some(300)),
            (&["max-age=300, max-age=60"], Some(60)),
            (&["max-age=300", "max-age=60"], Some(60)),
            (&["no-store"], Some(0)),
            (&["no-cache=\"set-cookie\", max-age=300"], Some(0)),
            (&["max-age"], None),
            (&["max-age=-1"], None),
            (&["max-age=soon, s-maxage=5"], None),
            (&["max-age=99999999999999999999999"], None),
            (&["=,;, \u{7f}"], None),
            (&["max-age=18446744073709551615"], Some(u64::MAX)),
        ] {
            let values = values.iter().filter_map(|value| HeaderValue::from_bytes(value.as_bytes()).ok());
            let headers: HeaderMap = values.map(|value| (CACHE_CONTROL, value)).collect();
            assert_eq!(max_age(&headers), expected.map(Duration::from_secs), "{headers:?}");
        }
    }
}
