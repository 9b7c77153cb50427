//! Where public keys come from: a file or an address with a JSON Web Key Set (RFC 7517).

use std::{fmt, fs::File, io::Read, path::Path, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, Url, redirect::Policy};

/// The whole of a fetch takes at most so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// A key set is at most so large.
const MAX_BYTES: usize = 256 * 1024;

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
        let mut json = Vec::new();
        let file = File::open(path).context("cannot be opened")?;
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut json).context("cannot be read")?;
        ensure!(json.len() <= MAX_BYTES, "larger than {MAX_BYTES} bytes");
        Ok(json)
    }

    /// The key set's JSON.
    pub(super) async fn load(&self) -> Result<Vec<u8>> {
        match self {
            Self::File(path) => {
                let path = path.clone();
                tokio::task::spawn_blocking(move || Self::read(&path)).await?
            }
            Self::Url(url, client) => fetch(url.as_ref().clone(), client).await,
        }
    }
}

async fn fetch(url: Url, client: &Client) -> Result<Vec<u8>> {
    let mut response = client
        .get(url)
        .header("accept", "application/json")
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(reqwest::Error::without_url)?;
    ensure!(response.status().is_success(), "answered with status {}", response.status());
    let mut json = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(reqwest::Error::without_url)? {
        ensure!(json.len() + chunk.len() <= MAX_BYTES, "larger than {MAX_BYTES} bytes");
        json.extend_from_slice(&chunk);
    }
    Ok(json)
}
