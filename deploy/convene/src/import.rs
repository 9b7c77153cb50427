//! `convene import`: a file of directory lines, streamed to the administration of a gateway.

use std::{
    fmt::{self, Write as _},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use indicatif::{HumanCount, ProgressBar, ProgressFinish, ProgressStyle};
use reqwest::{Body, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::{
    fs::File,
    io::{AsyncRead, stdin},
};
use tokio_util::io::ReaderStream;

use crate::{
    client::{cause, envelope_message},
    folder::{Secret, read_first_secret},
    note, say,
    settings::Import,
};

/// How much of the file is in memory at once, beside what lies in sockets.
const CHUNK_BYTES: usize = 64 * 1024;

/// How long a connection may take to come up.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// The gateway's answer.
#[derive(Debug, Deserialize)]
struct Answer {
    applied: u64,
    errors: Vec<LineError>,
}

#[derive(Debug, Deserialize)]
struct LineError {
    line: u64,
    message: String,
}

/// Sends the file, and prints what became of its lines; the code says whether all are applied.
///
/// # Errors
/// The file can not be read, or the gateway did not take it all.
pub async fn run(settings: &Import) -> Result<ExitCode> {
    let token = match &settings.admin_token {
        Some(tokens) => tokens.first().to_owned(),
        None => read_first_secret(&settings.data_dir.data_dir, Secret::Admin)
            .context("no administration token: set CONVENE_ADMIN_TOKEN, or start convene in this folder first")?,
    };
    let directory = Directory::new(&settings.admin_url, token)?;
    // Nothing of the file is read before it is clear that somebody will take it.
    directory.apply(Body::from("")).await?;

    let (input, length): (Box<dyn AsyncRead + Send + Unpin>, _) = if settings.file.as_os_str() == "-" {
        (Box::new(stdin()), None)
    } else {
        let shown = settings.file.display();
        let file = File::open(&settings.file).await.with_context(|| shown.to_string())?;
        let metadata = file.metadata().await.with_context(|| shown.to_string())?;
        ensure!(!metadata.is_dir(), "{shown} is a folder");
        (Box::new(file), metadata.is_file().then_some(metadata.len()))
    };
    let watch = Watch::new(length);
    let answer = directory.apply(Body::wrap_stream(watch.observe(input))).await;
    watch.bar.finish_and_clear();
    if watch.failed.load(Ordering::Relaxed) {
        bail!("{} can not be read to its end", settings.file.display());
    }
    let answer = answer?;
    Ok(report(&answer, watch.lines.load(Ordering::Relaxed)))
}

/// Sends some lines.
///
/// # Errors
/// The gateway did not take them.
pub async fn send(admin_url: &str, token: &str, lines: &'static str) -> Result<Vec<String>> {
    let answer = Directory::new(admin_url, token.to_owned())?.apply(Body::from(lines)).await?;
    Ok(answer.errors.iter().map(ToString::to_string).collect())
}

/// The directory behind a gateway.
struct Directory {
    url: Url,
    token: String,
    client: reqwest::Client,
}

impl Directory {
    fn new(admin_url: &str, token: String) -> Result<Self> {
        // A million lines take as long as they take. The administration is no matter for a proxy.
        let client = reqwest::Client::builder().connect_timeout(CONNECT_PATIENCE).no_proxy().build()?;
        Ok(Self { url: directory_url(admin_url)?, token, client })
    }

    async fn apply(&self, lines: Body) -> Result<Answer> {
        let request = self.client.post(self.url.clone()).bearer_auth(&self.token).body(lines);
        let response =
            request.send().await.map_err(|error| anyhow!("{} can not be reached: {}", self.url, cause(&error)))?;
        read_answer(response).await.with_context(|| self.url.to_string())
    }
}

fn directory_url(admin_url: &str) -> Result<Url> {
    let url = Url::parse(admin_url).with_context(|| format!("--admin-url (CONVENE_ADMIN_URL) {admin_url:?}"))?;
    ensure!(
        matches!(url.scheme(), "http" | "https"),
        "--admin-url (CONVENE_ADMIN_URL) {admin_url:?} does not begin with http:// or https://"
    );
    Ok(Url::parse(&format!("{}/admin/directory", url.as_str().trim_end_matches('/')))?)
}

async fn read_answer(response: Response) -> Result<Answer> {
    let status = response.status();
    let body = response.bytes().await.context("the answer broke off")?;
    match status {
        StatusCode::OK => serde_json::from_slice(&body).context("the answer is none of a directory: is it a gateway?"),
        StatusCode::UNAUTHORIZED => Err(anyhow!("401: this is not the administration token of that gateway")),
        status => match envelope_message(&body).as_str() {
            "" => Err(anyhow!("answered {} (is it the management address of a gateway?)", status.as_u16())),
            message => Err(anyhow!("answered {}: {message}", status.as_u16())),
        },
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

fn report(answer: &Answer, lines: u64) -> ExitCode {
    for error in &answer.errors {
        note(&error.to_string());
    }
    let mut summary = format!("applied {} of {} lines", HumanCount(answer.applied), HumanCount(lines));
    if answer.errors.is_empty() {
        say(&summary);
        return ExitCode::SUCCESS;
    }
    let _ = write!(summary, ", {} shown as bad", HumanCount(answer.errors.len() as u64));
    say(&summary);
    ExitCode::FAILURE
}

/// Sees the file go by.
struct Watch {
    bar: ProgressBar,
    lines: Arc<AtomicU64>,
    failed: Arc<AtomicBool>,
}

impl Watch {
    fn new(length: Option<u64>) -> Self {
        let (bar, template) = match length {
            Some(length) => {
                (ProgressBar::new(length), "{wide_bar} {binary_bytes}/{binary_total_bytes} {msg} lines, {eta} left")
            }
            None => (ProgressBar::new_spinner(), "{spinner} {binary_bytes} {msg} lines"),
        };
        let style = ProgressStyle::with_template(template).expect("the template is right");
        let bar = bar.with_style(style).with_finish(ProgressFinish::AndClear);
        bar.set_message("0");
        Self { bar, lines: Arc::default(), failed: Arc::default() }
    }

    /// The chunks of the input, each counted when it is asked for: the socket asks as fast as the gateway takes them.
    fn observe(
        &self,
        input: impl AsyncRead + Send + Unpin + 'static,
    ) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
        let (bar, lines, failed) = (self.bar.clone(), self.lines.clone(), self.failed.clone());
        let mut is_in_line = false;
        ReaderStream::with_capacity(input, CHUNK_BYTES).inspect(move |chunk| match chunk {
            Ok(chunk) => {
                let mut counted = 0;
                for byte in chunk.iter() {
                    match byte {
                        b'\n' => is_in_line = false,
                        byte if byte.is_ascii_whitespace() || is_in_line => {}
                        _ => {
                            is_in_line = true;
                            counted += 1;
                        }
                    }
                }
                let counted = lines.fetch_add(counted, Ordering::Relaxed) + counted;
                bar.inc(chunk.len() as u64);
                bar.set_message(HumanCount(counted).to_string());
            }
            Err(_) => failed.store(true, Ordering::Relaxed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_counted_across_chunks_and_empty_ones_are_none() {
        let watch = Watch::new(None);
        let text = format!("{}\n\n  \r\n{{}}\n{{}}", "x".repeat(CHUNK_BYTES + 7));
        let input = std::io::Cursor::new(text.clone().into_bytes());
        let sent: Vec<Bytes> = watch.observe(input).map(|chunk| chunk.expect("memory")).collect().await;
        assert!(sent.len() > 1, "more than one chunk");
        assert_eq!(sent.concat(), text.as_bytes());
        assert_eq!(watch.lines.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn the_address_may_end_with_a_slash_and_must_be_one() {
        for url in ["http://h:9090", "http://h:9090/"] {
            assert_eq!(directory_url(url).expect("an address").as_str(), "http://h:9090/admin/directory");
        }
        for url in ["h:9090", "ws://h", "nonsense"] {
            directory_url(url).expect_err(url);
        }
    }
}
