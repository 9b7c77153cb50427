//! `convene call`: one request, and its answer.

use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{json, value::RawValue};
use tokio::time::timeout;

use crate::{
    client::{Client, Connection, Frame},
    json, say,
    settings::Call,
};

/// Sends the request and prints the answer; the code says whether it is an error.
///
/// # Errors
/// There was no answer.
pub async fn run(settings: &Call) -> Result<ExitCode> {
    let data: Box<RawValue> = serde_json::from_str(&settings.data).context("the request's data is no JSON")?;
    let event = settings.event_id.as_deref().map(|id| json!({ "id": id }).to_string());
    let client = Client::new(&settings.target)?;
    let answer = timeout(settings.timeout, ask(&client, &settings.endpoint, &data, event.as_deref()))
        .await
        .map_err(|_| anyhow!("{}: no answer within {:?}", client.url(), settings.timeout))??;
    say(&json::pretty(&answer));
    Ok(if Frame::read(&answer)?.error.status { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn ask(client: &Client, endpoint: &str, data: &RawValue, event: Option<&str>) -> Result<String> {
    let mut connection = client.connect(None).await.map_err(|refusal| client.refused(&refusal))?;
    let event = event.map(|event| format!(r#","event":{event}"#)).unwrap_or_default();
    let request = format!(r#"{{"id":1,"endpoint":{},"data":{}{event}}}"#, json!(endpoint), data.get());
    let answer = match connection.send(request).await {
        Ok(()) => answer(&mut connection).await,
        Err(ended) => Err(anyhow!("{ended}")),
    };
    connection.close().await;
    answer.with_context(|| client.url().to_string())
}

async fn answer(connection: &mut Connection) -> Result<String> {
    loop {
        let text = connection.next().await.map_err(|ended| anyhow!("{ended}"))?;
        let frame = Frame::read(&text)?;
        match frame.event.as_deref() {
            None if frame.id == Some(json!(1)) => return Ok(text),
            Some("invalidConnection") => bail!("told {} {}", frame.error.code, frame.error.message),
            _ => {}
        }
    }
}
